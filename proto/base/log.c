/* log.c - lines to standard error, one write each. Control bytes are shown, never sent to a terminal. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *program = "tern";
static enum log_level most = LOG_LEVEL_INFO;
static bool to_journal;

void log_init(const char *name, enum log_level level)
{
    program = name;
    most = level;
    to_journal = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_parse(const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = { { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "info", LOG_LEVEL_INFO },
                   { "debug", LOG_LEVEL_DEBUG } };
    for (size_t i = 0; i < ELEMENTS(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return levels[i].level;
    return -EINVAL;
}

bool log_enabled(enum log_level level) { return level <= most; }

static int prefix(char *line, size_t size, enum log_level level)
{
    if (to_journal)
        return snprintf(line, size, "<%d>", (int)level);
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
    const char *mark = level == LOG_LEVEL_ERROR ? "error: " : level == LOG_LEVEL_WARNING ? "warning: " : "";
    return (int)n + snprintf(line + n, size - n, ".%03ldZ %s: %s", t.tv_nsec / 1000000, program, mark);
}

void log_at(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char line[2048];
    size_t n = (size_t)prefix(line, sizeof line, level);
    va_list ap;
    va_start(ap, format);
    int m = vsnprintf(line + n, sizeof line - n - 1, format, ap);
    va_end(ap);
    size_t end = m < 0 ? n : min_size(n + (size_t)m, sizeof line - 2);
    for (size_t i = n; i < end; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[end++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end);
    (void)written; /* a log that cannot be written must not stop the work */
}
