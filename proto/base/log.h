/* log.h - one line an event, `key=value`, always `job=ID`: one grep tells a job's life across three programs.
 *
 * Lines go to standard error; under systemd (JOURNAL_STREAM) with the `<N>` priority prefix that journald reads.
 * Thread-safe: each line is one write(2). */
#ifndef TERN_LOG_H
#define TERN_LOG_H

#include "proto/base/base.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* program: static text, put before each line when not under systemd. */
void log_init(const char *program, enum log_level most);
/* "error", "warning", "info", "debug"; or -EINVAL. */
int log_level_parse(const char *name);
bool log_enabled(enum log_level level);
void log_at(enum log_level level, const char *format, ...) printf_like(2, 3);

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_at(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                  \
    } while (0)

#endif
