/* The last peer of a process tree, and whether it is expected to connect back. */
#include "last_peer.h"
#include <criterion/criterion.h>
#include <string.h>

static struct s5_shm *make_shm(void)
{
    struct s5_shm *shm;
    struct s5_shm_location place;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    return shm;
}

Test(last_peer, the_server_of_the_last_connection_is_used)
{
    struct s5_shm *shm = make_shm();
    _Atomic uint32_t pid = 7;
    struct s5_addr to = {.kind = S5_ADDR_IPV4, .octets = {192, 0, 2, 1}, .port = 80};
    cr_assert_eq(s5_last_peer_server(shm), 0);
    s5_last_peer_note(shm, 3, &pid, &to);
    cr_assert_eq(s5_last_peer_server(shm), 4);
    cr_assert_eq(s5_last_peer_kind(shm), S5_ADDR_IPV4);
    s5_last_peer_note(shm, 0, &pid, &to);
    cr_assert_eq(s5_last_peer_server(shm), 1);
    cr_assert_not(s5_last_peer_expects(shm, 7, &to), "a web server calls nobody back");
}

Test(last_peer, an_ftp_server_may_connect_back)
{
    struct s5_shm *shm = make_shm();
    _Atomic uint32_t pid = 7;
    struct s5_addr ret, to = {.kind = S5_ADDR_NAME, .name_len = 4, .name = "host", .port = 21};
    s5_last_peer_note(shm, 0, &pid, &to);
    cr_assert_not(s5_last_peer_expects(shm, 8, &ret));
    cr_assert(s5_last_peer_expects(shm, 7, &ret));
    cr_assert(ret.kind == S5_ADDR_NAME && strcmp(ret.name, "host") == 0 && ret.port == 0);
    pid = 8;
    s5_last_peer_note(shm, 0, &pid, &to);
    cr_assert(s5_last_peer_expects(shm, 8, &ret));
}

Test(last_peer, a_busy_entry_is_skipped)
{
    struct s5_shm *shm = make_shm();
    _Atomic uint32_t pid = 7;
    struct s5_addr ret, to = {.kind = S5_ADDR_IPV4, .port = 21};
    s5_last_peer_note(shm, 0, &pid, &to);
    atomic_store(&shm->last_peer.busy, 1);
    cr_assert_not(s5_last_peer_expects(shm, 7, &ret));
    pid = 8;
    s5_last_peer_note(shm, 0, &pid, &to);
    cr_assert_eq(shm->last_peer.pid, 7);
}
