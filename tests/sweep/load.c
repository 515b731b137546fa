/* load.c - the script: everything that is ever written, once. What is not answered is asked again, so that it comes to its end
 * whatever the disk does. */
#include <inttypes.h>

#include "tests/sweep/sweep.h"

#define TURNS_MAX 1000 /* for one step */

/* ---- waiting ------------------------------------------------------------------------------------ */

static void turns_until(struct sweep *s, bool (*done)(struct sweep *s, size_t plan), size_t plan, const char *what)
{
    unsigned turns = 0;
    while (!done(s, plan)) {
        run_turn(s);
        sweep_check(s, ++turns < TURNS_MAX, "P2: it goes on for ever: %s", what);
    }
}

static bool is_answered(struct sweep *s, size_t plan)
{
    (void)plan;
    return s->client.answered;
}

static void request(struct sweep *s, struct message *m)
{
    struct client *c = &s->client;
    sweep_trace(s, "request: %s", message_name(m->type));
    c->request = m;
    c->asked = c->answered = false;
    c->n_asked = 0;
    turns_until(s, is_answered, 0, message_name(m->type));
    c->request = NULL;
}

/* ---- requests ----------------------------------------------------------------------------------- */

static void submit(struct sweep *s, uint64_t seq)
{
    struct job_spec specs[N_PLANS];
    cleanup(freep) char *payloads = xmalloc((size_t)N_PLANS * 16384);
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = m.submit.seq = seq;
    m.submit.jobs = specs;
    for (size_t i = 0; i < N_PLANS; i++)
        if (plans[i].seq == seq)
            specs[m.submit.n_jobs++] = plan_spec(i, payloads + i * 16384);
    request(s, &m);
    sweep_check(s, s->client.answer == MSG_SUBMITTED, "submit %" PRIu64 " was refused", seq);
}

/* True when it was done; else it was refused, which may only be when it had been asked before. */
static bool change(struct sweep *s, enum message_type verb, size_t plan)
{
    struct range range = { s->notes[plan].id, s->notes[plan].id };
    struct message m;
    message_init(&m, verb);
    m.cancel.req = 100;
    m.cancel.ranges = &range;
    m.cancel.n_ranges = 1;
    request(s, &m);
    bool done = s->client.answer == MSG_CHANGED && s->client.changed == 1;
    sweep_check(s, done || s->client.n_asked > 1, "%s of job %" PRIu64 " was refused", message_name(verb), range.first);
    return done;
}

static void cancel(struct sweep *s, size_t plan)
{
    s->notes[plan].cancel_asked = true;
    change(s, MSG_CANCEL, plan);
    s->notes[plan].cancelled = true;
    if (plans[plan].fate == FATE_CANCELLED)
        note_ended(s, plan, STATE_CANCELLED);
}

static void retry(struct sweep *s, size_t plan)
{
    s->notes[plan].retry_asked = true;
    s->notes[plan].ended = false;
    change(s, MSG_RETRY, plan);
}

static void remove_job(struct sweep *s, size_t plan)
{
    s->notes[plan].remove_asked = true;
    change(s, MSG_REMOVE, plan);
    s->notes[plan].removed = true;
}

static void pause(struct sweep *s, bool paused)
{
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.req = 101;
    m.pause.queue = str_of("other");
    m.pause.paused = paused;
    s->paused = -1;
    request(s, &m);
    sweep_check(s, s->client.answer == MSG_OK, "PAUSE was refused");
    s->paused = paused;
}

/* Until these have ended; then they have, and stay so. */
static void wait_for(struct sweep *s, size_t first, size_t last)
{
    struct range range = { s->notes[first].id, s->notes[last].id };
    struct message m;
    message_init(&m, MSG_WAIT);
    m.wait.req = 102;
    m.wait.ranges = &range;
    m.wait.n_ranges = 1;
    request(s, &m);
    sweep_check(s, s->client.answer == MSG_WAITED, "WAIT was refused");
    for (size_t i = first; i <= last; i++)
        note_ended(s, i, plans[i].fate == FATE_EXPIRES ? STATE_EXPIRED : -1);
    check_states(s);
}

