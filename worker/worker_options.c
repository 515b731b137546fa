/* worker_options.c - one row an option: so on the command line, in worker.conf, in help and in the
 * man page. */
#include "worker/worker_options.h"

#include "config.h"

#include <sched.h>
#include <unistd.h>

#include "proto/base/parse.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "proto/need.h"
#include "worker/runners.h"

#define EXIT_USAGE 2
#define EXIT_CONFIG 78

#define AT(field) offsetof(struct worker_options, field)
#define SLOTS_AT(pool) (offsetof(struct worker_options, slots) + (pool) * sizeof(int64_t))

/* ---- labels and amounts ---------------------------------------------------------------------- */

static bool is_implied(struct str name) { return str_is(name, "host") || str_is(name, "worker"); }

static int refuse(char **ret_error, const char *text, const char *why)
{
    *ret_error = xasprintf("\"%s\": %s", text, why);
    return -EINVAL;
}

static int add_label(void *field, const char *text, char **ret_error)
{
    struct worker_labels *l = field;
    struct need n;
    const char *bad = need_read(str_of(text), &n);
    if (!bad && is_implied(n.name))
        bad = "every worker has the labels host and worker already: what --name and the machine are called";
    if (!bad && l->n == LIMIT_LABELS)
        bad = "a worker may have at most 64 labels";
    if (bad)
        return refuse(ret_error, text, bad);
    l->at = xrealloc(l->at, (l->n + 1) * sizeof *l->at);
    l->at[l->n++] = str_of(xstrdup(text));
    return 0;
}

static int add_amount(void *field, const char *text, char **ret_error)
{
    struct worker_amounts *a = field;
    struct str name;
    int64_t total;
    int r = amount_read(text, &name, &total, ret_error);
    if (r < 0)
        return r;
    if (is_implied(name))
        return refuse(ret_error, text, "host and worker are labels that every worker has");
    if (a->n == LIMIT_AMOUNTS)
        return refuse(ret_error, text, "a worker may have at most 32 resources");
    a->at = xrealloc(a->at, (a->n + 1) * sizeof *a->at);
    a->at[a->n++] = (struct amount){ str_of(xstrndup(name)), (uint64_t)total, 0 };
    return 0;
}

static void free_labels(struct worker_options *o)
{
    for (size_t i = 0; i < o->labels.n; i++)
        free((char *)o->labels.at[i].p);
    for (size_t i = 0; i < o->amounts.n; i++)
        free((char *)o->amounts.at[i].name.p);
    free(TAKE(o->labels.at));
    free(TAKE(o->amounts.at));
    o->labels.n = o->amounts.n = 0;
}

/* ---- runners --------------------------------------------------------------------------------- */

/* Split here as it will be, so that a wrong one is told of with its place. */
static int add_runner(void *field, const char *text, char **ret_error)
{
    struct runner_list *l = field;
    if (l->n == LIMIT_RUNNERS) {
        *ret_error = xasprintf("there may be %u runners", LIMIT_RUNNERS);
        return -EINVAL;
    }
    char **argv = NULL;
    int r = runners_split(text, &argv, ret_error);
    if (r < 0)
        return r;
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    free(argv);
    l->at = grow_array(l->at, &l->cap, l->n + 1, sizeof *l->at);
    l->at[l->n++] = xstrdup(text);
    return 0;
}

/* [runner NAME] command = COMMAND */
static int set_other(void *to, const char *section, const char *key, const char *value, char **ret_error)
{
    static const char prefix[] = "runner ";
    struct worker_options *o = to;
    if (strncmp(section, prefix, strlen(prefix)) != 0)
        return 0;
    const char *name = section + strlen(prefix), *bad = name_check(str_of(name), "runner");
    if (bad || strcmp(key, "command") != 0) {
        *ret_error = bad ? xasprintf("[%s]: %s", section, bad)
                         : xasprintf("unknown key %s; a section [runner NAME] has the key command", key);
        return -EINVAL;
    }
    cleanup(freep) char *text = xasprintf("%s=%s", name, value), *why = NULL;
    int r = add_runner(&o->runners, text, &why);
    if (r < 0)
        *ret_error = xasprintf("[%s] command: %s", section, why);
    return r < 0 ? r : 1;
}

