/* Tokens are wrapped in place by the _iov functions of the MIT library: a message needs no allocation and no copy.
 * A token made this way has the layout of gss_wrap(). */
#include "gss.h"
#include "library.h"
#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 1024

struct s5_gss {
    const struct s5_gss_library *lib;
    gss_ctx_id_t context;
    gss_name_t target;
    bool delegate;
    OM_uint32 flags;            /* of the established context, GSS_C_*_FLAG */
    OM_uint32 seconds;          /* its lifetime */
    bool counting;              /* COUNT and SEEN are valid */
    uint64_t count;             /* the highest sequence number received */
    uint64_t seen[WINDOW / 64]; /* which of the last WINDOW were received, by number modulo WINDOW */
    struct s5_gss_fault fault;
};

/* Values of this file: the library's own OIDs are data, which would need a dlsym() too. */
static gss_OID_desc host_based = {10, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"};
static gss_OID_desc krb5_name = {10, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01"};
static gss_OID_desc krb5_mech = {9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};

/* --- faults --- */

static size_t add_status(const struct s5_gss_library *lib, OM_uint32 code, int type, struct s5_gss_fault *fault,
                         size_t used)
{
    OM_uint32 minor, more = 0;
    do {
        gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
        if (GSS_ERROR(lib->gss_display_status(&minor, code, type, &krb5_mech, &more, &text)))
            break;
        used += s5_format(fault->text + used, sizeof fault->text - used, "%s%.*s", used ? ": " : "", (int)text.length,
                          (const char *)text.value);
        lib->gss_release_buffer(&minor, &text);
    } while (more && used < sizeof fault->text - 1);
    return used;
}

static int set_fault(const struct s5_gss_library *lib, OM_uint32 major, OM_uint32 minor, struct s5_gss_fault *fault)
{
    size_t used = 0;
    if (GSS_ROUTINE_ERROR(major) != GSS_S_FAILURE || !minor)
        used = add_status(lib, major, GSS_C_GSS_CODE, fault, used);
    if (minor)
        used = add_status(lib, minor, GSS_C_MECH_CODE, fault, used);
    /* The remedy is the same for a credential cache that is missing, empty or expired. */
    OM_uint32 error = GSS_ROUTINE_ERROR(major);
    if (error == GSS_S_NO_CRED || error == GSS_S_CREDENTIALS_EXPIRED || strstr(fault->text, "expired"))
        s5_format(fault->text + used, sizeof fault->text - used, ": run kinit");
    return -EACCES;
}

static int record_fault(struct s5_gss *gss, OM_uint32 major, OM_uint32 minor)
{
    return set_fault(gss->lib, major, minor, &gss->fault);
}

const char *s5_gss_why(const struct s5_gss *gss)
{
    return gss->fault.text;
}

/* --- contexts --- */

static int import_target(struct s5_gss *gss, const struct s5_gss_target *target)
{
    char text[S5_GSS_PRINCIPAL + 256];
    OM_uint32 minor;
    size_t n = target->principal ? s5_format(text, sizeof text, "%s", target->principal)
                                 : s5_format(text, sizeof text, "%s@%s", target->service, target->host);
    gss_buffer_desc name = {n, text};
    OM_uint32 major =
        gss->lib->gss_import_name(&minor, &name, target->principal ? &krb5_name : &host_based, &gss->target);
    return GSS_ERROR(major) ? record_fault(gss, major, minor) : 0;
}

int s5_gss_new(struct s5_gss **ret, const struct s5_gss_target *target, struct s5_gss_fault *fault)
{
    const char *why;
    const struct s5_gss_library *lib = s5_library_get(&why);
    fault->text[0] = '\0';
    if (!lib) {
        s5_format(fault->text, sizeof fault->text, "%s", why);
        return -ENOSYS;
    }
    struct s5_gss *gss = calloc(1, sizeof *gss);
    if (!gss)
        return -ENOMEM;
    gss->lib = lib;
    gss->delegate = target->delegate;
    int result = import_target(gss, target);
    if (result < 0) {
        *fault = gss->fault;
        s5_gss_free(gss);
        return result;
    }
    *ret = gss;
    return 0;
}

void s5_gss_free(struct s5_gss *gss)
{
    OM_uint32 minor;
    if (!gss)
        return;
    if (gss->context)
        gss->lib->gss_delete_sec_context(&minor, &gss->context, NULL);
    if (gss->target)
        gss->lib->gss_release_name(&minor, &gss->target);
    free(gss);
}

static int init_step(struct s5_gss *gss, const void *in, size_t n, gss_buffer_t token)
{
    OM_uint32 minor,
        requested = GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG;
    gss_buffer_desc input = {n, (void *)(uintptr_t)in};
    OM_uint32 major =
        gss->lib->gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &gss->context, gss->target, &krb5_mech,
                                       requested | (gss->delegate ? GSS_C_DELEG_FLAG : 0), 0, GSS_C_NO_CHANNEL_BINDINGS,
                                       in ? &input : GSS_C_NO_BUFFER, NULL, token, &gss->flags, &gss->seconds);
    if (GSS_ERROR(major))
        return record_fault(gss, major, minor);
    if (major & GSS_S_CONTINUE_NEEDED)
        return 0;
    if (gss->flags & GSS_C_MUTUAL_FLAG)
        return 1;
    s5_format(gss->fault.text, sizeof gss->fault.text, "the server did not authenticate itself");
    return -EACCES;
}

static int step_context(void *context, const void *in, size_t n, void *out, size_t size, size_t *ret_len)
{
    struct s5_gss *gss = context;
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    int result = init_step(gss, in, n, &token);
    if (result >= 0 && token.length > size)
        result = -ENOBUFS;
    if (result >= 0) {
        *ret_len = token.length;
        if (token.length)
            memcpy(out, token.value, token.length);
    }
    gss->lib->gss_release_buffer(&minor, &token);
    return result;
}

/* --- messages --- */

static int wrap_token(void *context, bool conf, const void *in, size_t n, void *out, size_t size)
{
    struct s5_gss *gss = context;
    OM_uint32 minor;
    int sealed = conf;
    gss_iov_buffer_desc iov[] = {
        {GSS_IOV_BUFFER_TYPE_HEADER, {0, NULL}},
        {GSS_IOV_BUFFER_TYPE_DATA, {n, NULL}},
        {GSS_IOV_BUFFER_TYPE_PADDING, {0, NULL}},
        {GSS_IOV_BUFFER_TYPE_TRAILER, {0, NULL}},
    };
    OM_uint32 major = gss->lib->gss_wrap_iov_length(&minor, gss->context, conf, GSS_C_QOP_DEFAULT, &sealed, iov, 4);
    if (GSS_ERROR(major))
        return record_fault(gss, major, minor);
    uint8_t *at = out;
    size_t total = 0;
    for (int i = 0; i < 4; i++)
        total += iov[i].buffer.length;
    if (total > size)
        return -ENOBUFS;
    memmove(at + iov[0].buffer.length, in, n);
    for (int i = 0; i < 4; i++) {
        iov[i].buffer.value = at;
        at += iov[i].buffer.length;
    }
    major = gss->lib->gss_wrap_iov(&minor, gss->context, conf, GSS_C_QOP_DEFAULT, &sealed, iov, 4);
    if (GSS_ERROR(major) || (conf && !sealed))
        return record_fault(gss, major, minor);
    return (int)total;
}

/* Whether the token was received before. The library remembers only 64 tokens: it reports older tokens as out of
 * order even if they were received, and after a longer gap it reports new ones as received. This is not enough for
 * datagrams. The number of a token, which its checksum covers, is in its header (RFC 4121). A token of the older
 * kind (RFC 1964) does not show it; the library's result MAJOR decides then. */
static bool is_replay(struct s5_gss *gss, const uint8_t *token, size_t n, OM_uint32 major)
{
    uint64_t number = 0;
    if (n < 16 || token[0] != 5 || token[1] != 4)
        return major & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN);
    for (int i = 8; i < 16; i++)
        number = number << 8 | token[i];
    if (!gss->counting || number - gss->count < UINT64_MAX / 2) {
        uint64_t skipped = gss->counting ? number - gss->count : WINDOW;
        for (uint64_t i = 0; i < skipped && i < WINDOW; i++)
            gss->seen[(number - i) % WINDOW / 64] &= ~(1ull << (number - i) % 64);
        if (skipped)
            gss->count = number;
        gss->counting = true;
    }
    uint64_t *word = &gss->seen[number % WINDOW / 64], bit = 1ull << number % 64;
    if (gss->count - number >= WINDOW || *word & bit)
        return true;
    *word |= bit;
    return false;
}

