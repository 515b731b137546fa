/* handler_http.c - `http`: one request, with libcurl: blocking in a thread or a child, or awaited
 * on the loop.
 *
 * Deaf to the environment: a proxy named there is not used (CURLOPT_PROXY ""). It would make a job
 * depend on who started the worker, and hide the address that is really connected to from the
 * guard. Nor are cookies, .netrc or the like. */
#include "worker/handlers.h"

#include "proto/base/buf.h"
#include "proto/limits.h"
#include "worker/handler_http_guard.h"
#include "worker/handler_http_request.h"
#include "worker/loop_curl.h"

#define CONNECT_MS 10000L
#define REDIRECTS 10L

struct http {
    struct tern_job *job;        /* borrowed */
    struct http_request request;
    struct http_guard guard;
    CURL *easy;                  /* owned */
    struct buf body;
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    if (buf_add(&h->body, p, size * n) < 0) {
        h->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return size * n;
}

/* Non-zero ends the transfer. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return tern_should_stop(ctx);
}

static void set_limits(struct http *h)
{
    CURL *e = h->easy;
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECTS);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)h->request.timeout_ms);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 8192L); /* there may be thousands */
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, http_guard_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, &h->guard);
}

static void set_callbacks(struct http *h)
{
    CURL *e = h->easy;
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, h->job);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
}

/* A redirect is followed only where it is plain what that means: GET, HEAD, POST. */
static void set_method(struct http *h)
{
    const struct http_request *q = &h->request;
    const char *method = q->method ? q->method : q->body ? "POST" : "GET";
    bool get = strcmp(method, "GET") == 0, head = strcmp(method, "HEAD") == 0, post = strcmp(method, "POST") == 0;
    if (q->body || post) {
        curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_bytes);
        curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, q->body ? q->body : "");
    } else if (head) {
        curl_easy_setopt(h->easy, CURLOPT_NOBODY, 1L);
    }
    bool plain = q->body ? post : get || head || post;
    if (!plain)
        curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h->easy, CURLOPT_FOLLOWLOCATION, plain ? 1L : 0L);
}

static int add_header(struct http_request *q, const char *line)
{
    struct curl_slist *more = curl_slist_append(q->headers, line);
    if (!more)
        return -ENOMEM;
    q->headers = more;
    return 0;
}

/* No waiting for `100 Continue`; and a body is bytes, unless the job says what it is. */
static int set_headers(struct http *h)
{
    struct http_request *q = &h->request;
    int r = add_header(q, "Expect:");
    if (r == 0 && q->body && !q->has_content_type)
        r = add_header(q, "Content-Type: application/octet-stream");
    curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "tern");
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, q->headers);
    return r;
}

static void http_free(struct http *h)
{
    curl_easy_cleanup(h->easy);
    http_request_fini(&h->request);
    buf_fini(&h->body);
    free(h);
}

static void http_freep(struct http **h)
{
    if (*h)
        http_free(*h);
}

/* On the heap: curl's error text alone would fill a page of a coroutine's stack. */
static int http_new(struct http **ret, struct tern_job *job)
{
    cleanup(http_freep) struct http *h = xcalloc(1, sizeof *h);
    h->job = job;
    buf_init(&h->body, LIMIT_RESULT_BYTES);
    int r = http_request_read(&h->request, job);
    if (r < 0)
        return r;
    h->easy = curl_easy_init();
    if (!h->easy)
        return tern_fail(job, "libcurl has no room for a request");
    if (curl_easy_setopt(h->easy, CURLOPT_URL, h->request.url) != CURLE_OK)
        return tern_fail_for_good(job, "`%.200s` is no good URL", h->request.url);
    set_limits(h);
    set_callbacks(h);
    set_method(h);
    r = set_headers(h);
    if (r < 0)
        return r;
    *ret = TAKE(h);
    return 0;
}

/* ---- what it came to -------------------------------------------------------------------------- */

static bool is_for_good(CURLcode code)
{
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT || code == CURLE_TOO_MANY_REDIRECTS ||
           code == CURLE_BAD_FUNCTION_ARGUMENT;
}

static int judge_error(struct http *h, CURLcode code)
{
    const char *text = h->error[0] ? h->error : curl_easy_strerror(code);
    if (h->too_large)
        return tern_fail_for_good(h->job, "the answer is larger than %u bytes", LIMIT_RESULT_BYTES);
    if (h->guard.refused[0])
        return tern_fail_for_good(h->job, "%s is not to be connected to, unless the worker has --http-allow %s",
                                  h->guard.refused, h->guard.word);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return tern_fail(h->job, "stopped while it waited for the answer");
    return is_for_good(code) ? tern_fail_for_good(h->job, "%s", text) : tern_fail(h->job, "%s", text);
}

static int judge_status(struct http *h)
{
    long status = 0;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    int r = tern_result(h->job, h->body.p, h->body.n);
    if (r < 0)
        return r;
    if (status >= 200 && status < 300)
        return 0;
    if (status == 408 || status == 429 || status >= 500)
        return tern_fail(h->job, "the server answered %ld", status);
    return tern_fail_for_good(h->job, "the server answered %ld", status);
}

static int judge(struct http *h, CURLcode code)
{
    return code == CURLE_OK ? judge_status(h) : judge_error(h, code);
}

static int http_blocking(struct tern_job *job)
{
    cleanup(http_freep) struct http *h = NULL;
    int r = http_new(&h, job);
    return r < 0 ? r : judge(h, curl_easy_perform(h->easy));
}

static int http_async(struct tern_job *job)
{
    cleanup(http_freep) struct http *h = NULL;
    CURLcode code;
    int r = http_new(&h, job);
    if (r < 0)
        return r;
    r = loop_await_curl(job, h->easy, &code);
    return judge(h, r < 0 ? CURLE_ABORTED_BY_CALLBACK : code);
}

const struct tern_handler handler_http = {
    .name = "http",
    .description = "one HTTP request: a URL, or JSON of url, method, headers, body, timeout",
    .blocking = http_blocking,
    .async = http_async,
    .tag = TERN_TAG_SLOW_IO,
    .retries = 3,
};
