/* test_store_open.c - what cannot be served is refused with what to do, and left as it was, byte
 * for byte. */
#include "broker/store_internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[80];

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-open-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "",      "-wal",     "-shm",  "-journal",
                                        ".lock", ".ballast", ".link", ".link.lock" };
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

static struct buf contents(const char *end)
{
    cleanup(freep) char *p = xasprintf("%s%s", path, end);
    struct buf b;
    buf_init(&b, 64 << 20);
    cleanup(closep) int fd = open(p, O_RDONLY | O_CLOEXEC);
    char bytes[65536];
    for (ssize_t n; fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0;)
        buf_add(&b, bytes, (size_t)n);
    return b;
}

static void put(const void *bytes, size_t n)
{
    cleanup(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, n), n);
}

static int try_open(const char *at, struct store **ret, char **ret_error)
{
    struct store_options o = { .path = at, .quiet = true };
    *ret = NULL;
    *ret_error = NULL;
    return store_open(ret, &o, ret_error);
}

static struct store *must_open(void)
{
    struct store *s;
    cleanup(freep) char *error = NULL;
    if (try_open(path, &s, &error) < 0)
        fail_msg("%s", error);
    return s;
}

static void change(const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A database as it was written before there were shelves. */
static void put_former(void)
{
    cleanup(freep) char *from = xasprintf("%s/tests/schema_2.sql", getenv("TERN_SOURCE") ?: ".");
    cleanup(closep) int fd = open(from, O_RDONLY | O_CLOEXEC);
    char text[16384] = "";
    assert_in_range(read(fd, text, sizeof text - 1), 1, sizeof text - 2);
    change(text);
}

/* Refused with this error and this part of a text; file and log are as they were. */
static void assert_refused(int error, const char *part)
{
    struct buf before = contents(""), log_before = contents("-wal");
    struct store *s;
    char *text;
    int r = try_open(path, &s, &text);
    if (r != error || !strstr(text, part))
        fail_msg("%d \"%s\", not %d with \"%s\"", r, text ? text : "", error, part);
    free(text);
    struct buf after = contents(""), log_after = contents("-wal");
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    assert_true(str_equal(buf_str(&log_before), buf_str(&log_after)));
    buf_fini(&before);
    buf_fini(&after);
    buf_fini(&log_before);
    buf_fini(&log_after);
}

static void what_is_no_database_is_refused(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text);
    put(text, sizeof text);
    assert_refused(-EBADMSG, "it is no database, or corrupt");
    put("short", 5);
    assert_refused(-EBADMSG, "it is no database, or corrupt");
}

static void a_database_that_was_cut_or_damaged_is_refused(void **state)
{
    (void)state;
    store_close(must_open());
    struct buf whole = contents("");
    static const size_t cuts[] = { 100, 4096, 4096 * 5 + 100 };
    for (size_t i = 0; i < ELEMENTS(cuts); i++) {
        put(whole.p, cuts[i]);
        assert_refused(-EBADMSG, "corrupt");
    }
    memset(whole.p + 4096, 0xa5, 4096 * 3);
    put(whole.p, whole.n);
    assert_refused(-EBADMSG, "corrupt");
    buf_fini(&whole);
}

static void a_database_of_a_newer_release_is_refused(void **state)
{
    (void)state;
    store_close(must_open());
    change("PRAGMA user_version = 1000");
    assert_refused(-EPROTO, "newer");
}

/* As after a kill: what was committed is in the log alone. */
static void of_a_database_that_is_refused_not_even_the_log_is_touched(void **state)
{
    (void)state;
    store_close(must_open());
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA user_version = 1000; CREATE TABLE later (x)", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    struct buf log = contents("-wal");
    assert_true(log.n > 0);
    buf_fini(&log);
    assert_refused(-EPROTO, "newer");
}

static void a_database_of_the_first_release_is_brought_up_to_date(void **state)
{
    (void)state;
    put_former();
    change("ALTER TABLE job DROP COLUMN started; PRAGMA user_version = 1");
    struct store *s = must_open();
    struct job_row j;
    assert_int_equal(store_get(s, 8, &j), 0);
    assert_int_equal(j.state, STATE_RUNNING);
    assert_false(j.started);
    store_close(s);
}

static struct str fetched(uint64_t job, uint64_t what, struct message *ret, struct buf *bytes)
{
    struct store_reader *r;
    char *error;
    const char *why;
    assert_int_equal(store_reader_open(&r, path, &error), 0);
    struct message ask;
    message_init(&ask, MSG_FETCH);
    ask.fetch.job = job;
    ask.fetch.what = what;
    assert_true(store_reader_answer(r, &ask, STR_UNSET, bytes) >= 0);
    store_reader_close(r);
    assert_true(message_decode(ret, bytes->p, bytes->n, &why) >= 0);
    assert_int_equal(ret->type, MSG_FETCHED);
    return ret->fetched.data;
}

