/* keeper_runs.c - the runs that a runner has, from RUN to their outcome, and what is asked and told of them in between. */
#include "worker/keeper_state.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "worker/asks.h"
#include "worker/job_log.h"
#include "worker/job_text.h"
#include "worker/keeper_asks.h"
#include "worker/number.h"
#include "worker/tree.h"

#define RSS_GROWN_KB 4096

/* What a run has asked: each run numbers its own, the keeper those of all. */
struct kept_ask {
    struct link link;
    struct kept *run; /* borrowed */
    uint64_t req, own_req;
};

/* ---- which there are -------------------------------------------------------------------------- */

static struct kept *find(struct keeper *k, uint64_t job, uint64_t attempt)
{
    struct kept *r = idmap_find(&k->by_job, number_key(job, attempt));
    return r && r->job == job && r->attempt == attempt ? r : NULL;
}

static void keep(struct keeper *k, const struct run_job *job)
{
    struct kept *r = xcalloc(1, sizeof *r);
    r->number = job->job;
    r->job = number_own(job->job);
    r->attempt = job->attempt;
    r->began_us = clock_mono_us();
    r->cpu_us = keeper_is_shared(k) ? UNSET : runner_process_cpu_us(&k->process);
    r->progress = JOB_PROGRESS_UNSAID;
    buf_init(&r->output, LIMIT_RESULT_BYTES);
    list_init(&r->asks);
    list_add_tail(&k->kept, &r->link);
    idmap_put(&k->by_job, number_key(r->job, r->attempt), r);
    k->n_kept++;
}

static void forget_ask(struct keeper *k, struct kept_ask *a)
{
    idmap_remove(&k->asks, a->req);
    list_remove(&a->link);
    a->run->n_asks--;
    free(a);
}

static void forget(struct keeper *k, struct kept *r)
{
    list_each_safe(i, &r->asks)
        forget_ask(k, list_entry(i, struct kept_ask, link));
    uint64_t key = number_key(r->job, r->attempt);
    if (idmap_find(&k->by_job, key) == r)
        idmap_remove(&k->by_job, key);
    list_remove(&r->link);
    buf_fini(&r->output);
    free(r);
    k->n_kept--;
}

/* ---- how one ends ----------------------------------------------------------------------------- */

static bool is_not_runner(void *ctx, pid_t pid) { return pid == ((struct keeper *)ctx)->process.pid; }

static void kill_stray(void *ctx, const struct tree_process *p)
{
    (void)ctx;
    if (p->state != 'Z')
        kill(p->pid, SIGKILL);
}

/* What a run of the process pool has left behind, less what is still the runner's child. */
static void end_strays(struct keeper *k)
{
    if (!keeper_is_shared(k))
        tree_each_child(getpid(), is_not_runner, kill_stray, k);
}

void keeper_end_more_strays(struct keeper *k)
{
    if (list_empty(&k->kept))
        end_strays(k);
}

static void measure(struct keeper *k, const struct kept *r, int64_t cpu_us, struct outcome *o)
{
    o->wall_us = clock_mono_us() - r->began_us;
    o->cpu_us = cpu_us == UNSET ? UNSET : max_i64(cpu_us, 0);
    if (keeper_is_shared(k))
        return;
    int64_t now_us = runner_process_cpu_us(&k->process);
    if (o->cpu_us == UNSET && r->cpu_us != UNSET && now_us != UNSET)
        o->cpu_us = now_us - r->cpu_us;
    o->max_rss_kb = runner_process_peak_kb(&k->process);
    if (o->max_rss_kb == UNSET || o->max_rss_kb <= k->base_kb + RSS_GROWN_KB)
        return;
    runner_process_forget_peak(&k->process);
    k->base_kb = runner_process_peak_kb(&k->process);
}

/* o says how; the rest is filled in here. */
static void end(struct keeper *k, struct kept *r, struct outcome *o)
{
    struct message m;
    o->job = r->number;
    o->attempt = r->attempt;
    if (r->output.n)
        o->output = buf_str(&r->output);
    message_init(&m, MSG_RESULT);
    m.result.outcomes = o;
    m.result.n_outcomes = 1;
    keeper_say(k, &m);
    forget(k, r);
    end_strays(k);
}

static void outcome_of_failure(struct outcome *o, const char *error, bool for_good)
{
    record_init(RECORD_outcome, o);
    o->ending = ENDING_FAILED;
    o->reason = REASON_HANDLER_ERROR;
    o->for_good = for_good;
    o->error = str_of(error);
}

/* Alone, the run is to blame; of several, each is a suspect. */
static void outcome_of_end(const struct keeper *k, int status, const char *text, struct outcome *o)
{
    outcome_of_failure(o, text, false);
    if (keeper_is_shared(k)) {
        o->ending = ENDING_LOST;
        o->reason = REASON_WORKER_LOST;
    } else if (!k->why && WIFSIGNALED(status)) {
        o->reason = REASON_SIGNAL;
        o->signal = WTERMSIG(status);
    } else if (!k->why) {
        o->reason = REASON_EXIT;
        o->exit_code = WEXITSTATUS(status);
    }
}

void keeper_end_runs(struct keeper *k, int status, const char *text)
{
    while (!list_empty(&k->kept)) {
        struct kept *r = list_entry(k->kept.next, struct kept, link);
        struct outcome o;
        outcome_of_end(k, status, text, &o);
        o.wall_us = clock_mono_us() - r->began_us;
        end(k, r, &o);
    }
}

/* ---- what the worker says --------------------------------------------------------------------- */

