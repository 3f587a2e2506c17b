/* Ways by socket families that are not the internet's. A family that the kernel lacks is reported
 * as unavailable. The trap sees packets of network interfaces alone: a family with another
 * transport reports that a socket was granted. */
#include "way.h"
#include <linux/vm_sockets.h>

static int family_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT)) {
        /* Refused by the kernel, or by a filter that speaks as the kernel does: the same for the
         * program. */
        way_unavailable("socket");
    }
    if (fd < 0)
        way_end("socket", errno);
    return fd;
}

/* Ends as having left if a socket of the family exists. */
static void use_family(int family, int type, int protocol)
{
    family_socket(family, type, protocol);
    _exit(WAY_LEFT);
}

/* The hypervisor answers: a refusal of the other side means that the request has left. */
static void vsock_connect(void)
{
    struct sockaddr_vm to = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 1000 + target.token};
    struct timeval limit = {0, 100000};
    int fd = family_socket(AF_VSOCK, SOCK_STREAM, 0);
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
    long result = connect(fd, (struct sockaddr *)&to, sizeof to);
    if (result == 0 || errno == ECONNRESET || errno == ETIMEDOUT || errno == ECONNREFUSED)
        _exit(WAY_LEFT);
    if (errno == ENODEV || errno == EADDRNOTAVAIL || errno == ENETUNREACH)
        way_unavailable("connect");
    way_done("connect", result);
}

static void smc(void)
{
    int fd = family_socket(AF_SMC, SOCK_STREAM, 0);
    way_done("connect", connect(fd, V4));
}

static void smc_protocol(void)
{
    int fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 256);
    way_done("connect", connect(fd, V4));
}

static void rds(void)
{
    int fd = family_socket(AF_RDS, SOCK_SEQPACKET, 0);
    way_done("sendto", sendto(fd, TEXT, 0, V4));
}

static void rxrpc(void)
{
    use_family(AF_RXRPC, SOCK_DGRAM, AF_INET);
}

static void tipc(void)
{
    use_family(AF_TIPC, SOCK_RDM, 0);
}

static void bluetooth(void)
{
    use_family(AF_BLUETOOTH, SOCK_RAW, 1);
}

static void can(void)
{
    use_family(AF_CAN, SOCK_RAW, 1);
}

static void kcm(void)
{
    use_family(AF_KCM, SOCK_DGRAM, 0);
}

static void llc(void)
{
    use_family(AF_LLC, SOCK_DGRAM, 0);
}

static void pppox(void)
{
    use_family(AF_PPPOX, SOCK_DGRAM, 1);
}

static void appletalk(void)
{
    use_family(AF_APPLETALK, SOCK_DGRAM, 0);
}

static void x25(void)
{
    use_family(AF_X25, SOCK_SEQPACKET, 0);
}

static void netrom(void)
{
    use_family(AF_NETROM, SOCK_SEQPACKET, 0);
}

static void ieee802154(void)
{
    use_family(AF_IEEE802154, SOCK_DGRAM, 0);
}

static void atm(void)
{
    use_family(AF_ATMPVC, SOCK_DGRAM, 0);
}

static void phonet(void)
{
    use_family(AF_PHONET, SOCK_DGRAM, 0);
}

static void nfc(void)
{
    use_family(AF_NFC, SOCK_RAW, 0);
}

static void qrtr(void)
{
    use_family(AF_QIPCRTR, SOCK_DGRAM, 0);
}

static void mctp(void)
{
    use_family(45, SOCK_DGRAM, 0);
}

static void isdn(void)
{
    use_family(AF_ISDN, SOCK_RAW, 0);
}

static void infiniband(void)
{
    use_family(AF_IB, SOCK_RAW, 0);
}

const struct way family_ways[] = {
    {"vsock_connect", vsock_connect},
    {"smc", smc},
    {"smc_protocol", smc_protocol},
    {"rds", rds},
    {"rxrpc", rxrpc},
    {"tipc", tipc},
    {"bluetooth", bluetooth},
    {"can", can},
    {"kcm", kcm},
    {"llc", llc},
    {"pppox", pppox},
    {"appletalk", appletalk},
    {"x25", x25},
    {"netrom", netrom},
    {"ieee802154", ieee802154},
    {"atm", atm},
    {"phonet", phonet},
    {"nfc", nfc},
    {"qrtr", qrtr},
    {"mctp", mctp},
    {"isdn", isdn},
    {"infiniband", infiniband},
    {0},
};