static const struct option_def table[] = {
    { "broker", "ADDRESS", "where the broker listens (ipc:///run/tern/broker.sock); several: ADDRESS,ADDRESS", OPTION_TEXT,
      AT(broker), 0, 0, NULL, false },
    { "key", "FILE", "this worker's secret key, for TCP (" TERN_SYSCONFDIR "/worker.key)", OPTION_TEXT,
      AT(key), 0, 0, NULL, false },
    { "broker-key", "KEY", "the broker's public key, or its file, for TCP ("
      TERN_SYSCONFDIR "/broker.pub); of several: one for all, or KEY,KEY",
      OPTION_TEXT, AT(broker_key), 0, 0, NULL, false },
    { "name", "NAME", "what this worker is called (the host's name)", OPTION_TEXT, AT(name), 0, 0,
      NULL, false },
    { "queues", "A,B", "take jobs of these queues only (all)", OPTION_TEXT, AT(queues), 0, 0, NULL,
      false },
    { "label", "NAME=VALUE", "what jobs may ask for with --need; VALUE may be left out",
      OPTION_CALL, AT(labels), 0, 0, add_label, false },
    { "resource", "NAME=N", "of this, jobs that --need it can hold so much at a time",
      OPTION_CALL, AT(amounts), 0, 0, add_amount, false },
    { "process", "N", "slots of the process pool; 0: none (one for each core)", OPTION_NUMBER,
      SLOTS_AT(POOL_PROCESS), 0, LIMIT_SLOTS, NULL, false },
    { "thread", "N", "slots of the thread pool; 0: none (16)", OPTION_NUMBER, SLOTS_AT(POOL_THREAD),
      0, LIMIT_SLOTS, NULL, false },
    { "loop", "N", "slots of the loop pool; 0: none (10000)", OPTION_NUMBER, SLOTS_AT(POOL_LOOP), 0,
      LIMIT_SLOTS, NULL, false },
    { "handlers", "LIST", "offer these handlers only (all)", OPTION_TEXT, AT(handlers), 0, 0, NULL,
      false },
    { "no-exec", NULL, "run no commands", OPTION_FLAG, AT(no_exec), 0, 0, NULL, false },
    { "runner", "[NAME=]COMMAND", "offer the handlers of this program, in another language; may be repeated",
      OPTION_CALL, AT(runners), 0, 0, add_runner, false },
    { "http-allow", "LIST",
      "addresses that the handler http may reach though they are local: loopback, link-local",
      OPTION_TEXT, AT(http_allow), 0, 0, NULL, false },
    { "modules", "DIR", "where modules with more handlers are (" TERN_LIBDIR_MODULES ")", OPTION_TEXT, AT(modules), 0, 0,
      NULL, false },
    { "jobs-per-child", "N", "a process is replaced after so many jobs; 0: never (1000)",
      OPTION_NUMBER, AT(jobs_per_child), 0, INT64_MAX / 2, NULL, false },
    { "drain", "DUR", "on TERM, what runs may go on for so long (60s)", OPTION_DURATION, AT(drain),
      0, INT64_MAX / 2, NULL, false },
    { "idle-exit", "DUR", "leave after so long without a job; 0: stay (0)", OPTION_DURATION, AT(idle_exit),
      0, INT64_MAX / 2, NULL, false },
    { "max-time", "DUR", "leave after so long; what runs then has the time of --drain; 0: stay (0)", OPTION_DURATION,
      AT(max_time), 0, INT64_MAX / 2, NULL, false },
    { "max-jobs", "N", "leave once so many jobs have begun; they may go on to their end; 0: stay (0)", OPTION_NUMBER,
      AT(max_jobs), 0, INT64_MAX / 2, NULL, false },
    { "insecure-loopback", NULL, "allow tcp://127.0.0.1 without keys", OPTION_FLAG,
      AT(insecure_loopback), 0, 0, NULL, false },
    { "log-level", "LEVEL", "error, warning, info or debug (info)", OPTION_TEXT, AT(log_level), 0,
      0, NULL, false },
    { "config", "FILE", "read this configuration (" TERN_SYSCONFDIR "/worker.conf)", OPTION_TEXT,
      AT(config), 0, 0, NULL, true },
    { "help", NULL, "print this and exit", OPTION_FLAG, AT(help), 0, 0, NULL, true },
    { "version", NULL, "print the version and exit", OPTION_FLAG, AT(version), 0, 0, NULL, true },
    { 0 },
};

