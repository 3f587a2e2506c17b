/* Results that are neither a success nor an errno. They are below every errno, and no function that a program calls
 * returns one. */
#ifndef S5_RESULT_H
#define S5_RESULT_H

enum s5_result {
    S5_RESULT_NO_ASSOCIATION = -8192, /* the descriptor no longer has the association */
    S5_RESULT_ASSOCIATION_LOST,       /* the association is not available at present; a datagram is lost */
    S5_RESULT_DROPPED,                /* the datagram is not for the program */
    S5_RESULT_NOT_SENT,               /* the datagram was not sent, and may be sent in another way */
    S5_RESULT_NO_DNS_CLIENT,          /* the socket is not a DNS client, and the address is no DNS server */
    S5_RESULT_RENEW,                  /* the listener needs another BIND request */
};

#endif
