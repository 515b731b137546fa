/* http.h - one HTTP request with libcurl, to be performed or awaited: of the handler `http`, and of tern_await_http. */
#ifndef TERN_HTTP_H
#define TERN_HTTP_H

#include "proto/base/buf.h"
#include "worker/handler_http_guard.h"
#include "worker/handler_http_request.h"

/* On the heap: curl's error text alone would fill a page of a coroutine's stack. */
struct http {
    struct http_request request;
    struct http_guard guard;
    CURL *easy;      /* owned */
    struct buf body; /* owned */
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

/* Takes *q, in any case. The transfer ends when job should stop. -EINVAL: no good URL; -ENOMEM. */
int http_new(struct http **ret, struct http_request *q, const struct tern_job *job, size_t max_bytes);
/* NULL is fine. */
void http_free(struct http *h);
/* What went wrong, for people; the caller's. */
char *http_error(const struct http *h, CURLcode code, bool *ret_for_good);
/* Of the answer. */
int http_status(const struct http *h);

#endif
