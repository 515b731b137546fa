/* limits.h - every limit that a peer can run into, in one place. Each has a test with hostile input. */
#ifndef TERN_LIMITS_H
#define TERN_LIMITS_H

#define LIMIT_MESSAGE_BYTES (16u << 20)  /* one message; a larger one costs its sender the connection */
#define LIMIT_MESSAGE_DEPTH 8u           /* arrays in arrays */
#define LIMIT_MESSAGE_OBJECTS 600000u    /* msgpack objects in one message */
#define LIMIT_LIST 20000u                /* elements of one list in a message */
#define LIMIT_PAYLOAD_BYTES (1u << 20)   /* payload of a job, by default */
#define LIMIT_RESULT_BYTES (1u << 20)    /* result of an attempt; of its output: head and tail */
#define LIMIT_CHECKPOINT_BYTES (64u << 10) /* what an attempt leaves to the next one */
#define LIMIT_NAME_BYTES 128u            /* of a queue, a handler, a worker */
#define LIMIT_TEXT_BYTES 1024u           /* a job's name, an error text, a reason */
#define LIMIT_SUBMIT_JOBS 10000u         /* jobs in one SUBMIT */
#define LIMIT_SUBMITS_OPEN 16u           /* submits of one client that wait for their answer */
#define LIMIT_BATCH 1000u                /* outcomes, runs, references in one worker message */
#define LIMIT_HELD 20000u                /* attempts that one worker holds, as listed in HELLO */
#define LIMIT_RANGES 1000u               /* ranges in one selector */
#define LIMIT_PAGE 1000u                 /* jobs in one page of an answer */
#define LIMIT_RUNNERS 16u                /* runners of one worker */
#define LIMIT_RUNNER_ASKS 64u            /* what one of its runs asks at a time; more are refused */
#define LIMIT_RUNNER_BYTES (4u << 20)    /* one message of a runner; a larger one ends it */
#define LIMIT_HANDLERS 1000u             /* handlers that one worker declares */
#define LIMIT_NOTICES 16u                /* what one worker says is wrong with it */
#define LIMIT_QUEUES 1000u               /* queues that one worker names */
#define LIMIT_PREFETCH 1000u             /* attempts beyond the slots of one pool */
#define LIMIT_SLOTS 10000u               /* slots of one pool */
#define LIMIT_PEERS 10000u               /* peers that have said HELLO */
#define LIMIT_CONNECTIONS 12000u         /* connections to one broker, where it has as many descriptors; more are closed at once */
#define LIMIT_STRANGERS 1000u            /* of them: those that have not come to the end of their handshake */
#define LIMIT_REPLIES 1000u              /* replies that one peer has not read; more are dropped */
#define LIMIT_QUERIES_OPEN 32u           /* LIST, FETCH and HISTORY of one peer that wait for their turn */
#define LIMIT_UNREAD_BYTES (16u << 20)   /* of answers that one peer has not read; more are answered with busy */
#define LIMIT_REQUESTS_OPEN 64u          /* waits and sweeps of one peer that go on at a time */
#define LIMIT_SPAWN 1000u                /* children in one SPAWN; jobs in the ranges of one AWAIT */
#define LIMIT_CHILDREN 10000u            /* children of one job */
#define LIMIT_PARKED 8u                  /* attempts a slot that wait for their children and hold none */
#define LIMIT_CLASSES 10000u             /* (queue, handler, tag, program, needs); past it, commands share one */
#define LIMIT_MEASURES 1000u             /* handlers, and programs of commands, that are measured apart; past it, the rest is together */
#define LIMIT_NEEDS 8u                   /* needs of one job */
#define LIMIT_NEEDS_BYTES 2064u          /* the same as text: two names each, and what stands between */
#define LIMIT_LABELS 64u                 /* labels that one worker has */
#define LIMIT_AMOUNTS 32u                /* amounts that one worker has, or the broker */
#define LIMIT_KEYS 10000u                /* public keys that one broker knows */
#define LIMIT_BROKERS 64u                /* brokers side by side that a client or a worker is told of */
#define LIMIT_LISTEN 16u                 /* addresses that one broker listens on */

#endif
