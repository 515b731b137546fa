/* loop_offload.c - what a job on the loop has another pool do: put into a run, and its outcome into a reply. */
#include "worker/loop_offload.h"

#include "proto/output.h"
#include "worker/broker_list.h"
#include "worker/handlers.h"
#include "worker/job_log.h"
#include "worker/loop_part.h"
#include "worker/loop_task.h"
#include "worker/number.h"

#define NAME_FUNCTION "function" /* of what threads call, in the state that the worker shows */

static struct run_job run_job_of(const struct part *p, const char *handler, int64_t timeout_ms, int64_t memory_bytes)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = p->number;
    j.attempt = 1;
    j.pool = p->pool;
    j.queue = p->of->queue;
    j.handler = str_of(handler);
    j.timeout_ms = timeout_ms > 0 ? timeout_ms : UNSET;
    j.memory_bytes = memory_bytes > 0 ? memory_bytes : UNSET;
    j.kill_grace_ms = p->of->kill_grace_ms;
    return j;
}

/* What was written there, to the job's own log. */
static void add_log(struct tern_job *j, struct str output)
{
    struct str bytes;
    int stream;
    while (output_next(&output, &stream, &bytes))
        if (stream != OUTPUT_CUT)
            for (size_t n; bytes.n; bytes.p += n, bytes.n -= n) {
                n = min_size(bytes.n, JOB_LOG_LINE_BYTES);
                job_log_add(&j->output, (struct str){ bytes.p, n });
            }
}

/* How it ended, where it was not as it should. */
static int failed(const struct outcome *o, struct tern_reply *reply)
{
    if (o->ending == ENDING_CANCELLED)
        return -ECANCELED;
    reply->error = o->error.n ? xstrndup(o->error) : xstrdup("it failed, and did not say why");
    return -EIO;
}

/* ---- a function in a thread ------------------------------------------------------------------- */

static int end_of_function(struct tern_job *j, const struct part *p)
{
    const struct outcome *o = &p->run->outcome;
    bool called = __atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == PART_RETURNED;
    add_log(j, o->output);
    if (called && p->r >= 0)
        return p->r;
    if (!called)
        return o->ending == ENDING_CANCELLED ? -ECANCELED : -EAGAIN;
    if (o->error.n && o->ending == ENDING_FAILED && p->r == -EIO) {
        free(j->error);
        j->error = xstrndup(o->error);
        j->for_good = o->for_good == 1;
    }
    return p->r;
}

int loop_await_thread(struct tern_job *j, int (*function)(struct tern_job *, void *), void *arg)
{
    struct part *p = loop_part_new(j, PART_FUNCTION, POOL_THREAD);
    p->function = function;
    p->arg = arg;
    struct run_job job = run_job_of(p, NAME_FUNCTION, 0, 0);
    int r = loop_part_await(j, &p, &job);
    if (r == 0)
        r = end_of_function(j, p);
    loop_part_free(p);
    return r;
}

/* ---- a function in a process ------------------------------------------------------------------ */

