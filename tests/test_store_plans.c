/* test_store_plans.c - no statement that runs in a turn, or for a query, walks through a table or
 * sorts: SQLite's own plan of each is read. */
#include "broker/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store_view.h"

/* What may stand in a plan although it says SCAN: a row of constants, as in VALUES. */
static bool is_harmless(const char *detail) { return strcmp(detail, "SCAN CONSTANT ROW") == 0; }

/* A table of a few hundred rows that no peer can make grow, read as a whole to find the classes of
 * one queue. */
static bool is_small(const char *detail) { return strcmp(detail, "SCAN class") == 0; }

/* A walk along a table in its own order that ends at the first row (LIMIT 1): what expires next. */
static bool is_first_row(const char *text, const char *detail)
{
    return text == store_sql[SQL_NEXT_EXPIRY] && strcmp(detail, "SCAN expiry") == 0 && strstr(text, "LIMIT 1") != NULL;
}

/* What is wrong with the plan of a statement, or NULL. */
static char *find_fault(sqlite3 *db, const char *text, bool small_allowed)
{
    cleanup(freep) char *explain = xasprintf("EXPLAIN QUERY PLAN %s", text);
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, explain, -1, &q, NULL) != SQLITE_OK)
        return xasprintf("%s: %s", text, sqlite3_errmsg(db));
    char *fault = NULL;
    while (sqlite3_step(q) == SQLITE_ROW && !fault) {
        const char *detail = (const char *)sqlite3_column_text(q, 3);
        bool bad = strstr(detail, "SCAN") || strstr(detail, "USE TEMP B-TREE") ||
                   strstr(detail, "AUTOMATIC");
        if (bad && !is_harmless(detail) && !is_first_row(text, detail) &&
            !(small_allowed && is_small(detail)))
            fault = xasprintf("%s: %s", text, detail);
    }
    sqlite3_finalize(q);
    return fault;
}

static void assert_good(sqlite3 *db, const char *text, bool small_allowed)
{
    cleanup(freep) char *fault = find_fault(db, text, small_allowed);
    if (fault)
        fail_msg("%s", fault);
}

static int make(void **state)
{
    static struct store *s;
    char *error = NULL;
    cleanup(freep) char *path = xasprintf("/tmp/tern-plans-%d.db", (int)getpid());
    struct store_options o = { .path = path, .quiet = true };
    if (store_open(&s, &o, &error) < 0)
        fail_msg("%s", error);
    *state = s;
    return 0;
}

static int unmake(void **state)
{
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    store_close(*state);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *path = xasprintf("/tmp/tern-plans-%d.db%s", (int)getpid(), ends[i]);
        unlink(path);
    }
    return 0;
}

static void no_statement_of_a_turn_scans_or_sorts(void **state)
{
    struct store *s = *state;
    size_t hot = 0;
    for (int i = 0; i < N_STATEMENTS; i++)
        if (store_sql_is_hot[i]) {
            assert_good(s->db, store_sql[i], false);
            hot++;
        }
    assert_true(hot > 40);
}

static void no_statement_of_the_reader_scans_or_sorts(void **state)
{
    struct store *s = *state;
    for (size_t i = 0; store_read_sql[i]; i++)
        assert_good(s->db, store_read_sql[i], true);
    for (size_t i = 0; store_view_sql[i]; i++)
        assert_good(s->db, store_view_sql[i], false);
}

static void the_leases_are_found_by_their_index_at_start(void **state)
{
    struct store *s = *state;
    assert_good(s->db, store_sql[SQL_LEASES], false);
}

static void a_statement_that_scans_or_sorts_is_found(void **state)
{
    struct store *s = *state;
    static const char *const bad[] = {
        "SELECT id FROM job WHERE priority = ?",
        "SELECT id FROM job WHERE state = 2", /* the index knows shelves */
        "SELECT id FROM job WHERE shelf = ? ORDER BY id", /* another order than the index has */
        "SELECT count(*) FROM job",
        "DELETE FROM event WHERE attempt = ?",
        "SELECT no_such_column FROM job",
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        cleanup(freep) char *fault = find_fault(s->db, bad[i], true);
        if (!fault)
            fail_msg("not found: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_statement_of_a_turn_scans_or_sorts),
        cmocka_unit_test(no_statement_of_the_reader_scans_or_sorts),
        cmocka_unit_test(the_leases_are_found_by_their_index_at_start),
        cmocka_unit_test(a_statement_that_scans_or_sorts_is_found),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
