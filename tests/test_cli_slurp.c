/* test_cli_slurp.c - lines and files of any length, in bounded memory. */
#include "client/slurp.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static int file_with(const char *bytes, size_t n)
{
    char path[] = "/tmp/test_cli_slurp.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    for (size_t i = 0; i < n;) {
        ssize_t wrote = write(fd, bytes + i, n - i);
        assert_true(wrote > 0);
        i += (size_t)wrote;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int next(struct lines *l, struct str *ret)
{
    int r;
    while ((r = lines_next(l, ret)) == -EAGAIN)
        assert_int_equal(lines_fill(l), 0);
    return r;
}

static void lines_come_with_their_numbers_the_last_without_its_newline_too(void **state)
{
    (void)state;
    static const char text[] = "one\n\nthree \nfour";
    struct lines l;
    struct str line;
    cleanup(closep) int fd = file_with(text, sizeof text - 1);
    lines_init(&l, fd);
    static const char *const want[] = { "one", "", "three ", "four" };
    for (size_t i = 0; i < ELEMENTS(want); i++) {
        assert_int_equal(next(&l, &line), 1);
        assert_true(str_is(line, want[i]));
        assert_int_equal(l.number, i + 1);
    }
    assert_int_equal(next(&l, &line), 0);
    assert_int_equal(next(&l, &line), 0);
    lines_fini(&l);
}

static void a_line_of_2_mib_is_read_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    size_t n = LINE_BYTES_MAX * 2 + 3;
    cleanup(freep) char *text = xmalloc(n);
    memset(text, 'x', n);
    text[LINE_BYTES_MAX] = '\n';
    text[LINE_BYTES_MAX * 2 + 2] = '\n';
    struct lines l;
    struct str line;
    cleanup(closep) int fd = file_with(text, n);
    lines_init(&l, fd);
    assert_int_equal(next(&l, &line), 1);
    assert_int_equal(line.n, LINE_BYTES_MAX);
    assert_int_equal(next(&l, &line), -EMSGSIZE);
    assert_int_equal(l.number, 2);
    lines_fini(&l);
}

static void many_lines_take_the_memory_of_a_few(void **state)
{
    (void)state;
    size_t n = 8u << 20;
    cleanup(freep) char *text = xmalloc(n);
    for (size_t i = 0; i < n; i++)
        text[i] = i % 100 == 99 ? '\n' : 'x';
    struct lines l;
    struct str line;
    cleanup(closep) int fd = file_with(text, n);
    lines_init(&l, fd);
    while (next(&l, &line) == 1)
        assert_in_range(line.n, 1, 99);
    assert_int_equal(l.number, n / 100 + 1);
    assert_true(l.b.cap < 1u << 20);
    lines_fini(&l);
}

static void a_file_over_the_bound_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/test_cli_slurp.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "12345678", 8), 8);
    close(fd);
    struct buf b;
    char *error = NULL;
    buf_init(&b, 8);
    assert_int_equal(slurp(path, &b, &error), 0);
    assert_int_equal(b.n, 8);
    buf_fini(&b);
    buf_init(&b, 7);
    assert_int_equal(slurp(path, &b, &error), -EMSGSIZE);
    assert_non_null(strstr(error, "more than 7 bytes"));
    free(error);
    buf_fini(&b);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_with_their_numbers_the_last_without_its_newline_too),
        cmocka_unit_test(a_line_of_2_mib_is_read_and_a_longer_one_is_refused),
        cmocka_unit_test(many_lines_take_the_memory_of_a_few),
        cmocka_unit_test(a_file_over_the_bound_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
