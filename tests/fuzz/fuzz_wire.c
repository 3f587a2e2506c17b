/* An address that is made of the input is written and read again. The input itself is read, and the result is written
 * again. */
#include "fuzz.h"
#include "wire.h"
#include <errno.h>

static void check_round(uint8_t command, const struct s5_addr *addr)
{
    uint8_t buf[300], rep = 0;
    struct s5_addr back;
    struct s5_writer w = s5_writer_init(buf, sizeof buf);
    s5_wire_write_request(&w, command, addr);
    CHECK(!w.failed && s5_wire_reply_len(buf, w.used) == (int)w.used);
    struct s5_reader r = s5_reader_init(buf, w.used);
    CHECK(s5_wire_read_reply(&r, &rep, &back) == 0);
    CHECK(r.left == 0 && rep == command);
    if (addr->kind != S5_ADDR_NONE)
        CHECK(s5_addr_equal(addr, &back));
    for (size_t n = 0; n < w.used; n++) {
        r = s5_reader_init(buf, n);
        CHECK(s5_wire_read_reply(&r, &rep, &back) == -EAGAIN);
    }
}

/* The text of an address is parsed to the same address. */
static void check_text(const struct s5_addr *addr)
{
    char text[S5_ADDR_TEXT_MAX];
    struct s5_addr back;
    const char *colon = strrchr(s5_addr_format(addr, text, sizeof text), ':');
    CHECK(colon && strtoul(colon + 1, NULL, 10) == addr->port);
    if (addr->kind != S5_ADDR_NONE)
        CHECK(s5_addr_parse(&back, text, (size_t)(colon - text), addr->port) == 0 &&
              s5_addr_equal(addr, &back));
}

/* An address as a program could have it. */
static void check_parts(const uint8_t *data, size_t size)
{
    struct s5_addr addr = {0};
    if (size < 4)
        return;
    uint16_t port = (uint16_t)(data[1] << 8 | data[2]);
    const uint8_t *rest = data + 3;
    size -= 3;
    if (data[0] % 3 == 0 && size >= 4)
        s5_addr_from_octets(&addr, rest, 4, port);
    else if (data[0] % 3 == 1 && size >= 16)
        s5_addr_from_octets(&addr, rest, 16, port);
    else if (s5_addr_parse(&addr, (const char *)rest, size, port) < 0)
        addr.port = port;
    check_round(data[0], &addr);
    check_text(&addr);
}

/* What was read is written as the same octets, except for RSV, an empty name and mapped addresses. */
static void check_again(const uint8_t *data, size_t len, const struct s5_addr *addr)
{
    uint8_t buf[300];
    struct s5_writer w = s5_writer_init(buf, sizeof buf);
    s5_wire_write_request(&w, data[1], addr);
    if (addr->kind != S5_ADDR_NONE && (data[3] != 4 || addr->kind == S5_ADDR_IPV6))
        CHECK(w.used == len && memcmp(buf, data, 2) == 0 && memcmp(buf + 3, data + 3, len - 3) == 0);
}

/* An address as a server could send it. */
static void check_wire(const uint8_t *data, size_t size)
{
    uint8_t rep = 0;
    struct s5_addr addr;
    struct s5_reader r = s5_reader_init(data, size);
    int result = s5_wire_read_reply(&r, &rep, &addr), len = s5_wire_reply_len(data, size);
    CHECK(result == 0 || result == -EAGAIN || result == -EPROTO);
    if (result == 0) {
        CHECK((size_t)len == size - r.left && rep == data[1]);
        check_round(rep, &addr);
        check_again(data, size - r.left, &addr);
    } else if (result == -EAGAIN)
        CHECK(len > 0 && (size_t)len > size);
    uint8_t ver = 0, octet = 0;
    r = s5_reader_init(data, size);
    if (s5_wire_read_selection(&r, &octet) == 0)
        CHECK(size >= 2 && data[0] == 5 && octet == data[1]);
    r = s5_reader_init(data, size);
    if (s5_wire_read_status(&r, &ver, &octet) == 0)
        CHECK(size >= 2 && ver == data[0] && octet == data[1]);
}

/* Greeting and user/password message, compared octet by octet; and written to a buffer that is too small. */
static void check_messages(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 511)
        return;
    uint8_t user = (uint8_t)(data[0] < size - 1 ? data[0] : size - 1);
    size_t rest = size - 1 - user;
    uint8_t secret = (uint8_t)(rest < 255 ? rest : 255), buf[600];
    struct s5_writer w = s5_writer_init(buf, sizeof buf);
    s5_wire_write_greeting(&w, data, user);
    CHECK(w.used == 2U + user && buf[0] == 5 && buf[1] == user && !memcmp(buf + 2, data, user));
    w = s5_writer_init(buf, sizeof buf);
    s5_wire_write_userpass(&w, (const char *)data + 1, user, (const char *)data + 1 + user, secret);
    CHECK(w.used == 3U + user + secret && buf[0] == 1 && buf[1] == user && buf[2 + user] == secret);
    CHECK(!memcmp(buf + 2, data + 1, user) && !memcmp(buf + 3 + user, data + 1 + user, secret));
    size_t capacity = w.used - 1 - data[1] % w.used;
    uint8_t *small = malloc(capacity + !capacity);
    CHECK(small);
    w = s5_writer_init(small, capacity);
    s5_wire_write_userpass(&w, (const char *)data + 1, user, (const char *)data + 1 + user, secret);
    CHECK(w.failed && w.used <= capacity);
    free(small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_parts(data, size);
    check_wire(data, size);
    check_messages(data, size);
    return 0;
}
