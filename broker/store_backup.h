/* store_backup.h - a database copied aside while its broker serves it, and put back. */
#ifndef TERN_STORE_BACKUP_H
#define TERN_STORE_BACKUP_H

#include "proto/base/base.h"

/* done and all: pages. */
typedef void backup_progress_fn(void *ctx, int64_t done, int64_t all);

/* Copies the database, as it is at this moment, into a new file: written beside it, synced, and renamed. The broker goes on; only its log
 * grows until the copy is done. -EEXIST: there is such a file. On failure *ret_error says what to do, owned by the caller. */
int store_backup(const char *database, const char *file, backup_progress_fn *progress, void *ctx, char **ret_error);

struct restore_options {
    const char *database, *file;
    bool replace;      /* a database that is there is set aside */
    int64_t skip_ids;  /* so many ids beyond the last one that is known are not given out: they may have been, since the backup */
};
struct restored {
    int64_t jobs, running; /* running: leased in the backup */
    int64_t next_id, epoch;
    char *set_aside;       /* owned; or NULL: where the database that was there is now */
};
/* Checks the file, copies it, and puts it where the broker will look for it. -EBUSY: a broker serves the database. */
int store_restore(const struct restore_options *o, struct restored *ret, char **ret_error);

#endif
