/* link_state.h - the inside of struct worker_link, for link.c and the recv_*.c and send_*.c
 * alone. */
#ifndef TERN_LINK_STATE_H
#define TERN_LINK_STATE_H

#include "worker/holding.h"
#include "worker/link.h"

#define LINK_HEARTBEAT_MS 2000      /* until WELCOME rules otherwise */
#define LINK_LOST_AFTER_MS 10000
#define LINK_HELLO_SPACING_MS 100   /* HELLO_AGAIN gets no HELLO sooner than this after the last */
#define LINK_BACKOFF_MIN_MS 20
#define LINK_BACKOFF_MAX_MS 1000
#define LINK_REOPEN_MS 2500         /* a socket that has no connection; time for three round trips of a slow network */
#define LINK_WELCOME_WAIT_MS 1000   /* at first; doubles up to a quarter of lost_after_ms */
#define LINK_REPEAT_MS 10000        /* a RESULT without RECORDED is sent again */
#define LINK_LAST_WAIT_MS 5000      /* drained: how long the last results wait for RECORDED */
#define LINK_RESULT_BYTES (4u << 20)  /* of one RESULT message, about */
#define LINK_WINDOW_BYTES (64u << 20) /* of results not recorded yet; the rest waits here */

/*
 *            HELLO goes out               WELCOME
 *    AWAY -------------------> GREETING -----------> IN
 *      ^                          | no WELCOME in time |
 *      `--------------------------+--------------------'  refused, HELLO_AGAIN, BYE, silence
 */
enum link_state { LINK_AWAY, LINK_GREETING, LINK_IN };

/* A growing array of attempts that a message of this turn will list. */
struct refs {
    struct attempt_ref *at; /* owned */
    size_t n, cap;
};
struct givens {
    struct given_back *at; /* owned; their texts are static */
    size_t n, cap;
};

struct worker_link {
    struct link_options o;
    struct strmap handlers; /* of struct handler_info, borrowed */

    enum link_state state;
    uint64_t epoch, session;
    uint64_t orders, reports; /* the last numbers in this session (proto/numbered.h) */
    int64_t heartbeat_ms, lost_after_ms;
    int64_t heard_ms;       /* the last message from the broker, or the last reopening */
    int64_t ticked_ms;
    int64_t opened_ms;      /* the socket, as far as the link knows */
    int64_t hello_at_ms;    /* AWAY: not before */
    int64_t hello_ms;       /* when the last one went out */
    uint64_t hello_count;
    int64_t welcome_by_ms;  /* GREETING */
    int64_t welcome_wait_ms, backoff_ms;
    bool ever_hello, ever_welcome, reopen;
    bool complained;        /* that no broker answers; once each time */
    bool shut_out;          /* not allowed in any more: said once, asked again until somebody allows it */

    struct holding_table held;
    struct link asks, asked, fetching; /* of struct ask: to be said; said; FETCHes that were said, in order of time */
    struct idmap asks_by_req;
    uint64_t ask_req;
    bool may_ask;             /* the broker understands */
    struct link to_report;    /* of struct holding, those that run: how far they are is to be said, */
    int64_t report_at_ms;     /* not before */
    bool may_report;          /* the broker understands */

    struct link unsent, sent; /* held, finished; sent: in order of time */
    size_t window_bytes;      /* of sent */
    struct refs started;      /* to be said in this turn */
    struct givens given;

    int64_t beat_at_ms;
    uint64_t beat_req;        /* of the last BEAT that went out in this session */
    uint64_t sure_req;        /* the BEAT after the last GIVEN; 0: the broker knows of all */
    bool say_beat, say_drain;
    struct pool_load told[N_POOLS]; /* what the last BEAT or HELLO said */

    bool quiet, draining;
    int64_t drain_at_ms;      /* NEVER */
    bool stopped_all;
    int64_t ended_ms;         /* drained: when the last one ended; NEVER */
    bool over;
    int status;

    struct link out;          /* of struct letter */
};

static inline bool link_takes_jobs(const struct worker_link *l)
{
    return !l->quiet && !l->draining;
}

/* ---- link.c ---------------------------------------------------------------------------------- */

/* Encodes m under the current session and puts it into the outbox; m's lists stay the caller's.
 * -EMSGSIZE. */
