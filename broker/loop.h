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
};

/* broker_options.ask_reader; ctx is a struct broker_loop. */
int broker_loop_ask(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner);
/* Until TERM or INT: 0. < 0: the store has failed for good, nothing was sent. */
int broker_loop_run(struct broker_loop *l);

#endif
