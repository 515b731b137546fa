/* recv.h - one function for each message that the broker understands, a file each (or a family), named after it. */
#ifndef TERN_RECV_H
#define TERN_RECV_H

#include "broker/broker.h"

/* HELLO comes before there is a peer. */
void recv_hello(struct broker *b, const char *routing_id, const struct sender *from, const struct message *m, struct now now);

/* Whoever it is, it is nobody. */
#define REVOKED "this key is not known here (any more): the broker's admin can let it in with `tern-broker authorize`"
void recv_revoked(struct broker *b, const char *routing_id);

typedef void recv_fn(struct broker *b, struct peer *p, const struct message *m, struct now now);

/* from anybody */
recv_fn recv_bye, recv_beat, recv_fetch;
/* from clients */
recv_fn recv_submit, recv_wait, recv_unwait, recv_change, recv_pause, recv_drain, recv_query, recv_advise, recv_why, recv_queues,
    recv_workers, recv_stats;
/* from workers */
recv_fn recv_started, recv_result, recv_given, recv_spawn, recv_await, recv_checkpoint, recv_progress;

/* Takes over what a worker says it holds; what it need not hold any more goes into *ret_gone (owned by the caller). */
size_t hello_reconcile(struct broker *b, struct worker *w, const struct msg_hello *h, struct attempt_ref **ret_gone,
                       struct now now);

#endif
