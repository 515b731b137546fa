/* served.h - one of the brokers that a worker serves: the socket to it, the link over that, and the pools as this link sees them, with
 * its broker's own numbers of jobs and its part of the slots. */
#ifndef TERN_SERVED_H
#define TERN_SERVED_H

#include "worker/broker_list.h"
#include "worker/link.h"
#include "worker/pool.h"
#include "worker/share.h"

struct served {
    const struct broker_list *brokers; /* borrowed */
    size_t place;                      /* in there */
    struct pool *const *pools;         /* borrowed: N_POOLS; NULL: off */
    struct socket *socket;             /* owned: it is replaced */
    struct worker_link *link;          /* owned */
    struct amount *amounts;            /* owned: its part of the worker's */
    struct share share[N_POOLS];       /* of several brokers */
    char *pair;                        /* owned: for log_about; NULL: it is the only one */
};

/* o: of the link, less what follows from the broker; what it borrows must outlive s. A wrong address: -errno, and *ret_error, owned by
 * the caller. */
int served_open(struct served *s, const struct broker_list *brokers, size_t place, struct pool *const *pools,
                const struct link_options *o, struct now now, char **ret_error);
void served_close(struct served *s);
const char *served_address(const struct served *s);

/* From the pools; of runs of this broker. */
void served_on_started(struct served *s, const struct run *r);
void served_on_finished(struct served *s, struct run *r);
void served_on_asked(struct served *s, const struct run *r, const struct message *ask, struct now now);

/* Hears at most a turn's worth. True when more may be waiting. */
bool served_recv(struct served *s, struct now now);
/* Says what there is to say. Returns when to come back, at the latest. */
int64_t served_send(struct served *s, struct now now);
/* Drained: nothing is heard or said any more. */
bool served_is_over(const struct served *s);

/* Divides the slots of the pools anew among several. True when something has changed. *ret_due_ms: when to do it again. */
bool served_divide(struct served *all, size_t n, struct now now, int64_t *ret_due_ms);

#endif