/* With a NUL behind it. */
static void *copy_of(struct str s, size_t *ret_n)
{
    char *copy = xmalloc(s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    *ret_n = s.n;
    return copy;
}

static int end_of_process(struct tern_job *j, const struct part *p, struct tern_reply *reply)
{
    const struct outcome *o = &p->run->outcome;
    add_log(j, o->output);
    if (o->ending != ENDING_DONE)
        return failed(o, reply);
    reply->bytes = copy_of(o->result, &reply->n);
    return 0;
}

/* In this process too: its module is the handler's. */
static bool is_there(const struct tern_job *j, const char *function)
{
    return function && handlers_find_function(j->job->handler, str_of(function));
}

int loop_await_process(struct tern_job *j, const struct tern_process *c, struct tern_reply *reply)
{
    if (!is_there(j, c->function))
        return -ENOENT;
    if (c->in_bytes > LIMIT_PAYLOAD_BYTES)
        return -E2BIG;
    struct part *p = loop_part_new(j, PART_PROCESS, POOL_PROCESS);
    cleanup(freep) char *name = xasprintf("%.*s/%s", (int)j->job->handler.n, j->job->handler.p, c->function);
    struct run_job job = run_job_of(p, name, c->timeout_ms, c->memory_bytes);
    job.payload = (struct str){ c->in, c->in_bytes };
    int r = loop_part_await(j, &p, &job);
    if (r == 0)
        r = end_of_process(j, p, reply);
    loop_part_free(p);
    return r;
}

/* ---- a command -------------------------------------------------------------------------------- */

static size_t count(const char *const *texts)
{
    size_t n = 0;
    while (texts && texts[n])
        n++;
    return n;
}

/* Owned by the caller, each: the broker's, which the handler may replace, and whose it is, which it may not. */
struct own_texts {
    char *before[BROKER_LIST_TEXTS], *behind[3];
    size_t n_before, n_behind;
};

static void own_texts_init(struct own_texts *t, const struct tern_job *j)
{
    size_t place = number_place(j->job->job), n = 0;
    t->n_before = broker_list_environ(place, t->before);
    t->behind[n++] = xasprintf("TERN_JOB_ID=%llu", (unsigned long long)tern_job_id(j));
    t->behind[n++] = xasprintf("TERN_ATTEMPT=%llu", (unsigned long long)tern_attempt(j));
    t->behind[n] = broker_list_number(place);
    t->n_behind = n + (t->behind[n] != NULL);
}

static void own_texts_fini(struct own_texts *t)
{
    for (size_t i = 0; i < t->n_before; i++)
        free(t->before[i]);
    for (size_t i = 0; i < t->n_behind; i++)
        free(t->behind[i]);
}

static struct str *put_texts(struct str *to, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *to++ = str_of(texts[i]);
    return to;
}

static int encode(struct buf *ret, const struct tern_job *j, const struct tern_command *c)
{
    struct own_texts own;
    own_texts_init(&own, j);
    size_t n_argv = count(c->argv), n_env = count(c->env);
    cleanup(freep) struct str *texts = xcalloc(n_argv + own.n_before + n_env + own.n_behind, sizeof *texts);
    struct str *env = put_texts(texts, c->argv, n_argv), *end;
    struct command command;
    record_init(RECORD_command, &command);
    end = put_texts(env, (const char *const *)own.before, own.n_before);
    end = put_texts(end, c->env, n_env);
    end = put_texts(end, (const char *const *)own.behind, own.n_behind);
    command.argv = texts;
    command.n_argv = n_argv;
    command.env = env;
    command.n_env = (size_t)(end - env);
    command.cwd = c->cwd ? str_of(c->cwd) : STR_UNSET;
    command.input = c->input_bytes ? (struct str){ c->input, c->input_bytes } : STR_UNSET;
    int r = record_encode(ret, RECORD_command, &command) < 0 ? -E2BIG : 0;
    own_texts_fini(&own);
    return r;
}

static void split_output(struct str output, struct tern_reply *reply)
{
    struct buf both[2];
    struct str bytes;
    int stream;
    for (size_t i = 0; i < 2; i++)
        buf_init(&both[i], output.n + 1);
    while (output_next(&output, &stream, &bytes))
        if (stream == OUTPUT_CUT)
            reply->cut_bytes += output_cut_bytes(bytes);
        else
            buf_add(&both[stream == OUTPUT_STDERR], bytes.p, bytes.n);
    reply->bytes = copy_of(buf_str(&both[0]), &reply->n);
    reply->err_bytes = copy_of(buf_str(&both[1]), &reply->n_err);
    for (size_t i = 0; i < 2; i++)
        buf_fini(&both[i]);
}

static int end_of_command(const struct part *p, struct tern_reply *reply)
{
    const struct outcome *o = &p->run->outcome;
    if (o->output.n)
        split_output(o->output, reply);
    else
        split_output((struct str){ "", 0 }, reply);
    reply->status = o->exit_code != UNSET ? (int)o->exit_code : o->signal != UNSET ? 128 + (int)o->signal : 0;
    if (o->ending == ENDING_DONE)
        return 0;
    bool ran = o->cpu_us != UNSET; /* what could not be started has used none */
    return ran && o->ending == ENDING_FAILED && o->reason == REASON_EXIT ? 0 : failed(o, reply);
}

int loop_await_command(struct tern_job *j, const struct tern_command *c, struct tern_reply *reply)
{
    struct buf payload;
    bool in_thread = c->tag == TERN_TAG_IO || c->tag == TERN_TAG_SLOW_IO;
    if (!count(c->argv))
        return -EINVAL;
    buf_init(&payload, LIMIT_PAYLOAD_BYTES);
    int r = encode(&payload, j, c);
    struct part *p = loop_part_new(j, PART_COMMAND, in_thread ? POOL_THREAD : POOL_PROCESS);
    struct run_job job = run_job_of(p, handler_exec.name, c->timeout_ms, c->memory_bytes);
    job.payload = buf_str(&payload);
    if (r == 0)
        r = loop_part_await(j, &p, &job);
    buf_fini(&payload);
    if (r == 0)
        r = end_of_command(p, reply);
    loop_part_free(p);
    return r;
}
