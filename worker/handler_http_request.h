/* handler_http_request.h - what the payload of `http` asks for. */
#ifndef TERN_HANDLER_HTTP_REQUEST_H
#define TERN_HANDLER_HTTP_REQUEST_H

#include "proto/base/base.h"
#include "worker/handler.h"

#include <curl/curl.h>

struct http_request {
    char *url;                  /* owned */
    char *method;               /* owned; NULL: GET, or POST where there is a body */
    char *body;                 /* owned; NULL: none */
    size_t body_bytes;
    struct curl_slist *headers; /* owned */
    bool has_content_type;
    int64_t timeout_ms;
};

/* A URL, or a JSON object of url, method, headers, body, timeout. Else fails the job for good, and
 * returns what the handler must return. Either way ends with http_request_fini. */
int http_request_read(struct http_request *q, struct tern_job *job);
/* What an async handler asks for. -EINVAL: *ret_error (owned by the caller) says what is wrong. Either way ends with
 * http_request_fini. */
int http_request_of(struct http_request *q, const struct tern_http *h, char **ret_error);
void http_request_fini(struct http_request *q);

#endif
