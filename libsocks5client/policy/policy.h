/* The policy: the servers, and which of them, if any, a flow goes through.
 *
 * One flat block without pointers and with fixed limits: the first process of a process tree reads it once and
 * shares it with the others in shared memory. Texts are in one pool and are referred to by offset; offset 0 is the
 * empty text. */
#ifndef S5_POLICY_H
#define S5_POLICY_H

#include "addr.h"
#include "log.h"
#include <stdbool.h>
#include <stdint.h>

#define S5_POLICY_SERVERS  32
#define S5_POLICY_RULES    256
#define S5_POLICY_MATCHES  2048 /* CIDR blocks and names of all rules together */
#define S5_POLICY_PROGRAMS 64
#define S5_POLICY_VIAS     1024                  /* servers in the lists of all rules and chains together */
#define S5_POLICY_PORTS    1024                  /* port ranges of all rules together */
#define S5_FAKE_IPV4       "198.18.0.0/15"       /* for benchmarks by RFC 2544: assigned to no one */
#define S5_FAKE_IPV6       "fdc4:8b1e:5053::/96" /* this project's, drawn at random as RFC 4193 requires */
#define S5_POLICY_TEXT     65536
#define S5_SERVER_ADDRS    8
#define S5_SERVER_METHODS  4
#define S5_CHAIN_HOPS      16 /* servers that one connection goes through, at most */

enum s5_pipeline { S5_PIPELINE_AUTO, S5_PIPELINE_ON, S5_PIPELINE_OFF };

/* An IPv4 or IPv6 address without the space for a name that struct s5_addr has. */
struct s5_ip {
    uint8_t kind; /* S5_ADDR_IPV4 or S5_ADDR_IPV6 */
    uint8_t octets[16];
};

/* In the order of the words of "isolate". NONE: "none" was given, as opposed to no value. It is removed when the
 * policy is complete. */
#define S5_ISOLATE_NONE        1u
#define S5_ISOLATE_PROCESS     2u
#define S5_ISOLATE_DESTINATION 4u
#define S5_ISOLATE_RULE        8u

/* Which servers of a chain a connection goes through. In the order of the words of "mode". */
enum s5_chain_mode {
    S5_CHAIN_STRICT,      /* all, in order */
    S5_CHAIN_DYNAMIC,     /* all that work, in order */
    S5_CHAIN_RANDOM,      /* some that work, in any order */
    S5_CHAIN_ROUND_ROBIN, /* some that work, in order: each connection goes on where the last one ended */
};

enum { S5_SERVER_AS_MEANT, S5_SERVER_REDIRECTING, S5_SERVER_BRIDGED };

/* A server, or a chain of servers. A chain has a name, a time-out, the isolation of all its servers together, and the
 * address and the port of one that can be the first. */
struct s5_server {
    uint32_t name; /* text: the title of its section, or "proxy" if made from a URL */
    uint32_t host; /* text: name, literal, or path of a UNIX socket */
    bool is_path;  /* HOST is the path of a UNIX socket */
    uint16_t port; /* host byte order; 1080 by default */
    uint8_t n_methods;
    uint8_t methods[S5_SERVER_METHODS]; /* offered, preferred first; values of enum s5_method */
    uint8_t pipeline;                   /* enum s5_pipeline */
    uint16_t timeout;                   /* seconds for connecting and negotiating, 1..3600; 30 by default */
    uint8_t username_len, password_len;
    char username[255], password[255];
    uint32_t gssapi_service;   /* text; "rcmd" by default */
    uint8_t gssapi_protection; /* 0 clear, 1 integrity, 2 confidentiality (the default) */
    uint8_t bridged;           /* S5_SERVER_*: whether this entry describes the bridge instead, see resolve/bridge.h */
    bool gssapi_nec;           /* the level octet is not wrapped, as NEC's servers do */
    bool gssapi_delegate;      /* the user's credentials are delegated to the server */
    uint16_t fragment;         /* largest datagram sent in one piece, octets with header; 0: never fragment */
    uint16_t datagram_most;    /* largest datagram possible, octets with header; 0: the kernel's limit */
    bool relay_at_server;      /* datagrams go to the server's address, whatever relay its reply names */
    uint8_t isolate;           /* S5_ISOLATE_* or'ed: what has credentials of its own, see isolation.h */
    uint8_t isolate_server;    /* index of the entry this one is a copy of, or its own index */
    uint16_t isolate_rule;     /* number of the rule it is for, with S5_ISOLATE_RULE; no other rule has it */
    uint32_t isolate_title;    /* text: title of that rule */
    uint16_t hops_first;       /* of a chain: its servers in vias */
    uint8_t n_hops;            /* their number; 0: this is a server */
    uint8_t chain_mode;        /* enum s5_chain_mode */
    uint8_t chain_length;      /* of a connection, for RANDOM and ROUND_ROBIN; 1..S5_CHAIN_HOPS */
    uint8_t index;             /* its own index, see server.h */
    bool retired;              /* no rule names it since a reload: it is kept for what began before */
    uint8_t n_addrs;           /* 0: not resolved yet; set by policy for a literal, by the engine for a name */
    struct s5_ip addrs[S5_SERVER_ADDRS]; /* of HOST, in order of preference */
};

