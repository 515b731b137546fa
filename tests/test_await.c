/* test_await.c - what a job on the loop may await: its tasks, all or any of them; and that what it starts ends with it. */
#include "tests/await_rig.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- tasks ------------------------------------------------------------------------------------ */

struct step {
    int64_t ms;
    int gives;
    int *n_ended; /* counts them */
};

static int take_a_step(struct tern_job *job, void *arg)
{
    struct step *s = arg;
    int r = tern_await_ms(job, s->ms);
    ++*s->n_ended;
    return r < 0 ? r : s->gives;
}

static int many_tasks(struct tern_job *job)
{
    enum { N = 1000 };
    int n = 0, r = 0;
    cleanup(freep) struct step *steps = xcalloc(N, sizeof *steps);
    cleanup(freep) struct tern_task **tasks = xcalloc(N, sizeof *tasks);
    for (int i = 0; i < N && r == 0; i++) {
        steps[i] = (struct step){ 100 + i % 50, i, &n };
        r = tern_start(job, &tasks[i], take_a_step, &steps[i]);
    }
    if (r == 0)
        r = tern_await_all(job, tasks, N);
    for (int i = 0; i < N && r == 0; i++)
        if (tern_task_result(tasks[i]) != i || tern_end(job, tasks[i]) != i)
            r = tern_fail(job, "task %d gave something else", i);
    tern_end_all(job);
    return r < 0 || n == N ? r : tern_fail(job, "%d have ended", n);
}

static int first_of_three(struct tern_job *job)
{
    int n = 0;
    struct step steps[] = { { 60000, 1, &n }, { 20, 2, &n }, { 60000, 3, &n } };
    struct tern_task *tasks[3];
    for (int i = 0; i < 3; i++)
        if (tern_start(job, &tasks[i], take_a_step, &steps[i]) < 0)
            return tern_fail(job, "not started");
    if (tern_task_result(tasks[1]) != -EINPROGRESS)
        return tern_fail(job, "it has run before anything was awaited");
    int first = tern_await_any(job, tasks, 3);
    if (first != 1 || tern_task_result(tasks[1]) != 2)
        return tern_fail(job, "the first was %d", first);
    if (tern_end(job, tasks[0]) != -ECANCELED || n != 2)
        return tern_fail(job, "a task that was ended did not hear of it");
    return tern_end_all(job) < 0 || n != 3 ? tern_fail(job, "not all have ended") : 0;
}

static int one_fails(struct tern_job *job)
{
    int n = 0;
    struct step steps[] = { { 60000, 1, &n }, { 20, -ENOSPC, &n } };
    struct tern_task *tasks[2];
    for (int i = 0; i < 2; i++)
        if (tern_start(job, &tasks[i], take_a_step, &steps[i]) < 0)
            return tern_fail(job, "not started");
    int r = tern_await_all(job, tasks, 2);
    tern_end_all(job);
    return r;
}

static int n_left_behind; /* the loop's */

static int leaves_tasks(struct tern_job *job)
{
    static struct step steps[10];
    for (int i = 0; i < 10; i++) {
        steps[i] = (struct step){ 60000, 0, &n_left_behind };
        if (tern_start(job, NULL, take_a_step, &steps[i]) < 0)
            return tern_fail(job, "not started");
    }
    return 0;
}

static int waits_for_tasks(struct tern_job *job)
{
    int n = 0;
    struct step step = { 60000, 0, &n };
    struct tern_task *task[2];
    for (int i = 0; i < 2; i++)
        if (tern_start(job, &task[i], take_a_step, &step) < 0)
            return tern_fail(job, "not started");
    int r = tern_await_all(job, task, 2);
    if (tern_end(job, task[0]) != -ECANCELED || tern_end_all(job) < 0 || n != 2)
        return tern_fail(job, "they have not heard of it");
    if (r != -ECANCELED || tern_start(job, NULL, take_a_step, &step) != -ECANCELED)
        return tern_fail(job, "a task was started after the job was told to stop");
    return r;
}

