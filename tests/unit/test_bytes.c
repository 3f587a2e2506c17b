/* The reader and the writer at the ends of their buffers: nothing is read or written past them, and a failure is
 * permanent. Buffers end at an inaccessible page, so that an error by one octet crashes. */
#include "bytes.h"
#include "edge.h"
#include <criterion/criterion.h>

Test(bytes, reads_in_order_and_network_byte_order)
{
    uint8_t *at = edge(6);
    memcpy(at, "\x01\x02\x03\xff\xfe\xfd", 6);
    struct s5_reader r = s5_reader_init(at, 6);
    cr_assert_eq(s5_read_u8(&r), 0x01);
    cr_assert_eq(s5_read_u16(&r), 0x0203);
    const uint8_t *two = s5_read_skip(&r, 2);
    cr_assert(two && memcmp(two, "\xff\xfe", 2) == 0);
    cr_assert_eq(r.left, 1);
    cr_assert_eq(s5_read_u8(&r), 0xfd);
    cr_assert_not(r.failed);
    cr_assert_eq(r.left, 0);
}

Test(bytes, reading_past_the_end_fails_permanently)
{
    uint8_t *at = edge(1);
    at[0] = 0x77;
    struct s5_reader r = s5_reader_init(at, 1);
    cr_assert_eq(s5_read_u16(&r), 0);
    cr_assert(r.failed);
    cr_assert_eq(s5_read_u8(&r), 0, "an octet is left, but the failure sticks");
    cr_assert_eq(r.left, 1);
}

Test(bytes, an_empty_reader)
{
    struct s5_reader r = s5_reader_init(NULL, 0);
    cr_assert_null(s5_read_skip(&r, 0));
    cr_assert_not(r.failed);
    cr_assert_eq(s5_read_u8(&r), 0);
    cr_assert(r.failed);
    cr_assert_null(s5_read_skip(&r, 0));
    cr_assert(r.failed);
}

Test(bytes, skipping_gives_the_octets_skipped)
{
    uint8_t *at = edge(4);
    struct s5_reader r = s5_reader_init(at, 4);
    cr_assert_eq(s5_read_skip(&r, 3), at);
    cr_assert_eq(r.left, 1);
    cr_assert_null(s5_read_skip(&r, 2));
    cr_assert(r.failed);
    r = s5_reader_init(at, 4);
    cr_assert_null(s5_read_skip(&r, SIZE_MAX));
    cr_assert(r.failed);
}

Test(bytes, writes_to_the_last_octet)
{
    uint8_t *at = edge(6);
    struct s5_writer w = s5_writer_init(at, 6);
    s5_write_u8(&w, 0x05);
    s5_write_u16(&w, 0xabcd);
    s5_write_octets(&w, "xyz", 3);
    cr_assert_not(w.failed);
    cr_assert_eq(w.used, 6);
    cr_assert_eq(w.left, 0);
    cr_assert_arr_eq(at, "\x05\xab\xcdxyz", 6);
}

Test(bytes, a_write_that_does_not_fit_writes_nothing)
{
    uint8_t *at = edge(3);
    struct s5_writer w = s5_writer_init(at, 3);
    s5_write_u16(&w, 0x1234);
    s5_write_u16(&w, 0x5678);
    cr_assert(w.failed);
    s5_write_u8(&w, 0x9a);
    s5_write_octets(&w, "a", 1);
    cr_assert_eq(w.used, 2, "later ones that would fit are not written either");
    cr_assert_arr_eq(at, "\x12\x34\x00", 3);
}

Test(bytes, an_empty_writer)
{
    struct s5_writer w = s5_writer_init(NULL, 0);
    s5_write_octets(&w, NULL, 0);
    cr_assert_not(w.failed);
    s5_write_u8(&w, 1);
    cr_assert(w.failed);
    cr_assert_eq(w.used, 0);
}
