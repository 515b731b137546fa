/* plans.c - the jobs of the load, and what is to become of each. A payload tells the plan, so that a worker knows it too. */
#include "tests/sweep/sweep.h"

const struct plan plans[N_PLANS] = {
    { 1, FATE_DONE, "default", 20, 5 },
    { 1, FATE_FAILS_ONCE, "default", 30, 700 },
    { 1, FATE_DONE, "default", 1, 0 },
    { 2, FATE_DONE, "default", 14000, 9000 },
    { 3, FATE_DIES, "default", 40, 10 },
    { 3, FATE_CANCELLED, "default", 2000, 10 },
    { 3, FATE_STOPPED, "default", 40, 10 },
    { 3, FATE_DONE, "other", 40, 10 },
    { 4, FATE_EXPIRES, "other", 40, 10 },
    { 4, FATE_DONE, "other", 40, 10 },
    { 4, FATE_FAILS_ONCE, "other", 40, 10 },
    { 5, FATE_LOSES_WORKER, "default", 40, 3000 },
    { 5, FATE_LOSES_WORKER, "default", 40, 10 },
    { 5, FATE_DONE, "default", 9000, 10 },
    { 6, FATE_DONE, "default", 40, 10 },
    { 6, FATE_FAILS_ONCE, "default", 40, 12000 },
    { 7, FATE_DONE, "default", 40, 10 },
    { 7, FATE_DONE, "default", 5000, 10 },
    { 8, FATE_DONE, "default", 40, 10 },
    { 8, FATE_DIES, "default", 40, 5000 },
};

void plan_fill(size_t plan, uint64_t attempt, char *ret, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = (char)(plan * 37 + attempt * 11 + i + (i >> 8)); /* each page another */
}

struct job_spec plan_spec(size_t plan, char *payload)
{
    const struct plan *p = &plans[plan];
    struct job_spec s;
    record_init(RECORD_job_spec, &s);
    s.queue = str_of(p->queue);
    s.handler = str_of("work");
    s.priority = (int64_t)(plan % 3);
    s.retries = 5;
    s.backoff_min_ms = TURN_MS;
    s.backoff_max_ms = 4 * TURN_MS;
    s.crash_limit = 10;
    if (p->fate == FATE_CANCELLED)
        s.delay_ms = 3600 * 1000;
    if (p->fate == FATE_EXPIRES)
        s.expire_ms = 5 * TURN_MS;
    plan_fill(plan, 0, payload, p->payload_bytes);
    payload[0] = (char)('A' + plan);
    s.payload = (struct str){ payload, p->payload_bytes };
    return s;
}

size_t plan_of(struct str payload)
{
    size_t plan = payload.n ? (size_t)(payload.p[0] - 'A') : N_PLANS;
    if (plan >= N_PLANS)
        return N_PLANS;
    cleanup(freep) char *want = xmalloc(plans[plan].payload_bytes);
    struct job_spec s = plan_spec(plan, want);
    return str_equal(s.payload, payload) ? plan : N_PLANS;
}