static int waits_for_itself(struct tern_job *job, void *arg)
{
    struct tern_task **self = arg;
    return tern_await_any(job, self, 1) == -EDEADLK && tern_end_all(job) == -EDEADLK ? 0 : -EIO;
}

static int waits(struct tern_job *job, void *arg) { return tern_await_all(job, arg, 1); }

static int waits_wrongly(struct tern_job *job)
{
    int n = 0;
    struct step step = { 30, 7, &n };
    struct tern_task *self, *slow, *other, *twice[2];
    if (tern_start(job, &self, waits_for_itself, &self) < 0 || tern_await_all(job, &self, 1) < 0)
        return tern_fail(job, "a task waited for itself");
    if (tern_start(job, &slow, take_a_step, &step) < 0 || tern_start(job, &other, waits, &slow) < 0)
        return tern_fail(job, "not started");
    tern_await_ms(job, 0);
    tern_await_ms(job, 0);
    if (tern_await_all(job, &slow, 1) != -EBUSY || tern_end(job, slow) != -EBUSY)
        return tern_fail(job, "two waited for one task");
    if (tern_await_any(job, &slow, 0) != -EINVAL || tern_await_all(job, NULL, 0) != 0)
        return tern_fail(job, "none of no tasks");
    twice[0] = twice[1] = other;
    return tern_await_all(job, twice, 2);
}

static int deaf(struct tern_job *job, void *arg)
{
    (void)arg;
    while (tern_await_ms(job, 60000) <= 0)
        ;
    return 0;
}

static int has_a_deaf_task(struct tern_job *job) { return tern_start(job, NULL, deaf, NULL); }

static int too_many(struct tern_job *job)
{
    int n = 0, r = 0, n_started = 0;
    struct step step = { 60000, 0, &n };
    while (r == 0) {
        r = tern_start(job, NULL, take_a_step, &step);
        n_started += r == 0;
    }
    tern_end_all(job);
    return r == -EAGAIN && n_started == 10000 && n == n_started ? 0 : tern_fail(job, "%d: %d", r, n_started);
}

static int no_tasks_here(struct tern_job *job)
{
    struct tern_task *task;
    return tern_start(job, &task, waits, NULL) == -EOPNOTSUPP ? 0 : tern_fail(job, "a task in a thread");
}

/* Holds the loop, then awaits. */
static int hog(struct tern_job *job)
{
    nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL);
    return tern_await_ms(job, 1);
}

static const struct tern_handler handlers[] = {
    { .name = "many", .async = many_tasks },
    { .name = "first", .async = first_of_three, .blocking = no_tasks_here },
    { .name = "fails", .async = one_fails },
    { .name = "leaves", .async = leaves_tasks },
    { .name = "waits", .async = waits_for_tasks },
    { .name = "wrongly", .async = waits_wrongly },
    { .name = "deaf", .async = has_a_deaf_task },
    { .name = "too-many", .async = too_many },
    { .name = "hog", .async = hog },
};

TERN_MODULE(handlers);

static void done(const char *handler)
{
    struct rig *g = rig_new(4);
    rig_give(g, 1, handler, "");
    rig_finish(g, 1);
    rig_assert_done(g, 1);
    rig_free(g);
}

static void a_thousand_tasks_of_one_job_wait_at_once(void **state)
{
    (void)state;
    int64_t from_ms = clock_now().mono_ms;
    done("many");
    assert_in_range(clock_now().mono_ms - from_ms, 100, 20000);
}

static void the_first_of_several_is_told(void **state) { (void)state, done("first"); }
static void one_that_waits_wrongly_is_told_so(void **state) { (void)state, done("wrongly"); }

static void the_first_that_fails_ends_the_wait_for_all(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    rig_give(g, 1, "fails", "");
    rig_finish(g, 1);
    rig_assert_failed(g, 1, strerrordesc_np(ENOSPC));
    rig_free(g);
}

