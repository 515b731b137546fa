/* broker_options.h - the options of tern-broker, from its command line and its configuration file. */
#ifndef TERN_BROKER_OPTIONS_H
#define TERN_BROKER_OPTIONS_H

#include "broker/needs.h"
#include "proto/base/options.h"
#include "proto/key.h"
#include "proto/limits.h"

struct program_options {
    char *listen, *db, *config, *log_level, *worker_user, *key, *keys; /* owned */
    int64_t worker_uid;                        /* of worker_user; -1: there is none */
    int64_t heartbeat, lost_after, retention;  /* ms */
    int64_t keep_finished, disk_busy;
    int64_t max_payload, ballast;              /* bytes */
    bool insecure_loopback, help, version;
    struct amounts shared;                     /* --resource */

    /* made of the above */
    struct listen_at {
        char *address; /* owned */
        bool keyed;    /* own counts */
        struct key_pair own;
    } listen_at[LIMIT_LISTEN];
    size_t n_listen;
    bool keyed; /* one of them is */
};

/* 1: go on; 0: help or version was printed; < 0: an error was printed, -EINVAL of usage, -EBADMSG of the configuration. */
int program_options_read(struct program_options *o, int argc, char **argv);
void program_options_fini(struct program_options *o);

#endif
