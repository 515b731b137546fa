/* route.h - the tag chooses the pool (DESIGN: how a job spends its time decides where it runs). Pure. */
#ifndef TERN_ROUTE_H
#define TERN_ROUTE_H

#include "broker/worker.h"

/* The pool for a job of this class at a worker with this handler and these pools; -1 when the handler has no form for any. Where `auto`
 * would choose a pool without slots, it is another one that has some: nobody has asked for the first. */
int route(const struct class *c, const struct worker_handler *h, const struct worker_pool pools[static N_POOLS]);
/* The tag that counts: the submitter's, else the handler's, and for `auto` what the measures say. */
enum tag route_tag(const struct class *c, const struct worker_handler *h);
/* Who chose it. */
enum chosen_by route_chosen_by(const struct class *c, const struct worker_handler *h);
/* The pool for a tag, whoever chose it; -1 as above. */
int route_of_tag(enum tag tag, const struct worker_handler *h);

#endif
