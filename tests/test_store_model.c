/* test_store_model.c - a few thousand random verbs of the store do what a model says. */
#include "tests/store_rig.h"

#include "proto/base/rng.h"

#define MODEL_JOBS 3000

struct model {
    struct model_job {
        bool there;
        enum job_state state;
        uint64_t attempt;
        int64_t due;
    } jobs[MODEL_JOBS + 1]; /* by id */
    uint64_t next;
};

static const char *const owners[] = { "uid:1", "key:ada", "key:bob" };

/* Some of them have a limit from now on. Nothing here holds to it: it is what makes them be counted. */
static void step_limit(struct rng *rng)
{
    struct open_limit limits[ELEMENTS(owners)];
    size_t n = 0;
    for (size_t i = 0; i < ELEMENTS(owners); i++)
        if (rng_below(rng, 2))
            limits[n++] = (struct open_limit){ str_of(owners[i]), 1 + (int64_t)rng_below(rng, 100) };
    assert_int_equal(store_limit_open(s, limits, n), 0);
}

static void step_add(struct model *m, struct rng *rng)
{
    submitter = owners[rng_below(rng, ELEMENTS(owners))];
    bool later = rng_below(rng, 3) == 0;
    int64_t due = later ? NOW + (int64_t)rng_below(rng, 100) : UNSET;
    if (m->next > MODEL_JOBS)
        return;
    assert_int_equal(add_due(due, UNSET), m->next);
    m->jobs[m->next++] = (struct model_job){ true, later ? STATE_SCHEDULED : STATE_QUEUED, 0, due };
}

static void step_promote(struct model *m, struct rng *rng)
{
    struct due_job due[5];
    int64_t now = NOW + (int64_t)rng_below(rng, 100);
    int n = store_promote_due(s, now, due, 5);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        struct model_job *j = &m->jobs[due[i].id];
        assert_true(j->there && j->state == STATE_SCHEDULED && j->due <= now);
        j->state = STATE_QUEUED;
    }
}

static void step_end(struct model_job *j, uint64_t id, struct rng *rng)
{
    static const enum job_state to[] = { STATE_DONE,    STATE_DEAD,   STATE_CANCELLED,
                                         STATE_EXPIRED, STATE_QUEUED, STATE_SCHEDULED };
    enum job_state next = to[rng_below(rng, ELEMENTS(to))];
    uint64_t attempt = rng_below(rng, 4) ? j->attempt : j->attempt - 1;
    bool right = j->there && j->state == STATE_RUNNING && attempt == j->attempt;
    assert_int_equal(end_at(id, attempt, next, NOW + 50), right);
    if (!right)
        return;
    j->state = next;
    j->due = next == STATE_SCHEDULED ? NOW + 50 : j->due;
}

static void step(struct model *m, struct rng *rng)
{
    uint64_t verb = rng_below(rng, 12), id = 1 + rng_below(rng, m->next);
    struct model_job none = { 0 }, *j = id < m->next ? &m->jobs[id] : &none;
    bool right;
    switch (verb) {
    case 0:
    case 1:
        step_add(m, rng);
        break;
    case 2:
        step_promote(m, rng);
        break;
    case 3:
    case 4:
        right = j->there && j->state == STATE_QUEUED;
        assert_int_equal(lease(id), right);
        if (right)
            *j = (struct model_job){ true, STATE_RUNNING, j->attempt + 1, j->due };
        break;
    case 5:
    case 6:
        step_end(j, id, rng);
        break;
    case 7:
        right = j->there && j->state < STATE_RUNNING;
        assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), right);
        j->state = right ? STATE_CANCELLED : j->state;
        break;
    case 8:
        right = j->there && j->state > STATE_DONE;
        assert_int_equal(store_retry(s, id, class, NOW), right);
        j->state = right ? STATE_QUEUED : j->state;
        break;
    case 9:
        if (rng_below(rng, 8) == 0)
            step_limit(rng);
        break;
    case 10:
        assert_true(store_count_open(s, 1 + rng_below(rng, 20)) >= 0);
        break;
    default:
        right = j->there && state_is_terminal(j->state);
        assert_int_equal(store_remove(s, id), right);
        j->there = j->there && !right;
    }
}

static void compare(const struct model *m)
{
    assert_accounts_are_true();
    int64_t there = 0;
    for (uint64_t id = 1; id < m->next; id++) {
        struct job_row j;
        int r = store_get(s, id, &j);
        assert_int_equal(r, m->jobs[id].there ? 0 : -ENOENT);
        there += r == 0;
        if (!r && (j.state != m->jobs[id].state || j.attempt != m->jobs[id].attempt))
            fail_msg("job %d is %s, attempt %d; the model says %s, %d", (int)id,
                     state_name(j.state), (int)j.attempt, state_name(m->jobs[id].state),
                     (int)m->jobs[id].attempt);
    }
    assert_int_equal(number("SELECT count(*) FROM job"), there);
    assert_counters_are_true();
}

static void random_verbs_rollbacks_and_reopenings_do_what_the_model_does(void **state)
{
    (void)state;
    struct model *now = xcalloc(2, sizeof *now), *committed = now + 1;
    struct rng rng;
    const char *seed = getenv("SEED");
    rng_init(&rng, seed ? strtoull(seed, NULL, 10) : 42);
    now->next = 1;
    *committed = *now;
    for (int turn = 0; turn < 600; turn++) {
        for (uint64_t n = 1 + rng_below(&rng, 14); n > 0; n--)
            step(now, &rng);
        uint64_t what = rng_below(&rng, 20);
        if (what < 4) {
            store_rollback(s);
            *now = *committed;
        } else if (what == 4) {
            reopen(0);
            *now = *committed;
        } else {
            assert_int_equal(store_commit(s), 0);
            *committed = *now;
        }
        if (turn % 20 == 0)
            compare(now);
    }
    compare(now);
    free(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(random_verbs_rollbacks_and_reopenings_do_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
