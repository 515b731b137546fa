/* job_options.c - the options that describe a job. */
#include "client/job_options.h"

#include <unistd.h>

#include "client/slurp.h"
#include "proto/base/nearest.h"
#include "proto/base/parse.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "proto/need.h"
#include "proto/words.h"

static int set_tag(void *field, const char *text, char **ret_error)
{
    if (tag_parse(str_of(text)) < 0) {
        struct nearest near = nearest_to(text);
#define X(id, number, word) nearest_offer(&near, word);
        TAGS(X)
#undef X
        cleanup(freep) char *hint = nearest_hint(&near, "");
        *ret_error =
            xasprintf("unknown tag \"%s\"; it is one of cpu, io, slow-io, auto%s", text, hint);
        return -EINVAL;
    }
    char **tag = field;
    free(*tag);
    *tag = xstrdup(text);
    return 0;
}

static int set_name_of(void *field, const char *text, const char *what, char **ret_error)
{
    const char *bad = name_check(str_of(text), what);
    if (bad) {
        *ret_error = xstrdup(bad);
        return -EINVAL;
    }
    char **name = field;
    free(*name);
    *name = xstrdup(text);
    return 0;
}

static int set_queue(void *field, const char *text, char **ret_error)
{
    return set_name_of(field, text, "queue", ret_error);
}

static int set_handler(void *field, const char *text, char **ret_error)
{
    return set_name_of(field, text, "handler", ret_error);
}

/* `1s..10m`, or one duration for both. */
static int set_backoff(void *field, const char *text, char **ret_error)
{
    struct job_backoff b, *to = field;
    const char *dots = strstr(text, "..");
    cleanup(freep) char *first =
        xstrndup((struct str){ text, dots ? (size_t)(dots - text) : strlen(text) });
    int r = parse_duration(first, &b.min_ms, ret_error);
    if (r >= 0)
        r = parse_duration(dots ? dots + 2 : first, &b.max_ms, ret_error);
    if (r >= 0 && b.max_ms < b.min_ms) {
        *ret_error = xasprintf("\"%s\" ends below where it begins; it looks like 1s..10m", text);
        r = -EINVAL;
    }
    if (r >= 0)
        *to = b;
    return r;
}

/* `K=V`, or `K`, which copies the submitter's value. */
static int add_env(void *field, const char *text, char **ret_error)
{
    const char *equals = strchr(text, '=');
    if (equals == text || !*text) {
        *ret_error =
            xasprintf("\"%s\" names no variable; it looks like NAME=VALUE, or NAME to copy yours",
                      text);
        return -EINVAL;
    }
    if (equals) {
        strings_add(field, text);
        return 0;
    }
    const char *mine = getenv(text);
    if (!mine) {
        *ret_error =
            xasprintf("%s is not set here, so that it cannot be copied; give it a value: %s=VALUE",
                      text, text);
        return -EINVAL;
    }
    cleanup(freep) char *both = xasprintf("%s=%s", text, mine);
    strings_add(field, both);
    return 0;
}

static int add_need(void *field, const char *text, char **ret_error)
{
    struct need n;
    const char *bad = need_read(str_of(text), &n);
    if (bad) {
        *ret_error = xasprintf("\"%s\": %s; a need looks like gpu=1", text, bad);
        return -EINVAL;
    }
    strings_add(field, text);
    return 0;
}

static int add_host(void *field, const char *text, char **ret_error)
{
    cleanup(freep) char *need = xasprintf("host=%s", text);
    return add_need(field, need, ret_error);
}

#define FIELD_OF(f) .offset = offsetof(struct job_options, f)

