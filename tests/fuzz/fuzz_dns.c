/* Queries of any content and the answers to them; names of any content in queries. */
#include "dns.h"
#include "fuzz.h"

static void check_answer(const uint8_t *msg, const struct s5_dns_query *q, const uint8_t *answer,
                         size_t n)
{
    CHECK(n >= q->end && memcmp(answer, msg, 2) == 0 && (answer[2] & 0x80));
    CHECK(memcmp(answer + S5_DNS_HEADER, msg + S5_DNS_HEADER, q->end - S5_DNS_HEADER) == 0);
    struct s5_dns_query again;
    CHECK(s5_dns_read(answer, n, &again) < 0); /* an answer is not accepted as a query */
}

static void check_answers(const uint8_t *msg, const struct s5_dns_query *q)
{
    static const uint8_t octets[16] = {1, 2, 3, 4};
    uint8_t labels[256], answer[1024];
    size_t n = s5_dns_answer(msg, q, S5_DNS_NOERROR, octets, 16, answer, sizeof answer);
    check_answer(msg, q, answer, n);
    /* The one record of the answer: a pointer to the name of the question, type, class, TTL, and the data. */
    const uint8_t *record = answer + q->end;
    CHECK(answer[6] == 0 && answer[7] == 1 && n >= q->end + 12u + sizeof octets);
    CHECK(record[0] == 0xc0 && record[1] == S5_DNS_HEADER && record[10] == 0);
    CHECK(record[11] == sizeof octets && memcmp(record + 12, octets, sizeof octets) == 0);
    CHECK(s5_dns_answer(msg, q, S5_DNS_NOERROR, octets, 16, answer, n - 1) == 0);
    check_answer(msg, q, answer, s5_dns_answer(msg, q, S5_DNS_REFUSED, NULL, 0, answer, n));
    check_answer(msg, q, answer, s5_dns_cut(msg, q, answer, sizeof answer));
    struct s5_addr addr;
    s5_dns_reverse(&q->name, &addr);
    if (q->name.kind == S5_ADDR_NAME && s5_dns_labels(q->name.name, q->name.name_len, labels) > 0)
        CHECK(memcmp(labels, msg + S5_DNS_HEADER, q->end - S5_DNS_HEADER - 4u) == 0);
}

static void check_query(const uint8_t *data, size_t size)
{
    char name[300];
    uint8_t query[600];
    struct s5_dns_query q;
    size_t len = size < sizeof name - 1 ? size : sizeof name - 1;
    memcpy(name, data, len);
    name[len] = 0;
    int n = s5_dns_ask(name, S5_DNS_A, S5_DNS_IN, 77, query, sizeof query);
    if (n > 0) {
        CHECK(s5_dns_read(query, (size_t)n, &q) == 0 && q.id == 77 && q.end == n);
        CHECK(q.type == S5_DNS_A && q.class == S5_DNS_IN && !q.edns);
        if (q.name.kind == S5_ADDR_NAME) /* the name that was given, except for a dot at its end */
            CHECK(strncmp(q.name.name, name, q.name.name_len) == 0 &&
                  strlen(name) - q.name.name_len <= 1);
    }
    for (int capacity = 0; capacity < n; capacity++)
        CHECK(s5_dns_ask(name, S5_DNS_A, S5_DNS_IN, 77, query, (size_t)capacity) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s5_dns_query q;
    uint8_t *exact = exact_copy(data, size);
    if (s5_dns_read(exact, size, &q) == 0)
        check_answers(exact, &q);
    check_query(exact, size);
    free(exact);
    return 0;
}
