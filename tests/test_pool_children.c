/* test_pool_children.c - jobs that submit jobs and wait for them, on all three pools: parents give their slots back, and get
 * them again. */
#include "tests/children_rig.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "worker/handlers.h"

/* ---- handlers -------------------------------------------------------------------------------- */

static void nap(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

static int leaf_blocking(struct tern_job *job)
{
    nap(3);
    return tern_result(job, "1", 1);
}

static int leaf_async(struct tern_job *job)
{
    int r = tern_await_ms(job, 3);
    return r < 0 ? r : tern_result(job, "1", 1);
}

static int add_result(struct tern_job *job, uint64_t id, int *sum)
{
    void *bytes;
    size_t n;
    int r = tern_child_result(job, id, &bytes, &n);
    if (r < 0)
        return r;
    char text[16] = { 0 };
    memcpy(text, bytes, n < sizeof text ? n : sizeof text - 1);
    free(bytes);
    *sum += (int)strtol(text, NULL, 10);
    return 0;
}

/* Payload: how many children, and how many generations of parents below it. Its result: how many leaves there are. */
static int parent(struct tern_job *job)
{
    size_t bytes;
    const char *p = tern_payload(job, &bytes);
    size_t n = (size_t)(p[0] - '0');
    char below[2] = { p[0], (char)(p[1] - 1) };
    struct tern_child children[9];
    uint64_t ids[9];
    char text[16];
    int sum = 0;
    for (size_t i = 0; i < n; i++)
        children[i] = (struct tern_child){ .handler = p[1] > '0' ? "parent" : "leaf", .payload = below, .payload_bytes = 2 };
    int r = tern_spawn_many(job, children, n, ids);
    if (r >= 0)
        r = tern_await_children(job, ids, n, NULL);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = add_result(job, ids[i], &sum);
    if (bytes != 2 || p[1] != below[1] + 1)
        return tern_fail(job, "the payload has changed meanwhile");
    return r < 0 ? r : tern_result(job, text, (size_t)snprintf(text, sizeof text, "%d", sum));
}

static int long_blocking(struct tern_job *job)
{
    while (!tern_should_stop(job))
        nap(3);
    return tern_fail(job, "stopped");
}

static int long_async(struct tern_job *job) { return tern_await_ms(job, 100000); }

/* The first of a long one and a short one. */
static int race(struct tern_job *job)
{
    uint64_t ids[2];
    struct tern_child_end end;
    const struct tern_child children[2] = { { .handler = "long", .key = "slow" }, { .handler = "leaf", .key = "fast" } };
    int r = tern_spawn_many(job, children, 2, ids);
    if (r >= 0)
        r = tern_await_any_child(job, ids, 2, &end);
    if (r < 0)
        return r;
    return r == 1 && end.id == ids[1] && end.state == TERN_CHILD_DONE ? 0 : tern_fail(job, "child %d won", r);
}

/* Waits for what never ends; what it asks once it was told to stop is in vain too. */
static int waits(struct tern_job *job)
{
    uint64_t id, other;
    int r = tern_spawn(job, &(struct tern_child){ .handler = "never" }, &id);
    if (r >= 0)
        r = tern_await_child(job, id, NULL);
    if (r == -ECANCELED && tern_spawn(job, &(struct tern_child){ .handler = "leaf" }, &other) != -ECANCELED)
        return 0;
    return r;
}

/* Likewise, and then takes its time. */
static int lingers(struct tern_job *job)
{
    int r = waits(job);
    nap(300);
    return r;
}

static int quick(struct tern_job *job) { return tern_result(job, "1", 1); }

static int waits_in_task(struct tern_job *job, void *id) { return tern_await_child(job, *(uint64_t *)id, NULL); }

/* Looks up from waiting again and again. */
static int tires(struct tern_job *job)
{
    uint64_t id;
    int r = tern_spawn(job, &(struct tern_child){ .handler = "never" }, &id);
    for (int i = 0; i < 50 && r >= 0; i++) {
        struct tern_task *task;
        r = tern_start(job, &task, waits_in_task, &id);
        if (r >= 0)
            r = tern_await_ms(job, 1);
        if (r >= 0 && tern_end(job, task) != -ECANCELED)
            r = tern_fail(job, "it has ended");
    }
    return r < 0 ? r : tern_await_ms(job, 200);
}

static int bad_child(struct tern_job *job)
{
    uint64_t id;
    struct tern_child_end end;
    int r = tern_spawn(job, &(struct tern_child){ .handler = "fails" }, &id);
    if (r >= 0)
        r = tern_await_child(job, id, &end);
    if (r < 0 || end.state != TERN_CHILD_DEAD || strcmp(end.reason, "handler-error") != 0)
        return tern_fail(job, "%d", r);
    return tern_await_child(job, id, NULL);
}

static int bad_text(struct tern_job *job)
{
    uint64_t id;
    int r = tern_spawn(job, &(struct tern_child){ .handler = "leaf", .key = "\xff" }, &id);
    return r == -EINVAL ? r : tern_fail(job, "%d", r);
}

static int fails(struct tern_job *job) { return tern_fail(job, "no"); }

static int dies(struct tern_job *job)
{
    uint64_t id;
    (void)!tern_spawn(job, &(struct tern_child){ .handler = "leaf" }, &id);
    abort();
}

/* More often than it changes; less than 0 and more than 100 are those. With a payload, to and fro without end. */
static int reports(struct tern_job *job)
{
    size_t n;
    (void)tern_payload(job, &n);
    for (int i = -50; i < 1500; i++)
        tern_progress(job, i / 10);
    for (int i = 0; n && i < 300000; i++)
        tern_progress(job, 99 + i % 2);
    return 0;
}

static const struct tern_handler handlers[] = {
    { .name = "leaf", .blocking = leaf_blocking, .async = leaf_async },
    { .name = "parent", .blocking = parent, .async = parent },
    { .name = "long", .blocking = long_blocking, .async = long_async },
    { .name = "race", .blocking = race, .async = race },
    { .name = "waits", .blocking = waits, .async = waits },
    { .name = "lingers", .blocking = lingers, .async = waits },
    { .name = "tires", .blocking = quick, .async = tires },
    { .name = "quick", .blocking = quick, .async = quick },
    { .name = "bad-child", .blocking = bad_child, .async = bad_child },
    { .name = "bad-text", .blocking = bad_text, .async = bad_text },
    { .name = "fails", .blocking = fails, .async = fails },
    { .name = "reports", .blocking = reports, .async = reports },
    { .name = "dies", .blocking = dies, .async = dies },
};

/* ---- cases ----------------------------------------------------------------------------------- */

static void a_pool_full_of_parents_does_not_lock_itself_up(void **state)
{
    struct rig *g = rig_new(state, 2);
    for (uint64_t i = 1; i <= 6; i++)
        give_id(g, i, "parent", "30");
    until_finished(g, 6 + 6 * 3);
    for (uint64_t i = 1; i <= 6; i++)
        assert_done(g, i, "3");
    assert_true(g->most_parked >= 2);
    assert_true(g->most_used <= 2);
    struct pool_load load = pool_load(g->pool);
    assert_true(load.slots == 2 && load.used == 0 && load.parked == 0);
    rig_free(g);
}

static void parents_have_parents(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "parent", "22");
    until_finished(g, 1 + 2 + 4 + 8);
    assert_done(g, 1, "8");
    assert_true(g->most_used <= 1);
    rig_free(g);
}

