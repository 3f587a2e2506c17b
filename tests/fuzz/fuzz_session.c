/* A server that sends any octets, split anywhere. The first octets of the input select the setup and the splits. The
 * rest is what the server sends. The invariants of the session hold for any of it. */
#include "fuzz.h"
#include "session.h"

#define SECRET "the very secret word"

/* [0] command, pipelining and number of methods; [1] the methods; [2] sizes of reads; [3] sizes of writes. */
#define HEAD 4

struct server {
    const uint8_t *at; /* what it sends next */
    size_t left;
    size_t read;
};

static bool start_session(struct s5_session *s, const uint8_t *head)
{
    static const struct s5_addr dst = {
        .kind = S5_ADDR_NAME, .name_len = 2, .port = 9, .name = "ab"};
    struct s5_session_setup setup = {
        .command = head[0] & 3,
        .dst = &dst,
        .n_methods = head[0] >> 2 & 7,
        .username = "user",
        .username_len = 4,
        .password = SECRET,
        .password_len = sizeof SECRET - 1,
        .pipeline = head[0] >> 5 & 1,
    };
    for (unsigned i = 0; i < S5_SESSION_METHODS_MAX; i++)
        setup.methods[i] = head[1] >> 2 * i & 3;
    memset(s, 0xa5, sizeof *s);
    return s5_session_start(s, &setup) == 0;
}

/* What is true for every session between two calls. */
static void check_session(const struct s5_session *s)
{
    size_t left, need = s5_session_need(s);
    s5_session_out(s, &left);
    enum s5_session_state state = s5_session_state(s);
    CHECK(state <= S5_SESSION_FAILED && *s5_session_phase(s));
    CHECK((state == S5_SESSION_FAILED) == (s5_session_error(s) < 0));
    CHECK(s->in_at <= s->in_len && s->in_len <= sizeof s->in &&
          s->out_sent <= s->out_len && s->out_len <= sizeof s->out);
    if (state == S5_SESSION_DONE || state == S5_SESSION_FAILED || state == S5_SESSION_BOUND)
        CHECK(need == 0 && left == 0);
    else
        CHECK(need > 0 || left > 0); /* there is always something to do */
    const struct s5_addr *bound = s5_session_bound(s);
    char text[S5_ADDR_TEXT_MAX];
    CHECK(bound->kind != S5_ADDR_NAME || strlen(bound->name) == bound->name_len);
    CHECK(*s5_addr_format(bound, text, sizeof text));
}

static void write_some(struct s5_session *s, size_t most)
{
    size_t left;
    s5_session_out(s, &left);
    s5_session_sent(s, left < most ? left : most);
}

/* The session asks only for octets that it will get in any case from a server that accepts the request. The shortest
 * input that can end this session is fed. The session does not end before the last octet that it asked for. */
static void check_need(const struct s5_session *s)
{
    static const uint8_t brief[] = {5, 0, 0, 3, 0, 0, 0};
    struct s5_session ideal = *s;
    size_t need = s5_session_need(s), fed = 0;
    while (fed < need) {
        uint8_t octet;
        size_t part = (size_t)(ideal.in_len - ideal.in_at);
        if (ideal.state == S5_SESSION_METHOD)
            octet = part ? ideal.method == 0xff ? ideal.methods[0] : ideal.method : 5;
        else if (ideal.state == S5_SESSION_AUTH)
            octet = !part;
        else
            octet = part < sizeof brief ? brief[part] : 'n';
        CHECK(s5_session_need(&ideal) >= need - fed);
        s5_session_feed(&ideal, &octet, 1);
        fed++;
    }
}

/* Reads N of the octets that the session asks for. */
static void read_some(struct s5_session *s, struct server *server, size_t n)
{
    size_t need = s5_session_need(s);
    if (n > need)
        n = need;
    if (n > server->left)
        n = server->left;
    if (n == 0)
        return;
    uint8_t *copy = exact_copy(server->at, n);
    int r = s5_session_feed(s, copy, n);
    free(copy);
    CHECK(r == s5_session_error(s));
    server->at += n;
    server->left -= n;
    server->read += n;
}

static void check_end(struct s5_session *s)
{
    struct s5_session before = *s;
    s5_session_eof(s);
    s5_session_abort(s, -1);
    s5_session_sent(s, 1);
    s5_session_next_reply(s);
    CHECK(s5_session_feed(s, "\5", 1) < 0);
    CHECK(memcmp(s, &before, sizeof before) == 0);
}

/* Returns the length of the reply of RFC 1928 at AT, or N if that is too short to know it. */
static size_t get_reply_len(const uint8_t *at, size_t n)
{
    if (n < 5)
        return n;
    return at[3] == 1 ? 10 : at[3] == 4 ? 22 : 7 + (size_t)at[4];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct s5_session s;
    if (size < HEAD || !start_session(&s, data))
        return 0;
    struct server server = {.at = data + HEAD, .left = size - HEAD};
    uint32_t reads = data[2] * 2654435761U, writes = data[3] * 2654435761U;
    check_session(&s);
    for (;;) {
        write_some(&s, writes % 61 + 1);
        check_session(&s);
        check_need(&s);
        read_some(&s, &server, reads % 17 + 1);
        check_session(&s);
        size_t left;
        s5_session_out(&s, &left);
        if (s.state == S5_SESSION_BOUND)
            s5_session_next_reply(&s);
        if (s.state >= S5_SESSION_DONE || (!left && !server.left))
            break;
        reads = reads * 1664525 + 1013904223;
        writes = writes * 1664525 + 1013904223;
    }
    if (s.state == S5_SESSION_DONE) { /* no octet after the reply was read; counted in another way */
        size_t len = s.method == S5_METHOD_USERPASS ? 4 : 2;
        for (int reply = 0; reply < (s.command == S5_BIND ? 2 : 1); reply++)
            len += get_reply_len(data + HEAD + len, size - HEAD - len);
        CHECK(server.read == len);
    } else if (s.state != S5_SESSION_FAILED)
        CHECK(s5_session_eof(&s) < 0);
    check_session(&s);
    check_end(&s);
    if (!memmem(data, size, SECRET, sizeof SECRET - 1)) /* unless the server sent it */
        CHECK(!memmem(&s, sizeof s, SECRET, sizeof SECRET - 1));
    return 0;
}
