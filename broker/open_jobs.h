/* open_jobs.h - how many jobs of a name may be open, which is: waiting, scheduled or running, whoever runs them and however they came
 * to be. A key may say so (open-jobs, grant.h); of several keys of one name the least counts, for all of them. */
#ifndef TERN_OPEN_JOBS_H
#define TERN_OPEN_JOBS_H

#include "broker/broker.h"

/* Tells the store which limits there are, if it has not been told. */
void open_jobs_limit(struct broker *b);
/* NULL, or why this owner may not have so many more; owned by the caller. owner: of store_owner; who: it, for people. CODE_BUSY: not
 * now; CODE_REFUSED: never so many at once. */
char *open_jobs_refuse(struct broker *b, int64_t owner, const char *who, size_t n, enum error_code *ret_code);
/* How many of this owner should be in a SUBMIT, so that a stream of them goes on while others run. 0: it has no limit. */
uint64_t open_jobs_at_once(struct broker *b, const char *owner);
/* Counts on whose jobs are to be counted. True while there are more. */
bool open_jobs_tick(struct broker *b);

#endif
