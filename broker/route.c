/* route.c - from tag, forms and measures to a pool. */
#include "broker/route.h"

#define AUTO_RUNS_NEEDED 5           /* until so many runs are known, `auto` is a process */
#define AUTO_CPU_SHARE 0.5           /* from this share of CPU time in wall time on, it computes */
#define AUTO_LONG_WAIT_US (500 * 1000) /* from this mean wall time on, it waits long */

static enum tag measured_tag(const struct class *c)
{
    if (c->runs < AUTO_RUNS_NEEDED || c->mean_cpu_us >= AUTO_CPU_SHARE * c->mean_wall_us)
        return TAG_CPU;
    return c->mean_wall_us >= AUTO_LONG_WAIT_US ? TAG_SLOW_IO : TAG_IO;
}

enum tag route_tag(const struct class *c, const struct worker_handler *h)
{
    enum tag tag = c->tag_unset ? h->tag : c->tag;
    return tag == TAG_AUTO ? measured_tag(c) : tag;
}

int route(const struct class *c, const struct worker_handler *h)
{
    enum tag tag = route_tag(c, h);
    bool blocking = h->forms & FORM_BLOCKING, async = h->forms & FORM_ASYNC;
    if (blocking && (c->suspect || tag == TAG_CPU))
        return POOL_PROCESS;
    if (async && (tag == TAG_SLOW_IO || !blocking))
        return POOL_LOOP;
    if (blocking)
        return h->thread_safe ? POOL_THREAD : POOL_PROCESS;
    return -1;
}