static void the_jobs_of_schema_2_are_all_there(void **state)
{
    (void)state;
    put_former();
    struct store *s = must_open();
    struct job_row j;
    struct head heads[4];
    uint64_t expired[4];
    assert_int_equal(store_heads(s, 3, heads, 4), 3);
    assert_int_equal(heads[0].id, 4);
    assert_int_equal(heads[0].priority, 5);
    assert_int_equal(heads[1].id, 6);
    assert_int_equal(heads[2].id, 5);
    assert_int_equal(heads[2].priority, -5);
    assert_int_equal(store_get(s, 4, &j), 0);
    assert_true(j.timeout_ms == 3000 && j.retries == 2 && j.memory_bytes == 1 << 30 && j.kill_grace_ms == 2000);
    assert_int_equal(store_get(s, 8, &j), 0);
    assert_true(j.state == STATE_RUNNING && j.started && j.timeout_ms == UNSET);
    assert_true(store_next_due(s) == 1821179643772);
    assert_true(store_next_expiry(s) == 1873019643772);
    assert_int_equal(store_find_expired(s, 1873019643900, expired, 4), 2);
    assert_int_equal(expired[0], 3);
    assert_int_equal(expired[1], 6);
    store_close(s);
}

static void the_results_of_schema_2_are_all_there(void **state)
{
    (void)state;
    put_former();
    store_close(must_open());
    struct message m;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_true(str_is(fetched(1, WHAT_RESULT, &m, &b), "hello"));
    message_fini(&m);
    buf_clear(&b);
    assert_true(str_is(fetched(2, WHAT_RESULT, &m, &b), "out\n"));
    message_fini(&m);
    buf_clear(&b);
    assert_int_equal(fetched(2, WHAT_OUTPUT, &m, &b).n, 18);
    message_fini(&m);
    buf_fini(&b);
}

static void a_database_of_another_application_is_refused(void **state)
{
    (void)state;
    change("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    assert_refused(-EPROTO, "not one of tern's");
    change("PRAGMA user_version = 99");
    assert_refused(-EPROTO, "not one of tern's");
    change("PRAGMA application_id = 77");
    assert_refused(-EPROTO, "not one of tern's");
}

static void a_folder_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct store *s;
    char *error;
    cleanup(freep) char *at = xasprintf("%s/none/t.db", dir);
    assert_int_equal(try_open(at, &s, &error), -ENOENT);
    assert_non_null(strstr(error, "must exist"));
    free(error);
}

/* Root may write everywhere: somebody else tries. */
static void a_file_that_may_not_be_written_is_refused(void **state)
{
    (void)state;
    store_close(must_open());
    cleanup(freep) char *lock = xasprintf("%s.lock", path);
    unlink(lock);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    struct buf before = contents("");
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s;
        char *error;
        bool other = getuid() != 0 || setresuid(65534, 65534, 65534) == 0;
        int r = try_open(path, &s, &error);
        _exit(!other || (r == -EROFS && strstr(error, "read-only")) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct buf after = contents("");
    assert_true(str_equal(buf_str(&before), buf_str(&after)));
    buf_fini(&before);
    buf_fini(&after);
}

static void a_file_that_nobody_may_write_is_refused_to_root_too(void **state)
{
    (void)state;
    store_close(must_open());
    assert_int_equal(chmod(path, 0444), 0);
    assert_refused(-EROFS, "read-only");
}

static void
a_second_broker_is_refused_by_the_pid_of_the_first_whatever_it_calls_the_file(void **state)
{
    (void)state;
    struct store *first = must_open(), *second;
    cleanup(freep) char *pid = xasprintf("pid %d)", (int)getpid());
    cleanup(freep) char *link_path = xasprintf("%s.link", path);
    assert_int_equal(symlink(path, link_path), 0);
    const char *const names[] = { path, link_path };
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        cleanup(freep) char *error = NULL;
        assert_int_equal(try_open(names[i], &second, &error), -EBUSY);
        assert_non_null(strstr(error, pid));
    }
    store_close(first);
    store_close(must_open());
}

static void the_epoch_counts_up_at_each_open(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) {
        struct store *s = must_open();
        assert_int_equal(store_epoch(s), i);
        store_close(s);
    }
}

static int64_t pragma(struct store *s, const char *name, char text[32])
{
    cleanup(freep) char *ask = xasprintf("PRAGMA %s", name);
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(s->db, ask, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(q, 0);
    snprintf(text, 32, "%s", (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    return n;
}

static void the_settings_hold_in_a_new_database_and_in_an_old_one(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct store *s = must_open();
        char text[32];
        pragma(s, "journal_mode", text);
        assert_string_equal(text, "wal");
        assert_int_equal(pragma(s, "synchronous", text), 2);
        assert_int_equal(pragma(s, "auto_vacuum", text), 2);
        assert_int_equal(pragma(s, "secure_delete", text), 2);
        assert_int_equal(pragma(s, "mmap_size", text), 0);
        assert_int_equal(pragma(s, "trusted_schema", text), 0);
        assert_int_equal(pragma(s, "application_id", text), 0x7465726e);
        store_close(s);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_no_database_is_refused),
        test(a_database_that_was_cut_or_damaged_is_refused),
        test(a_database_of_a_newer_release_is_refused),
        test(of_a_database_that_is_refused_not_even_the_log_is_touched),
        test(a_database_of_the_first_release_is_brought_up_to_date),
        test(the_jobs_of_schema_2_are_all_there),
        test(the_results_of_schema_2_are_all_there),
        test(a_database_of_another_application_is_refused),
        test(a_folder_that_does_not_exist_is_refused),
        test(a_file_that_may_not_be_written_is_refused),
        test(a_file_that_nobody_may_write_is_refused_to_root_too),
        test(a_second_broker_is_refused_by_the_pid_of_the_first_whatever_it_calls_the_file),
        test(the_epoch_counts_up_at_each_open),
        test(the_settings_hold_in_a_new_database_and_in_an_old_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
