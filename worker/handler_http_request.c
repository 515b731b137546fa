/* handler_http_request.c - reads the payload of `http`, and trusts none of it: what it says ends up
 * in a request's head. */
#include "worker/handler_http_request.h"

#include "proto/base/parse.h"

#include <jansson.h>
#include <math.h>

#define TIMEOUT_MS 60000 /* of a request that names none */
#define METHOD_BYTES 32u
#define JSON_DEPTH 8u    /* jansson is recursive, and a coroutine's stack is small */

#define TOKEN_BYTES                                                                                                     \
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" /* RFC 9110, 5.6.2 */

static bool is_token(const char *s) { return *s && strspn(s, TOKEN_BYTES) == strlen(s); }

static bool has_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return true;
    return false;
}

static bool too_deep(const char *p, size_t n)
{
    size_t depth = 0;
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        if (text && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            text = !text;
        else if (!text && (p[i] == '{' || p[i] == '['))
            depth++;
        else if (!text && (p[i] == '}' || p[i] == ']'))
            depth -= depth > 0;
        if (depth > JSON_DEPTH)
            return true;
    }
    return false;
}

/* ---- one key each; each returns 0, or what tern_fail_for_good gave ---------------------------- */

static int take_url(struct http_request *q, struct tern_job *job, const char *s, size_t n)
{
    if (has_control(s, n) || memchr(s, ' ', n))
        return tern_fail_for_good(job, "the URL has a space or a control character");
    free(q->url);
    q->url = xstrndup((struct str){ s, n });
    if (strncasecmp(q->url, "http://", 7) != 0 && strncasecmp(q->url, "https://", 8) != 0)
        return tern_fail_for_good(job, "`%.200s` is no URL that begins with http:// or https://", q->url);
    return 0;
}

static int take_method(struct http_request *q, struct tern_job *job, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || !is_token(s) || strlen(s) > METHOD_BYTES)
        return tern_fail_for_good(job, "`method` is no name of a method, such as \"POST\"");
    q->method = xstrdup(s);
    return 0;
}

static int take_body(struct http_request *q, struct tern_job *job, const json_t *v)
{
    if (!json_is_string(v))
        return tern_fail_for_good(job, "`body` is no text");
    q->body_bytes = json_string_length(v);
    q->body = xstrndup((struct str){ json_string_value(v), q->body_bytes });
    return 0;
}

static int take_timeout(struct http_request *q, struct tern_job *job, const json_t *v)
{
    cleanup(freep) char *error = NULL;
    int64_t ms = 0;
    if (json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) < 1e9)
        ms = (int64_t)ceil(json_number_value(v) * 1000);
    else if (!json_is_string(v) || parse_duration(json_string_value(v), &ms, &error) < 0)
        ms = 0;
    if (ms <= 0)
        return tern_fail_for_good(job, "`timeout` is no duration above 0, such as \"10s\"");
    q->timeout_ms = ms;
    return 0;
}

static int take_header(struct http_request *q, struct tern_job *job, const char *name, const json_t *v)
{
    if (!is_token(name) || strlen(name) > 256)
        return tern_fail_for_good(job, "`headers` has a name that is none of a header");
    const char *s = json_string_value(v);
    if (!s || has_control(s, json_string_length(v)))
        return tern_fail_for_good(job, "the header `%s` is no text of one line", name);
    if (strcasecmp(name, "content-type") == 0)
        q->has_content_type = true;
    /* An empty value needs a semicolon: with a colon curl would leave the header out. */
    cleanup(freep) char *line = *s ? xasprintf("%s: %s", name, s) : xasprintf("%s;", name);
    struct curl_slist *more = curl_slist_append(q->headers, line);
    if (!more)
        return tern_fail(job, "out of memory");
    q->headers = more;
    return 0;
}

static int take_headers(struct http_request *q, struct tern_job *job, json_t *v)
{
    const char *name;
    json_t *value;
    int r = json_is_object(v) ? 0 : tern_fail_for_good(job, "`headers` is no object of names and texts");
    for (void *i = json_object_iter(v); i && r == 0; i = json_object_iter_next(v, i)) {
        name = json_object_iter_key(i);
        value = json_object_iter_value(i);
        r = take_header(q, job, name, value);
    }
    return r;
}