static int unwrap_token(void *context, const void *in, size_t n, void *out, size_t size, unsigned *ret_flags)
{
    struct s5_gss *gss = context;
    OM_uint32 minor;
    int sealed = 0;
    uint8_t head[16];
    memcpy(head, in, n < sizeof head ? n : sizeof head); /* OUT may be IN */
    gss_buffer_desc token = {n, (void *)(uintptr_t)in}, data = GSS_C_EMPTY_BUFFER;
    OM_uint32 major = gss->lib->gss_unwrap(&minor, gss->context, &token, &data, &sealed, NULL);
    if (GSS_ERROR(major)) {
        record_fault(gss, major, minor);
        return -EPROTO;
    }
    int result = data.length <= size ? (int)data.length : -ENOBUFS;
    if (result > 0)
        memcpy(out, data.value, data.length);
    gss->lib->gss_release_buffer(&minor, &data);
    *ret_flags = sealed ? S5_GSS_CONF : 0;
    if (is_replay(gss, head, n, major))
        *ret_flags |= S5_GSS_REPLAYED;
    if (major & (GSS_S_UNSEQ_TOKEN | GSS_S_GAP_TOKEN | GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN))
        *ret_flags |= S5_GSS_UNORDERED;
    return result;
}

static size_t get_size_limit(void *context, bool conf, size_t token)
{
    struct s5_gss *gss = context;
    OM_uint32 minor, most = 0;
    OM_uint32 major =
        gss->lib->gss_wrap_size_limit(&minor, gss->context, conf, GSS_C_QOP_DEFAULT, (OM_uint32)token, &most);
    return GSS_ERROR(major) ? 0 : most;
}

