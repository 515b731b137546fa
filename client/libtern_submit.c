/* libtern_submit.c - jobs as a stream of SUBMITs, at most LIMIT_SUBMITS_OPEN of them without an
 * answer, told to the caller in the order of the jobs. Each has a number of its own, under which it
 * is repeated until it is acknowledged: that is what makes a submit idempotent. */
#include "client/libtern.h"

#define JOBS_A_SUBMIT 1000u
#define BYTES_A_SUBMIT (1u << 20)

/* Jobs that wait to be sent together. */
struct batch {
    struct job_spec jobs[JOBS_A_SUBMIT];
    void *blocks[JOBS_A_SUBMIT]; /* owned: what the job points to */
    size_t n, bytes;
};

struct submit {
    struct link link; /* in tern_client.submits */
    struct request request;
    uint64_t n_jobs;
    bool given_up; /* not submitted: the stream has failed */
};

static struct batch *batch_free(struct batch *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        free(b->blocks[i]);
    free(b);
    return NULL;
}

static void submit_free(struct tern_client *c, struct submit *s)
{
    list_remove(&s->link);
    request_fini(&s->request);
    c->n_submits--;
    free(s);
}

void submits_fini(struct tern_client *c)
{
    c->filling = batch_free(c->filling);
    list_each_safe (l, &c->submits)
        submit_free(c, list_entry(l, struct submit, link));
}

void tern_client_on_submitted(struct tern_client *c, tern_submitted_fn *fn, void *context)
{
    c->on_submitted = fn;
    c->on_submitted_context = context;
}

void tern_client_on_refused(struct tern_client *c, tern_refused_fn *fn, void *context)
{
    c->on_refused = fn;
    c->on_refused_context = context;
}

void tern_client_on_notice(struct tern_client *c, tern_notice_fn *fn, void *context)
{
    c->on_notice = fn;
    c->on_notice_context = context;
}

static void tell_notices(struct tern_client *c, const struct msg_submitted *s)
{
    for (size_t i = 0; c->on_notice && i < s->n_notices; i++) {
        cleanup(freep) char *text = xstrndup(s->notices[i]);
        c->on_notice(c->on_notice_context, text ? text : "");
    }
}

static int tell_refused(struct tern_client *c, const struct submit *s)
{
    const struct msg_error *e = &s->request.answer.error;
    cleanup(freep) char *text = xstrndup(e->text);
    const char *why = text ? text : "";
    if (c->on_refused)
        c->on_refused(c->on_refused_context, s->n_jobs, e->job, why);
    if (e->job)
        return client_fail(c, s->request.result, "job %llu of this submit: %s", (unsigned long long)e->job, why);
    return client_fail(c, s->request.result, "%s", why);
}

static int tell_one(struct tern_client *c, struct submit *s)
{
    struct request *r = &s->request;
    if (r->result < 0)
        return tell_refused(c, s);
    const struct msg_submitted *m = &r->answer.submitted;
    if (r->answer.type != MSG_SUBMITTED || m->count != s->n_jobs)
        return client_fail(c, -EPROTO, "the broker acknowledged something else than this submit");
    tell_notices(c, m);
    c->end.begun_in = m->waits ? r->sent_in : 0;
    if (c->on_submitted)
        c->on_submitted(c->on_submitted_context, m->first_id, m->count);
    return 0;
}

/* What is not on its way (any more) is not sent (again). */
static void give_up_unsent(struct tern_client *c)
{
    list_each (l, &c->submits) {
        struct submit *s = list_entry(l, struct submit, link);
        s->given_up |= !s->request.done && s->request.sent_in != c->generation;
        if (s->given_up)
            request_fini(&s->request);
    }
}

static void tell_behind(struct tern_client *c)
{
    list_each_safe (l, &c->submits) {
        struct submit *s = list_entry(l, struct submit, link);
        if (s->given_up)
            c->on_refused(c->on_refused_context, s->n_jobs, 0, "");
        else if (s->request.done)
            tell_one(c, s);
        else
            return;
        submit_free(c, s);
    }
}

static int end_stream(struct tern_client *c, int failed)
{
    cleanup(freep) char *why = xstrdup(c->error);
    int r = c->on_refused ? 0 : failed;
    while (r >= 0) {
        give_up_unsent(c);
        tell_behind(c);
        r = c->n_submits ? session_turn(c, INT64_MAX, c->interrupt_fd) : failed;
    }
    submits_fini(c);
    return client_fail(c, failed, "%s", why);
}

/* What is answered, in the order it was sent. The first failure ends the stream. */
static int tell(struct tern_client *c)
{
    list_each_safe (l, &c->submits) {
        struct submit *s = list_entry(l, struct submit, link);
        if (!s->request.done)
            break;
        int r = tell_one(c, s);
        submit_free(c, s);
        if (r < 0)
            return end_stream(c, r);
    }
    return 0;
}

