/* spread.c - puts the ids of several brokers into the order of the batch's lines. */
#include "client/spread.h"

void spread_init(struct spread *s, size_t n_brokers, spread_fn *fn, void *context)
{
    *s = (struct spread){ .n_at = n_brokers, .fn = fn, .context = context };
    s->lines = xcalloc(SPREAD_LINES, sizeof *s->lines);
    s->at = xcalloc(n_brokers, sizeof *s->at);
    for (size_t i = 0; i < n_brokers; i++)
        s->at[i] = (struct spread_broker){ .spread = s, .place = i };
}

static void make_room(struct spread *s)
{
    memmove(s->lines, s->lines + s->first, (s->n - s->first) * sizeof *s->lines);
    for (size_t i = 0; i < s->n_at; i++)
        s->at[i].next = s->at[i].next > s->first ? s->at[i].next - s->first : 0;
    s->n -= s->first;
    s->first = 0;
}

bool spread_add(struct spread *s, size_t place, uint64_t number)
{
    if (s->n == SPREAD_LINES && s->first >= SPREAD_LINES / 4)
        make_room(s);
    if (s->n == SPREAD_LINES)
        return false;
    s->lines[s->n++] = (struct spread_line){ .number = number, .place = place };
    return true;
}

void spread_drop_last(struct spread *s) { s->n--; }

static void tell(struct spread *s)
{
    for (; s->first < s->n && s->lines[s->first].id; s->first++)
        s->fn(s->context, s->lines[s->first].place, s->lines[s->first].id);
    if (s->first == s->n)
        make_room(s);
}

void spread_on_submitted(void *broker, uint64_t first_id, uint64_t count)
{
    struct spread_broker *b = broker;
    struct spread *s = b->spread;
    for (uint64_t id = first_id; id < first_id + count && b->next < s->n; b->next++)
        if (s->lines[b->next].place == b->place)
            s->lines[b->next].id = id++;
    tell(s);
}

uint64_t spread_skip(struct spread_broker *b, uint64_t count, uint64_t job)
{
    struct spread *s = b->spread;
    uint64_t number = 0, seen = 0;
    for (; seen < count && b->next < s->n; b->next++) {
        if (s->lines[b->next].place != b->place)
            continue;
        if (++seen == (job ? job : 1))
            number = s->lines[b->next].number;
    }
    return number;
}

bool spread_next_behind(struct spread *s, struct spread_line *ret)
{
    while (s->first < s->n && !s->lines[s->first].id)
        s->first++;
    if (s->first == s->n)
        return false;
    *ret = s->lines[s->first++];
    return true;
}

void spread_fini(struct spread *s)
{
    free(s->lines);
    free(s->at);
}
