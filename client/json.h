/* json.h - one JSON object a line on standard output, with "v":1 first. Absent is null, never
 * missing; durations are milliseconds with three decimals, times RFC 3339 UTC with milliseconds.
 * Bytes that are no UTF-8 become U+FFFD. */
#ifndef TERN_JSON_H
#define TERN_JSON_H

#include "client/tern.h"
#include "proto/base/buf.h"

struct json {
    struct buf b;
    bool comma;
};

void json_begin(struct json *j);
void json_text(struct json *j, const char *key, const char *text);
void json_bytes(struct json *j, const char *key, struct str bytes);
void json_base64(struct json *j, const char *key, struct str bytes);
void json_number(struct json *j, const char *key, int64_t v);
void json_count(struct json *j, const char *key, uint64_t v);
void json_bool(struct json *j, const char *key, bool v);
void json_us(struct json *j, const char *key, int64_t us); /* as milliseconds */
void json_ms(struct json *j, const char *key, int64_t ms);
void json_time(struct json *j, const char *key, int64_t ms);
void json_texts(struct json *j, const char *key, const char *const *texts); /* ends with NULL */
void json_open(struct json *j, const char *key);                            /* an object inside */
void json_close(struct json *j);
/* A list of objects: json_list, then json_item and json_close for each, then json_list_end. */
void json_list(struct json *j, const char *key);
void json_item(struct json *j);
void json_list_end(struct json *j);
/* The line without its newline; a view until the next call. */
struct str json_end(struct json *j);
/* Ends it, prints it, and frees it. */
void json_print(struct json *j);
void json_fini(struct json *j);

/* All that is known of a job. */
void json_job(struct json *j, const struct tern_job_view *job);

#endif