static void how_far_a_job_is_is_reported_when_it_changes(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "reports", "");
    give_id(g, 2, "leaf", "");
    until_finished(g, 2);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_int_equal(g->percent, 100);
    assert_true(g->n_reports >= 1 && g->n_reports <= 101);
    assert_done(g, 2, "1");
    rig_free(g);
}

static void one_that_reports_without_end_is_heard_now_and_then(void **state)
{
    struct rig *g = rig_new(state, 1);
    int64_t from_ms = clock_now().mono_ms;
    give_id(g, 1, "reports", "x");
    until_finished(g, 1);
    assert_in_range(g->n_reports, 1, 201 + (clock_now().mono_ms - from_ms) / 10);
    rig_free(g);
}

static void any_of_several_is_enough(void **state)
{
    struct rig *g = rig_new(state, 2);
    give_id(g, 1, "race", "");
    until_finished(g, 2);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    pool_stop(g->pool, FIRST_CHILD, 1, REASON_CANCELLED, 5000, clock_now());
    until_finished(g, 3);
    rig_free(g);
}

static void one_that_waits_no_more_is_not_parked(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "tires", "");
    until_finished(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_true(list_empty(&g->awaited));
    if (g->kind == POOL_LOOP)
        assert_int_equal(g->most_parked, 1);
    rig_free(g);
}

static void a_child_that_fails_is_an_end_and_a_text(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "bad-child", "");
    until_finished(g, 2);
    const struct outcome *o = outcome_of(g, 1);
    assert_int_equal(o->ending, ENDING_FAILED);
    cleanup(freep) char *text = xstrndup(o->error);
    assert_string_equal(text, "child 3000 is dead (handler-error)");
    rig_free(g);
}

static void a_child_with_bytes_that_are_no_text_is_refused(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "bad-text", "");
    until_finished(g, 1);
    cleanup(freep) char *text = xstrndup(outcome_of(g, 1)->error);
    assert_string_equal(text, "a child's key must be UTF-8");
    rig_free(g);
}