const struct s5_gss_provider s5_gss_provider = {step_context, wrap_token, unwrap_token, get_size_limit};

/* --- tickets in advance --- */

static void get_principal(struct s5_gss *gss, char principal[S5_GSS_PRINCIPAL])
{
    OM_uint32 minor;
    gss_name_t name = GSS_C_NO_NAME;
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    gss->lib->gss_canonicalize_name(&minor, gss->target, &krb5_mech, &name);
    if (name)
        gss->lib->gss_display_name(&minor, name, &text, NULL);
    s5_format(principal, S5_GSS_PRINCIPAL, "%.*s", (int)text.length, (const char *)text.value);
    if (name)
        gss->lib->gss_release_name(&minor, &name);
    gss->lib->gss_release_buffer(&minor, &text);
}

int s5_gss_prepare(const struct s5_gss_target *target, char principal[S5_GSS_PRINCIPAL], unsigned *ret_seconds,
                   struct s5_gss_fault *fault)
{
    struct s5_gss *gss;
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    int result = s5_gss_new(&gss, target, fault);
    if (result < 0)
        return result;
    result = init_step(gss, NULL, 0, &token);
    gss->lib->gss_release_buffer(&minor, &token);
    if (result < 0)
        *fault = gss->fault;
    else {
        get_principal(gss, principal);
        *ret_seconds = gss->seconds;
    }
    s5_gss_free(gss);
    return result < 0 ? result : 0;
}
