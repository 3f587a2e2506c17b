/* A listening socket whose connections come in at a server: BIND, as often as one is accepted.
 *
 * Three descriptors of ours go with it in each process that has it: the control connection, which
 * becomes readable when somebody came and then is what accept() hands out; a bell, which tells the
 * other processes that this happened; and the mailbox, through which they get the next two. */
#ifndef S5_LISTENER_H
#define S5_LISTENER_H

#include "cleanup.h"
#include "engine.h"
#include "internal_fd.h"

/* FD begins to listen at SERVER: its BIND is made. 0, or -errno and FD is not ours, or as before. */
int s5_listener_begin(struct s5_engine *e, int fd, const struct s5_server *server);

/* The LISTENING record is NAMED again, with ERROR: its BIND is given up. */
void s5_listener_end(struct s5_engine *e, struct s5_record *record, int error);

/* The record of FD where it is LISTENING and FD its socket still, else NULL. */
struct s5_record *s5_listener_find(struct s5_engine *e, int fd);

/* The entry all processes share; NULL where it is lost (its processes were taken for dead). */
struct s5_listener *s5_listener_shared(const struct s5_record *record);

/* This process's descriptors are the latest, where somebody else replaced them. Under the lock. */
void s5_listener_refresh(struct s5_engine *e, struct s5_record *record);

/* A fresh BIND in the place of the one before. 0, or -errno: the bell rings when it is worth trying
 * again. Under the lock. CALL, of TICKET: s5_listener_begin_call's. */
int s5_listener_renew(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);

/* The calling thread is at RECORD's listener, which may take its time, with the lock or without: RECORD stays what it
 * is. What CALL then notes, the lock among it, is given back also when a handler jumps away. NULL: RECORD is closed. */
struct s5_cleanup *s5_listener_begin_call(struct s5_engine *e, struct s5_record *record, uint32_t *ret_ticket);
void s5_listener_end_call(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);
/* What a BIND of L came to, in all processes: its connection CONTROL and the address NAME, or -errno;
 * -EINPROGRESS: it is being made. */
void s5_listener_set_result(struct s5_engine *e, struct s5_record *record, int control, const struct s5_endpoint *name);

/* The time in which a BIND has come to something (s). */
unsigned s5_listener_timeout(const struct s5_engine *e, const struct s5_listener *l);
struct s5_kind;
extern const struct s5_kind s5_listener_kind;

#endif
