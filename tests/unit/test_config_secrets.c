/* Credentials in configuration files: their sources, the permissions that are required, and what remains of them
 * in memory. */
#include "config_script.h"

TestSuite(config_secrets, .init = begin, .fini = end);

Test(config_secrets, passwords_are_refused_in_files_that_others_can_read)
{
    static const char text[] = "server a {\n address = x username = u\n password = secret\n}\n";
    char expected[2 * S5_FAULT_MAX];
    static const mode_t open_to_others[] = {0640, 0604, 0660, 0610, 0601, 0644};
    for (size_t i = 0; i < sizeof open_to_others / sizeof *open_to_others; i++) {
        cr_expect_eq(load_mode(text, open_to_others[i]), -EINVAL);
        snprintf(expected, sizeof expected,
                 "%s:3: others can read this file, which has a password: chmod 600 %s", path, path);
        cr_expect_str_eq(fault.text, expected);
    }
    cr_expect_eq(load_mode(text, 0600), 0, "%s", fault.text);
    cr_expect_eq(load_mode("server a { address = x }", 0644), 0, "%s", fault.text);
}

static int load_with_password_file(const char *name, const void *data, size_t len, mode_t mode)
{
    char file[128], text[256];
    snprintf(file, sizeof file, "%s/%s", directory, "pw");
    write_file(file, data, len, mode);
    snprintf(text, sizeof text,
             "server a {\n address = x username = u\n password-file = \"%s\"\n}\n", name);
    return load_mode(text, 0644);
}

static void expect_password_fault(const char *what)
{
    char expected[2 * S5_FAULT_MAX];
    /* A file that was opened is reported with its absolute path. */
    snprintf(expected, sizeof expected, "%s:3: password-file: %s%s", path,
             strchr("/:", what[0]) ? directory : "", what);
    cr_expect_str_eq(fault.text, expected);
}

Test(config_secrets, password_files)
{
    static const char *const names[] = {"pw", "./pw", "~/pw", NULL};
    char absolute[64], what[256], big[300];
    snprintf(absolute, sizeof absolute, "%s/pw", directory);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(load_with_password_file(names[i] ? names[i] : absolute, "a b\n\n", 5, 0600), 0,
                     "%s", fault.text);
        cr_expect_eq(policy.servers[0].password_len, 4); /* one newline is removed, not two */
        cr_expect_arr_eq(policy.servers[0].password, "a b\n", 4);
        cr_expect_eq(policy.servers[0].methods[0], 2);
    }
    memset(big, 'x', sizeof big);
    cr_expect_eq(load_with_password_file("pw", big, 255, 0600), 0, "%s", fault.text);
    cr_expect_eq(policy.servers[0].password_len, 255);
    big[255] = '\n';
    cr_expect_eq(load_with_password_file("pw", big, 256, 0600), 0, "%s", fault.text);
    big[255] = 'x';
    cr_expect_eq(load_with_password_file("pw", big, 256, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "", 0, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "\n", 1, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "a\0b", 3, 0600), -EINVAL);
    expect_password_fault("/pw: it contains a NUL octet");
    cr_expect_eq(load_with_password_file("pw", "secret", 6, 0640), -EINVAL);
    snprintf(what, sizeof what, "others can read this file: chmod 600 %s", absolute);
    expect_password_fault(what);
    cr_expect_eq(load_with_password_file("gone", "", 0, 0600), -EINVAL);
    expect_password_fault("/gone: no such file or directory");
    cr_expect_eq(load_with_password_file(directory, "", 0, 0600), -EINVAL);
    expect_password_fault(": not a regular file");
    env.home = NULL;
    cr_expect_eq(load_with_password_file("~/pw", "a", 1, 0600), -EINVAL);
    expect_password_fault("~/pw: \"~/\" without HOME");
}

