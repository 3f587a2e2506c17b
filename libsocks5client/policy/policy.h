/* The policy: which servers there are and which of them, if any, a flow goes through.
 *
 * One flat block without pointers and with fixed limits: it is read once by the first process
 * of a tree and shared with the others through a memory file. Texts live in one pool and are
 * named by their offset; offset 0 is the empty text. */
#ifndef S5_POLICY_H
#define S5_POLICY_H

#include "addr.h"
#include "log.h"
#include <stdbool.h>
#include <stdint.h>

#define S5_POLICY_SERVERS  32
#define S5_POLICY_RULES    256
#define S5_POLICY_MATCHES  2048 /* CIDR blocks and names of all rules together */
#define S5_POLICY_PORTS    1024 /* port ranges of all rules together */
#define S5_FAKE_IPV4      "198.18.0.0/15" /* for benchmarks by RFC 2544: nobody's */
#define S5_FAKE_IPV6      "fdc4:8b1e:5053::/96" /* ours, drawn by lot as RFC 4193 has it */
#define S5_POLICY_TEXT     65536
#define S5_SERVER_ADDRS    8
#define S5_SERVER_METHODS  4

enum s5_pipeline { S5_PIPELINE_AUTO, S5_PIPELINE_ON, S5_PIPELINE_OFF };

/* An IPv4 or IPv6 address without the room for a name that struct s5_addr has. */
struct s5_ip {
    uint8_t kind; /* S5_ADDR_IPV4 or S5_ADDR_IPV6 */
    uint8_t octets[16];
};

/* In the order of the words that "isolate" takes. NONE: said, where nothing would be unsaid; gone once
 * the policy is settled. */
#define S5_ISOLATE_NONE        1u
#define S5_ISOLATE_PROCESS     2u
#define S5_ISOLATE_DESTINATION 4u
#define S5_ISOLATE_RULE        8u

enum { S5_SERVER_AS_MEANT, S5_SERVER_TURNING, S5_SERVER_BRIDGED };

struct s5_server {
    uint32_t name;         /* text: the title of its section, or "proxy" when made from a URL */
    uint32_t host;         /* text: name, literal, or path of a UNIX socket */
    bool is_path;          /* HOST is the path of a UNIX socket */
    uint16_t port;         /* host byte order; 1080 by default */
    uint8_t n_methods;
    uint8_t methods[S5_SERVER_METHODS]; /* offered, preferred first; enum s5_method's values */
    uint8_t pipeline;      /* enum s5_pipeline */
    uint16_t timeout;      /* seconds for reaching and negotiating, 1..3600; 30 by default */
    uint8_t username_len, password_len;
    char username[255], password[255];
    uint32_t gssapi_service;    /* text; "rcmd" by default */
    uint8_t gssapi_protection;  /* 0 clear, 1 integrity, 2 confidentiality (the default) */
    uint8_t bridged;            /* S5_SERVER_*: it is the bridge that is described here, see engine/bridge.h */
    bool gssapi_nec;            /* the level octet goes unwrapped, as NEC's servers have it */
    bool gssapi_delegate;       /* the user's credentials are handed on to the server */
    uint16_t fragment;          /* octets, header and all, of a datagram that goes in one piece; 0: all do */
    uint16_t datagram_most;     /* the same for the largest there can be at all; 0: the kernel says */
    uint8_t isolate;            /* S5_ISOLATE_* or'ed: what has words of its own, see isolation.h */
    uint8_t isolate_server;     /* index of the entry this one is a copy of, or its own */
    uint16_t isolate_rule;      /* index + 1 of the rule it is for, with S5_ISOLATE_RULE */
    uint8_t n_addrs; /* 0: not resolved yet; filled by policy for a literal, by the engine for a name */
    struct s5_ip addrs[S5_SERVER_ADDRS]; /* of HOST, in order of preference */
};

enum s5_match_kind {
    S5_MATCH_BLOCK,  /* addresses under octets/prefix */
    S5_MATCH_NAME,   /* exactly this name, without regard to ASCII case and a final dot */
    S5_MATCH_SUFFIX, /* ".corp.example": that name and every name below it */
    S5_MATCH_ANY,    /* "*" */
};

struct s5_match {
    uint8_t kind;   /* enum s5_match_kind */
    uint8_t family; /* S5_ADDR_IPV4 or S5_ADDR_IPV6, for BLOCK */
    uint8_t prefix; /* bits, for BLOCK */
    bool loopback;  /* written with loopback in mind: a block inside it, the unspecified address,
                     * "localhost" or a name below it */
    uint8_t octets[16];
    uint32_t name; /* text, for NAME and SUFFIX (without the leading dot) */
};

enum s5_verdict { S5_DENY, S5_DIRECT, S5_VIA };

#define S5_PROTO_TCP   1u
#define S5_PROTO_UDP   2u
#define S5_CMD_CONNECT 1u
#define S5_CMD_BIND    2u
#define S5_CMD_UDP     4u

