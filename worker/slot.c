/* slot.c - the legal moves of a slot, and the order in which slots fall due. */
#include "worker/slot.h"

#define TO(state) (1u << (state))

static const unsigned legal[] = {
    [SLOT_IDLE] = TO(SLOT_RUNNING),
    [SLOT_RUNNING] = TO(SLOT_IDLE) | TO(SLOT_STOPPING) | TO(SLOT_PARKED),
    [SLOT_STOPPING] = TO(SLOT_IDLE) | TO(SLOT_KILLED) | TO(SLOT_STUCK),
    [SLOT_KILLED] = TO(SLOT_IDLE),
    [SLOT_STUCK] = TO(SLOT_IDLE),
    [SLOT_PARKED] = TO(SLOT_IDLE) | TO(SLOT_RUNNING) | TO(SLOT_STOPPING),
};

void slot_move(struct slot *s, enum slot_state to)
{
    assert(legal[s->state] & TO(to));
    s->state = to;
}

const char *slot_state_name(enum slot_state state)
{
    static const char *const names[] = { "idle", "running", "stopping", "killed", "stuck", "parked" };
    return names[state];
}

void slot_due_fini(struct slot_due *d)
{
    free(d->at);
    *d = (struct slot_due){ 0 };
}

static void place(struct slot_due *d, size_t i, struct slot *s)
{
    d->at[i] = s;
    s->due_at = i + 1;
}

static void sift_up(struct slot_due *d, size_t i, struct slot *s)
{
    while (i > 0 && d->at[(i - 1) / 2]->due_ms > s->due_ms) {
        place(d, i, d->at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(d, i, s);
}

static void sift_down(struct slot_due *d, size_t i, struct slot *s)
{
    for (size_t child; (child = 2 * i + 1) < d->n; i = child) {
        if (child + 1 < d->n && d->at[child + 1]->due_ms < d->at[child]->due_ms)
            child++;
        if (d->at[child]->due_ms >= s->due_ms)
            break;
        place(d, i, d->at[child]);
    }
    place(d, i, s);
}

static void take_out(struct slot_due *d, struct slot *s)
{
    if (!s->due_at)
        return;
    size_t i = s->due_at - 1;
    s->due_at = 0;
    struct slot *last = d->at[--d->n];
    if (last == s)
        return;
    sift_up(d, i, last);
    sift_down(d, last->due_at - 1, last);
}

void slot_due_set(struct slot_due *d, struct slot *s, int64_t due_ms)
{
    take_out(d, s);
    s->due_ms = due_ms;
    if (due_ms == NEVER)
        return;
    d->at = grow_array(d->at, &d->cap, d->n + 1, sizeof(struct slot *));
    sift_up(d, d->n++, s);
}
