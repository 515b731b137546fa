/* libtern_fetch.c - a job's result and its output. */
#include "client/libtern.h"

#include "proto/output.h"

void *bytes_copy(struct str s)
{
    if (!s.p)
        return NULL;
    char *copy = xmalloc(s.n + 1);
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

static int fetch(struct tern_client *c, uint64_t job, uint64_t attempt, uint64_t what,
                 struct tern_result *ret)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_FETCH);
    m.fetch.job = job;
    m.fetch.attempt = attempt ? (int64_t)attempt : UNSET;
    m.fetch.what = what;
    struct request ask;
    r = request_call(c, &ask, &m, MSG_FETCHED, INT64_MAX);
    const struct msg_fetched *f = &ask.answer.fetched;
    if (r >= 0)
        *ret = (struct tern_result){
            .job = job,
            .state = state_name((int64_t)f->state),
            .reason = f->reason == REASON_NONE ? NULL : name_or_null(f->reason, reason_name),
            .attempt = f->attempt,
            .exit_code = f->exit_code,
            .signal = f->signal,
            .error = xstrndup(f->error),
            .data = bytes_copy(f->data),
            .data_bytes = f->data.n,
        };
    request_fini(&ask);
    return r;
}

int tern_client_fetch_result(struct tern_client *c, uint64_t job, struct tern_result *ret)
{
    return fetch(c, job, 0, WHAT_RESULT, ret);
}

int tern_client_fetch_output(struct tern_client *c, uint64_t job, uint64_t attempt,
                             struct tern_result *ret)
{
    return fetch(c, job, attempt, WHAT_OUTPUT, ret);
}

void tern_result_fini(struct tern_result *r)
{
    free(r->error);
    free(r->data);
    *r = (struct tern_result){ 0 };
}

bool tern_output_next(const struct tern_result *r, size_t *position, int *ret_stream,
                      const void **ret_bytes, size_t *ret_n, uint64_t *ret_cut)
{
    if (!r->data)
        return false;
    struct str rest = { (const char *)r->data + *position, r->data_bytes - *position }, bytes;
    if (!output_next(&rest, ret_stream, &bytes))
        return false;
    *position = r->data_bytes - rest.n;
    *ret_bytes = bytes.p;
    *ret_n = bytes.n;
    *ret_cut = *ret_stream == OUTPUT_CUT ? output_cut_bytes(bytes) : 0;
    return true;
}
