/* notes.c - what clients and workers were told. Each of it is a promise: a job is there, an attempt is nobody else's, an end
 * is the only one. */
#include <inttypes.h>

#include "tests/sweep/sweep.h"

static void note_id(struct sweep *s, size_t plan, uint64_t id, uint64_t seq)
{
    struct note *n = &s->notes[plan];
    sweep_check(s, !n->id || n->id == id, "P4: submit %" PRIu64 " was given two sets of ids, %" PRIu64 " and %" PRIu64, seq,
                n->id, id);
    sweep_check(s, !n->run_id || n->run_id == id, "P4: job %" PRIu64 " of submit %" PRIu64 " ran, and was then told as %" PRIu64,
                n->run_id, seq, id);
    n->id = id;
}

void note_submitted(struct sweep *s, const struct msg_submitted *m)
{
    uint64_t n = 0;
    bool known = m->seq <= s->last_seq;
    sweep_check(s, known || m->first_id > s->last_id, "P4: id %" PRIu64 " is used again: %" PRIu64 " was given out already",
                m->first_id, s->last_id);
    for (size_t i = 0; i < N_PLANS; i++)
        if (plans[i].seq == m->seq)
            note_id(s, i, m->first_id + n++, m->seq);
    sweep_check(s, n == m->count, "P4: %" PRIu64 " ids for %" PRIu64 " jobs", m->count, n);
    s->last_id = known ? s->last_id : m->first_id + n - 1;
    s->last_seq = known ? s->last_seq : m->seq;
}

void note_run(struct sweep *s, size_t plan, uint64_t job, uint64_t attempt)
{
    struct note *n = &s->notes[plan];
    bool same = (!n->id || n->id == job) && (!n->run_id || n->run_id == job);
    sweep_check(s, same, "P4: job %" PRIu64 " is a second one for the same submit", job);
    sweep_check(s, attempt > n->attempt, "P2: job %" PRIu64 ": attempt %" PRIu64 " was handed out after %" PRIu64, job, attempt,
                n->attempt);
    sweep_check(s, !n->ended, "P2: job %" PRIu64 " has ended, and runs again", job);
    sweep_check(s, s->paused != 1 || strcmp(plans[plan].queue, "other") != 0, "P1: job %" PRIu64 " runs in a paused queue", job);
    n->run_id = job;
    n->attempt = attempt;
}

void note_recorded(struct sweep *s, const struct work *h)
{
    struct note *n = &s->notes[h->plan];
    sweep_check(s, n->n_recorded < RECORDED_MAX, "job %" PRIu64 " has had too many attempts", h->job);
    n->recorded[n->n_recorded].attempt = h->attempt;
    n->recorded[n->n_recorded++].ending = h->ending;
    if (h->ending == ENDING_DONE)
        note_ended(s, h->plan, STATE_DONE);
    else if (h->ending == ENDING_CANCELLED)
        note_ended(s, h->plan, STATE_CANCELLED);
    else if (plans[h->plan].fate == FATE_DIES)
        note_ended(s, h->plan, STATE_DEAD);
}

void note_ended(struct sweep *s, size_t plan, int state)
{
    struct note *n = &s->notes[plan];
    bool other = n->ended && n->state >= 0 && state >= 0 && n->state != state;
    sweep_check(s, !other, "P2: job %" PRIu64 " ended as %s, and then as %s", n->id, state_name(n->state), state_name(state));
    n->state = n->ended && state < 0 ? n->state : state;
    n->ended = true;
}
