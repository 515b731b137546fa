/* loop.h - the broker's loop: the socket, the signals and the reader around the core. */
#ifndef TERN_BROKER_LOOP_H
#define TERN_BROKER_LOOP_H

#include "broker/broker.h"
#include "broker/reader.h"
#include "proto/base/service.h"
#include "proto/socket.h"

struct broker_loop {
    struct socket *socket; /* borrowed */
    struct reader *reader; /* borrowed */
    struct broker *broker; /* borrowed */
    bool late;              /* a worker has too much to read */
    int signals;           /* signalfd of TERM, INT and HUP */
    struct service service;
    /* At HUP: reads the configuration again and changes what can be changed. < 0: it is wrong, nothing has changed. */
    int (*reload)(void *ctx, struct broker *b);
    void *ctx;
    const char *keys;      /* borrowed: the directory of public keys; NULL: no address has keys */
    int keys_changed;      /* inotify of it; -1: none */
    bool keys_asked;       /* asked for: the keys are read anew in the next turn */
    int64_t keys_due_ms;   /* or then: a file was moved away; else NEVER */
    bool open_tcp;         /* --insecure-loopback: who comes without a key is an admin */
    uint64_t strangers;    /* that were refused at the door */
    int64_t stranger_logged_mono_ms;
    bool runs;             /* the loop has begun */
};

/* broker_options.ask_reader; ctx is a struct broker_loop. */
int broker_loop_ask(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner);
/* The keys, as they stand in the directory now. At the start (a directory that is not there is an error), and later on (then what
 * was known before stays known). */
int broker_loop_load_keys(struct broker_loop *l, char **ret_error);
/* zap_open's; ctx is a struct broker_loop. */
bool broker_loop_admit(void *ctx, const struct key *key, const char *address);
/* Until TERM or INT: 0. < 0: the store has failed for good, nothing was sent. */
int broker_loop_run(struct broker_loop *l);

#endif
