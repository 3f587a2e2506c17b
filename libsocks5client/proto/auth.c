/* The methods are rows of one table, indexed by method number. A session stores the number of its method and not
 * the address of the row: a process that has this library at another address may continue the session. */
#include "auth.h"
#include "wire.h"
#include <errno.h>
#include <string.h>

static int check_userpass(const struct s5_session_setup *setup)
{
    return setup->username && setup->username_len && setup->password && setup->password_len ? 0 : -EINVAL;
}

static void keep_userpass(struct s5_session *s, const struct s5_session_setup *setup)
{
    s->username_len = setup->username_len;
    s->password_len = setup->password_len;
    memcpy(s->username, setup->username, setup->username_len);
    memcpy(s->password, setup->password, setup->password_len);
}

static void write_userpass(const struct s5_session *s, struct s5_writer *w)
{
    s5_wire_write_userpass(w, s->username, s->username_len, s->password, s->password_len);
}

/* Some servers answer with the other version, 05. The meaning is the same, so it is accepted. */
static int read_userpass_status(struct s5_session *s, struct s5_reader *r)
{
    uint8_t ver, status;
    int result = s5_wire_read_status(r, &ver, &status);
    if (result < 0)
        return result;
    s->auth_odd = ver != S5_WIRE_USERPASS_VER;
    return status == 0 ? 0 : -EACCES;
}

static int check_gssapi(const struct s5_session_setup *setup)
{
    return setup->gssapi ? 0 : -EINVAL;
}

static const struct s5_auth methods[] = {
    [S5_METHOD_NONE] = {0, false, NULL, NULL, NULL, NULL},
    [S5_METHOD_GSSAPI] = {0, true, check_gssapi, NULL, NULL, NULL},
    [S5_METHOD_USERPASS] = {S5_WIRE_STATUS_LEN, false, check_userpass, keep_userpass, write_userpass,
                            read_userpass_status},
};

const struct s5_auth *s5_auth_find(uint8_t method)
{
    return method < sizeof methods / sizeof *methods ? &methods[method] : NULL;
}
