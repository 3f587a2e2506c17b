/* The functions of the system's GSSAPI library, loaded at the first request. */
#ifndef S5_GSS_LIBRARY_H
#define S5_GSS_LIBRARY_H

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>

#define S5_GSS_FUNCTIONS(X)                                                                                            \
    X(gss_import_name)                                                                                                 \
    X(gss_display_name)                                                                                                \
    X(gss_release_name)                                                                                                \
    X(gss_init_sec_context)                                                                                            \
    X(gss_canonicalize_name)                                                                                           \
    X(gss_delete_sec_context)                                                                                          \
    X(gss_wrap_iov)                                                                                                    \
    X(gss_wrap_iov_length)                                                                                             \
    X(gss_wrap_size_limit)                                                                                             \
    X(gss_unwrap)                                                                                                      \
    X(gss_release_buffer)                                                                                              \
    X(gss_display_status)

struct s5_gss_library {
#define S5_GSS_MEMBER(name) __typeof__(name) *name;
    S5_GSS_FUNCTIONS(S5_GSS_MEMBER)
#undef S5_GSS_MEMBER
};

/* The functions; NULL if they are not available, with the text of dlerror() in *RET_WHY. Static storage. */
const struct s5_gss_library *s5_library_get(const char **ret_why);

#endif
