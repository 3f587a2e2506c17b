/* The relay of a UDP association. */
#ifndef S5_UDP_RELAY_H
#define S5_UDP_RELAY_H

#include "policy.h"

#define S5_UDP_RELAY_WHY 128 /* size of the text of a refusal */

/* Decides where the datagrams of an association at SERVER go. RELAY: the address of the server's reply; becomes the
 * address to send to. HERE: the address at which the server was reached. P and SERVER may be NULL: there are no rules.
 * Returns 0; -EPROTO: the reply has no port; -EACCES: nothing may be sent to the address, which WHY explains. */
int s5_udp_relay_choose(const struct s5_policy *p, const struct s5_server *server, const struct s5_addr *here,
                        struct s5_addr *relay, char why[S5_UDP_RELAY_WHY]);

#endif
