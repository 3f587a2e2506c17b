/* SipHash-2-4: a keyed hash of short messages. Without the key, a hash reveals nothing about its message or about
 * the hash of any other message. Makes no system call. */
#ifndef S5_SIPHASH_H
#define S5_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t s5_siphash_of(const uint64_t key[2], const void *data, size_t len);

#endif
