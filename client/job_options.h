/* job_options.h - the options that describe a job: of submit and run, and the keys of a line of
 * --batch. */
#ifndef TERN_JOB_OPTIONS_H
#define TERN_JOB_OPTIONS_H

#include "client/tern.h"
#include "proto/base/buf.h"
#include "proto/base/options.h"

/* Texts in a row, ending with NULL. */
struct strings {
    char **at; /* owned */
    size_t n, cap;
};
void strings_add(struct strings *s, const char *text);
void strings_fini(struct strings *s);

struct job_options {
    char *handler, *payload, *tag, *queue, *name, *cwd, *stdin_file; /* owned */
    int64_t priority, delay_ms, at_ms, timeout_ms, retries;
    struct job_backoff {
        int64_t min_ms, max_ms;
    } backoff;
    int64_t crash_limit, expire_ms, memory_bytes, kill_grace_ms;
    struct strings env, needs;
    /* Not options: what batch.c and job_options_load fill. */
    struct strings command;
    struct buf payload_bytes;
    bool has_payload;
    struct buf input;
    char *here; /* owned: the directory a command runs in */
};

extern const struct option_def job_options[];

void job_options_init(struct job_options *o);
/* All but the texts of the table. */
void job_options_fini_rest(struct job_options *o);
/* All. */
void job_options_fini(struct job_options *o);
/* A second one that begins with the same options; neither may have been loaded. */
void job_options_copy(struct job_options *to, const struct job_options *from);

/* Reads what the options name (the payload's file, the command's input) and checks that they fit
 * together. The command stands in o->command. -EINVAL, or -errno of a file, with a text in
 * *ret_error. */
int job_options_load(struct job_options *o, char **ret_error);
/* A view of all of it, valid as long as o. */
void job_options_spec(const struct job_options *o, struct tern_job_spec *ret);

#endif
