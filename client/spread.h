/* spread.h - a batch whose lines go to several brokers: which line waits for whose id, so that ids come out in the order of the
 * lines. */
#ifndef TERN_SPREAD_H
#define TERN_SPREAD_H

#include "proto/base/base.h"

/* More than one broker can owe: 16 messages of 1,000 jobs, and one that is not sent. */
#define SPREAD_LINES 32768u

/* The job of the batch's next line. */
typedef void spread_fn(void *context, size_t place, uint64_t id);

struct spread {
    struct spread_line {
        uint64_t number, id; /* id 0: not acknowledged */
        size_t place;
    } *lines;        /* owned: SPREAD_LINES */
    size_t first, n; /* from first to n they are not told of yet */
    struct spread_broker {
        struct spread *spread;
        size_t place, next; /* from next on there may be a line of its that is not acknowledged */
        bool used, broken;  /* broken: it failed; nothing more is asked of it */
        bool named;         /* the line that was to blame is */
    } *at;                  /* owned */
    size_t n_at;
    spread_fn *fn;
    void *context;
};

void spread_init(struct spread *s, size_t n_brokers, spread_fn *fn, void *context);
/* False: full; its brokers are to answer first. */
bool spread_add(struct spread *s, size_t place, uint64_t number);
/* The line that was added last came to nothing. */
void spread_drop_last(struct spread *s);
/* For tern_client_on_submitted, with the spread_broker as context. */
void spread_on_submitted(void *broker, uint64_t first_id, uint64_t count);
/* Its next count lines come to nothing; the number of the job-th of them (0: of the first). */
uint64_t spread_skip(struct spread_broker *b, uint64_t count, uint64_t job);
/* Lines that were acknowledged behind one that never was: false when there is none left. */
bool spread_next_behind(struct spread *s, struct spread_line *ret);
void spread_fini(struct spread *s);

#endif
