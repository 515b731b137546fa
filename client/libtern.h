/* libtern.h - what the files of the library share: the client, its open requests, and who may call
 * whom.
 *
 *     libtern_{submit,wait,run,list,fetch,query,advise}.c   what users call
 *     libtern_request.c    one question, repeated until it has its answer
 *     libtern_session.c    the connection: HELLO, beats, lost and found again
 *     libtern_probe.c      does anybody listen there? */
#ifndef TERN_LIBTERN_H
#define TERN_LIBTERN_H

#include "client/tern.h"
#include "proto/base/list.h"
#include "proto/base/rng.h"
#include "proto/message.h"
#include "proto/socket.h"

#define INSTANCE_BYTES 16u
#define REQUEST_BYTES (4u << 20) /* a submit of many jobs is split before it grows beyond */

/* The connection as the client sees it. */
enum session_state {
    SESSION_CLOSED,  /* no socket: to be opened at due_ms */
    SESSION_HELLO,   /* HELLO is to be sent at due_ms, or was sent and has no answer yet */
    SESSION_WELCOME, /* requests may be sent */
};

/* A question to the broker, open until answered. */
struct request {
    struct link link; /* in tern_client.open, oldest first */
    uint64_t req;
    bool is_submit;      /* it goes out after those before it: their numbers are to come in order */
    struct buf bytes;    /* owned: as encoded for one session */
    uint64_t encoded_in; /* the generation of that session */
    uint64_t sent_in;    /* of the one it was sent in; 0: not sent */
    bool held;           /* not to be sent yet; its answer may come all the same */
    int64_t due_ms;      /* not to be sent before: the broker was busy */
    int64_t busy_ms;     /* when it first said so; 0: never */
    unsigned busy_times;
    bool done;
    int result;            /* when done */
    struct frame frame;    /* owned, when answered */
    struct message answer; /* owned: views into frame */
};

struct tern_client {
    char *address; /* owned */
    char *error;   /* owned: of the last failure */
    bool keyed;    /* own and broker_key count, for TCP */
    struct key_pair own;
    struct key broker_key;
    int64_t silence_ms, broker_timeout_ms;
    int interrupt_fd; /* borrowed: the caller's, or -1 */

    /* libtern_session.c */
    struct socket *socket; /* owned */
    enum session_state state;
    struct rng rng;
    char instance[INSTANCE_BYTES];
    uint64_t epoch, session;
    uint64_t generation; /* counts the WELCOMEs */
    int64_t opened_ms, due_ms, heard_ms, beat_due_ms, turn_ms;
    int64_t asked_ms; /* the first of what was asked since heard_ms; 0: nothing was */
    int64_t backoff_ms;
    int64_t heartbeat_ms, lost_after_ms; /* told by the broker */
    uint64_t max_payload_bytes, max_message_bytes;
    char *software; /* owned */
    char *busy;     /* owned: what HELLO was answered with, since busy_ms, by a broker with too many peers; or NULL */
    int64_t busy_ms;
    uint64_t submit_jobs; /* told by the broker: in a SUBMIT of a stream; 0: JOBS_A_SUBMIT */
    bool knows_needs; /* CAPABILITY_NEEDS */
    bool greeted;   /* there was a first answer */
    int refused;    /* ERROR instead of WELCOME: ends every call */

    /* libtern_request.c */
    struct link open;
    uint64_t next_req;

    /* libtern_submit.c */
    struct batch *filling; /* owned: not sent yet; or NULL */
    struct link submits;   /* struct submit, oldest first: sent, not yet told */
    size_t n_submits;
    uint64_t next_seq;
    struct {
        uint64_t wait, what; /* of the next SUBMIT; 0: none */
        uint64_t begun_in;   /* the generation in which the broker began that wait; 0: it has not */
    } end;
    tern_refused_fn *on_refused; /* or NULL */
    void *on_refused_context;
    tern_submitted_fn *on_submitted;
    void *on_submitted_context;
    tern_notice_fn *on_notice;
    void *on_notice_context;
};