enum s5_match_kind {
    S5_MATCH_BLOCK,  /* addresses in octets/prefix */
    S5_MATCH_NAME,   /* exactly this name, without regard to ASCII case and a final dot */
    S5_MATCH_SUFFIX, /* ".corp.example": that name and every name below it */
    S5_MATCH_ANY,    /* "*" */
};

struct s5_match {
    uint8_t kind;   /* enum s5_match_kind */
    uint8_t family; /* S5_ADDR_IPV4 or S5_ADDR_IPV6, for BLOCK */
    uint8_t prefix; /* bits, for BLOCK */
    bool loopback;  /* intended for loopback: a block within it, the unspecified address, "localhost" or a name
                     * below it */
    uint8_t octets[16];
    uint32_t name; /* text, for NAME and SUFFIX (without the leading dot) */
};

enum s5_verdict { S5_DENY, S5_DIRECT, S5_VIA };

/* Which server of a rule with several a flow tries first. In the order of the words of "pick". */
enum s5_pick {
    S5_PICK_ORDER,       /* the first in the list */
    S5_PICK_RANDOM,      /* any */
    S5_PICK_ROUND_ROBIN, /* each in turn */
    S5_PICK_STICKY,      /* always the same for the same host */
};

/* Replies that say that the server, not the target, is the cause, if "next-on" names them. Bit REP - 1. */
#define S5_NEXT_ON_GENERAL_FAILURE     1u /* reply 1 */
#define S5_NEXT_ON_NOT_ALLOWED         2u /* reply 2 */
#define S5_NEXT_ON_NETWORK_UNREACHABLE 4u /* reply 3 */

#define S5_PROTO_TCP   1u
#define S5_PROTO_UDP   2u
#define S5_CMD_CONNECT 1u
#define S5_CMD_BIND    2u
#define S5_CMD_UDP     4u

struct s5_rule {
    uint32_t name;                     /* text: the title of its section */
    uint32_t line;                     /* in the file; 0 if not from a file */
    uint16_t to_first, to_count;       /* in matches; count 0: everything but loopback */
    uint16_t ports_first, ports_count; /* in ports; count 0: every port */
    uint8_t protocols;                 /* S5_PROTO_* or'ed; 0: all */
    uint8_t commands;                  /* S5_CMD_* or'ed; 0: CONNECT and UDP ASSOCIATE. A rule covers listeners only
                                        * if it names "bind". */
    uint8_t verdict;                   /* enum s5_verdict */
    uint8_t via_count;                 /* for S5_VIA: 1..S5_POLICY_SERVERS */
    uint16_t via_first;                /* in vias, for S5_VIA */
    uint8_t pick;                      /* enum s5_pick */
    uint8_t next_on;                   /* S5_NEXT_ON_* or'ed */
    uint16_t timeout;                  /* seconds for all servers together; 0: that of the slowest one */
    uint8_t isolate;                   /* S5_ISOLATE_* or'ed; 0: as for the server */
};

