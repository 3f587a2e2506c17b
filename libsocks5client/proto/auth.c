/* The methods in one table, each at its number. A session keeps the number of its method, never the row's address: it
 * may be carried on by a process that has this library elsewhere in memory. */
#include "auth.h"
#include "wire.h"
#include <errno.h>
#include <string.h>

static int userpass_check(const struct s5_session_setup *setup)
{
    return setup->username && setup->username_len && setup->password && setup->password_len ? 0 : -EINVAL;
}

static void userpass_keep(struct s5_session *s, const struct s5_session_setup *setup)
{
    s->username_len = setup->username_len;
    s->password_len = setup->password_len;
    memcpy(s->username, setup->username, setup->username_len);
    memcpy(s->password, setup->password, setup->password_len);
}

static void userpass_write(const struct s5_session *s, struct s5_writer *w)
{
    s5_wire_write_userpass(w, s->username, s->username_len, s->password, s->password_len);
}

/* Servers exist that answer with the other version, 05. It says the same, so it is taken. */
static int userpass_read(struct s5_session *s, struct s5_reader *r)
{
    uint8_t ver, status;
    int result = s5_wire_read_status(r, &ver, &status);
    if (result < 0)
        return result;
    s->auth_odd = ver != S5_WIRE_USERPASS_VER;
    return status == 0 ? 0 : -EACCES;
}

static int gssapi_check(const struct s5_session_setup *setup)
{
    return setup->gssapi ? 0 : -EINVAL;
}

static const struct s5_auth methods[] = {
    [S5_METHOD_NONE] = {0, false, NULL, NULL, NULL, NULL},
    [S5_METHOD_GSSAPI] = {0, true, gssapi_check, NULL, NULL, NULL},
    [S5_METHOD_USERPASS] = {S5_WIRE_STATUS_LEN, false, userpass_check, userpass_keep, userpass_write, userpass_read},
};

const struct s5_auth *s5_auth_find(uint8_t method)
{
    return method < sizeof methods / sizeof *methods ? &methods[method] : NULL;
}
