/* store_rig.c - a store of its own for each test. */
#include "tests/store_rig.h"

#include <stdio.h>
#include <unistd.h>

char dir[64], path[80];
struct store *s;
uint32_t class;
uint64_t worker;

void reopen(int64_t ballast)
{
    struct store_options o = { .path = path, .quiet = true, .ballast_bytes = ballast };
    char *error = NULL;
    store_close(s);
    s = NULL;
    if (store_open(&s, &o, &error) < 0)
        fail_msg("%s", error);
}

int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-store-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    reopen(0);
    struct class_row c = { .queue = str_of("default"), .handler = str_of("cpu") };
    assert_int_equal(store_add_class(s, &c, &class), 0);
    struct str instance = { "0123456789abcdef", 16 };
    assert_int_equal(store_worker(s, instance, str_of("w"), str_of("h"), str_of("uid:0"), NOW, &worker), 0);
    return store_commit(s);
}

int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    s = store_close(s);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

int64_t number(const char *text)
{
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(s->db, text, -1, &q, NULL), SQLITE_OK);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

const char *submitter = "uid:1";

static uint64_t add_spec(struct job_spec spec, int64_t due, int64_t expire)
{
    struct new_job j = {
        &spec, class, due == UNSET ? STATE_QUEUED : STATE_SCHEDULED, due, expire, 0
    };
    uint64_t id = 0;
    assert_int_equal(store_add_jobs(s, &j, 1, str_of(submitter), NOW, &id), 0);
    return id;
}

uint64_t add(int64_t priority)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.priority = priority;
    return add_spec(spec, UNSET, UNSET);
}

uint64_t add_due(int64_t due, int64_t expire)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    return add_spec(spec, due, expire);
}

struct job_row get(uint64_t id)
{
    struct job_row j;
    assert_int_equal(store_get(s, id, &j), 0);
    return j;
}

bool lease(uint64_t id)
{
    struct lease_order o = { .id = id, .worker = worker, .pool = POOL_PROCESS };
    assert_int_equal(store_lease(s, &o, 1, NOW), 0);
    free(o.owned);
    return o.leased;
}

bool end_at(uint64_t id, uint64_t attempt, enum job_state to, int64_t finished)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.result = str_of("result");
    struct job_row j = { .owner = 0 };
    store_get(s, id, &j);
    struct attempt_end e = { .id = id,
                             .owner = j.owner,
                             .attempt = attempt,
                             .to = to,
                             .due_ms = to == STATE_SCHEDULED ? finished : UNSET,
                             .from_class = class,
                             .class = class,
                             .worker = worker,
                             .pool = POOL_PROCESS,
                             .started_ms = NOW,
                             .finished_ms = finished,
                             .outcome = &o };
    assert_int_equal(store_end_attempts(s, &e, 1), 0);
    return e.recorded;
}

bool end_now(uint64_t id, uint64_t attempt, enum job_state to)
{
    return end_at(id, attempt, to, NOW);
}

void assert_counters_are_true(void)
{
    assert_int_equal(
        number("SELECT count(*) FROM (SELECT class, state, count(*) AS n FROM job GROUP BY 1, 2) j "
               "FULL JOIN "
               "(SELECT * FROM counter WHERE n <> 0) c USING (class, state) WHERE j.n IS NOT c.n"),
        0);
    assert_int_equal(number("SELECT count(*) FROM job WHERE state >= 4"), s->n_finished);
}

/* ---- the model ------------------------------------------------------------------------------- */

static int64_t count_open(int64_t owner)
{
    cleanup(freep) char *text = xasprintf("SELECT count(*) FROM job WHERE state < 4 AND owner = %d", (int)owner);
    return number(text);
}

void assert_accounts_are_true(void)
{
    const struct account *a;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        if (a->known && a->open != count_open(a->owner))
            fail_msg("owner %d has %d open jobs; its account says %d", (int)a->owner, (int)count_open(a->owner), (int)a->open);
    assert_int_equal(number("SELECT count(*) FROM account a WHERE open <> (SELECT count(*) FROM job j WHERE j.owner = a.owner "
                            "AND state < 4)"), 0);
}

/* ---- open jobs of an owner ------------------------------------------------------------------- */

void limit(const char *owner, int64_t most)
{
    struct open_limit l = { str_of(owner), most };
    assert_int_equal(store_limit_open(s, &l, 1), 0);
}
