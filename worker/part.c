/* part.c - a function that a job on the loop has a thread call. */
#include "worker/part.h"

int part_call(struct part *p, struct tern_job *job)
{
    __atomic_store_n(&p->state, PART_CALLED, __ATOMIC_RELAXED);
    int r = p->function(job, p->arg);
    p->r = r;
    __atomic_store_n(&p->state, PART_RETURNED, __ATOMIC_RELEASE);
    return r < 0 ? r : 0;
}
