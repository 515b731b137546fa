/* handler_http.c - `http`: one request: blocking in a thread or a child, or awaited on the loop. */
#include "worker/handlers.h"

#include "proto/limits.h"
#include "worker/http.h"
#include "worker/loop_curl.h"

static void http_freep(struct http **h) { http_free(*h); }

static int new_of_payload(struct http **ret, struct tern_job *job)
{
    struct http_request q;
    int r = http_request_read(&q, job);
    if (r < 0) {
        http_request_fini(&q);
        return r;
    }
    cleanup(freep) char *url = xstrdup(q.url);
    r = http_new(ret, &q, job, LIMIT_RESULT_BYTES);
    if (r == -EINVAL)
        return tern_fail_for_good(job, "`%.200s` is no good URL", url);
    return r < 0 ? tern_fail(job, "libcurl has no room for a request") : 0;
}

static int judge_error(struct tern_job *job, const struct http *h, CURLcode code)
{
    bool for_good;
    cleanup(freep) char *text = http_error(h, code, &for_good);
    return for_good ? tern_fail_for_good(job, "%s", text) : tern_fail(job, "%s", text);
}

static int judge_status(struct tern_job *job, const struct http *h)
{
    int status = http_status(h);
    int r = tern_result(job, h->body.p, h->body.n);
    if (r < 0)
        return r;
    if (status >= 200 && status < 300)
        return 0;
    if (status == 408 || status == 429 || status >= 500)
        return tern_fail(job, "the server answered %d", status);
    return tern_fail_for_good(job, "the server answered %d", status);
}

static int judge(struct tern_job *job, const struct http *h, CURLcode code)
{
    return code == CURLE_OK ? judge_status(job, h) : judge_error(job, h, code);
}

static int http_blocking(struct tern_job *job)
{
    cleanup(http_freep) struct http *h = NULL;
    int r = new_of_payload(&h, job);
    return r < 0 ? r : judge(job, h, curl_easy_perform(h->easy));
}

static int http_async(struct tern_job *job)
{
    cleanup(http_freep) struct http *h = NULL;
    CURLcode code;
    int r = new_of_payload(&h, job);
    if (r < 0)
        return r;
    r = loop_await_curl(job, h->easy, &code);
    return judge(job, h, r < 0 ? CURLE_ABORTED_BY_CALLBACK : code);
}

const struct tern_handler handler_http = {
    .name = "http",
    .description = "one HTTP request: a URL, or JSON of url, method, headers, body, timeout",
    .blocking = http_blocking,
    .async = http_async,
    .tag = TERN_TAG_SLOW_IO,
    .retries = 3,
};
