/* loop_http.c - a request that an async handler awaits. */
#include "worker/loop_http.h"

#include "proto/limits.h"
#include "worker/http.h"
#include "worker/loop_curl.h"

#define BODY_BYTES_MOST (64u << 20)

static void take_body(struct http *h, struct tern_reply *reply)
{
    reply->status = http_status(h);
    reply->n = h->body.n;
    reply->bytes = xstrndup((struct str){ h->body.p ? h->body.p : "", h->body.n });
}

static int perform(struct tern_job *j, struct http *h, struct tern_reply *reply)
{
    CURLcode code;
    bool for_good;
    int r = loop_await_curl(j, h->easy, &code);
    if (r == 0 && code == CURLE_OK)
        take_body(h, reply);
    else if (r == 0)
        reply->error = http_error(h, code, &for_good);
    return r < 0 || code == CURLE_OK ? r : code == CURLE_ABORTED_BY_CALLBACK && tern_should_stop(j) ? -ECANCELED : -EIO;
}

int loop_await_http(struct tern_job *j, const struct tern_http *http, struct tern_reply *reply)
{
    struct http_request q;
    struct http *h = NULL;
    size_t max_bytes = http->max_bytes ? min_size(http->max_bytes, BODY_BYTES_MOST) : LIMIT_RESULT_BYTES;
    int r = http_request_of(&q, http, &reply->error);
    if (r < 0) {
        http_request_fini(&q);
        return r;
    }
    r = http_new(&h, &q, j, max_bytes);
    if (r < 0)
        reply->error = xstrdup(r == -EINVAL ? "it is no good URL" : "libcurl has no room for a request");
    else
        r = perform(j, h, reply);
    http_free(h);
    return r;
}
