/* test_zygote.c - the zygote, a child and the launcher are killed, and it costs what ran there; in the long run nothing leaks. */
#include "tests/zygote_rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/rng.h"
#include "worker/tree.h"

/* ---- deaths ---------------------------------------------------------------------------------- */

static pid_t child_named(const char *name)
{
    struct tree t = { 0 };
    pid_t found = 0;
    tree_read(&t, getpid());
    for (size_t i = 1; i < t.n && !found; i++) {
        char path[64], comm[32] = "";
        snprintf(path, sizeof(path), "/proc/%d/comm", t.at[i].pid);
        FILE *f = fopen(path, "r");
        if (f && fgets(comm, sizeof(comm), f) && strncmp(comm, name, strlen(name)) == 0)
            found = t.at[i].pid;
        if (f)
            fclose(f);
    }
    tree_fini(&t);
    return found;
}

static void a_zygote_that_dies_is_replaced(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    give_id(g->process, 1, "hangs");
    struct run_job j = job_of(2, "exec");
    give_script(g->thread, j, "setsid env -i sleep 1000 & (setsid sleep 1000 &) ; sleep 1000");
    turns(g, 300);
    kill(zygote_pid(g->zygote), SIGKILL);
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_WORKER_LOST);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_LOST);
    assert_well(g, 3);
    give_id(g->process, 4, "well");
    j = job_of(5, "exec");
    give_script(g->thread, j, "exit 0");
    finish(g, 5);
    assert_well(g, 4);
    assert_int_equal(outcome_of(g, 5)->ending, ENDING_DONE);
    assert_in_range(count_tree(), 4, 5);
    rig_close(g);
}

static void a_child_that_is_killed_costs_one_attempt(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_id(g->process, 1, "hangs");
    turns(g, 300);
    kill(child_named("tern-child"), SIGKILL);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 1)->signal, SIGKILL);
    assert_int_equal(count_tree(), 2);
    give_id(g->process, 2, "well");
    finish(g, 2);
    kill(child_named("tern-child"), SIGKILL); /* while it has nothing to do */
    nap(50);
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_well(g, 3);
    rig_close(g);
}

static void a_launcher_that_dies_is_replaced(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "exec");
    give_script(g->thread, j, "(setsid env -i sleep 1000 &); sleep 1000");
    turns(g, 300);
    kill(child_named("tern-launcher"), SIGKILL);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    assert_int_equal(count_tree(), 2);
    j = job_of(2, "exec");
    give_script(g->thread, j, "exit 0");
    finish(g, 2);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
    rig_close(g);
}

/* What is behind begins on a new launcher as soon as an outcome of the old one is heard. */
static void what_a_launcher_dies_of_is_lost_and_not_begun_again(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_script(g->thread, job_of(1, "exec"), "sleep 5");
    for (uint64_t id = 2; id <= 100; id++)
        give_script(g->thread, job_of(id, "exec"), "sleep 0.5");
    for (uint64_t id = 101; id <= 110; id++)
        give_script(g->thread, job_of(id, "exec"), "exit 0");
    turns(g, 300);
    nap(1000);
    kill(child_named("tern-launcher"), SIGKILL);
    nap(200);
    finish(g, 110);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    for (uint64_t id = 101; id <= 110; id++)
        assert_int_equal(outcome_of(g, id)->ending, ENDING_DONE);
    rig_close(g);
}

