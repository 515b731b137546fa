/* usage.c - from getrusage(2). */
#include "worker/usage.h"

static int64_t us_of(struct timeval t) { return (int64_t)t.tv_sec * 1000000 + t.tv_usec; }

void usage_add(struct usage *u, const struct rusage *r)
{
    u->cpu_us += us_of(r->ru_utime) + us_of(r->ru_stime);
    u->waits += r->ru_nvcsw;
    u->put_off += r->ru_nivcsw;
}

void usage_of_thread(struct usage *ret)
{
    struct rusage r;
    getrusage(RUSAGE_THREAD, &r);
    *ret = (struct usage){ 0 };
    usage_add(ret, &r);
}

void usage_of_process(struct usage *ret, int64_t *ret_peak_kb)
{
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    *ret = (struct usage){ 0 };
    usage_add(ret, &self);
    usage_add(ret, &children);
    *ret_peak_kb = self.ru_maxrss;
}

struct usage usage_between(const struct usage *from, const struct usage *to)
{
    return (struct usage){ to->cpu_us - from->cpu_us, to->waits - from->waits, to->put_off - from->put_off };
}

int64_t usage_ready_us(const struct usage *u, int64_t wall_us)
{
    int64_t off_us = max_i64(wall_us - u->cpu_us, 0), times = u->waits + u->put_off;
    return times > 0 ? (int64_t)((double)off_us * (double)u->put_off / (double)times) : off_us;
}
