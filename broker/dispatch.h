/* dispatch.h - a job that is due + a worker with credit = a lease.
 *
 * Dispatch merges the heads of only those classes that a worker with room can run (a heap by priority, then age); a class
 * that finds no room is parked until something changes. So a million jobs of an unknown handler, of a paused queue or of a full pool
 * never stand in the way of one that could run. */
#ifndef TERN_DISPATCH_H
#define TERN_DISPATCH_H

#include "broker/broker.h"

/* Leases what can be leased, at most a budget; b->dispatch_on says that there is more. */
void dispatch(struct broker *b, struct now now);

/* The gates that a class must pass at a worker, in this order; `tern why` looks at the same ones. */
enum gate {
    GATE_OPEN,
    GATE_OFFLINE,   /* the worker is not connected */
    GATE_DRAINING,
    GATE_QUEUE,     /* it does not serve the queue */
    GATE_HANDLER,   /* it does not have the handler */
    GATE_NEEDS,     /* it does not have what the jobs need */
    GATE_FORM,      /* the handler has no form for any pool */
    GATE_POOL_OFF,  /* the pool has no slots */
    GATE_SUSPECT,   /* few suspects at a time */
    GATE_AMOUNT,    /* others hold of an amount what they need */
    GATE_FULL,      /* all slots, and what may be fetched ahead, are taken */
};
/* *ret_pool is set from GATE_POOL_OFF on. */
enum gate dispatch_gate(const struct class *c, const struct worker *w, enum pool_kind *ret_pool);

#endif
