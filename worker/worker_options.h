/* worker_options.h - the options of tern-worker, from its command line and its configuration file,
 * checked. */
#ifndef TERN_WORKER_OPTIONS_H
#define TERN_WORKER_OPTIONS_H

#include "proto/base/log.h"
#include "proto/base/options.h"
#include "proto/message.h"
#include "worker/broker_list.h"

struct worker_options {
    char *broker, *key, *broker_key, *name, *queues, *handlers, *http_allow, *modules, *config, *log_level; /* owned */
    int64_t slots[N_POOLS];
    int64_t drain;          /* ms */
    int64_t idle_exit, max_time; /* ms; 0: stays */
    int64_t max_jobs;       /* 0: no limit */
    int64_t jobs_per_child; /* 0: never recycled */
    struct runner_list {
        char **at; /* owned, each: `NAME=COMMAND` or `COMMAND` */
        size_t n, cap;
    } runners;
    bool no_exec, insecure_loopback, help, version;
    struct worker_labels {
        struct str *at; /* owned, and so is each */
        size_t n;
    } labels;
    struct worker_amounts {
        struct amount *at; /* owned, and so are their names */
        size_t n;
    } amounts;

    /* made of the above */
    bool modules_named;     /* or `modules` is the default */
    char *host;             /* owned */
    struct str *queue_list; /* owned; views into queues */
    size_t n_queues;        /* 0: all */
    enum log_level level;
    struct broker_list brokers; /* owned */
};

/* The configuration file, then the command line. argv is left as it is. 1: go on; 0: help or
 * version was printed; < 0: an error was printed, and *ret_status is the exit status: 2 wrong
 * usage, 78 a wrong configuration file. */
int worker_options_read(struct worker_options *o, int argc, char *const *argv, int *ret_status);
/* In the zygote: what worker_options_for_zygote gave it, after its first argument. */
int worker_options_read_zygote(struct worker_options *o, int argc, char *const *argv);
/* The choice of handlers as arguments, NULL-terminated; owned by the caller: free each, and the
 * array. */
char **worker_options_for_zygote(const struct worker_options *o);
void worker_options_fini(struct worker_options *o);

#endif
