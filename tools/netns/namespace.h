/* The namespaces of a program, and what is mounted in them. */
#ifndef TOOLS_NAMESPACE_H
#define TOOLS_NAMESPACE_H

#include <stdbool.h>

/* Why a namespace could not be made. */
struct namespace_problem {
    const char *step; /* "unshare", "/proc/self/uid_map", ... */
    int error;        /* errno; 0: no problem */
};

/* Writes TEXT to the file PATH. Returns false with *WHY. */
bool namespace_write(const char *path, const char *text, struct namespace_problem *why);

/* Moves this process into a new network namespace and, unless it is root and may do without, a new user namespace in
 * which it has the same user and group. *RET_USER: a user namespace was made. Returns false with *WHY. */
bool namespace_create(bool *ret_user, struct namespace_problem *why);

/* Moves this process into the namespaces of another command of the tree. USERNS -1: there is none. */
bool namespace_join(int userns, int netns, struct namespace_problem *why);
/* The step of a problem after which nothing is joined yet. */
extern const char namespace_join_step[];

struct namespace_mounts {
    bool foreign;   /* a user namespace was made: root's files show as those of nobody */
    bool mask_dbus; /* the system's message bus is hidden, too */
};

/* Moves this process into a new mount namespace, replaces resolv.conf, and hides the sockets of daemons that query the
 * network for others. Returns the descriptor of a directory that is unmounted when the last process has left the
 * namespace, or -1 with *WHY. */
int namespace_mount(const struct namespace_mounts *how, struct namespace_problem *why);

/* Gives up the rights by which the command could change or leave the namespaces. USER: it has a user namespace, and so
 * all its rights are of this kind. */
bool namespace_drop_rights(bool user, struct namespace_problem *why);

/* What the user can do about WHY, in one line; "" if nothing is known. */
const char *namespace_advice(const struct namespace_problem *why);

#endif
