/* store_view.h - a job as people see it: its row, its class, its last attempt, its command; and its history. For store_read.c. */
#ifndef TERN_STORE_VIEW_H
#define TERN_STORE_VIEW_H

#include <sqlite3.h>

#include "proto/message.h"

/* All statements, NULL at the end: for the test of their plans. */
extern const char *const store_view_sql[];

struct view_reader;
/* SQLite's result codes. */
int view_reader_open(struct view_reader **ret, sqlite3 *db);
void view_reader_close(struct view_reader *v);
/* The first result code since the last call that was no success: what was read meanwhile may not be shown. */
int view_take_error(struct view_reader *v);

/* What a view points into. */
struct view_texts {
    char *text;          /* owned */
    struct str *command; /* owned */
    size_t bytes;
};
void view_texts_free(struct view_texts *t);

/* False when the job is not there. */
bool view_job(struct view_reader *v, uint64_t id, struct job_view *ret, struct view_texts *ret_texts);
bool view_is_command(struct view_reader *v, uint64_t id);

struct history {
    struct event *events; /* owned; their texts too */
    size_t n, cap;
};
/* -ENOENT when there is no such job for this owner (0: any). */
int view_history(struct view_reader *v, uint64_t id, int64_t owner, struct history *ret);
void history_fini(struct history *h);

#endif