const struct option_def job_options[] = {
    { .name = "tag",
      .value = "TAG",
      .help = "how the job spends its time: cpu, io, slow-io or auto",
      .type = OPTION_CALL,
      FIELD_OF(tag),
      .set = set_tag },
    { .name = "queue",
      .value = "NAME",
      .help = "the line it stands in (default)",
      .type = OPTION_CALL,
      FIELD_OF(queue),
      .set = set_queue },
    { .name = "priority",
      .value = "N",
      .help = "higher first (0)",
      .type = OPTION_NUMBER,
      FIELD_OF(priority),
      .min = INT32_MIN,
      .max = INT32_MAX },
    { .name = "delay",
      .value = "DUR",
      .help = "not before this long from now",
      .type = OPTION_DURATION,
      FIELD_OF(delay_ms) },
    { .name = "at",
      .value = "TIME",
      .help = "not before this time (RFC 3339)",
      .type = OPTION_TIME,
      FIELD_OF(at_ms) },
    { .name = "timeout",
      .value = "DUR",
      .help = "an attempt may take this long; 0: no limit",
      .type = OPTION_DURATION,
      FIELD_OF(timeout_ms) },
    { .name = "retries",
      .value = "N",
      .help = "how many failures are tried again (0 for a command)",
      .type = OPTION_NUMBER,
      FIELD_OF(retries),
      .min = 0,
      .max = 1000000 },
    { .name = "backoff",
      .value = "DUR..DUR",
      .help = "how long to wait between tries, doubling (1s..10m)",
      .type = OPTION_CALL,
      FIELD_OF(backoff),
      .set = set_backoff },
    { .name = "crash-limit",
      .value = "N",
      .help = "dead after the worker was lost under it N times (3)",
      .type = OPTION_NUMBER,
      FIELD_OF(crash_limit),
      .min = 1,
      .max = 1000000 },
    { .name = "expire",
      .value = "DUR",
      .help = "not worth starting after this long",
      .type = OPTION_DURATION,
      FIELD_OF(expire_ms) },
    { .name = "memory",
      .value = "SIZE",
      .help = "it may use so much memory, all its processes together",
      .type = OPTION_SIZE,
      FIELD_OF(memory_bytes) },
    { .name = "kill-grace",
      .value = "DUR",
      .help = "from the TERM to the KILL when it is stopped (5s)",
      .type = OPTION_DURATION,
      FIELD_OF(kill_grace_ms) },
    { .name = "name",
      .value = "TEXT",
      .help = "what you call it",
      .type = OPTION_TEXT,
      FIELD_OF(name) },
    { .name = "env",
      .value = "K=V",
      .help = "set a variable for the command; K alone copies yours (repeatable)",
      .type = OPTION_CALL,
      FIELD_OF(env),
      .set = add_env },
    { .name = "cwd",
      .value = "DIR",
      .help = "the command's directory (this one)",
      .type = OPTION_TEXT,
      FIELD_OF(cwd) },
    { .name = "stdin",
      .value = "FILE",
      .help = "the command's standard input; - for yours",
      .type = OPTION_TEXT,
      FIELD_OF(stdin_file) },
    { .name = "need",
      .value = "NAME=VALUE",
      .help = "only where there is this label, or so much left of this resource (repeatable)",
      .type = OPTION_CALL,
      FIELD_OF(needs),
      .set = add_need },
    { .name = "host",
      .value = "NAME",
      .help = "only on the machine of this name",
      .type = OPTION_CALL,
      FIELD_OF(needs),
      .set = add_host },
    { .name = "handler",
      .value = "NAME",
      .help = "a handler instead of a command",
      .type = OPTION_CALL,
      FIELD_OF(handler),
      .set = set_handler },
    { .name = "payload",
      .value = "TEXT|@FILE|-",
      .help = "what the handler gets",
      .type = OPTION_TEXT,
      FIELD_OF(payload) },
    { 0 },
};

void strings_add(struct strings *s, const char *text)
{
    s->at = grow_array(s->at, &s->cap, s->n + 2, sizeof *s->at);
    s->at[s->n++] = xstrdup(text);
    s->at[s->n] = NULL;
}

void strings_fini(struct strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->at[i]);
    free(s->at);
    *s = (struct strings){ 0 };
}

void job_options_init(struct job_options *o)
{
    *o = (struct job_options){
        .priority = TERN_UNSET,
        .delay_ms = TERN_UNSET,
        .at_ms = TERN_UNSET,
        .timeout_ms = TERN_UNSET,
        .retries = TERN_UNSET,
        .backoff = { TERN_UNSET, TERN_UNSET },
        .crash_limit = TERN_UNSET,
        .expire_ms = TERN_UNSET,
        .memory_bytes = TERN_UNSET,
        .kill_grace_ms = TERN_UNSET,
    };
    buf_init(&o->payload_bytes, LIMIT_MESSAGE_BYTES / 2);
    buf_init(&o->input, LIMIT_MESSAGE_BYTES / 2);
}

void job_options_fini_rest(struct job_options *o)
{
    free(TAKE(o->tag));
    free(TAKE(o->queue));
    free(TAKE(o->handler));
    free(TAKE(o->here));
    strings_fini(&o->env);
    strings_fini(&o->needs);
    strings_fini(&o->command);
    buf_fini(&o->payload_bytes);
    buf_fini(&o->input);
}

void job_options_fini(struct job_options *o)
{
    options_fini(job_options, o);
    job_options_fini_rest(o);
}

