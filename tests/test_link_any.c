/* test_link_any.c - any messages in any order: the link always knows what it holds. */
#include "tests/link_rig.h"

static void tell_anything(struct fixture *f, struct rng *rng)
{
    static const enum message_type of_one[] = { MSG_RECORDED, MSG_TAKE_BACK, MSG_STOP };
    struct attempt_ref ref = { rng_below(rng, 8), rng_below(rng, 3) };
    switch (rng_below(rng, 12)) {
    case 0:
        f->session = rng_below(rng, 6) ? f->session + 1 : f->session;
        tell_welcome(f, &ref, rng_below(rng, 2));
        break;
    case 1:
        tell_bare(f, rng_below(rng, 3) ? MSG_HELLO_AGAIN : MSG_BYE);
        break;
    case 2:
        answer_beats(f);
        break;
    case 3:
    case 4:
        tell_run_in(f, ref.job, ref.attempt, rng_below(rng, 4),
                    rng_below(rng, 9) ? "echo" : "nobody");
        break;
    case 5:
        tell_bare(f, (enum message_type)(1 + rng_below(rng, 2) * 33));
        break;
    default:
        tell_of(f, of_one[rng_below(rng, 3)], ref.job, ref.attempt);
    }
}

static void finish_anything(struct fixture *f, struct rng *rng)
{
    struct fake_pool *p = &f->pools[POOL_THREAD];
    if (!p->n_running)
        return;
    struct run *r = p->running[rng_below(rng, p->n_running)];
    finish_as(f, r->job.job, r->job.attempt, (enum ending)rng_below(rng, 5),
              rng_below(rng, 2) ? REASON_NONE : REASON_EXIT, "result");
}

static void no_order_of_messages_loses_count_of_what_is_held(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_init(&rng, 4711);
    log_init("test_link", (enum log_level)0);
    f->pools[POOL_LOOP].slots = 1;
    for (int i = 0; i < 20000; i++) {
        f->refuse = rng_below(&rng, 20) == 0;
        tell_anything(f, &rng);
        if (rng_below(&rng, 3) == 0)
            finish_anything(f, &rng);
        if (rng_below(&rng, 50) == 0)
            link_quiet(f->link, f->now);
        else if (rng_below(&rng, 10) == 0)
            link_resume(f->link, f->now);
        pass(f, (int64_t)rng_below(&rng, 300));
        turn(f);
        size_t in_pools = 0;
        for (size_t k = 0; k < N_POOLS; k++)
            in_pools += f->pools[k].n_waiting + f->pools[k].n_running;
        assert_int_equal(link_view(f->link).unfinished, in_pools);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SESSION(no_order_of_messages_loses_count_of_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
