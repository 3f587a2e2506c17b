/* What programs on this machine may send to the bridge. */
#include "edge.h"
#include "front.h"
#include "reply.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static struct front f;
static const struct front_users shm = {"alice", "secret", true}, one = {"alice", "secret", false},
                                no_users = {0};

/* Feeds DATA in pieces of CHUNK octets. */
static void feed_front(const struct front_users *users, const void *data, size_t n, size_t chunk)
{
    front_start(&f);
    for (size_t at = 0; at < n && f.state < FRONT_ASKED; at += chunk) {
        size_t capacity, part = n - at < chunk ? n - at : chunk;
        uint8_t *to = front_input(&f, &capacity);
        cr_assert(part <= capacity);
        memcpy(to, (const uint8_t *)data + at, part);
        front_took(&f, users, part);
    }
}

#define GREETING "\5\1\2"
#define REQUEST  "\5\1\0\1\300\0\2\1\0\120"
#define ASK(users, words, chunk) feed_front(users, words, sizeof words - 1, chunk)

Test(front, pipelined_messages_however_cut)
{
    static const char negotiation[] = GREETING "\1\x07" "alice.7" "\6secret" REQUEST;
    for (size_t chunk = 1; chunk <= sizeof negotiation; chunk++) {
        ASK(&shm, negotiation, chunk);
        cr_assert_eq(f.state, FRONT_ASKED);
        cr_assert_eq(f.server, 7);
        cr_assert_eq(f.command, S5_CONNECT);
        cr_assert_eq(f.dst.port, 80);
        cr_assert(f.out_len == 4 && memcmp(f.out, "\5\2\1\0", 4) == 0);
    }
}

Test(front, an_identity_after_the_index)
{
    ASK(&shm, GREETING "\1\x28" "alice.7.0123456789abcdef1000000000000000" "\6secret" REQUEST, 1000);
    cr_assert_eq(f.state, FRONT_ASKED);
    cr_assert(f.server == 7 && f.identified);
    cr_assert(f.identity.words[0] == 0xfedcba9876543210 && f.identity.words[1] == 1);
    ASK(&shm, GREETING "\1\7" "alice.7" "\6secret" REQUEST, 1000);
    cr_assert(f.state == FRONT_ASKED && !f.identified);
    ASK(&shm, GREETING "\1\x28" "alice.7.0123456789abcdef100000000000000g" "\6secret" REQUEST, 1000);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&one, GREETING "\1\x26" "alice.0123456789abcdef1000000000000000" "\6secret" REQUEST, 1000);
    cr_assert_eq(f.state, FRONT_FAILED);
}

Test(front, octets_after_a_request_are_kept)
{
    static const char negotiation[] = GREETING "\1\5alice\6secret" REQUEST "early";
    size_t n;
    ASK(&one, negotiation, 1000);
    cr_assert_eq(f.state, FRONT_ASKED);
    cr_assert(memcmp(front_surplus(&f, &n), "early", 5) == 0 && n == 5);
}

Test(front, wrong_credentials)
{
    static const char *const users[] = {"alice", "alic.1", "alicE.1", "alice.", "alice.x", ".1",
                                        "alice.1234", "1", "", "bob.1", "alice.1.", "alice1"};
    static const char *const passwords[] = {"secre", "secrets", "", "Secret"};
    for (size_t i = 0; i < sizeof users / sizeof *users + sizeof passwords / sizeof *passwords; i++) {
        size_t n = sizeof users / sizeof *users;
        const char *user = i < n ? users[i] : "alice.1", *password = i < n ? "secret" : passwords[i - n];
        size_t user_len = strlen(user), password_len = strlen(password);
        char words[64] = GREETING "\1";
        char *end = words + sizeof GREETING;
        *end++ = (char)user_len;
        end = (char *)memcpy(end, user, user_len) + user_len;
        *end++ = (char)password_len;
        end = (char *)memcpy(end, password, password_len) + password_len;
        feed_front(&shm, words, (size_t)(end - words), 1000);
        cr_assert_eq(f.state, FRONT_FAILED, "%s %s", user, password);
        cr_assert(f.out_len == 4 && memcmp(f.out, "\5\2\1\1", 4) == 0, "%s %s", user, password);
        cr_assert_eq(f.server, -1);
    }
}