/* Which engine runs a program. */
enum s5_engine_choice {
    S5_ENGINE_AUTO,     /* the preload object, or a namespace if it cannot cover the program */
    S5_ENGINE_PRELOAD,  /* the preload object; what it cannot cover is not run */
    S5_ENGINE_NAMESPACE /* a network namespace */
};

struct s5_program_rule {
    uint32_t name;  /* text: the base name of the program's file */
    uint8_t engine; /* enum s5_engine_choice */
};

/* A range of fake addresses. The number of a name is in the last bits. */
struct s5_fake_range {
    uint8_t octets[16]; /* all bits after the prefix are zero */
    uint8_t prefix;     /* bits: IPv4 8 to 16, IPv6 up to 108 */
};

#define S5_GIVEN_LOG    1u
#define S5_GIVEN_JSON   2u
#define S5_GIVEN_ENGINE 4u

struct s5_policy {
    uint32_t n_servers, n_rules, n_matches, n_ports, n_programs, n_vias, n_text;
    bool resolve_local;                        /* resolve = "local", socks5:// */
    uint8_t log_level;                         /* enum s5_log_level; S5_LOG_ERROR by default */
    uint32_t log_file;                         /* text: absolute path, "syslog" or "fd:N"; 0: standard error */
    bool log_json, log_counts;                 /* write lines as JSON; count all connections in the shared state */
    uint64_t log_dev, log_ino;                 /* the file "fd:N" refers to, by fstat() */
    struct s5_fake_range fake_ipv4, fake_ipv6; /* 198.18.0.0/15 and S5_FAKE_IPV6 by default */
    char search[S5_ADDR_NAME_MAX + 1];         /* suffix that completes a single word; "": none */
    uint32_t source;                           /* text: file or variable it came from, for messages */
    uint32_t file;                             /* text: absolute path of the file; 0: it did not come from a file */
    uint64_t file_version;                     /* s5_source_version() of the file when it was read */
    bool reload_auto;                          /* a change of the file is noticed without a command */
    uint8_t given;                             /* S5_GIVEN_*: the command line set these, and a reload keeps them */
    uint8_t given_level;                       /* enum s5_log_level: the least level, by the command line */
    uint8_t engine; /* enum s5_engine_choice; a program without an entry in PROGRAMS has it */
    bool strict;    /* the command is not trusted: it runs in a namespace, and gets no secret and no loopback */
    bool no_loopback_out, no_loopback_in; /* a namespace does not reach the host's loopback, or the other way */
    bool hide_dbus;                       /* a namespace has no system bus */
    struct s5_server servers[S5_POLICY_SERVERS];
    struct s5_rule rules[S5_POLICY_RULES];
    struct s5_match matches[S5_POLICY_MATCHES];
    struct s5_program_rule programs[S5_POLICY_PROGRAMS];
    uint8_t vias[S5_POLICY_VIAS]; /* indexes of servers: the lists of rules and of chains */
    struct {
        uint16_t low, high;
    } ports[S5_POLICY_PORTS];
    char text[S5_POLICY_TEXT];
};

static inline const char *s5_policy_text(const struct s5_policy *p, uint32_t at)
{
    return at < S5_POLICY_TEXT ? p->text + at : "";
}

/* One flow, as the application requests it. */
struct s5_flow {
    const struct s5_addr *to; /* address or name, with its port */
    uint8_t protocol;         /* one of S5_PROTO_*; 0: neither TCP nor UDP */
    uint8_t command;          /* one of S5_CMD_* */
};

struct s5_route {
    enum s5_verdict verdict;
    int server; /* index, of the first server in the rule's list; -1 unless S5_VIA */
    int rule;   /* index of the rule that decided; -1: no rule, see WHY */
    enum {
        S5_WHY_RULE,
        S5_WHY_LOOPBACK,
        S5_WHY_NO_RULE,
        S5_WHY_LISTENER,
        S5_WHY_LAST_PEER, /* a listener for connections back through the last server, see s5_policy_listen() */
    } why;
};

/* Which engine runs the program FILE, a path. */
enum s5_engine_choice s5_policy_engine(const struct s5_policy *p, const char *file);

