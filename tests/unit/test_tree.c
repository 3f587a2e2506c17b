/* The memory file of a process tree, and the standings in it. */
#include "standing.h"
#include "tree.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct s5_tree *create(int *fd)
{
    struct s5_tree *tree;
    cr_assert_eq(s5_tree_create(&tree, fd), 0);
    return tree;
}

Test(tree, is_found_again_by_its_value)
{
    int fd, again_fd, adopt;
    struct s5_tree *tree = create(&fd), *again;
    char value[S5_TREE_VALUE_MAX];
    cr_assert_geq(fd, 64, "out of the way of programs");
    cr_assert_eq(fcntl(fd, F_GETFD), 0, "inherited by exec");
    cr_assert_eq(s5_tree_value(fd, 0, value), 0);
    cr_assert_eq(s5_tree_attach(value, &again, &again_fd, &adopt), 0);
    cr_assert(again != tree && again_fd == fd && adopt == 0);
    s5_standing_set(tree, 7, S5_STANDING_GOOD);
    cr_assert_eq(s5_standing_get(again, 7), S5_STANDING_GOOD, "one memory under both");
    cr_assert_eq(s5_tree_value(fd, 1, value), 0);
    cr_assert_eq(s5_tree_attach(value, &again, &again_fd, &adopt), 0);
    cr_assert_eq(adopt, 1);
}

Test(tree, strange_values_are_refused)
{
    int fd, r_fd = -7, adopt;
    struct s5_tree *tree = create(&fd), *again = NULL;
    char right[S5_TREE_VALUE_MAX], wrong[S5_TREE_VALUE_MAX + 16];
    (void)tree;
    s5_tree_value(fd, 0, right);
    const char *const bad[] = {"", ":", "x", "5", "5:", ":5", "99999999999999999999:1", "-1:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_lt(s5_tree_attach(bad[i], &again, &r_fd, &adopt), 0, "\"%s\"", bad[i]);
    snprintf(wrong, sizeof wrong, "%s0", right); /* another inode */
    cr_assert_eq(s5_tree_attach(wrong, &again, &r_fd, &adopt), -ESTALE);
    snprintf(wrong, sizeof wrong, "%s:b", right);
    cr_assert_eq(s5_tree_attach(wrong, &again, &r_fd, &adopt), -EINVAL);
    int plain = memfd_create("other", MFD_ALLOW_SEALING); /* right in all but its seals */
    cr_assert_eq(ftruncate(plain, sizeof(struct s5_tree)), 0);
    s5_tree_value(plain, 0, wrong);
    cr_assert_eq(s5_tree_attach(wrong, &again, &r_fd, &adopt), -ESTALE);
    cr_assert(again == NULL && r_fd == -7, "outputs are left alone");
}

Test(tree, of_another_release_is_refused)
{
    int fd, again_fd, adopt;
    struct s5_tree *tree = create(&fd), *again;
    char value[S5_TREE_VALUE_MAX];
    cr_assert_eq(s5_tree_value(fd, 0, value), 0);
    tree->magic++;
    errno = 7;
    cr_assert_eq(s5_tree_attach(value, &again, &again_fd, &adopt), -ESTALE);
    cr_assert_eq(s5_tree_value(-1, 0, value), -EBADF);
    cr_assert_eq(errno, 7);
}

Test(tree, cannot_be_shrunk_under_its_readers)
{
    int fd;
    create(&fd);
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(errno, EPERM);
}

Test(tree, policy_is_for_its_own_environment_and_the_first_wins)
{
    int fd;
    struct s5_tree *tree = create(&fd);
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_null(s5_tree_policy(tree, 1));
    p->n_text = 1;
    p->log_level = S5_LOG_INFO;
    s5_tree_publish(tree, p, 1);
    cr_assert_not_null(s5_tree_policy(tree, 1));
    cr_assert_null(s5_tree_policy(tree, 2));
    p->log_level = S5_LOG_DEBUG;
    s5_tree_publish(tree, p, 2);
    cr_assert_null(s5_tree_policy(tree, 2));
    cr_assert_eq(s5_tree_policy(tree, 1)->log_level, S5_LOG_INFO);
    free(p);
}

Test(tree, handovers_are_found_by_cookie_and_overwritten_in_turn)
{
    int fd;
    struct s5_tree *tree = create(&fd);
    struct s5_endpoint peer = {.len = 16}, local = {.len = 8}, a, b;
    for (uint64_t cookie = 1; cookie <= S5_TREE_HANDOVERS + 1; cookie++)
        s5_tree_hand_over(tree, cookie, &peer, &local);
    cr_assert_not(s5_tree_handed(tree, 1, &a, &b), "the oldest made room");
    cr_assert(s5_tree_handed(tree, 2, &a, &b));
    cr_assert(a.len == 16 && b.len == 8);
    cr_assert_not(s5_tree_handed(tree, 0, &a, &b));
}

Test(standing, is_kept_in_a_file_and_old_lines_are_forgotten)
{
    int fd;
    struct s5_tree *tree = create(&fd);
    char directory[] = "/tmp/standing-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/standing", directory);
    FILE *f = fopen(path, "w");
    fprintf(f, "%lld 11 1\n%lld 12 2\n5 13 1\nrubbish\n%lld 14 9\n%lld 0 1\n",
            (long long)time(NULL) - 60, (long long)time(NULL) - 60, (long long)time(NULL) - 60,
            (long long)time(NULL));
    fclose(f);
    s5_standing_open(tree, directory);
    cr_assert_eq(s5_standing_get(tree, 11), S5_STANDING_GOOD);
    cr_assert_eq(s5_standing_get(tree, 12), S5_STANDING_BAD);
    cr_assert_eq(s5_standing_get(tree, 13), S5_STANDING_UNKNOWN, "weeks ago");
    cr_assert_eq(s5_standing_get(tree, 14), S5_STANDING_UNKNOWN, "no such value");
    s5_standing_set(tree, 15, S5_STANDING_BAD);
    struct s5_tree *other = create(&fd);
    s5_standing_open(other, directory);
    cr_assert_eq(s5_standing_get(other, 15), S5_STANDING_BAD, "learnt by one run, known to the next");
    unlink(path);
    rmdir(directory);
}

Test(standing, a_file_that_has_grown_long_is_begun_anew)
{
    int fd;
    char directory[] = "/tmp/standing-XXXXXX", path[64];
    struct stat st;
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/standing", directory);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 20000; i++)
        fprintf(f, "%lld 11 1\n", (long long)time(NULL) - 60);
    fclose(f);
    s5_standing_open(create(&fd), directory);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_lt(st.st_size, 100, "%lld octets", (long long)st.st_size);
    struct s5_tree *other = create(&fd);
    s5_standing_open(other, directory);
    cr_assert_eq(s5_standing_get(other, 11), S5_STANDING_GOOD);
    unlink(path);
    rmdir(directory);
}

Test(standing, a_full_table_goes_on_unlearned)
{
    int fd;
    struct s5_tree *tree = create(&fd);
    for (uint64_t key = 1; key <= S5_TREE_STANDINGS; key++)
        s5_standing_set(tree, key, S5_STANDING_GOOD);
    s5_standing_set(tree, 1000, S5_STANDING_BAD);
    cr_assert_eq(s5_standing_get(tree, 1000), S5_STANDING_UNKNOWN);
    cr_assert_eq(s5_standing_get(tree, 1), S5_STANDING_GOOD);
}
