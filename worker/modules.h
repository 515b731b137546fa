/* modules.h - the modules of this worker: the shared objects of one directory.
 *
 * Each is copied into memory that nobody can write any more: dlopen of a file that was replaced gives the old one, and
 * writing into a file that is loaded ends whoever runs it. The copy is first loaded in a child of its own, under the
 * zygote, with a time limit, which says what it declares. Then it is used: loaded into this process if a thread or the
 * loop may run it, and handed to each new child of the process pool, which loads it when it needs it.
 *
 * A copy goes with the last process that has it; nothing is left on a disk. The link's thread only; nothing blocks. */
#ifndef TERN_MODULES_H
#define TERN_MODULES_H

#include "proto/base/clock.h"
#include "worker/zygote.h"

#define MODULES_MOST 100u       /* in the directory */
#define MODULE_BYTES_MOST (64u << 20)
#define MODULE_LOADS_MOST 1000u /* into the worker's own process, for none is ever unloaded; then it must be restarted */

struct modules;

struct modules_options {
    const char *dir;        /* borrowed */
    bool named;             /* it was asked for: say so if it is not there */
    bool in_thread, in_loop; /* the pools of the worker's own process that there are */
    struct zygote *zygote;  /* borrowed */
    /* The handlers have changed: what handlers_info said is no longer valid. */
    void (*on_changed)(void *ctx, struct now now);
    void *ctx;
};

struct modules *modules_new(const struct modules_options *o);
void modules_free(struct modules *m);

/* Looks at the directory anew. What has not changed stays; what is new or has changed is used once it has been loaded for
 * a trial; what is refused is named in the log, and the version before it stays, if there is one. */
void modules_reload(struct modules *m, const char *dir, bool named, struct now now);
/* Is there nothing under way? */
bool modules_are_settled(const struct modules *m);
/* Does what is due; the monotonic time in ms when it wants to be called again, or NEVER. */
int64_t modules_tick(struct modules *m, struct now now);

/* To a new child of the process pool, which calls modules_accept. m: NULL where there are none. */
int modules_hand(const struct modules *m, int socket);
/* Why which were refused, one text each; borrowed until something is settled again. */
const struct str *modules_notices(const struct modules *m, size_t *ret_n);

#endif