static void deaths_at_random_lose_no_job(void **state)
{
    (void)state;
    static const char *const victims[] = { "tern-zygote", "tern-child", "tern-child", "tern-launcher" };
    struct rig *g = rig_open(3, 7);
    struct rng rng;
    rng_init(&rng, 11);
    uint64_t id = 0;
    for (int round = 0; round < 25; round++) {
        for (int i = 0; i < 8; i++)
            give_id(g->process, ++id, "computes");
        struct run_job j = job_of(++id, "exec");
        give_script(g->thread, j, "sleep 0.05");
        j = job_of(++id, "exec");
        give_script(g->process, j, "(setsid sleep 1000 &); sleep 0.02");
        turns(g, (int64_t)rng_below(&rng, 60));
        pid_t victim = child_named(victims[rng_below(&rng, 1000) * ELEMENTS(victims) / 1000]);
        if (victim)
            kill(victim, SIGKILL);
    }
    finish(g, id);
    size_t n_done = 0;
    for (uint64_t i = 1; i <= id; i++)
        n_done += outcome_of(g, i)->ending == ENDING_DONE;
    assert_true(n_done > id / 2);
    give_id(g->process, id + 1, "well");
    finish(g, id + 1);
    assert_well(g, id + 1);
    rig_close(g);
}

static void when_the_worker_dies_all_that_it_started_ends(void **state)
{
    (void)state;
    int gone[2];
    assert_int_equal(pipe(gone), 0); /* all that the worker starts but commands' own children would hold it open */
    pid_t worker = fork();
    if (worker == 0) {
        struct rig *g = rig_open(2, 0);
        give_id(g->process, 1, "hangs");
        struct run_job j = job_of(2, "exec");
        give_script(g->thread, j, "(setsid env -i sleep 1000 &); sleep 1000");
        turns(g, 400);
        kill(getpid(), SIGKILL);
    }
    close(gone[0]);
    close(gone[1]);
    waitpid(worker, NULL, 0);
    for (int i = 0; i < 500 && count_tree() > 1; i++) { /* this process is a subreaper: what is left comes to it */
        nap(10);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    assert_int_equal(count_tree(), 1);
}

/* ---- many ------------------------------------------------------------------------------------ */

static void children_are_recycled_and_nothing_leaks(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 10);
    for (uint64_t i = 1; i <= 1000; i++)
        give_id(g->process, i, "well");
    finish(g, 1000);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_well(g, i);
    assert_in_range(count_fds() - g->fds, 1, 40);
    rig_close(g);
}

static void one_that_is_asked_gives_a_sign_of_life_unless_it_hangs(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    assert_true(zygote_is_alive(g->zygote));
    zygote_ask_alive(g->zygote);
    assert_false(zygote_is_alive(g->zygote));
    for (int i = 0; i < 500 && !zygote_is_alive(g->zygote); i++)
        turns(g, 10);
    assert_true(zygote_is_alive(g->zygote));
    kill(zygote_pid(g->zygote), SIGSTOP);
    zygote_ask_alive(g->zygote);
    turns(g, 200);
    assert_false(zygote_is_alive(g->zygote));
    kill(zygote_pid(g->zygote), SIGCONT);
    for (int i = 0; i < 500 && !zygote_is_alive(g->zygote); i++)
        turns(g, 10);
    assert_true(zygote_is_alive(g->zygote));
    rig_close(g);
}

static void it_is_fast(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    int64_t from_us = clock_mono_us();
    for (uint64_t i = 1; i < MOST; i++)
        give_id(g->process, i, "small");
    finish(g, MOST - 1);
    print_message("%.0f jobs/s in 2 processes\n", (MOST - 1) * 1e6 / (double)(clock_mono_us() - from_us));
    rig_close(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zygote_that_dies_is_replaced),
        cmocka_unit_test(a_child_that_is_killed_costs_one_attempt),
        cmocka_unit_test(a_launcher_that_dies_is_replaced),
        cmocka_unit_test(what_a_launcher_dies_of_is_lost_and_not_begun_again),
        cmocka_unit_test(deaths_at_random_lose_no_job),
        cmocka_unit_test(when_the_worker_dies_all_that_it_started_ends),
        cmocka_unit_test(children_are_recycled_and_nothing_leaks),
        cmocka_unit_test(one_that_is_asked_gives_a_sign_of_life_unless_it_hangs),
        cmocka_unit_test(it_is_fast),
    };
    return rig_main(argc, argv, tests, ELEMENTS(tests));
}
