/* A listening socket whose connections arrive at a server: a BIND for each that is accepted.
 *
 * Each process that has it has three internal descriptors for it:
 * - the control connection becomes readable when a peer has connected, and is then what accept() returns;
 * - the wakeup descriptor reports this to the other processes;
 * - the descriptor channel passes the next two descriptors to them. */
#ifndef S5_LISTENER_H
#define S5_LISTENER_H

#include "cleanup.h"
#include "engine.h"
#include "internal_fd.h"

/* FD begins to listen at SERVER, or at one of several: ROUTE is the result of s5_route_listener(). Makes its BIND. 0;
 * -errno: FD does not listen there. */
int s5_listener_begin(struct s5_engine *e, int fd, int route, const struct s5_server *server);

/* Gives up the BIND of a LISTENING record, which becomes NAMED again, with ERROR. */
void s5_listener_end(struct s5_engine *e, struct s5_record *record, int error);

/* Returns the record of FD if it is LISTENING and FD is still its socket, else NULL. */
struct s5_record *s5_listener_find(struct s5_engine *e, int fd);

/* Returns the entry that all processes share; NULL: it is gone (its processes were considered dead). */
struct s5_listener *s5_listener_shared(const struct s5_record *record);

/* Fetches the latest descriptors if another process has replaced them. Under the lock. */
void s5_listener_refresh(struct s5_engine *e, struct s5_record *record);

/* Makes a new BIND in place of the previous one. 0, or -errno: the wakeup descriptor becomes readable when another
 * attempt is due. Under the lock. CALL, of TICKET: from s5_listener_begin_call(). */
int s5_listener_renew(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);

/* begin_call: the calling thread works on RECORD's listener, which may take long, with or without the lock. RECORD
 * remains valid until end_call. What the returned entry then records, the lock included, is released also when a
 * handler jumps away. NULL: RECORD is closed. */
struct s5_cleanup *s5_listener_begin_call(struct s5_engine *e, struct s5_record *record, uint32_t *ret_ticket);
void s5_listener_end_call(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);
/* Makes the result of a BIND visible in all processes. CONTROL: its connection, with the address NAME; -errno;
 * -EINPROGRESS: it is being made. */
void s5_listener_set_result(struct s5_engine *e, struct s5_record *record, int control, const struct s5_endpoint *name);

/* Returns the time (s) within which a BIND has a result. */
unsigned s5_listener_timeout(const struct s5_engine *e, const struct s5_listener *l);
struct s5_kind;
extern const struct s5_kind s5_listener_kind;

#endif