static int take_key(struct http_request *q, struct tern_job *job, const char *key, json_t *v)
{
    if (strcmp(key, "url") == 0 && json_is_string(v))
        return take_url(q, job, json_string_value(v), json_string_length(v));
    if (strcmp(key, "url") == 0)
        return tern_fail_for_good(job, "`url` is no text");
    if (strcmp(key, "method") == 0)
        return take_method(q, job, v);
    if (strcmp(key, "headers") == 0)
        return take_headers(q, job, v);
    if (strcmp(key, "body") == 0)
        return take_body(q, job, v);
    if (strcmp(key, "timeout") == 0)
        return take_timeout(q, job, v);
    return tern_fail_for_good(job, "unknown key `%.100s`: there are url, method, headers, body, timeout", key);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int take_object(struct http_request *q, struct tern_job *job, json_t *o)
{
    int r = 0;
    for (void *i = json_object_iter(o); i && r == 0; i = json_object_iter_next(o, i))
        r = take_key(q, job, json_object_iter_key(i), json_object_iter_value(i));
    if (r == 0 && !q->url)
        r = tern_fail_for_good(job, "the payload names no `url`");
    return r;
}

static int read_json(struct http_request *q, struct tern_job *job, const char *p, size_t n)
{
    if (too_deep(p, n))
        return tern_fail_for_good(job, "the payload is JSON of more than %u levels", JSON_DEPTH);
    json_error_t *error = xcalloc(1, sizeof *error); /* not on the small stack */
    json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, error);
    int r = o ? take_object(q, job, o)
              : tern_fail_for_good(job, "the payload is no good JSON: %s", error->text);
    json_decref(o);
    free(error);
    return r;
}

int http_request_read(struct http_request *q, struct tern_job *job)
{
    static const char blank[] = { ' ', '\t', '\r', '\n' };
    size_t n;
    const char *p = tern_payload(job, &n);
    *q = (struct http_request){ .timeout_ms = TIMEOUT_MS };
    for (; n && memchr(blank, p[0], sizeof blank); p++)
        n--;
    while (n && memchr(blank, p[n - 1], sizeof blank))
        n--;
    return n && p[0] == '{' ? read_json(q, job, p, n) : take_url(q, job, p, n);
}

/* ---- of an async handler ----------------------------------------------------------------------- */

static int wrong(char **ret_error, char *text)
{
    *ret_error = text;
    return -EINVAL;
}

static bool is_good_url(const char *s)
{
    bool known = strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0;
    return known && !has_control(s, strlen(s)) && !strchr(s, ' ');
}

/* "Name: value". Without a value it needs a semicolon: with a colon curl would leave the header out. */
static int add_line(struct http_request *q, const char *line, char **ret_error)
{
    const char *colon = strchrnul(line, ':'), *value = colon + (*colon == ':');
    cleanup(freep) char *name = xstrndup((struct str){ line, (size_t)(colon - line) });
    value += strspn(value, " ");
    if (!*colon || !is_token(name) || has_control(value, strlen(value)))
        return wrong(ret_error, xasprintf("`%.100s` is no header, such as \"Accept: text/plain\"", name));
    q->has_content_type |= strcasecmp(name, "content-type") == 0;
    cleanup(freep) char *text = *value ? xasprintf("%s: %s", name, value) : xasprintf("%s;", name);
    struct curl_slist *more = curl_slist_append(q->headers, text);
    if (!more)
        return wrong(ret_error, xstrdup("out of memory"));
    q->headers = more;
    return 0;
}

int http_request_of(struct http_request *q, const struct tern_http *h, char **ret_error)
{
    *q = (struct http_request){ .timeout_ms = h->timeout_ms > 0 ? h->timeout_ms : TIMEOUT_MS };
    if (!h->url || !is_good_url(h->url))
        return wrong(ret_error, xasprintf("`%.200s` is no URL that begins with http:// or https://", h->url ? h->url : ""));
    if (h->method && (!is_token(h->method) || strlen(h->method) > METHOD_BYTES))
        return wrong(ret_error, xstrdup("`method` is no name of a method, such as POST"));
    q->url = xstrdup(h->url);
    q->method = h->method ? xstrdup(h->method) : NULL;
    q->body = h->body ? xstrndup((struct str){ h->body, h->body_bytes }) : NULL;
    q->body_bytes = h->body ? h->body_bytes : 0;
    int r = 0;
    for (const char *const *line = h->headers; line && *line && r == 0; line++)
        r = add_line(q, *line, ret_error);
    return r;
}

void http_request_fini(struct http_request *q)
{
    free(q->url);
    free(q->method);
    free(q->body);
    curl_slist_free_all(q->headers);
    *q = (struct http_request){ 0 };
}
