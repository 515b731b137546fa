/* recv_submit.c - checks SUBMIT, all or nothing, and turns it into rows. A submit that was seen before gets the same ids. */
#include "broker/recv.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/quota.h"
#include "broker/submit.h"
#include "broker/wait.h"
#include "proto/name.h"

/* ---- what is wrong with a job: NULL, or a text in a static buffer ------------------------------- */

static char why[256];

static const char *check_number(const char *name, int64_t v, int64_t least, int64_t most)
{
    if (v == UNSET || (v >= least && v <= most))
        return NULL;
    snprintf(why, sizeof why, "%s must be between %" PRId64 " and %" PRId64 ", not %" PRId64, name, least, most, v);
    return why;
}

#define YEARS_100_MS (100ll * 366 * 86400 * 1000)

static const char *check_numbers(const struct job_spec *s)
{
    const struct {
        const char *name;
        int64_t value, least, most;
    } checks[] = {
        { "tag", s->tag, TAG_AUTO, TAG_SLOW_IO },
        { "priority", s->priority, INT32_MIN, INT32_MAX },
        { "delay", s->delay_ms, 0, YEARS_100_MS },
        { "at", s->at_ms, 0, 3 * YEARS_100_MS },
        { "timeout", s->timeout_ms, 0, YEARS_100_MS },
        { "retries", s->retries, 0, 1000000 },
        { "backoff", s->backoff_min_ms, 0, YEARS_100_MS },
        { "backoff", s->backoff_max_ms, or_default(s->backoff_min_ms, 0), YEARS_100_MS },
        { "crash-limit", s->crash_limit, 1, 1000000 },
        { "expire", s->expire_ms, 0, YEARS_100_MS },
        { "memory", s->memory_bytes, 1, INT64_MAX },
        { "kill-grace", s->kill_grace_ms, 0, YEARS_100_MS },
    };
    const char *bad = NULL;
    for (size_t i = 0; i < ELEMENTS(checks) && !bad; i++)
        bad = check_number(checks[i].name, checks[i].value, checks[i].least, checks[i].most);
    return bad;
}

static const char *check_texts(const struct job_spec *s)
{
    const char *bad = s->queue.p ? name_check(s->queue, "queue") : NULL;
    if (!bad)
        bad = name_check(s->handler, "handler");
    if (!bad && s->program.n > LIMIT_NAME_BYTES)
        bad = "the program's name is too long";
    if (!bad && s->name.n > LIMIT_TEXT_BYTES)
        bad = "the job's name may have at most 1024 bytes";
    struct need needs[LIMIT_NEEDS];
    size_t n;
    return bad || !s->needs.n ? bad : needs_read(s->needs, needs, &n);
}

static const char *check_rights(const struct grant *g, const struct job_spec *s)
{
    cleanup(freep) char *refused = grant_refuses_job(g, s->queue.p ? s->queue : str_of("default"), s->handler);
    if (refused)
        snprintf(why, sizeof why, "%s", refused);
    return refused ? why : NULL;
}

const char *submit_check(const struct broker *b, const struct grant *g, const struct job_spec *s, enum error_code *ret_code)
{
    *ret_code = CODE_REFUSED;
    if (s->payload.n > b->options.max_payload_bytes) {
        snprintf(why, sizeof why, "the payload has %zu bytes, the limit is %" PRIu64, s->payload.n,
                 b->options.max_payload_bytes);
        return why;
    }
    *ret_code = CODE_USAGE;
    const char *bad = check_texts(s);
    if (!bad)
        bad = check_numbers(s);
    if (bad || !g)
        return bad;
    *ret_code = CODE_NOT_ALLOWED;
    return check_rights(g, s);
}

/* ---- from a wish to a row ----------------------------------------------------------------------- */