void keeper_run(struct keeper *k, const struct run_job *job)
{
    struct runner_run r = {
        .what = RUNNER_RUN, .job = number_own(job->job), .attempt = job->attempt, .queue = job->queue, .handler = job->handler,
        .timeout_ms = job->timeout_ms, .name = job->name,
        .payload = job->payload.p ? job->payload : (struct str){ "", 0 }, .checkpoint = job->checkpoint,
    };
    keep(k, job);
    keeper_tell(k, RECORD_runner_run, &r);
}

void keeper_begin_runs(struct keeper *k)
{
    list_each(i, &k->kept)
        list_entry(i, struct kept, link)->began_us = clock_mono_us();
}

void keeper_stop(struct keeper *k, const struct attempt_ref *ref)
{
    struct kept *r = find(k, number_own(ref->job), ref->attempt);
    if (!r || r->number != ref->job)
        return;
    if (r->told && !keeper_is_shared(k))
        kill(k->process.pid, SIGKILL);
    else if (!r->told)
        keeper_tell(k, RECORD_runner_stop, &(struct runner_stop){ RUNNER_STOP, r->job, r->attempt });
    r->told = true;
}

static void tell_answer(struct keeper *k, const struct kept *r, uint64_t own_req, const struct message *m)
{
    struct runner_answer answer;
    keeper_answer(m, &answer);
    answer.job = r->job;
    answer.attempt = r->attempt;
    answer.req = own_req;
    keeper_tell(k, RECORD_runner_answer, &answer);
}

void keeper_on_answer(struct keeper *k, const struct message *m)
{
    struct kept_ask *a = idmap_find(&k->asks, answer_req(m));
    if (!a)
        return;
    tell_answer(k, a->run, a->own_req, m);
    forget_ask(k, a);
}

/* ---- what the runner says --------------------------------------------------------------------- */

static void answer_of_none(struct keeper *k, uint64_t job, uint64_t attempt)
{
    keeper_end_runner(k, xasprintf("answered for attempt %llu of job %llu, which it does not have", (unsigned long long)attempt,
                                   (unsigned long long)job));
}

void keeper_on_done(struct keeper *k, const struct runner_done *d)
{
    struct outcome o;
    struct kept *r = find(k, d->job, d->attempt);
    cleanup(freep) char *text = NULL;
    if (!r) {
        answer_of_none(k, d->job, d->attempt);
        return;
    }
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_DONE;
    o.result = d->result;
    if (d->result.n > LIMIT_RESULT_BYTES) {
        text = xasprintf("its result has %zu bytes; there may be %u", d->result.n, LIMIT_RESULT_BYTES);
        outcome_of_failure(&o, text, true);
    }
    measure(k, r, d->cpu_us, &o);
    end(k, r, &o);
}

void keeper_on_failed(struct keeper *k, const struct runner_failed *f)
{
    struct outcome o;
    struct kept *r = find(k, f->job, f->attempt);
    if (!r) {
        answer_of_none(k, f->job, f->attempt);
        return;
    }
    cleanup(freep) char *text = f->error.n ? xstrndup(f->error) : xstrdup("the handler failed, and did not say why");
    job_text_clean(text, LIMIT_TEXT_BYTES);
    outcome_of_failure(&o, text, f->for_good != 0);
    measure(k, r, f->cpu_us, &o);
    end(k, r, &o);
}

static void add_lines(struct kept *r, struct str text)
{
    char line[JOB_LOG_LINE_BYTES];
    for (size_t at = 0; at < text.n;) {
        const char *p = text.p + at, *newline = memchr(p, '\n', text.n - at);
        size_t n = min_size(newline ? (size_t)(newline - p) : text.n - at, sizeof line - 1);
        memcpy(line, p, n);
        line[n] = '\n';
        job_log_add(&r->output, (struct str){ line, n + 1 });
        at += n + (p + n == newline);
    }
}

/* Of a job that has ended it comes too late; no harm is in that. */
void keeper_on_log(struct keeper *k, const struct runner_log *l)
{
    struct kept *r = find(k, l->job, l->attempt);
    if (r)
        add_lines(r, l->text);
}

void keeper_on_progress(struct keeper *k, const struct runner_progress *p)
{
    struct message m;
    struct kept *r = find(k, p->job, p->attempt);
    if (r && p->text.n)
        add_lines(r, p->text);
    if (!r || !job_progress_set(&r->progress, p->percent))
        return;
    struct attempt_progress progress = { r->number, r->attempt, r->progress.percent };
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &progress;
    m.progress.n_attempts = 1;
    keeper_say(k, &m);
}

static uint64_t keep_ask(struct keeper *k, struct kept *r, uint64_t own_req)
{
    struct kept_ask *a = xcalloc(1, sizeof *a);
    *a = (struct kept_ask){ .run = r, .req = ++k->n_asked, .own_req = own_req };
    list_add_tail(&r->asks, &a->link);
    idmap_put(&k->asks, a->req, a);
    r->n_asks++;
    return a->req;
}

/* One that was told to stop waits for no answer. */
void keeper_on_ask(struct keeper *k, struct message *ask)
{
    uint64_t own_req = ask_req(ask);
    struct attempt_ref of = ask_of(ask);
    struct message refusal;
    struct kept *r = find(k, of.job, of.attempt);
    if (!r || r->told)
        return;
    const char *why = keeper_why_not(ask);
    if (why || r->n_asks == LIMIT_RUNNER_ASKS) {
        ask_refuse(ask, why ? CODE_USAGE : CODE_BUSY, why ? why : "a run may ask 64 things at a time", &refusal);
        tell_answer(k, r, own_req, &refusal);
        return;
    }
    *ask_req_at(ask) = keep_ask(k, r, own_req);
    *ask_job_at(ask) = r->number;
    keeper_say(k, ask);
}
