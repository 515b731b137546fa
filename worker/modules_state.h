/* modules_state.h - what the modules of a worker are made of, for their files alone: modules.c (which are in use),
 * modules_files.c (the directory, and copies of what is in it), modules_trial.c (the first loading, in a child of its own). */
#ifndef TERN_MODULES_STATE_H
#define TERN_MODULES_STATE_H

#include <sys/stat.h>

#include "proto/base/list.h"
#include "worker/module.h"
#include "worker/modules.h"

/* What tells one version of a file from another. */
struct module_identity {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec written, changed;
};

/* WAITING without a copy: it is the same as the one in use. */
enum module_stage { STAGE_WAITING, STAGE_TRIED, STAGE_GOOD, STAGE_REFUSED };

/* One version of a module. */
struct module_version {
    struct link link;   /* in use, or in coming */
    struct modules *of; /* borrowed */
    char *name;         /* owned: of the file */
    struct module_identity identity;
    enum module_stage stage;
    int copy;               /* owned */
    struct module *module;  /* owned; NULL until it is good */
    char *why;              /* owned: refused */
    bool loaded;            /* into this process: its module and its copy stay for ever */

    /* while it is tried */
    uint64_t child;
    int socket; /* owned */
    int64_t until_ms;
    bool late;
};

struct modules {
    struct modules_options o;
    struct link in_use; /* owned versions, by name */
    struct link coming; /* owned versions, by name: of the directory as it was read */
    size_t n_tried;
    bool busy, again;
    char *dir;    /* owned: what `again` is to read */
    bool named;
    int table;    /* owned: what children are told; -1: there are none */
    struct str *notices; /* owned, and its texts */
    size_t n_notices;
};

/* Takes why. */
void modules_refuse(struct module_version *v, char *why);
struct module_version *modules_find(const struct link *in, const char *name);

/* ---- modules_files.c -------------------------------------------------------------------------- */

/* Reads the directory: `coming` has a version for each of its modules. One without a copy is the same as the one in use. */
void modules_look(struct modules *m);
/* Nobody can write it from here on. */
int modules_seal(int fd);

/* ---- modules_trial.c -------------------------------------------------------------------------- */

/* Begins its trial: it is TRIED then, and GOOD or REFUSED after it. */
void modules_try(struct module_version *v, struct now now);
/* A child that does not end by itself in time is ended, and then heard of as any other. When to call this again. */
int64_t modules_end_late(struct module_version *v, struct now now);

#endif