int submit_plan(struct broker *b, const struct job_spec *s, struct new_job *ret, struct now now)
{
    struct class_key key = {
        .queue = s->queue.p ? s->queue : str_of("default"),
        .handler = s->handler,
        .program = s->program.n ? s->program : STR_UNSET,
        .tag = s->tag == UNSET ? TAG_AUTO : (enum tag)s->tag,
        .tag_unset = s->tag == UNSET,
        .isolated = s->memory_bytes != UNSET && !str_is(s->handler, "exec"), /* of a command every pool can */
        .needs = s->needs,
    };
    struct class *class;
    int r = classes_intern(&b->classes, b->store, &key, &class);
    if (r < 0)
        return r;
    int64_t due = s->at_ms;
    if (s->delay_ms != UNSET)
        due = max_i64(or_default(due, 0), now.wall_ms + s->delay_ms);
    bool later = due != UNSET && due > now.wall_ms;
    *ret = (struct new_job){
        .spec = s, .class = class->id, .state = later ? STATE_SCHEDULED : STATE_QUEUED,
        .due_ms = later ? due : UNSET,
        .expire_at_ms = s->expire_ms == UNSET ? UNSET : now.wall_ms + s->expire_ms,
    };
    return 0;
}

void submit_note(struct broker *b, const struct new_job *j, uint64_t id)
{
    struct class *class = classes_get(&b->classes, j->class);
    class->jobs[j->state]++;
    b->counts.submitted++;
    if (j->state == STATE_QUEUED)
        class_add_waiting(class, or_default(j->spec->priority, 0), id);
    else
        b->next_due_ms = min_i64(b->next_due_ms, j->due_ms);
    if (j->expire_at_ms != UNSET)
        b->next_expiry_ms = min_i64(b->next_expiry_ms, j->expire_at_ms);
}

static bool somebody_has(const struct broker *b, struct str handler)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        if (w->peer && strmap_find(&w->handler_by_name, handler))
            return true;
    return false;
}

#define NOTICES_MAX 4

/* One notice for each of the first few handlers that no connected worker has. A repeated submit is not checked before it gets
 * here: what is no name is not told back. */
static size_t find_notices(const struct broker *b, const struct msg_submit *m, char *ret[NOTICES_MAX])
{
    size_t n = 0;
    struct str last = STR_UNSET;
    for (size_t i = 0; i < m->n_jobs && n < NOTICES_MAX; i++) {
        struct str handler = m->jobs[i].handler;
        if (str_equal(handler, last) || name_check(handler, "handler"))
            continue;
        last = handler;
        if (!somebody_has(b, handler))
            ret[n++] = xasprintf("no connected worker has the handler %.*s: the job waits until one does",
                                 (int)handler.n, handler.p);
    }
    return n;
}

/* A submit that is not new: its job may have ended, so the wait is one like any other. */
static void wait_again(struct broker *b, struct peer *p, uint64_t req, uint64_t id)
{
    struct range range = { id, id };
    wait_start(b, p, &(struct msg_wait){ .req = req, .ranges = &range, .n_ranges = 1 });
}

/* False: none was asked for, or it is for the client to ask once more. */
static bool begin_wait(struct broker *b, struct peer *p, const struct msg_submit *asked, uint64_t id, bool new)
{
    if (!asked->wait || asked->n_jobs != 1 || p->n_open >= LIMIT_REQUESTS_OPEN)
        return false;
    if (new)
        wait_start_new(b, p, asked->wait, asked->what, id);
    else
        wait_again(b, p, asked->wait, id);
    return true;
}

static void send_submitted(struct broker *b, struct peer *p, const struct msg_submit *asked, uint64_t first_id, bool new)
{
    char *texts[NOTICES_MAX];
    struct str notices[NOTICES_MAX];
    size_t n = find_notices(b, asked, texts);
    for (size_t i = 0; i < n; i++)
        notices[i] = str_of(texts[i]);
    struct message m;
    message_init(&m, MSG_SUBMITTED);
    m.submitted.req = asked->req;
    m.submitted.seq = asked->seq;
    m.submitted.first_id = first_id;
    m.submitted.count = asked->n_jobs;
    m.submitted.waits = begin_wait(b, p, asked, first_id, new);
    m.submitted.notices = notices;
    m.submitted.n_notices = n;
    broker_send(b, p, &m);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
}

