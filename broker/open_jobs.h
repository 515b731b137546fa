/* open_jobs.h - how many jobs of a name may be open, which is: waiting, scheduled or running, whoever runs them and however they came
 * to be. A key may say so (open-jobs, grant.h); of several keys of one name the least counts, for all of them. */
#ifndef TERN_OPEN_JOBS_H
#define TERN_OPEN_JOBS_H

#include "broker/broker.h"

/* Tells the store which limits there are, if it has not been told. */
void open_jobs_limit(struct broker *b);
/* NULL: this owner has no limit. Valid until the limits are others. */
const struct account *open_jobs_account(struct broker *b, int64_t owner);
/* The same of who this peer is; it has none where it is known by no key. */
const struct account *open_jobs_account_of(struct broker *b, const struct peer *p);
/* May there be so many more now? a may be NULL. */
bool open_jobs_fit(const struct account *a, size_t n);
/* May there ever? */
static inline bool open_jobs_never_fit(const struct account *a, size_t n) { return a && (int64_t)n > a->most; }
/* Why they do not fit; owned by the caller. who: its owner, for people. */
char *open_jobs_text(const struct account *a, const char *who, size_t n);
/* How many of them should be in a SUBMIT, so that a stream goes on while others run. 0: it has no limit. */
uint64_t open_jobs_at_once(const struct account *a);
/* Counts on whose jobs are to be counted. True while there are more. */
bool open_jobs_tick(struct broker *b);

#endif
