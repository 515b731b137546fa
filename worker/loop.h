/* loop.h - the worker's loop: the socket, the signals and the pools around the link. One thread;
 * nothing in it blocks, so that no handler can hold up a heartbeat. */
#ifndef TERN_WORKER_LOOP_H
#define TERN_WORKER_LOOP_H

#include "proto/base/service.h"
#include "worker/cgroup.h"
#include "worker/launcher.h"
#include "worker/leaving.h"
#include "worker/modules.h"
#include "worker/served.h"
#include "worker/worker_options.h"
#include "worker/zygote.h"

#define LAUNCHERS_MOST (1 + 2 * LIMIT_RUNNERS * LIMIT_BROKERS)

struct worker_loop {
    struct worker_options *options; /* borrowed; HUP changes them */
    int argc;
    char *const *argv;              /* borrowed: read again at HUP */
    enum isolation isolation;
    struct zygote *zygote;          /* borrowed */
    struct launcher *launchers[LAUNCHERS_MOST]; /* borrowed: of commands, which may be NULL, and of shared runners */
    size_t n_launchers;
    struct modules *modules;        /* borrowed */
    struct pool *pools[N_POOLS];    /* borrowed; NULL: off */
    struct served *served;          /* borrowed: one for each broker */
    size_t n_served;
    int64_t divide_at_ms;           /* of several: slots are not divided anew before */
    int signals;                    /* borrowed: a signalfd of worker_loop_signals() */

    bool spent, drain_asked;
    struct leaving leaving;
    enum leave leaves;              /* as it last said */
    struct service service;
    int64_t extend_at_ms;           /* the service manager is to be told that the stop takes longer */
};

/* What the loop reads from its signalfd; they must be blocked in every thread. */
void worker_loop_signals(sigset_t *ret);
/* The pools' reports; ctx is the loop. */
void worker_loop_on_started(void *ctx, struct run *r);
void worker_loop_on_finished(void *ctx, struct run *r);
/* The modules' report; ctx is the loop. */
void worker_loop_on_handlers(void *ctx, struct now now);
void worker_loop_on_asked(void *ctx, struct run *r, const struct message *ask, struct now now);

/* Until the worker is drained: the exit status. */
int worker_loop_run(struct worker_loop *l);

#endif