/* True when this number was seen before: it has been answered. */
static bool answer_known(struct broker *b, struct peer *p, const struct msg_submit *m)
{
    struct submit_row row;
    uint64_t last = 0;
    struct str instance = { (const char *)p->instance, sizeof p->instance };
    int r = store_find_submit(b->store, str_of(p->owner), instance, m->seq, &row, &last);
    if (r == -ENOENT && m->seq > last)
        return false;
    if (r == -ENOENT) {
        broker_send_error(b, p, m->req, CODE_REFUSED,
                          "submit %" PRIu64 " is older than the last 16 that are remembered", m->seq);
        return true;
    }
    if (broker_failed(b, r))
        return true;
    if (row.count == m->n_jobs)
        send_submitted(b, p, m, row.first_id, false);
    else
        broker_send_error(b, p, m->req, CODE_REFUSED, "submit %" PRIu64 " was used for other jobs", m->seq);
    return true;
}

static bool is_malformed(struct broker *b, struct peer *p, const struct msg_submit *m)
{
    if (m->seq && m->seq <= INT64_MAX && m->n_jobs && m->n_jobs <= LIMIT_SUBMIT_JOBS)
        return false;
    broker_send_error(b, p, m->req, CODE_USAGE, "SUBMIT: needs a seq from 1 on, and 1 to %u jobs", LIMIT_SUBMIT_JOBS);
    return true;
}

static void refuse_job(struct broker *b, struct peer *p, const struct msg_submit *s, size_t job, enum error_code code, const char *bad)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.req = s->req;
    m.error.code = code;
    m.error.text = str_of(bad);
    m.error.job = s->n_jobs > 1 ? job + 1 : 0;
    broker_send(b, p, &m);
}

static bool refused(struct broker *b, struct peer *p, const struct msg_submit *m)
{
    const struct account *a = open_jobs_account_of(b, p);
    if (open_jobs_never_fit(a, m->n_jobs)) {
        cleanup(freep) char *too_large = open_jobs_text(a, p->owner, m->n_jobs);
        broker_send_error(b, p, m->req, CODE_REFUSED, "%s", too_large);
        return true;
    }
    for (size_t i = 0; i < m->n_jobs; i++) {
        enum error_code code;
        const char *bad = submit_check(b, p->key[0] ? p->grant : NULL, &m->jobs[i], &code);
        if (bad)
            refuse_job(b, p, m, i, code, bad);
        if (bad)
            return true;
    }
    return false;
}

static void add(struct broker *b, struct peer *p, const struct msg_submit *m, struct now now)
{
    cleanup(freep) struct new_job *jobs = xcalloc(m->n_jobs, sizeof *jobs);
    classes_begin_request(&b->classes);
    for (size_t i = 0; i < m->n_jobs; i++) {
        int r = submit_plan(b, &m->jobs[i], &jobs[i], now);
        if (r == -E2BIG)
            broker_send_error(b, p, m->req, CODE_REFUSED,
                              "too many different queues, handlers and needs among the jobs that there are: at most %u, use fewer",
                              2 * LIMIT_CLASSES);
        if (r == -E2BIG || broker_failed(b, r))
            return;
    }
    struct submit_row row = { .seq = m->seq, .count = m->n_jobs };
    struct str instance = { (const char *)p->instance, sizeof p->instance };
    int r = store_add_jobs(b->store, jobs, m->n_jobs, str_of(p->owner), now.wall_ms, &row.first_id);
    if (r >= 0)
        r = store_put_submit(b->store, str_of(p->owner), instance, &row, now.wall_ms);
    if (broker_failed(b, r))
        return;
    for (size_t i = 0; i < m->n_jobs; i++)
        submit_note(b, &jobs[i], row.first_id + i);
    send_submitted(b, p, m, row.first_id, true);
}