static void what_a_job_starts_ends_with_it(void **state)
{
    (void)state;
    n_left_behind = 0;
    done("leaves");
    assert_int_equal(n_left_behind, 10);
}

static void tasks_hear_of_a_cancel_and_of_the_time_limit(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    struct run_job j = rig_job(2, "waits", "");
    j.timeout_ms = 100;
    rig_give(g, 1, "waits", "");
    rig_give_job(g, &j);
    rig_begin(g, 2);
    pool_stop(g->pools[POOL_LOOP], 1, 1, REASON_CANCELLED, 5000, clock_now());
    rig_finish(g, 2);
    assert_int_equal(rig_outcome(g, 1)->ending, ENDING_CANCELLED);
    assert_int_equal(rig_outcome(g, 2)->reason, REASON_TIME_LIMIT);
    rig_wait_unused(g);
    rig_free(g);
}

static void a_task_that_does_not_hear_fails_its_job_and_holds_nobody_up(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    rig_give(g, 1, "deaf", "");
    rig_give(g, 2, "first", "");
    rig_finish(g, 2);
    rig_assert_failed(g, 1, "a task that it started does not hear that it should stop");
    rig_assert_done(g, 2);
    rig_wait_unused(g);
    rig_free(g);
}

static void past_ten_thousand_tasks_no_more_are_started(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* it has room for some 8,000 coroutines */
#endif
    done("too-many");
}

static void tasks_are_for_the_loop_alone(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    struct run_job j = rig_job(1, "first", "");
    j.pool = POOL_THREAD;
    rig_give_job(g, &j);
    rig_finish(g, 1);
    rig_assert_done(g, 1);
    rig_free(g);
}

static void a_pool_closes_while_tasks_wait(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    rig_give(g, 1, "waits", "");
    rig_give(g, 2, "many", "");
    rig_begin(g, 2);
    rig_turns(g, 30);
    rig_free(g);
}

/* ---- a loop that is blocked ------------------------------------------------------------------- */

static size_t count(int fd, const char *text)
{
    char said[4096];
    size_t n = 0;
    ssize_t bytes = pread(fd, said, sizeof said - 1, 0);
    said[bytes > 0 ? bytes : 0] = '\0';
    for (const char *p = said; (p = strstr(p, text)); p++)
        n++;
    return n;
}

static void who_blocks_the_loop_is_named_while_it_does_and_counted(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    FILE *f = tmpfile();
    int before = dup(STDERR_FILENO);
    assert_true(f && before >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
    rig_give(g, 7, "hog", "");
    while (!count(fileno(f), "event=loop-is-blocked job=7 handler=hog ms=1") && !g->n_finished)
        rig_turn(g, clock_now().mono_ms + 20);
    size_t n_finished = g->n_finished;
    rig_finish(g, 1);
    dup2(before, STDERR_FILENO);
    close(before);
    assert_int_equal(n_finished, 0); /* it was named before it gave the thread back */
    assert_int_equal(count(fileno(f), "event=loop-blocked job=7 handler=hog ms=4"), 1);
    fclose(f);
    rig_free(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_tasks_of_one_job_wait_at_once),
        cmocka_unit_test(the_first_of_several_is_told),
        cmocka_unit_test(the_first_that_fails_ends_the_wait_for_all),
        cmocka_unit_test(what_a_job_starts_ends_with_it),
        cmocka_unit_test(tasks_hear_of_a_cancel_and_of_the_time_limit),
        cmocka_unit_test(one_that_waits_wrongly_is_told_so),
        cmocka_unit_test(a_task_that_does_not_hear_fails_its_job_and_holds_nobody_up),
        cmocka_unit_test(past_ten_thousand_tasks_no_more_are_started),
        cmocka_unit_test(tasks_are_for_the_loop_alone),
        cmocka_unit_test(a_pool_closes_while_tasks_wait),
        cmocka_unit_test(who_blocks_the_loop_is_named_while_it_does_and_counted),
    };
    return rig_main(argc, argv, &tern_module, tests, ELEMENTS(tests));
}
