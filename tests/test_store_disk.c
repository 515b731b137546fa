/* test_store_disk.c - a disk that is really full, and one whose syncs fail: the first is no reason
 * to end, the second always is. A small tmpfs needs root; without it those tests are skipped. */
#include "broker/store_internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1700000000000
#define BALLAST (1 << 20)

static char dir[64], path[80];
static struct store *s;
static uint32_t class;
static uint64_t worker;

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-disk-XXXXXX");
    snprintf(path, sizeof path, "%s/t.db", mkdtemp(dir) ? dir : "/nonexistent");
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    s = store_close(s);
    while (umount2(dir, MNT_DETACH) == 0) {}
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

static void open_store(const char *vfs)
{
    struct store_options o = { .path = path, .quiet = true, .ballast_bytes = BALLAST, .vfs = vfs };
    char *error = NULL;
    if (store_open(&s, &o, &error) < 0)
        fail_msg("%s", error);
    struct class_row c = { .queue = str_of("default"), .handler = str_of("cpu") };
    struct str instance = { "0123456789abcdef", 16 };
    assert_int_equal(store_add_class(s, &c, &class), 0);
    assert_int_equal(store_worker(s, instance, str_of("w"), str_of("h"), str_of("uid:0"), NOW, &worker), 0);
    assert_int_equal(store_commit(s), 0);
}

static int add(void)
{
    static char body[3000];
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.payload = (struct str){ body, sizeof body };
    struct new_job j = { &spec, class, STATE_QUEUED, UNSET, UNSET, 0 };
    uint64_t id;
    int r = store_add_jobs(s, &j, 1, str_of("uid:1"), NOW, &id);
    return r < 0 ? r : store_commit(s);
}

/* ---- full ----------------------------------------------------------------------------------- */

static void mount_small(void)
{
    if (mount("none", dir, "tmpfs", 0, "size=48m") < 0)
        skip();
}

static void leave_room(int64_t bytes)
{
    cleanup(freep) char *p = xasprintf("%s/filler", dir);
    cleanup(closep) int fd = open(p, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs v;
    assert_int_equal(statvfs(dir, &v), 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(v.f_bavail * v.f_frsize) - bytes), 0);
}

/* The index of the log grows by a page for each 4096 of the log, and SQLite calls it an I/O error
 * when it cannot: one of these sizes ends a disk just there: the 32 KiB of a page. */
static void a_disk_that_is_full_at_any_place_is_full_and_not_broken(void **state)
{
    (void)state;
    bool index_could_not_grow = false;
    for (int64_t room = 16300000; room < 16900000; room += 16384) {
        mount_small();
        open_store(NULL);
        leave_room(room);
        int r = 0;
        while (r >= 0)
            r = add();
        if (r != -ENOSPC)
            fail_msg("%d: %s", r, store_error_text(s));
        index_could_not_grow |= strstr(store_error_text(s), "4874") != NULL;
        store_rollback(s);
        struct lease_order o = { .id = 1, .worker = worker };
        assert_int_equal(store_lease(s, &o, 1, NOW), 0); /* in the room of the ballast */
        assert_true(o.leased);
        free(o.owned);
        assert_int_equal(store_commit(s), 0);
        s = store_close(s);
        umount2(dir, MNT_DETACH);
    }
    assert_true(index_could_not_grow);
}

static void a_start_on_a_full_disk_takes_the_ballast(void **state)
{
    (void)state;
    mount_small();
    open_store(NULL);
    s = store_close(s);
    leave_room(0);
    struct store_options o = { .path = path, .quiet = true, .ballast_bytes = BALLAST };
    char *error = NULL;
    if (store_open(&s, &o, &error) < 0)
        fail_msg("%s", error);
    assert_true(s->ballast_freed);
    assert_int_equal(store_epoch(s), 2);
}

static void a_start_on_a_full_disk_without_ballast_says_what_to_do(void **state)
{
    (void)state;
    mount_small();
    open_store(NULL);
    s = store_close(s);
    cleanup(freep) char *ballast = xasprintf("%s.ballast", path);
    assert_int_equal(unlink(ballast), 0);
    leave_room(0);
    struct store_options o = { .path = path, .quiet = true, .ballast_bytes = BALLAST };
    cleanup(freep) char *error = NULL;
    assert_int_equal(store_open(&s, &o, &error), -ENOSPC);
    assert_non_null(strstr(error, "free space there"));
}

/* ---- broken --------------------------------------------------------------------------------- */

static const sqlite3_io_methods *real;
static sqlite3_io_methods broken;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static bool syncs_fail;

static int sync_or_fail(sqlite3_file *f, int flags)
{
    return syncs_fail ? SQLITE_IOERR_FSYNC : real->xSync(f, flags);
}

static int open_broken(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret)
{
    int rc = real_open(vfs, name, f, flags, ret);
    if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
        return rc;
    real = f->pMethods;
    broken = *real;
    broken.xSync = sync_or_fail;
    f->pMethods = &broken;
    return rc;
}

static sqlite3_vfs *register_broken(void)
{
    static sqlite3_vfs vfs;
    vfs = *sqlite3_vfs_find(NULL);
    vfs.zName = "broken";
    real_open = vfs.xOpen;
    vfs.xOpen = open_broken;
    assert_int_equal(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    return &vfs;
}

static void a_sync_that_failed_when_the_log_was_copied_ends_the_store(void **state)
{
    (void)state;
    sqlite3_vfs *vfs = register_broken();
    open_store("broken");
    assert_int_equal(add(), 0);
    syncs_fail = true;
    assert_int_equal(store_checkpoint(s), -EIO);
    assert_int_equal(add(), -EIO);
    syncs_fail = false;
    s = store_close(s);
    sqlite3_vfs_unregister(vfs);
}

static void the_log_is_copied_and_the_file_given_back_at_idle(void **state)
{
    (void)state;
    open_store(NULL);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(add(), 0);
    for (uint64_t id = 1; id <= 3000; id++)
        assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), 1);
    struct swept_job swept[500];
    while (store_sweep(s, NOW + 1, UINT64_MAX, NOW, swept, 500) > 0)
        assert_int_equal(store_commit(s), 0);
    while (store_tidy(s) > 0) {}
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 4096, 5 << 20); /* was over 9 MB */
}

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_disk_that_is_full_at_any_place_is_full_and_not_broken),
        test(a_start_on_a_full_disk_takes_the_ballast),
        test(a_start_on_a_full_disk_without_ballast_says_what_to_do),
        test(a_sync_that_failed_when_the_log_was_copied_ends_the_store),
        test(the_log_is_copied_and_the_file_given_back_at_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