Test(front, wrong_octets)
{
    ASK(&shm, "\4", 1);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&shm, "\5\1\0", 1); /* no authentication is not sufficient */
    cr_assert(f.state == FRONT_FAILED && memcmp(f.out, "\5\377", 2) == 0);
    ASK(&no_users, "\5\1\2", 1);
    cr_assert(f.state == FRONT_FAILED && memcmp(f.out, "\5\377", 2) == 0);
    ASK(&shm, "\5\0", 1);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&shm, GREETING "\5", 1);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&no_users, "\5\1\0\4", 1);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&no_users, "\5\1\0\5\1\0\2", 1);
    cr_assert_eq(f.state, FRONT_FAILED);
    ASK(&no_users, "\5\1\0\5\4\0\1\1\2\3\4\0\1", 1);
    cr_assert(f.state == FRONT_FAILED && f.out_len == 12 && f.out[3] == 7);
    ASK(&no_users, "\5\1\0\5\1\0\3\0\0\1", 1);
    cr_assert(f.state == FRONT_FAILED && f.out[3] == 8);
}

Test(front, replies)
{
    static const struct {
        int error;
        uint8_t rep, expected;
    } rows[] = {{-EACCES, 0, 2}, {-ENETUNREACH, 0, 3}, {-EHOSTUNREACH, 0, 4}, {-ECONNREFUSED, 0, 5},
                {-ETIMEDOUT, 0, 6}, {-EOPNOTSUPP, 0, 7}, {-EAFNOSUPPORT, 0, 8}, {-EPROTO, 0, 0x80},
                {-ENOMEM, 0, 1}, {-EPROTO, 0x5a, 0x5a}, {-EACCES, 2, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        front_start(&f);
        front_reply(&f, rows[i].error, rows[i].rep, NULL);
        cr_assert(f.out_len == 10 && f.out[1] == rows[i].expected);
        cr_assert_eq(f.state, FRONT_FAILED);
    }
    struct s5_addr name = {.kind = S5_ADDR_NAME, .name_len = 255, .port = 9};
    memset(name.name, 'n', 255);
    front_start(&f);
    front_reply(&f, 0, 0, &name);
    cr_assert_eq(f.out_len, 262);
}

/* An engine gets the mark. A client of a stand-alone bridge gets the server's reply as it is. */
Test(front, marks_are_for_engines)
{
    static const struct {
        uint8_t rep;
        int error;
        enum s5_reply_mark mark;
        uint8_t engine, other;
    } replies[] = {
        {0, -ECONNREFUSED, S5_REPLY_DOWN, 0xa5, 5},   {0, -EACCES, S5_REPLY_DOWN, 0xa2, 2},
        {0, -EPROTO, S5_REPLY_UNSUITABLE, 0xc0, 0x80}, {5, -ECONNREFUSED, S5_REPLY_PLAIN, 5, 5},
        {0xa5, -EPROTO, S5_REPLY_PLAIN, 0x80, 0xa5},  {9, -EPROTO, S5_REPLY_PLAIN, 0x80, 9},
    };
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        for (int engine = 0; engine < 2; engine++) {
            if (engine)
                ASK(&shm, GREETING "\1\x07" "alice.7" "\6secret" REQUEST, 1000);
            else
                ASK(&one, GREETING "\1\5alice\6secret" REQUEST, 1000);
            f.out_len = 0;
            f.mark = engine ? (uint8_t)replies[i].mark : 0;
            front_reply(&f, replies[i].error, replies[i].rep, NULL);
            cr_expect_eq(f.out[1], engine ? replies[i].engine : replies[i].other, "%zu", i);
        }
}
