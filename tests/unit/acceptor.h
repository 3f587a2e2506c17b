/* The server's side of RFC 1961, with the installed GSSAPI library. Client and server use a Kerberos realm of
 * this test's own: peer/realm.py, which is started before the first test and stopped after the last. */
#ifndef ACCEPTOR_H
#define ACCEPTOR_H

#include "gss.h"
#include "gss_link.h"
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <errno.h>
#include <gssapi/gssapi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST "proxy.test"

static char realm_dir[64];
static int realm_pipe = -1;
static pid_t realm_pid;

/* Sets the environment variables of the client and the server, which realm.py has written to a file. */
static bool read_realm_env(void)
{
    char path[96], line[512];
    snprintf(path, sizeof path, "%s/env", realm_dir);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '=');
        *value++ = '\0';
        setenv(line, value, 1);
    }
    fclose(f);
    return true;
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    char port[8];
    int ends[2];
    snprintf(port, sizeof port, "%d", 20000 + getpid() % 12000);
    strcpy(realm_dir, "/tmp/s5realm.XXXXXX");
    if (!mkdtemp(realm_dir) || pipe(ends) != 0)
        abort();
    realm_pid = fork();
    if (realm_pid == 0) {
        dup2(ends[0], 0);
        close(ends[1]);
        execlp("python3", "python3", SOURCE_ROOT "/tests/peer/realm.py", realm_dir, "127.0.0.1", port,
               "rcmd/" HOST, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    realm_pipe = ends[1];
    for (int i = 0; i < 600 && !read_realm_env(); i++) {
        usleep(100000);
        if (waitpid(realm_pid, NULL, WNOHANG) > 0)
            abort();
    }
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    char command[96];
    close(realm_pipe);
    waitpid(realm_pid, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", realm_dir);
    if (system(command) != 0)
        perror(command);
}

static inline void acceptor_step(gss_ctx_id_t *context, const void *in, size_t n, uint8_t *out,
                                 size_t *ret_len)
{
    OM_uint32 minor;
    gss_buffer_desc token = {n, (void *)(uintptr_t)in}, answer = GSS_C_EMPTY_BUFFER;
    OM_uint32 major = gss_accept_sec_context(&minor, context, GSS_C_NO_CREDENTIAL, &token,
                                             GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, &answer, NULL,
                                             NULL, NULL);
    cr_assert_eq(major, GSS_S_COMPLETE, "accept: %x %x", major, minor);
    memcpy(out, answer.value, answer.length);
    *ret_len = answer.length;
    gss_release_buffer(&minor, &answer);
}

/* Wraps DATA into a message of type MTYP at OUT. Returns its length. */
static inline size_t acceptor_wrap(gss_ctx_id_t context, enum s5_gss_mtyp mtyp, bool conf,
                                   const void *data, size_t n, uint8_t *out)
{
    OM_uint32 minor;
    gss_buffer_desc plain = {n, (void *)(uintptr_t)data}, token = GSS_C_EMPTY_BUFFER;
    int sealed;
    OM_uint32 major =
        gss_wrap(&minor, context, conf, GSS_C_QOP_DEFAULT, &plain, &sealed, &token);
    cr_assert_eq(major, GSS_S_COMPLETE);
    cr_assert_eq(sealed, conf);
    cr_assert(token.length <= S5_GSS_TOKEN_MAX);
    s5_gss_frame_head(out, mtyp, token.length);
    memcpy(out + S5_GSS_HEAD, token.value, token.length);
    size_t len = S5_GSS_HEAD + token.length;
    gss_release_buffer(&minor, &token);
    return len;
}

/* Unwraps the message of type MTYP at IN to OUT. Returns the length. */
static inline size_t acceptor_unwrap(gss_ctx_id_t context, enum s5_gss_mtyp mtyp, bool conf,
                                     const uint8_t *in, size_t n, uint8_t *out)
{
    OM_uint32 minor;
    cr_assert_eq(s5_gss_frame_len(in, n, mtyp), (int)n);
    gss_buffer_desc token = {n - S5_GSS_HEAD, (void *)(uintptr_t)(in + S5_GSS_HEAD)};
    gss_buffer_desc plain = GSS_C_EMPTY_BUFFER;
    int sealed;
    OM_uint32 major = gss_unwrap(&minor, context, &token, &plain, &sealed, NULL);
    cr_assert_eq(major, GSS_S_COMPLETE, "unwrap: %x %x", major, minor);
    cr_assert_eq(sealed, conf);
    memcpy(out, plain.value, plain.length);
    size_t len = plain.length;
    gss_release_buffer(&minor, &plain);
    return len;
}

#endif
