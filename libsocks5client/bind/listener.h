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
void s5_listener_withdraw(struct s5_engine *e, struct s5_record *record, int error);

/* An operation of the kind: the name is the one that the server has bound. */
int s5_bind_getsockname(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len);

/* The record of FD where it is LISTENING and FD its socket still, else NULL. */
struct s5_record *s5_listener_find(struct s5_engine *e, int fd);

/* The entry all processes share; NULL where it is lost (its processes were taken for dead). */
struct s5_listener *s5_listener_shared(const struct s5_record *record);

/* This process's descriptors are the latest, where somebody else replaced them. Under the lock. */
void s5_listener_refresh(struct s5_engine *e, struct s5_record *record);

/* A fresh BIND in the place of the one before. 0, or -errno: the bell rings when it is worth trying
 * again. Under the lock. CALL, of TICKET: s5_listener_enter's. */
int s5_listener_renew(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);

/* The calling thread is at RECORD's listener, which may take its time, with the lock or without: RECORD stays what it
 * is. What CALL then notes, the lock among it, is given back also when a handler jumps away. NULL: RECORD is closed. */
struct s5_cleanup *s5_listener_enter(struct s5_engine *e, struct s5_record *record, uint32_t *ret_ticket);
void s5_listener_leave(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket);
/* What a BIND of L came to, in all processes: its connection CONTROL and the address NAME, or -errno;
 * -EINPROGRESS: it is being made. */
void s5_listener_announce(struct s5_engine *e, struct s5_record *record, int control,
                          const struct s5_endpoint *name);

/* The time in which a BIND has come to something (s). */
unsigned s5_listener_patience(const struct s5_engine *e, const struct s5_listener *l);
struct s5_kind;
extern const struct s5_kind s5_listener_kind;

/* Whether FD listens in the kernel (bind.c). */
bool s5_bind_listens(struct s5_engine *e, int fd);
/* FD, which does not listen any more, can connect as any socket (bind.c). */
void s5_bind_unblock_callers(struct s5_engine *e, int fd);
/* FD may have stopped listening: its record is NAMED then, as bind() left it (bind.c). */
void s5_bind_ended(struct s5_engine *e, int fd);

/* --- listener_pool.c --- */

/* As s5_flight_no_child. */
void s5_listener_no_child(struct s5_engine *e, uint32_t number);

/* A free entry, with a reference of this process; NULL: there is none. */
struct s5_listener *s5_listener_take(struct s5_engine *e);
/* One reference more, unless it is GENERATION's no longer. */
bool s5_listener_pin(struct s5_engine *e, struct s5_listener *l, uint32_t generation);
/* One less, of those GENERATION has; the last frees it. */
void s5_listener_release(struct s5_engine *e, struct s5_listener *l, uint32_t generation);
static inline uint32_t s5_listener_generation(const struct s5_listener *l)
{
    return s5_references_generation(&l->references);
}

/* The lock of what the processes share; a thread that cannot have it goes without. */
bool s5_listener_try(struct s5_engine *e, struct s5_listener *l);
void s5_listener_unlock(struct s5_listener *l);

/* --- summon.c: one BIND, to its first reply --- */

/* One after another, made in flight (bind/next_bind.h): an unconnected socket for the server's address that took
 * L's last request, or -errno. */
int s5_summon_socket(struct s5_engine *e, const struct s5_listener *l);
/* F begins with L's last request, or with whom this process expects by now. 0 or -errno. */
int s5_summon_again(struct s5_engine *e, struct s5_flight *f, const struct s5_server *server,
                    const struct s5_listener *l);
/* F is over, on FD. READY: L's flight goes on with it to the second reply, and *RET is the address. 0, or
 * -errno, logged. */
int s5_summon_took(struct s5_engine *e, struct s5_listener *l, const struct s5_flight *f, int fd,
                   bool ready, struct s5_endpoint *ret);

/* The control connection, where L's flight has the first reply and *RET the address it tells.
 * -errno: refused, or no server reached; logged. */
int s5_summon(struct s5_engine *e, struct s5_listener *l, const struct s5_server *server, struct s5_cleanup *call,
              uint32_t ticket, struct s5_endpoint *ret);
/* The second reply, as far as it is there: 0 (and *RET, of FAMILY), -EAGAIN, or what it says. */
int s5_summon_came(struct s5_engine *e, struct s5_listener *l, int control,
                   struct s5_endpoint *ret);

/* --- mailbox.c --- */

/* A new one, hidden. */
int s5_mailbox_make(struct s5_engine *e);
/* A bell that rings in SECONDS (0: when rung), hidden. */
int s5_mailbox_bell(struct s5_engine *e, unsigned seconds);
void s5_mailbox_ring(struct s5_engine *e, int bell);
void s5_mailbox_ring_in(struct s5_engine *e, int bell, unsigned seconds);
bool s5_mailbox_rang(struct s5_engine *e, int bell);
/* CONTROL (-1: none) and BELL take the place of what MAILBOX held. */
int s5_mailbox_put(struct s5_engine *e, int mailbox, uint32_t serial, int control, int bell);
/* Copies of what it holds, hidden. 0, or -errno (-EAGAIN: nothing). */
int s5_mailbox_look(struct s5_engine *e, int mailbox, uint32_t *ret_serial, int *ret_control,
                    int *ret_bell);

/* --- mirror.c: epoll --- */

/* The registrations of a LISTENING record's names are HIDDEN's too, or no more. */
void s5_mirror_add(struct s5_engine *e, struct s5_record *record, int hidden);
void s5_mirror_remove(struct s5_engine *e, struct s5_record *record, int hidden);
/* What epoll_ctl() did for FD, for its hidden ones too. */
void s5_mirror_ctl(struct s5_engine *e, int ep, int op, int fd, const struct epoll_event *event);

#endif