static void a_parked_parent_hears_of_cancel_time_limit_and_hand_back(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "waits", "");
    give(g, 2, str_of("waits"), STR_UNSET, 150);
    give_id(g, 3, "waits", "");
    until_parked(g, 3);
    until_finished(g, 1);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_TIME_LIMIT);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    until_finished(g, 2);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_CANCELLED);
    pool_stop_all(g->pool, 5000, clock_now());
    until_finished(g, 3);
    assert_true(outcome_of(g, 3)->ending == ENDING_LOST && outcome_of(g, 3)->reason == REASON_NONE);
    give_id(g, 4, "parent", "30"); /* all goes on */
    until_finished(g, 3 + 4);
    assert_done(g, 4, "3");
    rig_free(g);
}

/* Short ones follow each other on the slots that there are, while it has none. */
static void a_parked_parent_that_is_stopped_holds_up_no_short_ones(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "lingers", "");
    until_parked(g, 1);
    for (uint64_t i = 2; i <= 2000; i++)
        give_id(g, i, "quick", "");
    while (g->n_finished < 100)
        turn(g);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    until_finished(g, 2000);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_CANCELLED);
    for (uint64_t i = 2; i <= 2000; i++)
        assert_done(g, i, "1");
    struct pool_load load = pool_load(g->pool);
    assert_true(load.slots == 1 && load.used == 0 && load.parked == 0);
    rig_free(g);
}

static void more_parents_than_eight_a_slot_are_refused(void **state)
{
    struct rig *g = rig_new(state, 1);
    for (uint64_t i = 1; i <= LIMIT_PARKED; i++)
        give_id(g, i, "waits", "");
    until_parked(g, LIMIT_PARKED);
    give_id(g, 20, "waits", "");
    until_finished(g, 1);
    const struct outcome *o = outcome_of(g, 20);
    cleanup(freep) char *text = xstrndup(o->error);
    assert_int_equal(o->ending, ENDING_FAILED);
    if (!strstr(text, "have children and have not ended"))
        fail_msg("%s", text);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    until_finished(g, 2);
    give_id(g, 21, "parent", "10"); /* one has ended: there is room again */
    until_finished(g, 4);
    assert_done(g, 21, "1");
    rig_free(g);
}

static void a_parent_that_dies_costs_itself_alone(void **state)
{
    struct rig *g = rig_new(state, 2);
    if (g->kind == POOL_PROCESS) {
        give_id(g, 1, "dies", "");
        give_id(g, 2, "parent", "30");
        until_finished(g, 6);
        assert_int_equal(outcome_of(g, 1)->signal, SIGABRT);
        assert_done(g, 2, "3");
    }
    rig_free(g);
}

static void a_pool_closes_while_parents_wait(void **state)
{
    struct rig *g = rig_new(state, 1);
    for (uint64_t i = 1; i <= 4; i++)
        give_id(g, i, "waits", "");
    until_parked(g, 4);
    rig_free(g);
}

static void many_parents_of_short_children_all_end(void **state)
{
    struct rig *g = rig_new(state, 4);
    for (uint64_t i = 1; i <= 30; i++)
        give_id(g, i, "parent", "90");
    until_finished(g, 30 + 30 * 9);
    for (uint64_t i = 1; i <= 30; i++)
        assert_done(g, i, "9");
    rig_free(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_EACH_POOL(a_pool_full_of_parents_does_not_lock_itself_up),
        IN_EACH_POOL(parents_have_parents),
        IN_EACH_POOL(how_far_a_job_is_is_reported_when_it_changes),
        IN_EACH_POOL(one_that_reports_without_end_is_heard_now_and_then),
        IN_EACH_POOL(any_of_several_is_enough),
        IN_EACH_POOL(one_that_waits_no_more_is_not_parked),
        IN_EACH_POOL(a_child_that_fails_is_an_end_and_a_text),
        IN_EACH_POOL(a_child_with_bytes_that_are_no_text_is_refused),
        IN_EACH_POOL(a_parked_parent_hears_of_cancel_time_limit_and_hand_back),
        IN_EACH_POOL(a_parked_parent_that_is_stopped_holds_up_no_short_ones),
        IN_EACH_POOL(more_parents_than_eight_a_slot_are_refused),
        IN_EACH_POOL(a_parent_that_dies_costs_itself_alone),
        IN_EACH_POOL(a_pool_closes_while_parents_wait),
        IN_EACH_POOL(many_parents_of_short_children_all_end),
    };
    own_zygote_handlers(handlers, ELEMENTS(handlers));
    return own_zygote_main(argc, argv, tests, ELEMENTS(tests));
}
