/* http.c - one HTTP request with libcurl: its options, its body, what went wrong.
 *
 * Deaf to the environment: a proxy named there is not used (CURLOPT_PROXY ""). It would make a job
 * depend on who started the worker, and hide the address that is really connected to from the
 * guard. Nor are cookies, .netrc or the like. */
#include "worker/http.h"

#include "proto/limits.h"

#define CONNECT_MS 10000L
#define REDIRECTS 10L

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

static void set_callbacks(struct http *h, const struct tern_job *job)
{
    CURL *e = h->easy;
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, job);
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

void http_free(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->easy);
    http_request_fini(&h->request);
    buf_fini(&h->body);
    free(h);
}

int http_new(struct http **ret, struct http_request *q, const struct tern_job *job, size_t max_bytes)
{
    struct http *h = xcalloc(1, sizeof *h);
    h->request = *q;
    *q = (struct http_request){ 0 };
    buf_init(&h->body, max_bytes);
    h->easy = curl_easy_init();
    int r = h->easy ? 0 : -ENOMEM;
    if (r == 0 && curl_easy_setopt(h->easy, CURLOPT_URL, h->request.url) != CURLE_OK)
        r = -EINVAL;
    if (r == 0) {
        set_limits(h);
        set_callbacks(h, job);
        set_method(h);
        r = set_headers(h);
    }
    if (r < 0)
        http_free(h);
    else
        *ret = h;
    return r;
}

static bool is_for_good(CURLcode code)
{
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT || code == CURLE_TOO_MANY_REDIRECTS ||
           code == CURLE_BAD_FUNCTION_ARGUMENT;
}

char *http_error(const struct http *h, CURLcode code, bool *ret_for_good)
{
    *ret_for_good = true;
    if (h->too_large)
        return xasprintf("the answer is larger than %zu bytes", h->body.max);
    if (h->guard.refused[0])
        return xasprintf("%s is not to be connected to, unless the worker has --http-allow %s", h->guard.refused,
                         h->guard.word);
    *ret_for_good = is_for_good(code);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return xstrdup("stopped while it waited for the answer");
    return xstrdup(h->error[0] ? h->error : curl_easy_strerror(code));
}

int http_status(const struct http *h)
{
    long status = 0;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}
