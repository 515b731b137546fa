/* parse.h - what people type as values: durations, sizes, numbers, times. And the same back as
 * text.
 *
 * Each parse_* returns 0, or -EINVAL and a text of what was wrong and what would be right in
 * *ret_error, owned by the caller. The results are untouched on failure. */
#ifndef TERN_PARSE_H
#define TERN_PARSE_H

#include "proto/base/base.h"

/* A whole number from min to max. */
int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret, char **ret_error);

/* `500ms`, `10s`, `5m`, `1h30m`, `7d`, `1.5s`: units ms s m h d w, biggest first; a bare number
 * means seconds. */
int parse_duration(const char *text, int64_t *ret_ms, char **ret_error);

/* `64M`, `512K`, `1.5G`, `1MiB`: powers of 1024; a bare number means bytes. */
int parse_size(const char *text, int64_t *ret_bytes, char **ret_error);

/* RFC 3339 with an offset, to the millisecond: `2026-11-21T04:05:06.789Z`,
 * `2026-11-21T05:05:06+01:00`. */
int parse_time(const char *text, int64_t *ret_ms, char **ret_error);

/* `yes no true false on off 1 0`. */
int parse_bool(const char *text, bool *ret, char **ret_error);

/* Back to text, into the caller's bytes; each returns out. */
#define FORMAT_BYTES 40
char *format_time(int64_t ms, char out[static FORMAT_BYTES]); /* 2026-11-21T04:05:06.789Z */
char *format_duration(int64_t ms,
                      char out[static FORMAT_BYTES]); /* what parse_duration takes: 1h30m */
char *format_size(int64_t bytes, char out[static FORMAT_BYTES]); /* 64M; only whole units */

#endif