/* Sets the error's text and returns r. */
int client_fail(struct tern_client *c, int r, const char *format, ...) printf_like(3, 4);
/* At the beginning of every call that talks to the broker: -EINVAL before connecting. */
int client_begin(struct tern_client *c);
int64_t client_mono_ms(void);

/* What is wrong with the address, or who does not listen there, found out by a plain connect(2); with keys, by a handshake too. 0,
 * -EINVAL, -EACCES, -EHOSTUNREACH with the client's error set. */
int probe_address(struct tern_client *c);
/* Are keys used for the address? */
static inline bool client_uses_keys(const struct tern_client *c) { return c->keyed && address_is_tcp(c->address); }

int session_open(struct tern_client *c);
void session_close(struct tern_client *c);
/* Does what is due, sends, waits until something happens but not past until_ms (0: does not wait),
 * takes what has arrived. Negative: the call is over. -EINTR: fd is readable; -1: none. */
int session_turn(struct tern_client *c, int64_t until_ms, int fd);
/* Something that has an answer is sent, or would be were there a connection. */
void session_asks(struct tern_client *c, int64_t now_ms);
/* Encodes with the present session and sends. -EAGAIN: no connection. */
int session_send(struct tern_client *c, struct message *m);

/* Takes the message's number from m (its first field, which this sets), and opens the request.
 * -EMSGSIZE. */
int request_open(struct tern_client *c, struct request *r, struct message *m);
/* Takes a number, under which an answer may come before it is sent itself. */
void request_hold(struct tern_client *c, struct request *r);
/* Gives a held request its message. sent_in: the generation in which the broker was asked already; 0: in none. */
int request_release(struct tern_client *c, struct request *r, struct message *m, uint64_t sent_in);
/* Takes turns until an open request, of this message, is answered by one of this type. -ETIMEDOUT past until_ms. */
int request_await(struct tern_client *c, struct request *r, const struct message *m, enum message_type want,
                  int64_t until_ms);
/* Forgets it, whatever has become of it. Safe to repeat. */
void request_fini(struct request *r);
/* Sends what is open and due; returns when the next one is due, or until_ms. */
int64_t requests_send(struct tern_client *c, int64_t now_ms, int64_t until_ms);
/* In a new session all that is open is sent once more in its order, without waiting: the broker does not
 * know any more which submits it answered with busy. */
void requests_hurry(struct tern_client *c);
/* Gives an answer to the request it belongs to, which then owns it. False: nobody's. */
bool requests_answer(struct tern_client *c, struct message *m, struct frame *f);
/* request_open and request_await. The caller calls request_fini in any case. */
int request_call(struct tern_client *c, struct request *r, struct message *m,
                 enum message_type want, int64_t until_ms);

/* With a NUL behind them; NULL when unset. */
void *bytes_copy(struct str s);
/* No longer wants the answer to a WAIT. */
void wait_give_up(struct tern_client *c, uint64_t req);

/* The jobs of the stream, in libtern_submit.c. */
void submits_fini(struct tern_client *c);

/* Packs one job for the wire: all that out points to is in *ret_block, owned by the caller.
 * -EINVAL, -EMSGSIZE. */
int spec_pack(struct tern_client *c, const struct tern_job_spec *spec, struct job_spec *out,
              void **ret_block, size_t *ret_bytes);

/* Texts with a NUL at their end, made from views, freed together. */
struct texts {
    void **at; /* owned */
    size_t n, cap;
};
const char *texts_add(struct texts *t, struct str s);
/* An array of them that ends with NULL. */
const char *const *texts_add_all(struct texts *t, const struct str *s, size_t n);
void *texts_alloc(struct texts *t, size_t n, size_t size);
void texts_fini(struct texts *t);
static inline const char *name_or_null(int64_t number, const char *(*name)(int64_t))
{
    return number == UNSET ? NULL : name(number);
}

#endif
