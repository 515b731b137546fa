/* route.c - from tag, forms and measures to a pool. */
#include "broker/route.h"

static enum tag asked_tag(const struct class *c, const struct worker_handler *h) { return c->tag_unset ? h->tag : c->tag; }

/* Of what is not known, and of what only a process can keep within its limits, as if it computed. The loop has thousands of slots:
 * so many processes at once are started only where somebody has asked for it. */
static enum tag measured_tag(const struct class *c)
{
    enum tag tag = c->measure->decided;
    if (c->isolated || tag == TAG_AUTO)
        return TAG_CPU;
    return c->program && tag == TAG_SLOW_IO ? TAG_IO : tag;
}

enum tag route_tag(const struct class *c, const struct worker_handler *h)
{
    enum tag tag = asked_tag(c, h);
    return tag == TAG_AUTO ? measured_tag(c) : tag;
}

enum chosen_by route_chosen_by(const struct class *c, const struct worker_handler *h)
{
    if (c->suspect && h->forms & FORM_BLOCKING)
        return CHOSEN_FOR_SUSPECT;
    if (asked_tag(c, h) != TAG_AUTO)
        return c->tag_unset ? CHOSEN_BY_HANDLER : CHOSEN_BY_JOB;
    return c->isolated || c->measure->decided == TAG_AUTO ? CHOSEN_BY_DEFAULT : CHOSEN_BY_AUTO;
}

int route_of_tag(enum tag tag, const struct worker_handler *h)
{
    bool blocking = h->forms & FORM_BLOCKING, async = h->forms & FORM_ASYNC;
    if (blocking && tag == TAG_CPU)
        return POOL_PROCESS;
    if (async && (tag == TAG_SLOW_IO || !blocking))
        return POOL_LOOP;
    if (blocking)
        return h->thread_safe ? POOL_THREAD : POOL_PROCESS;
    return -1;
}

/* A command is not taken to the loop, as above. */
static int another_pool(const struct class *c, const struct worker_handler *h, const struct worker_pool *pools, int but)
{
    static const enum tag tags[] = { TAG_IO, TAG_CPU, TAG_SLOW_IO };
    for (size_t i = 0; i < ELEMENTS(tags) - (c->program != NULL); i++) {
        int pool = route_of_tag(tags[i], h);
        if (pool >= 0 && pools[pool].slots)
            return pool;
    }
    return but;
}

int route(const struct class *c, const struct worker_handler *h, const struct worker_pool pools[static N_POOLS])
{
    int pool = route_of_tag(c->suspect ? TAG_CPU : route_tag(c, h), h);
    bool is_open = !c->suspect && !c->isolated && asked_tag(c, h) == TAG_AUTO;
    return pool >= 0 && is_open && !pools[pool].slots ? another_pool(c, h, pools, pool) : pool;
}
