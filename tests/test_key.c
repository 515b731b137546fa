/* test_key.c - keys as digits and as files: what is written is read again, secrets are secret, nothing is overwritten. */
#include "proto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "%s/tern-key-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    unsetenv("CREDENTIALS_DIRECTORY");
    return 0;
}

static char *path_of(const char *end) { return xasprintf("%s.%s", base, end); }

static int tear_down(void **state)
{
    (void)state;
    cleanup(freep) char *secret = path_of("key"), *public = path_of("pub");
    unlink(secret);
    unlink(public);
    return 0;
}

static void digits_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct key_pair a, b;
    struct key again;
    char text[KEY_DIGITS + 1];
    key_pair_make(&a);
    key_pair_make(&b);
    assert_false(key_equal(&a.public, &b.public));
    key_format(&a.public, text);
    assert_int_equal(key_parse(text, &again), 0);
    assert_true(key_equal(&a.public, &again));
    text[3] = 'g';
    assert_int_equal(key_parse(text, &again), -EINVAL);
    assert_int_equal(key_parse("", &again), -EINVAL);
    text[3] = 'a';
    text[KEY_DIGITS - 1] = '\0';
    assert_int_equal(key_parse(text, &again), -EINVAL);
}

static void a_pair_of_files_holds_the_two_halves(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL, *secret = path_of("key"), *public = path_of("pub");
    struct key_pair pair;
    struct key key;
    struct stat st;
    assert_int_equal(key_write_pair(base, "a broker", "[broker]\n", &error), 0);
    assert_int_equal(stat(secret, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(key_read_secret(secret, &pair, &error), 0);
    assert_int_equal(key_read_broker(public, &key, &error), 0);
    assert_true(key_equal(&pair.public, &key)); /* worked out from the secret one */
    assert_true(key_read_broker(secret, &key, &error) < 0);
    assert_non_null(strstr(error, "[broker]"));
}

static void nothing_is_overwritten(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL, *public = path_of("pub"), *secret = path_of("key");
    assert_int_equal(key_write_file(public, 0644, "mine\n", &error), 0);
    assert_int_equal(key_write_pair(base, "a broker", "[broker]\n", &error), -EEXIST);
    assert_non_null(strstr(error, "not overwritten"));
    assert_true(access(secret, F_OK) < 0); /* nor is half a pair left */
}

static void a_secret_that_others_can_read_is_refused(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL, *secret = path_of("key");
    struct key_pair pair;
    assert_int_equal(key_write_pair(base, "a broker", "[broker]\n", &error), 0);
    static const mode_t bad[] = { 0640, 0604, 0660, 0611 };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        cleanup(freep) char *why = NULL;
        chmod(secret, bad[i]);
        assert_int_equal(key_read_secret(secret, &pair, &why), -EPERM);
        assert_non_null(strstr(why, "chmod 600"));
    }
    chmod(secret, 0400);
    assert_int_equal(key_read_secret(secret, &pair, &error), 0);
}

static void a_credential_comes_before_the_default_and_after_what_was_named(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL, *public = path_of("pub");
    assert_int_equal(key_write_file(public, 0644, "x\n", &error), 0);
    const char *name = strrchr(public, '/') + 1;
    cleanup(freep) char *directory = xstrndup((struct str){ public, (size_t)(name - public - 1) });
    setenv("CREDENTIALS_DIRECTORY", directory, 1);
    cleanup(freep) char *found = key_find_file(NULL, name, "/etc/passwd"), *named = key_find_file("/x", name, NULL),
                        *other = key_find_file(NULL, "no-such-credential", "/etc/passwd"),
                        *none = key_find_file(NULL, "no-such-credential", "/no-such-file");
    assert_string_equal(found, public);
    assert_string_equal(named, "/x");
    assert_string_equal(other, "/etc/passwd");
    assert_null(none);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(digits_are_read_as_they_are_written),
        WITH(a_pair_of_files_holds_the_two_halves),
        WITH(nothing_is_overwritten),
        WITH(a_secret_that_others_can_read_is_refused),
        WITH(a_credential_comes_before_the_default_and_after_what_was_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
