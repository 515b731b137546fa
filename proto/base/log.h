/* log.h - one line an event, `key=value`, always `job=ID`: one grep tells a job's life across three programs.
 *
 * Lines go to standard error. Where that is the journal (JOURNAL_STREAM names it), they go there as entries instead, whose
 * fields are taken from the line itself: TERN_JOB_ID of `job=`, TERN_ATTEMPT of `attempt=`, TERN_WORKER of `worker=`, and
 * MESSAGE_ID of the `event=` that it begins with, where that is one of log_events[].
 * Thread-safe: each line is one write(2), or one sendmsg(2). */
#ifndef TERN_LOG_H
#define TERN_LOG_H

#include "proto/base/base.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* program: static text, put before each line that does not go to the journal. */
void log_init(const char *program, enum log_level most);
/* "error", "warning", "info", "debug"; or -EINVAL. */
int log_level_parse(const char *name);
bool log_enabled(enum log_level level);
/* Until it says NULL: lines of this thread end in a space and this `key=value`, borrowed. Returns what it was before. */
const char *log_about(const char *pair);
void log_at(enum log_level level, const char *format, ...) printf_like(2, 3);

/* The events that have an id of their own; contrib/systemd/tern.catalog explains them. NULL at the end. */
struct log_event {
    const char *name, *id;
};
extern const struct log_event log_events[];

/* The fields of a journal entry, "NAME=value", that the text of a line gives. */
#define LOG_FIELDS_MOST 4
struct log_fields {
    size_t n;
    char at[LOG_FIELDS_MOST][160];
};
void log_fields_of(struct log_fields *ret, const char *text);

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_at(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                  \
    } while (0)

#endif