void job_options_copy(struct job_options *to, const struct job_options *from)
{
    *to = *from;
    char **texts[] = { &to->handler, &to->payload, &to->tag,  &to->queue,
                       &to->name,    &to->cwd,     &to->here, &to->stdin_file };
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        *texts[i] = xstrdup(*texts[i]);
    to->env = to->command = to->needs = (struct strings){ 0 };
    for (size_t i = 0; i < from->env.n; i++)
        strings_add(&to->env, from->env.at[i]);
    for (size_t i = 0; i < from->needs.n; i++)
        strings_add(&to->needs, from->needs.at[i]);
    buf_init(&to->payload_bytes, from->payload_bytes.max);
    buf_init(&to->input, from->input.max);
}

static int wrong(char **ret_error, const char *text)
{
    *ret_error = xstrdup(text);
    return -EINVAL;
}

static int check_command(const struct job_options *o, char **ret_error)
{
    if (o->handler)
        return wrong(ret_error, "either a command or --handler, not both");
    if (o->payload || o->has_payload)
        return wrong(ret_error,
                     "--payload goes with --handler; what a command reads is --stdin FILE");
    return 0;
}

static int check_handler(const struct job_options *o, char **ret_error)
{
    if (!o->handler)
        return wrong(
            ret_error,
            "what is to be done? Name a command (-- COMMAND [ARG...]) or a --handler NAME");
    if (strcmp(o->handler, "exec") == 0)
        return wrong(
            ret_error,
            "the handler exec is what runs commands: leave --handler out and name the command");
    if (o->env.n || o->cwd || o->stdin_file)
        return wrong(ret_error,
                     "--env, --cwd and --stdin go with a command; a handler gets its --payload");
    return 0;
}

static int load_payload(struct job_options *o, char **ret_error)
{
    const char *p = o->payload;
    if (!p)
        return 0;
    o->has_payload = true;
    if (p[0] == '@' || strcmp(p, "-") == 0)
        return slurp(p[0] == '@' ? p + 1 : p, &o->payload_bytes, ret_error);
    return buf_add(&o->payload_bytes, p, strlen(p)) < 0
               ? wrong(ret_error, "the payload is too large")
               : 0;
}

/* Relative to where the submitter stands: the worker stands elsewhere. */
static int find_directory(struct job_options *o, char **ret_error)
{
    cleanup(freep) char *here = o->cwd && o->cwd[0] == '/' ? xstrdup("") : getcwd(NULL, 0);
    if (!here)
        return wrong(ret_error, "the current directory is gone: name one with --cwd");
    free(o->here);
    o->here = !o->cwd ? TAKE(here) : xasprintf("%s%s%s", here, *here ? "/" : "", o->cwd);
    return 0;
}

int job_options_load(struct job_options *o, char **ret_error)
{
    int r = o->command.n ? check_command(o, ret_error) : check_handler(o, ret_error);
    if (r < 0)
        return r;
    if (o->delay_ms != TERN_UNSET && o->at_ms != TERN_UNSET)
        return wrong(ret_error, "either --delay or --at, not both");
    if (!o->command.n)
        return load_payload(o, ret_error);
    r = find_directory(o, ret_error);
    return r >= 0 && o->stdin_file ? slurp(o->stdin_file, &o->input, ret_error) : r;
}

static void fill_command(const struct job_options *o, struct tern_job_spec *s)
{
    s->argv = (const char *const *)o->command.at;
    s->env = (const char *const *)o->env.at;
    s->cwd = o->here;
    s->input = o->stdin_file ? buf_str(&o->input).p : NULL;
    s->input_bytes = o->input.n;
}

void job_options_spec(const struct job_options *o, struct tern_job_spec *s)
{
    tern_job_spec_init(s);
    s->queue = o->queue;
    s->tag = o->tag;
    s->name = o->name;
    s->priority = o->priority;
    s->delay_ms = o->delay_ms;
    s->at_ms = o->at_ms;
    s->timeout_ms = o->timeout_ms;
    s->retries = o->retries;
    s->backoff_min_ms = o->backoff.min_ms;
    s->backoff_max_ms = o->backoff.max_ms;
    s->crash_limit = o->crash_limit;
    s->expire_ms = o->expire_ms;
    s->memory_bytes = o->memory_bytes;
    s->kill_grace_ms = o->kill_grace_ms;
    s->needs = (const char *const *)o->needs.at;
    if (o->command.n) {
        fill_command(o, s);
        return;
    }
    s->handler = o->handler;
    s->payload = o->has_payload ? buf_str(&o->payload_bytes).p : NULL;
    s->payload_bytes = o->payload_bytes.n;
}