struct s5_rule {
    uint32_t name; /* text: the title of its section */
    uint32_t line; /* in the file; 0 when not from a file */
    uint16_t to_first, to_count;       /* in matches; count 0: everything but loopback */
    uint16_t ports_first, ports_count; /* in ports; count 0: every port */
    uint8_t protocols;                 /* S5_PROTO_* or'ed; 0: every one */
    uint8_t commands;                  /* S5_CMD_* or'ed; 0: CONNECT and UDP ASSOCIATE. A rule
                                        * covers listeners only when it names "bind". */
    uint8_t verdict;                   /* enum s5_verdict */
    uint8_t server;                    /* index, for S5_VIA */
    uint8_t isolate;                   /* S5_ISOLATE_* or'ed; 0: as the server has it */
};

/* A range of addresses that stand in for names: the number of a name is in the last bits. */
struct s5_fake_range {
    uint8_t octets[16]; /* all bits behind the prefix zero */
    uint8_t prefix;     /* bits: IPv4 8 to 16, IPv6 up to 108 */
};

struct s5_policy {
    uint32_t n_servers, n_rules, n_matches, n_ports, n_text;
    bool resolve_local;  /* resolve = "local", socks5:// */
    uint8_t log_level;   /* enum s5_log_level; S5_LOG_ERROR by default */
    uint32_t log_file;   /* text: absolute path, "syslog" or "fd:N"; 0 is standard error */
    bool log_json, log_counts; /* lines are JSON; where everything goes is counted in the tree */
    uint64_t log_dev, log_ino; /* what "fd:N" is, by fstat */
    struct s5_fake_range fake_ipv4, fake_ipv6; /* 198.18.0.0/15 and S5_FAKE_IPV6 by default */
    char search[S5_ADDR_NAME_MAX + 1]; /* what a single word is completed with; "": nothing */
    uint32_t source;     /* text: file or variable it came from, for messages */
    struct s5_server servers[S5_POLICY_SERVERS];
    struct s5_rule rules[S5_POLICY_RULES];
    struct s5_match matches[S5_POLICY_MATCHES];
    struct {
        uint16_t low, high;
    } ports[S5_POLICY_PORTS];
    char text[S5_POLICY_TEXT];
};

static inline const char *s5_policy_text(const struct s5_policy *p, uint32_t at)
{
    return at < S5_POLICY_TEXT ? p->text + at : "";
}

/* One flow, as the application asks for it. */
struct s5_flow {
    const struct s5_addr *to; /* address or name, with its port */
    uint8_t protocol;         /* one of S5_PROTO_*; 0: neither TCP nor UDP */
    uint8_t command;          /* one of S5_CMD_* */
};

struct s5_route {
    enum s5_verdict verdict;
    int server; /* index, or -1 unless S5_VIA */
    int rule;   /* index of the rule that decided; -1: no rule, see S5_ROUTE_* in why */
    enum {
        S5_WHY_RULE,
        S5_WHY_LOOPBACK,
        S5_WHY_NO_RULE,
        S5_WHY_LISTENER,
        S5_WHY_LAST_PEER, /* listens to be called back by whom it called, see below */
    } why;
};

/* First match decides. No rule: loopback is direct, a listener (S5_CMD_BIND) is direct, everything
 * else denied. A name that is not "localhost" or below it is not loopback. Never fails. */
struct s5_route s5_policy_decide(const struct s5_policy *p, const struct s5_flow *flow);

/* The same for a name that is looked up, when neither port nor protocol are known: S5_VIA unless
 * every flow to NAME is direct, or every one is denied. */
struct s5_route s5_policy_decide_name(const struct s5_policy *p, const struct s5_addr *name);

/* RANGE as "198.18.0.0/15" of the family KIND (S5_ADDR_IPV4, S5_ADDR_IPV6) for stand-ins.
 * 0, or -EINVAL: no such block, or of a size that will not do. */
int s5_policy_set_fake_range(struct s5_policy *p, uint8_t kind, const char *range);

/* How many names the stand-ins can tell apart: 65,536 or twice as many. */
uint32_t s5_policy_fake_ranges(const struct s5_policy *p);

/* SUFFIX, without dots at its ends, completes single words from now on. 0, or -EINVAL: no name. */
int s5_policy_set_search(struct s5_policy *p, const char *suffix);

/* NAME, a word that a program looks up, becomes a whole name where it is to be completed. True when it
 * did: never where it has a dot, is "localhost", or would be too long. */
bool s5_policy_complete(const struct s5_policy *p, struct s5_addr *name);

/* Listening at AT, port 0 being one that the program leaves to the kernel. As s5_policy_decide, but
 * that without a rule port 0 goes to the server CALLED - 1, which the process tree's latest
 * connection went through (0: there was none): who connects somewhere and then listens on a port
 * that it does not choose has to tell it to somebody, and is to be called back through that server.
 * A program that serves chooses its port. */
struct s5_route s5_policy_listen(const struct s5_policy *p, const struct s5_addr *at,
                                 uint32_t called);

/* Building blocks for those who fill one in; each returns its index or offset, or -ENOSPC. */
void s5_policy_init(struct s5_policy *p);
int64_t s5_policy_add_text(struct s5_policy *p, const char *text, size_t len);
int s5_policy_add_server(struct s5_policy *p, const char *name);
/* TO as in a rule or NO_PROXY: "10.0.0.0/8", "::1", ".corp.example", "host.example", "*"; -EINVAL. */
int s5_policy_add_match(struct s5_policy *p, const char *to, size_t len);
/* "443", "1-1023". -EINVAL on anything else, 0 and 65536 up included. */
int s5_policy_add_ports(struct s5_policy *p, const char *ports);

#endif
