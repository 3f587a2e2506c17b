/* The parts of the kernel that a gateway needs in addition to the rules. They may be modules that are not loaded. */
#ifndef TOOLS_KERNEL_PARTS_H
#define TOOLS_KERNEL_PARTS_H

#include "handover.h"

/* All modules that a namespace needs, as the words behind "modprobe -a". */
#define KERNEL_PARTS_MODULES                                                                                           \
    "nf_tables nft_queue nft_tproxy nft_socket nft_reject_inet nfnetlink_queue tcp_diag udp_diag"

/* Asks for each part on the sockets of a new namespace. Returns 0, or -errno, of a part whose name is in RET_WHAT. */
int kernel_parts_check(const struct handover *h, const char **ret_what);

#endif