/* ---- time --------------------------------------------------------------------------------------- */

/* Whoever is here is heard of: no gap is longer than a beat. */
static void pass(struct sweep *s, int64_t ms)
{
    for (int64_t step = HEARTBEAT_MS / 2; ms > 0; ms -= step) {
        s->now.mono_ms += step - TURN_MS;
        s->now.wall_ms += step - TURN_MS;
        run_turn(s);
    }
}

static bool was_run(struct sweep *s, size_t plan) { return s->notes[plan].attempt > 0; }
static bool was_told(struct sweep *s, size_t plan)
{
    for (size_t i = 0; i < s->workers[0].n_work; i++)
        if (s->workers[0].work[i].plan == plan)
            return s->workers[0].work[i].told_started;
    return false;
}

static void quiet(struct sweep *s, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++)
        run_turn(s);
}

/* ---- the script --------------------------------------------------------------------------------- */

enum { SIMPLE = 0, SIMPLE_LAST = 2, LARGE = 3, DIES = 4, CANCELLED = 5, STOPPED = 6, OTHER = 7, EXPIRES = 8, PAUSED_LAST = 10,
       LOST = 11, LOST_LAST = 13, AGAIN = 14, AGAIN_LAST = 15, LATE = 16, LATE_LAST = 17, LAST_DIES = 19 };

static void ordinary_work(struct sweep *s)
{
    submit(s, 1);
    submit(s, 2);
    submit(s, 1); /* the same ids: notes.c */
    s->workers[0].here = true;
    wait_for(s, SIMPLE, LARGE);
    submit(s, 3);
    cancel(s, CANCELLED);
    turns_until(s, was_run, STOPPED, "a job that is to be stopped does not run");
    cancel(s, STOPPED);
    wait_for(s, DIES, OTHER);
    retry(s, DIES);
    remove_job(s, SIMPLE);
    wait_for(s, DIES, OTHER);
}

static void paused_queue(struct sweep *s)
{
    pause(s, true);
    submit(s, 4);
    wait_for(s, EXPIRES, EXPIRES);
    pause(s, false);
    wait_for(s, EXPIRES, PAUSED_LAST);
    quiet(s, 4);
}

/* One worker is silent for too long, another takes over, and the first comes back with what it should not have any more. */
static void lost_worker(struct sweep *s)
{
    submit(s, 5);
    turns_until(s, was_told, LOST, "a job does not start");
    turns_until(s, was_told, LOST + 1, "a job does not start");
    s->workers[0].here = false;
    s->workers[0].lost = true;
    s->workers[1].here = true;
    pass(s, 2 * LOST_AFTER_MS);
    wait_for(s, LOST, LOST_LAST);
    s->workers[0].here = true;
    quiet(s, 4);
}

static void planned_restart(struct sweep *s)
{
    run_stop(s);
    submit(s, 6);
    wait_for(s, AGAIN, AGAIN_LAST);
}

static bool is_swept(struct sweep *s, size_t last)
{
    struct job_row j;
    return s->broker && store_get(s->broker->store, s->notes[last].id, &j) == -ENOENT;
}

static void retention(struct sweep *s)
{
    for (size_t i = 0; i <= AGAIN_LAST; i++)
        s->notes[i].may_be_swept = true;
    s->now.wall_ms += RETENTION_MS;
    pass(s, 3000);
    for (size_t i = 0; i <= AGAIN_LAST; i++)
        turns_until(s, is_swept, i, "what is old is not deleted");
    quiet(s, 4);
}

void load_run(struct sweep *s)
{
    ordinary_work(s);
    paused_queue(s);
    lost_worker(s);
    planned_restart(s);
    retention(s);
    submit(s, 7);
    wait_for(s, LATE, LATE_LAST);
    submit(s, 8);
    wait_for(s, LATE, LAST_DIES);
    retry(s, LAST_DIES);
    wait_for(s, LATE, LAST_DIES);
    check_end(s);
    run_kill(s, true);
    run_turn(s);
    check_end(s);
}