int link_send(struct worker_link *l, struct message *m);
/* The session is over; the next HELLO goes out after wait_ms. */
void link_leave(struct worker_link *l, int64_t wait_ms, struct now now);
/* The same; HELLO soon, but not in a storm. */
void link_say_hello_again(struct worker_link *l, struct now now);
/* No wait may be so long that a live worker is taken for lost: several tries must fit in before
 * that. */
int64_t link_wait_max(const struct worker_link *l, int64_t ms);
/* The next wait of the back-off, with jitter. */
int64_t link_backoff(struct worker_link *l);
/* ---- link_attempts.c ------------------------------------------------------------------------- */

/* What a BEAT or HELLO says of a pool: no slots while nothing new may start. */
struct pool_load link_load(struct worker_link *l, enum pool_kind pool);
/* The loads of the pools that are on; returns how many. Remembers what was said. */
size_t link_tell_loads(struct worker_link *l, struct pool_load ret[static N_POOLS]);
/* Is there something that the broker should know of at once? */
bool link_load_changed(struct worker_link *l);
/* Puts a finished run among those to be said. */
void link_finish(struct worker_link *l, struct holding *h);
/* h is gone, and its outcome with it. */
void link_forget(struct worker_link *l, struct holding *h);
/* The same for one that has no outcome to be sent; r, its run, is no pool's any more. */
void link_discard(struct worker_link *l, struct holding *h, struct run *r);
/* The attempt is to be given back; r, its run, is no pool's any more; h is gone. text is static. */
void link_give_back(struct worker_link *l, struct holding *h, struct run *r, const char *text);
/* The same of all that wait for a handler that is not there any more. */
void link_give_back_strangers(struct worker_link *l);
/* Takes a run that has not started out of its pool. False when it has started. */
bool link_take_waiting(struct worker_link *l, struct holding *h, struct run **ret);
void link_stop(struct worker_link *l, struct holding *h, enum reason reason, int64_t grace_ms,
               struct now now);
void link_add_given(struct worker_link *l, uint64_t job, uint64_t attempt, bool started,
                    const char *text);
void link_add_started(struct worker_link *l, uint64_t job, uint64_t attempt);

/* ---- link_drain.c ---------------------------------------------------------------------------- */

void link_stop_at_deadline(struct worker_link *l, struct now now);
/* Once all has ended, and the broker knows of it or will not say so: leaves. */
void link_end_when_drained(struct worker_link *l, struct now now);

/* ---- link_asks.c ----------------------------------------------------------------------------- */

/* Its attempt has ended, or is given up: nobody waits for an answer. */
void link_drop_asks(struct worker_link *l, struct holding *h);
/* The session is over: all are to be said again. */
void link_unsay_asks(struct worker_link *l);
void link_say_asks(struct worker_link *l, struct now now);
/* Those that are to be said again by now. */
void link_repeat_asks(struct worker_link *l, struct now now);
/* When one is to be said; NEVER. */
int64_t link_asks_when(const struct worker_link *l);
/* An ERROR was the answer to one of them. */
bool link_ask_failed(struct worker_link *l, const struct msg_error *e, struct now now);

/* ---- send_progress.c ------------------------------------------------------------------------- */

void link_note_progress(struct worker_link *l, struct holding *h, int64_t percent);
/* A session begins: what was said in the one before may be lost. */
void link_unsay_progress(struct worker_link *l);
/* When it is to be said; NEVER. */
int64_t link_progress_when(const struct worker_link *l);

/* ---- one message, one file ------------------------------------------------------------------- */

typedef void link_recv_fn(struct worker_link *l, const struct message *m, struct now now);
link_recv_fn link_recv_welcome, link_recv_hello_again, link_recv_bye, link_recv_beat,
    link_recv_error, link_recv_drain, link_recv_run, link_recv_recorded, link_recv_take_back,
    link_recv_stop, link_recv_spawned, link_recv_checkpointed, link_recv_awaited, link_recv_fetched;

void link_send_hello(struct worker_link *l, struct now now);
void link_send_started(struct worker_link *l);
void link_send_given(struct worker_link *l);
void link_send_progress(struct worker_link *l, struct now now);
void link_send_results(struct worker_link *l, struct now now);
void link_send_beat(struct worker_link *l, struct now now);
void link_send_drain(struct worker_link *l);
void link_send_bye(struct worker_link *l);

#endif