/* ---- busy -------------------------------------------------------------------------------------------
 *
 * Numbers that got `busy` come again, each in its own time, and are taken in their order: once a later one is in, an earlier one
 * looks like one that was done long ago. */

#define GIVEN_UP_MS 10000 /* a number that does not come again for so long never will */

static bool is_behind_busy(struct peer *p, uint64_t seq, struct now now)
{
    if (now.mono_ms - p->busy_mono_ms > GIVEN_UP_MS)
        p->busy_first = p->busy_last = 0;
    return p->busy_first && seq > p->busy_first;
}

static void note_busy(struct peer *p, uint64_t seq, struct now now)
{
    if (!p->busy_first || seq < p->busy_first)
        p->busy_first = seq;
    if (seq > p->busy_last)
        p->busy_last = seq;
    if (seq == p->busy_first)
        p->busy_mono_ms = now.mono_ms;
}

/* This number is in, or was refused for good: the next one. */
static void note_answered(struct peer *p, uint64_t seq, struct now now)
{
    if (seq != p->busy_first)
        return;
    bool more = seq < p->busy_last;
    p->busy_first = more ? seq + 1 : 0;
    p->busy_last = more ? p->busy_last : 0;
    p->busy_mono_ms = now.mono_ms;
}

/* Answers leave at the end of a turn, so what is not answered has come in this one. */
static size_t count_open(const struct broker *b, struct peer *p)
{
    if (p->submits_turn != b->counts.turns)
        p->n_submits = 0;
    p->submits_turn = b->counts.turns;
    return ++p->n_submits;
}

/* NULL, or why its owner may not have so many more open jobs now, but may later. */
static char *too_many_open(struct broker *b, const struct peer *p, size_t n)
{
    const struct account *a = open_jobs_account_of(b, p);
    return open_jobs_fit(a, n) || open_jobs_never_fit(a, n) ? NULL : open_jobs_text(a, p->owner, n);
}

/* Answers with busy, if it is. */
static bool is_busy(struct broker *b, struct peer *p, const struct msg_submit *m, struct now now)
{
    bool too_many = count_open(b, p) > LIMIT_SUBMITS_OPEN, behind = is_behind_busy(p, m->seq, now);
    bool busy = too_many || behind || b->disk_busy;
    cleanup(freep) char *beyond = busy ? NULL : too_many_open(b, p, m->n_jobs);
    if (!busy && !beyond)
        beyond = quota_take(p->quota, p->grant, m, now);
    if (!busy && !beyond)
        return false;
    b->counts.busy++;
    note_busy(p, m->seq, now);
    if (b->disk_busy)
        broker_send_error(b, p, m->req, CODE_BUSY,
                          "busy: disk: over %d %% of the broker's disk is used; free space, submits go on by themselves",
                          b->options.disk_busy_percent);
    else if (beyond)
        broker_send_error(b, p, m->req, CODE_BUSY, "busy: %s", beyond);
    else if (too_many)
        broker_send_error(b, p, m->req, CODE_BUSY, "busy: more than %u submits of this client wait for their answer",
                          LIMIT_SUBMITS_OPEN);
    else
        broker_send_error(b, p, m->req, CODE_BUSY, "busy: submit %" PRIu64 " of this client comes first", p->busy_first);
    return true;
}

void recv_submit(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    const struct msg_submit *s = &m->submit;
    if (is_malformed(b, p, s))
        return;
    bool known = answer_known(b, p, s);
    if (!known && is_busy(b, p, s, now))
        return;
    note_answered(p, s->seq, now);
    if (!known && !refused(b, p, s))
        add(b, p, s, now);
}
