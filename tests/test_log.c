/* The fields that a line's own words give its journal entry, and whom they may come from. */
#include "proto/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static struct log_fields fields(const char *text)
{
    struct log_fields f;
    log_fields_of(&f, text);
    return f;
}

static void job_attempt_and_worker_become_fields(void **state)
{
    (void)state;
    struct log_fields f = fields("job=5 attempt=2 worker=w1 ended=done");
    assert_int_equal(f.n, 3);
    assert_string_equal(f.at[0], "TERN_JOB_ID=5");
    assert_string_equal(f.at[1], "TERN_ATTEMPT=2");
    assert_string_equal(f.at[2], "TERN_WORKER=w1");
}

static void a_known_event_has_its_id(void **state)
{
    (void)state;
    struct log_fields f = fields("event=worker-lost worker=w1: it was silent");
    assert_int_equal(f.n, 2);
    assert_memory_equal(f.at[0], "MESSAGE_ID=", 11);
    assert_int_equal(strlen(f.at[0]), 11 + 32);
    assert_string_equal(f.at[1], "TERN_WORKER=w1");
    assert_int_equal(fields("event=something-else").n, 0);
    assert_int_equal(fields("job=1 event=worker-lost").n, 1); /* an event stands first */
}

static void what_stands_behind_other_words_is_no_field(void **state)
{
    (void)state;
    assert_int_equal(fields("the broker says: job=7").n, 0);
    assert_int_equal(fields("job=5 refused: job=7 worker=w2").n, 1);
    assert_int_equal(fields("error=\"x job=7").n, 0);
    assert_int_equal(fields("job=5: worker=w2").n, 1);
    assert_int_equal(fields("").n, 0);
    assert_int_equal(fields("job=").n, 0);
    assert_int_equal(fields("=5").n, 0);
}

static void many_and_long_values_are_bounded(void **state)
{
    (void)state;
    char text[400] = "worker=";
    memset(text + 7, 'x', 300);
    assert_int_equal(fields(text).n, 0);
    assert_int_equal(fields("job=1 job=2 job=3 job=4 job=5 job=6").n, LOG_FIELDS_MOST);
}

/* What a line becomes on standard error. */
static void log_into(char *ret, size_t n, const char *text)
{
    int ends[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_info("%s", text);
    dup2(old, STDERR_FILENO);
    close(old);
    close(ends[1]);
    ssize_t got = read(ends[0], ret, n - 1);
    close(ends[0]);
    ret[got < 0 ? 0 : got] = 0;
}

static void lines_end_in_what_they_are_about(void **state)
{
    (void)state;
    char line[4096];
    log_about("broker=tcp://a:1");
    log_into(line, sizeof line, "job=1 x");
    assert_non_null(strstr(line, "tern: job=1 x broker=tcp://a:1\n"));
    cleanup(freep) char *much = xmalloc(3000);
    memset(much, 'x', 2999);
    much[2999] = 0;
    log_into(line, sizeof line, much); /* there is no room for it */
    assert_int_equal(line[strlen(line) - 1], '\n');
    log_about(NULL);
    log_into(line, sizeof line, "job=1 x");
    assert_non_null(strstr(line, "tern: job=1 x\n"));
}

static void every_event_is_explained(void **state)
{
    (void)state;
    const char *source = getenv("TERN_SOURCE");
    cleanup(freep) char *path = xasprintf("%s/contrib/systemd/tern.catalog", source ? source : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char text[32768];
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    size_t events = 0, explained = 0;
    for (const struct log_event *e = log_events; e->name; e++, events++) {
        cleanup(freep) char *entry = xasprintf("\n# %s\n-- %s\nSubject: ", e->name, e->id);
        if (!strstr(text, entry))
            fail_msg("%s is not in the catalog", e->name);
        explained++;
    }
    for (const char *s = text; (s = strstr(s, "\n-- ")); s++)
        explained--;
    assert_int_equal(explained, 0);
    assert_true(events > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_attempt_and_worker_become_fields),
        cmocka_unit_test(a_known_event_has_its_id),
        cmocka_unit_test(what_stands_behind_other_words_is_no_field),
        cmocka_unit_test(many_and_long_values_are_bounded),
        cmocka_unit_test(lines_end_in_what_they_are_about),
        cmocka_unit_test(every_event_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