/* ---- defaults -------------------------------------------------------------------------------- */

static int64_t count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a cpu_set_t knows */
    return n > 0 ? n : 1;
}

static char *host_name(void)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) < 0 || !name[0])
        return xstrdup("localhost");
    return xstrdup(name);
}

static void set_defaults(struct worker_options *o)
{
    *o = (struct worker_options){
        .broker = xstrdup("ipc:///run/tern/broker.sock"),
        .log_level = xstrdup("info"),
        .slots = { [POOL_PROCESS] = min_i64(count_cores(), LIMIT_SLOTS),
                   [POOL_THREAD] = 16,
                   [POOL_LOOP] = 10000 },
        .drain = 60000,
        .jobs_per_child = 1000,
        .host = host_name(),
        .level = LOG_LEVEL_INFO,
    };
}

void worker_options_fini(struct worker_options *o)
{
    options_fini(table, o);
    free_labels(o);
    for (size_t i = 0; i < o->runners.n; i++)
        free(o->runners.at[i]);
    free(TAKE(o->runners.at));
    o->runners.n = o->runners.cap = 0;
    free(TAKE(o->host));
    free(TAKE(o->queue_list));
    broker_list_fini(&o->brokers);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static int check_queues(struct worker_options *o, char **ret_error)
{
    for (const char *at = o->queues; at && *at; at += *at == ',') {
        struct str name = { at, strcspn(at, ",") };
        at += name.n;
        const char *bad = name_check(name, "queue");
        if (bad) {
            *ret_error = xasprintf("--queues: %s", bad);
            return -EINVAL;
        }
        if (o->n_queues == LIMIT_QUEUES) {
            *ret_error = xasprintf("--queues names more than %u queues", LIMIT_QUEUES);
            return -EINVAL;
        }
        o->queue_list = xrealloc(o->queue_list, (o->n_queues + 1) * sizeof *o->queue_list);
        o->queue_list[o->n_queues++] = name;
    }
    return 0;
}

static int check_name(struct worker_options *o, char **ret_error)
{
    const char *instance = getenv("TERN_INSTANCE"); /* of tern-worker@.service: one of several on this host */
    if (!o->name)
        o->name = instance && *instance ? xasprintf("%s-%s", o->host, instance) : xstrdup(o->host);
    const char *why = name_check(str_of(o->name), "worker");
    if (!why)
        return 0;
    *ret_error = xasprintf("%s; choose another name with --name", why);
    return -EINVAL;
}

static int check_level(struct worker_options *o, char **ret_error)
{
    int level = log_level_parse(o->log_level);
    if (level < 0) {
        *ret_error = xasprintf("--log-level must be error, warning, info or debug, not %s",
                               o->log_level);
        return -EINVAL;
    }
    o->level = (enum log_level)level;
    return 0;
}

static void name_modules(struct worker_options *o)
{
    o->modules_named = o->modules != NULL;
    if (!o->modules)
        o->modules = xstrdup(TERN_LIBDIR_MODULES);
}

static int check_brokers(struct worker_options *o, int *ret_status, char **ret_error)
{
    struct broker_words words = { o->broker, o->key, o->broker_key, o->insecure_loopback };
    return broker_list_read(&o->brokers, &words, ret_status, ret_error);
}

static int check(struct worker_options *o, int *ret_status, char **ret_error)
{
    name_modules(o);
    int r = check_brokers(o, ret_status, ret_error);
    if (r >= 0)
        r = check_name(o, ret_error);
    if (r >= 0)
        r = check_queues(o, ret_error);
    if (r < 0)
        return r;
    if (!o->slots[POOL_PROCESS] && !o->slots[POOL_THREAD] && !o->slots[POOL_LOOP]) {
        *ret_error = xasprintf("--process, --thread and --loop are all 0: a worker needs a pool");
        return -EINVAL;
    }
    return check_level(o, ret_error);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The file that was named must be there; the default one may be missing. */
static int load_config(const struct option_group *group, int argc, char *const *argv,
                       char **ret_error)
{
    const char *named = options_peek(argc - 1, argv + 1, "config");
    int r = options_load_sections(group, 1, named ? named : TERN_SYSCONFDIR "/worker.conf", "worker", set_other,
                                  group->to, ret_error);
    if (r == -ENOENT && !named) {
        free(TAKE(*ret_error));
        return 0;
    }
    return r;
}

/* options_parse moves the arguments around: it gets a copy. */
static int parse_arguments(const struct option_group *group, int n, char *const *argv,
                           char **ret_error)
{
    cleanup(freep) char **args = xcalloc((size_t)n + 1, sizeof *args);
    memcpy(args, argv, (size_t)n * sizeof *args);
    int operands = options_parse(group, 1, n, args, false, ret_error);
    if (operands <= 0)
        return operands;
    *ret_error = xasprintf("unexpected argument %s", args[0]);
    return -EINVAL;
}

static int read_all(struct worker_options *o, int argc, char *const *argv, int *ret_status,
                    char **ret_error)
{
    struct option_group group = { table, o };
    /* Once for nothing: wrong usage is told of, and help is given, even where the file is wrong. */
    *ret_status = EXIT_USAGE;
    int r = parse_arguments(&group, argc - 1, argv + 1, ret_error);
    if (r < 0 || o->help || o->version)
        return r;
    worker_options_fini(o);
    set_defaults(o);
    *ret_status = EXIT_CONFIG;
    r = load_config(&group, argc, argv, ret_error);
    if (r < 0)
        return r;
    *ret_status = EXIT_USAGE;
    r = parse_arguments(&group, argc - 1, argv + 1, ret_error);
    return r < 0 ? r : check(o, ret_status, ret_error);
}

int worker_options_read(struct worker_options *o, int argc, char *const *argv, int *ret_status)
{
    cleanup(freep) char *error = NULL;
    set_defaults(o);
    int r = read_all(o, argc, argv, ret_status, &error);
    if (r < 0) {
        fprintf(stderr, "tern-worker: %s\n", error);
        if (*ret_status == EXIT_USAGE)
            fprintf(stderr, "Try 'tern-worker --help'.\n");
        return r;
    }
    if (o->help) {
        printf("usage: tern-worker [OPTIONS]\n\nRuns jobs, in a pool of processes, a pool of "
               "threads and an async loop.\n\n");
        options_print_help(stdout, table);
    } else if (o->version) {
        printf("tern-worker %s\n", PACKAGE_VERSION);
    }
    *ret_status = 0;
    return !o->help && !o->version;
}

/* ---- the zygote ------------------------------------------------------------------------------ */

char **worker_options_for_zygote(const struct worker_options *o)
{
    char **args = xcalloc(7 + o->runners.n, sizeof *args);
    size_t n = 0;
    if (o->handlers)
        args[n++] = xasprintf("--handlers=%s", o->handlers);
    if (o->no_exec)
        args[n++] = xstrdup("--no-exec");
    if (o->http_allow)
        args[n++] = xasprintf("--http-allow=%s", o->http_allow);
    for (size_t i = 0; i < o->runners.n; i++)
        args[n++] = xasprintf("--runner=%s", o->runners.at[i]);
    n += broker_list_arguments(args + n);
    args[n++] = xasprintf("--log-level=%s", o->log_level);
    return args;
}

int worker_options_read_zygote(struct worker_options *o, int argc, char *const *argv)
{
    cleanup(freep) char *error = NULL;
    struct option_group group = { table, o };
    set_defaults(o);
    int r = parse_arguments(&group, argc - 2, argv + 2, &error);
    if (r >= 0)
        r = check_level(o, &error);
    if (r >= 0)
        r = broker_list_know_again(o->broker, o->broker_key, &error);
    if (r < 0)
        fprintf(stderr, "tern-worker: %s\n", error);
    return r;
}