Test(config_secrets, credentials_of_the_environment)
{
    static const struct {
        const char *text, *user, *password; /* in the file, in the environment */
        const char *sent_user, *sent_password;
        int method;
    } cases[] = {
        {"", "eu", "ep", "eu", "ep", 2},
        {"", "eu", NULL, "", "", 0},
        {"", NULL, "ep", "", "", 0},
        {"methods = {none}", "eu", "ep", "", "", 0},
        {"methods = {userpass}", "eu", "ep", "eu", "ep", 2},
        {"username = u", "eu", "ep", "u", "ep", 2},
        {"username = u password = p", "eu", "ep", "u", "p", 2},
        {"password = p", "eu", NULL, "eu", "p", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "server a { address = x %s }", cases[i].text);
        env.user = cases[i].user;
        env.password = cases[i].password;
        cr_expect_eq(load(text), 0, "%zu: %s", i, fault.text);
        const struct s5_server *s = policy.servers;
        cr_expect_eq(s->methods[0], cases[i].method, "%zu", i);
        cr_expect_eq(s->username_len, strlen(cases[i].sent_user), "%zu", i);
        cr_expect_arr_eq(s->username, cases[i].sent_user, s->username_len, "%zu", i);
        cr_expect_eq(s->password_len, strlen(cases[i].sent_password), "%zu", i);
        cr_expect_arr_eq(s->password, cases[i].sent_password, s->password_len, "%zu", i);
    }
}

#if !defined __SANITIZE_ADDRESS__ /* which has its own heap, with a quarantine */
/* Returns how often WORD, with each octet inverted, occurs in the heap. */
static int heap_holds(const unsigned char *word, size_t len)
{
    char line[256];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert(maps);
    setvbuf(maps, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &low, &high) != 2)
            continue;
        for (const unsigned char *at = (const unsigned char *)low;
             at + len <= (unsigned char *)high; at++) {
            size_t i = 0;
            while (i < len && (at[i] ^ word[i]) == 0xff)
                i++;
            found += i == len;
        }
    }
    fclose(maps);
    return found;
}

/* Writes a file with the password between BEFORE and AFTER, without another copy of it. */
static void write_secret(const char *before, const unsigned char *word, size_t len,
                         const char *after)
{
    char secret[32];
    cr_assert_leq(len, sizeof secret);
    for (size_t i = 0; i < len; i++)
        secret[i] = (char)(word[i] ^ 0xff);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, before, strlen(before)), (ssize_t)strlen(before));
    cr_assert_eq(write(fd, secret, len), (ssize_t)len);
    cr_assert_eq(write(fd, after, strlen(after)), (ssize_t)strlen(after));
    close(fd);
    explicit_bzero(secret, sizeof secret);
}

Test(config_secrets, no_part_of_a_password_remains_in_the_heap)
{
    static const char before[] = "server a { address = x username = u password = ";
    static const char *const quotes[] = {"", "'", "\""};
    unsigned char word[24];
    char text[80], after[8];
    for (size_t i = 0; i < sizeof word; i++)
        word[i] = (unsigned char)(("yqJwXkv"[i % 7] + (i > 6)) ^ 0xff);
    char *control = malloc(sizeof word);
    for (size_t i = 0; i < sizeof word; i++)
        control[i] = (char)(word[i] ^ 0xff);
    cr_expect_eq(heap_holds(word, sizeof word), 1); /* the search finds what exists */
    explicit_bzero(control, sizeof word);
    free(control);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s%s", before, quotes[i]);
        snprintf(after, sizeof after, "%s }\n", quotes[i]);
        write_secret(text, word, sizeof word, after);
        s5_policy_init(&policy);
        cr_assert_eq(s5_config_load(&policy, path, &env, &fault), 0, "%s", fault.text);
        cr_expect_eq(policy.servers[0].password_len, sizeof word);
        /* Only its end: free() overwrites the beginning of the block. */
        cr_expect_eq(heap_holds(word + 16, sizeof word - 16), 0, "%s", text);
    }
}
#endif

Test(config_secrets, a_password_belongs_to_one_server)
{
    cr_assert_eq(load("server a { address = x username = u password = p }\n"
                      "server b { address = y }\n"),
                 0, "%s", fault.text);
    cr_expect_eq(policy.servers[0].password_len, 1);
    cr_expect_eq(policy.servers[1].username_len + policy.servers[1].password_len, 0);
    cr_expect_eq(policy.servers[1].methods[0], 0);
    expect_fault("server a { address = x username = u password = p }\n"
                 "server b { address = y username = u }\n",
                 2, "username without a password");
}