/* Stores in RET the options of socks5-reach (tools/reach) that the settings of P mean, without an end. Returns their
 * number. */
#define S5_POLICY_REACH_OPTIONS 5
unsigned s5_policy_reach_options(const struct s5_policy *p, const char *ret[static S5_POLICY_REACH_OPTIONS]);

/* Returns true if a connection through ENTRY, a server or a chain, can begin at the server SERVER. */
bool s5_policy_can_begin_with(const struct s5_policy *p, unsigned entry, unsigned server);

/* Returns true if this machine itself connects to the server SERVER for some rule. The name of any other server must
 * not be resolved here. SERVER may also be a chain that a rule names. */
bool s5_policy_connects_to(const struct s5_policy *p, unsigned server);

/* Returns how many servers of ENTRY, at the beginning of its list, can be the first of a connection; 0: it is no
 * chain. */
static inline unsigned s5_policy_first_hops(const struct s5_server *entry)
{
    return entry->n_hops && entry->chain_mode == S5_CHAIN_STRICT ? 1 : entry->n_hops;
}

/* Decides about FLOW. The first matching rule decides. Without one, loopback is direct, a listener (S5_CMD_BIND) is
 * direct and everything else is denied. A name is loopback only if it is "localhost" or below it. Never fails. */
struct s5_route s5_policy_decide(const struct s5_policy *p, const struct s5_flow *flow);

/* The same for the look-up of a name, when neither port nor protocol are known: S5_VIA unless every flow to NAME is
 * direct, or every one is denied. */
struct s5_route s5_policy_decide_name(const struct s5_policy *p, const struct s5_addr *name);

/* Sets the range of fake addresses of family KIND (S5_ADDR_IPV4, S5_ADDR_IPV6) to RANGE, such as "198.18.0.0/15".
 * Returns 0, or -EINVAL: not such a block, or its size is not supported. */
int s5_policy_set_fake_range(struct s5_policy *p, uint8_t kind, const char *range);

/* How many numbers the ranges of fake addresses have: 65,536 or twice as many. */
uint32_t s5_policy_fake_ranges(const struct s5_policy *p);

/* Sets the suffix that completes single words. It has no dot at either end. Returns 0, or -EINVAL: not a name. */
int s5_policy_set_search(struct s5_policy *p, const char *suffix);

/* Completes NAME, a word that a program looks up, if it is to be completed. Returns true if it was. A name is not
 * completed if it contains a dot, is "localhost", or would become too long. */
bool s5_policy_complete(const struct s5_policy *p, struct s5_addr *name);

/* Decides about a listener at AT. Port 0: the program lets the kernel choose the port. Like s5_policy_decide(),
 * except that without a rule port 0 goes to server LAST_PEER - 1, which the latest connection of the process tree
 * went through (LAST_PEER 0: there was none). A program that connects and then listens on a port that it does not
 * choose must announce the port to its peer, which connects back through that server. A program that serves chooses
 * its port. */
struct s5_route s5_policy_listen(const struct s5_policy *p, const struct s5_addr *at, uint32_t last_peer);

/* Functions that fill in a policy. Each returns its index or offset, or -ENOSPC. */
void s5_policy_init(struct s5_policy *p);
int64_t s5_policy_add_text(struct s5_policy *p, const char *text, size_t len);
int s5_policy_add_server(struct s5_policy *p, const char *name);
/* TO as in a rule or NO_PROXY: "10.0.0.0/8", "::1", ".corp.example", "host.example", "*". Else -EINVAL. */
int s5_policy_add_match(struct s5_policy *p, const char *to, size_t len);
/* Adds SERVER to the list of rule number RULE, of which no later rule has one yet. The verdict becomes S5_VIA. */
int s5_policy_add_via(struct s5_policy *p, unsigned rule, unsigned server);
/* The same for the chain number CHAIN. */
int s5_policy_add_hop(struct s5_policy *p, unsigned chain, unsigned server);
/* PORTS as "443" or "1-1023". -EINVAL for anything else, including 0 and 65536 and above. */
int s5_policy_add_ports(struct s5_policy *p, const char *ports);

#endif
