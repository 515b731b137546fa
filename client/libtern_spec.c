/* libtern_spec.c - one job as its submitter describes it, made ready for the wire. A command
 * becomes the payload of the handler `exec`. What is wrong with it is said here, before anything is
 * sent. */
#include "client/libtern.h"

#include "proto/base/parse.h"
#include "proto/base/utf8.h"
#include "proto/name.h"
#include "proto/need.h"

void tern_job_spec_init(struct tern_job_spec *s)
{
    *s = (struct tern_job_spec){
        .priority = TERN_UNSET,
        .delay_ms = TERN_UNSET,
        .at_ms = TERN_UNSET,
        .timeout_ms = TERN_UNSET,
        .retries = TERN_UNSET,
        .backoff_min_ms = TERN_UNSET,
        .backoff_max_ms = TERN_UNSET,
        .crash_limit = TERN_UNSET,
        .expire_ms = TERN_UNSET,
        .memory_bytes = TERN_UNSET,
        .kill_grace_ms = TERN_UNSET,
    };
}

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* An older broker would leave them out, and run the job anywhere. */
static int join_needs(struct tern_client *c, const struct tern_job_spec *s, char **ret)
{
    size_t n = count(s->needs);
    if (n && !c->knows_needs)
        return client_fail(c, -EPERM, "the broker (%s) knows no needs: it must be newer", c->software ? c->software : "?");
    cleanup(freep) char *error = NULL;
    int r = needs_join(s->needs, n, ret, &error);
    return r < 0 ? client_fail(c, r, "need %s", error) : 0;
}

static struct str *views(const char *const *list, size_t n)
{
    struct str *v = xcalloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = str_of(list[i]);
    return v;
}

/* The payload of `exec`. */
static int encode_command(const struct tern_job_spec *s, struct buf *out)
{
    struct command command;
    record_init(RECORD_command, &command);
    command.n_argv = count(s->argv);
    command.n_env = count(s->env);
    cleanup(freep) struct str *argv = views(s->argv, command.n_argv);
    cleanup(freep) struct str *env = views(s->env, command.n_env);
    command.argv = argv;
    command.env = env;
    command.cwd = str_of(s->cwd);
    command.input = (struct str){ s->input, s->input_bytes };
    return record_encode(out, RECORD_command, &command);
}

static int check_name(struct tern_client *c, const char *name, const char *what)
{
    const char *bad = name ? name_check(str_of(name), what) : NULL;
    return bad ? client_fail(c, -EINVAL, "%s", bad) : 0;
}

static int check_text(struct tern_client *c, const char *text, const char *what)
{
    if (!text || utf8_is_text(str_of(text)))
        return 0;
    return client_fail(c, -EINVAL, "%s is not valid UTF-8", what);
}

static int check_texts(struct tern_client *c, const char *const *texts, const char *what)
{
    for (size_t i = 0; texts && texts[i]; i++)
        if (!utf8_is_text(str_of(texts[i])))
            return client_fail(c, -EINVAL, "%s %zu of the command is not valid UTF-8", what, i + 1);
    return 0;
}

static int check_command(struct tern_client *c, const struct tern_job_spec *s)
{
    if (!s->argv[0])
        return client_fail(c, -EINVAL, "the command is empty");
    int r = check_texts(c, s->argv, "word");
    if (r >= 0)
        r = check_texts(c, s->env, "variable");
    return r < 0 ? r : check_text(c, s->cwd, "the command's directory");
}

static int check(struct tern_client *c, const struct tern_job_spec *s)
{
    if (!s->argv && !s->handler)
        return client_fail(c, -EINVAL, "a job needs a handler or a command");
    int r = s->argv ? check_command(c, s) : check_name(c, s->handler, "handler");
    if (r >= 0)
        r = check_name(c, s->queue, "queue");
    if (r >= 0)
        r = check_text(c, s->name, "the job's name");
    if (r < 0)
        return r;
    if (s->name && strlen(s->name) > LIMIT_TEXT_BYTES)
        return client_fail(c, -EMSGSIZE, "the job's name has %zu bytes; the limit is %u",
                           strlen(s->name), LIMIT_TEXT_BYTES);
    if (s->tag && tag_parse(str_of(s->tag)) < 0)
        return client_fail(c, -EINVAL, "unknown tag %s: it must be cpu, io, slow-io or auto",
                           s->tag);
    return 0;
}

static int check_payload(struct tern_client *c, const struct tern_job_spec *s, size_t n)
{
    char limit[FORMAT_BYTES];
    if (n <= c->max_payload_bytes)
        return 0;
    return client_fail(
        c, -EMSGSIZE,
        "the %s %zu bytes; the limit is %llu bytes (%s): hand over a file's path instead",
        s->argv ? "command with its environment and input has" : "payload has", n,
        (unsigned long long)c->max_payload_bytes,
        format_size((int64_t)c->max_payload_bytes, limit));
}

static struct str put(char **at, struct str s)
{
    if (!s.p)
        return s;
    struct str placed = { *at, s.n };
    memcpy(*at, s.p, s.n);
    *at += s.n;
    return placed;
}

static struct str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_of(slash && slash[1] ? slash + 1 : path);
}

static void copy_numbers(const struct tern_job_spec *s, struct job_spec *out)
{
    out->tag = s->tag ? tag_parse(str_of(s->tag)) : UNSET;
    out->priority = s->priority;
    out->delay_ms = s->delay_ms;
    out->at_ms = s->at_ms;
    out->timeout_ms = s->timeout_ms;
    out->retries = s->retries;
    out->backoff_min_ms = s->backoff_min_ms;
    out->backoff_max_ms = s->backoff_max_ms;
    out->crash_limit = s->crash_limit;
    out->expire_ms = s->expire_ms;
    out->memory_bytes = s->memory_bytes;
    out->kill_grace_ms = s->kill_grace_ms;
}

static void copy_texts(const struct tern_job_spec *s, struct str payload, struct str needs,
                       struct job_spec *out, void **ret_block, size_t *ret_bytes)
{
    struct str queue = str_of(s->queue), handler = str_of(s->argv ? "exec" : s->handler);
    struct str program = s->argv ? base_name(s->argv[0]) : STR_UNSET;
    struct str name = str_of(s->name);
    program.n = min_size(program.n, LIMIT_NAME_BYTES);
    *ret_bytes = queue.n + handler.n + program.n + name.n + payload.n + needs.n;
    char *at = *ret_block = xmalloc(*ret_bytes);
    out->queue = put(&at, queue);
    out->handler = put(&at, handler);
    out->program = put(&at, program);
    out->name = put(&at, name);
    out->payload = put(&at, payload);
    out->needs = put(&at, needs);
}

int spec_pack(struct tern_client *c, const struct tern_job_spec *s, struct job_spec *out,
              void **ret_block, size_t *ret_bytes)
{
    struct buf command;
    buf_init(&command, LIMIT_MESSAGE_BYTES);
    cleanup(freep) char *needs = NULL;
    int r = check(c, s);
    if (r >= 0)
        r = join_needs(c, s, &needs);
    if (r >= 0 && s->argv && encode_command(s, &command) < 0)
        r = client_fail(c, -EMSGSIZE, "the command with its environment and input is too large");
    struct str payload = s->argv ? buf_str(&command) : (struct str){ s->payload, s->payload_bytes };
    if (r >= 0)
        r = check_payload(c, s, payload.n);
    if (r >= 0) {
        record_init(RECORD_job_spec, out);
        copy_numbers(s, out);
        copy_texts(s, payload, str_of(needs), out, ret_block, ret_bytes);
    }
    buf_fini(&command);
    return r;
}