static int turn(struct tern_client *c, int64_t until_ms, int fd)
{
    int r = session_turn(c, until_ms, fd);
    int told = tell(c);
    return told < 0 ? told : r;
}

/* Sends what has come together; waits while too many are unanswered. */
static int send_batch(struct tern_client *c)
{
    if (!c->filling || !c->filling->n)
        return 0;
    while (c->n_submits >= LIMIT_SUBMITS_OPEN) {
        int r = turn(c, INT64_MAX, c->interrupt_fd);
        if (r < 0)
            return r;
    }
    struct batch *b = TAKE(c->filling);
    struct submit *s = xcalloc(1, sizeof *s);
    s->n_jobs = b->n;
    list_add_tail(&c->submits, &s->link);
    c->n_submits++;
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.seq = c->next_seq++;
    m.submit.jobs = b->jobs;
    m.submit.n_jobs = b->n;
    m.submit.wait = c->end.wait;
    m.submit.what = c->end.what;
    int r = request_open(c, &s->request, &m);
    if (r < 0)
        submit_free(c, s);
    batch_free(b);
    return r;
}

/* most: of them in a message. */
static int add(struct tern_client *c, const struct tern_job_spec *spec, size_t most)
{
    struct job_spec job;
    void *block;
    size_t n;
    int r = client_begin(c);
    if (r >= 0)
        r = spec_pack(c, spec, &job, &block, &n);
    if (r < 0)
        return r;
    if (c->filling && c->filling->n &&
        (c->filling->n >= most || c->filling->bytes + n > BYTES_A_SUBMIT))
        r = send_batch(c);
    if (r < 0) {
        free(block);
        return r;
    }
    if (!c->filling)
        c->filling = xcalloc(1, sizeof *c->filling);
    struct batch *b = c->filling;
    b->jobs[b->n] = job;
    b->blocks[b->n++] = block;
    b->bytes += n;
    return 0;
}

/* Fewer where the broker says so: who may have only so many open jobs submits the next ones while others run. */
static size_t jobs_of_a_stream(const struct tern_client *c)
{
    return c->submit_jobs ? min_size(c->submit_jobs, JOBS_A_SUBMIT) : JOBS_A_SUBMIT;
}

int tern_client_submit_add(struct tern_client *c, const struct tern_job_spec *spec)
{
    return add(c, spec, jobs_of_a_stream(c));
}

int tern_client_submit_flush(struct tern_client *c)
{
    int r = client_begin(c);
    if (r >= 0)
        r = send_batch(c);
    while (r >= 0 && c->n_submits)
        r = turn(c, INT64_MAX, c->interrupt_fd);
    return r;
}

int tern_client_submit_attend(struct tern_client *c, int fd)
{
    int r = client_begin(c);
    if (r >= 0)
        r = send_batch(c);
    do {
        r = r < 0 ? r : turn(c, fd < 0 ? 0 : INT64_MAX, fd);
    } while (r >= 0 && fd >= 0);
    return r == -EINTR ? 0 : r;
}

struct ids {
    uint64_t *at; /* borrowed: the caller's */
    size_t n;
};

static void take_ids(void *context, uint64_t first_id, uint64_t count)
{
    struct ids *ids = context;
    for (uint64_t i = 0; i < count; i++)
        ids->at[ids->n++] = first_id + i;
}

static void leave_out(void *context, uint64_t count, uint64_t job, const char *text)
{
    (void)job, (void)text;
    ((struct ids *)context)->n += count;
}

int tern_client_submit(struct tern_client *c, const struct tern_job_spec *specs, size_t n,
                       uint64_t *ret_ids)
{
    if (c->filling || c->n_submits)
        return client_fail(
            c, -EINVAL, "jobs of tern_client_submit_add are still on their way: flush them first");
    struct ids ids = { ret_ids, 0 };
    tern_submitted_fn *fn = c->on_submitted;
    void *context = c->on_submitted_context;
    tern_refused_fn *on_refused = c->on_refused;
    void *on_refused_context = c->on_refused_context;
    tern_client_on_submitted(c, take_ids, &ids);
    tern_client_on_refused(c, leave_out, &ids);
    memset(ret_ids, 0, n * sizeof *ret_ids);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = add(c, &specs[i], n <= JOBS_A_SUBMIT ? JOBS_A_SUBMIT : jobs_of_a_stream(c));
    if (r >= 0)
        r = tern_client_submit_flush(c);
    submits_fini(c);
    tern_client_on_submitted(c, fn, context);
    tern_client_on_refused(c, on_refused, on_refused_context);
    return r;
}
