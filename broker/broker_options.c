/* broker_options.c - one row an option: so on the command line, in broker.conf, in help and in the man page. */
#include "broker/broker_options.h"

#include "config.h"

#include <pwd.h>

#include "proto/base/log.h"
#include "proto/socket.h"

#define WORKER_USER "tern-worker"
#define FIELD_AT(field) offsetof(struct program_options, field)

static int add_amount(void *field, const char *text, char **ret_error)
{
    struct str name;
    int64_t total;
    int r = amount_read(text, &name, &total, ret_error);
    if (r >= 0 && (str_is(name, "host") || str_is(name, "worker"))) {
        *ret_error = xasprintf("\"%s\": host and worker are labels that every worker has", text);
        return -EINVAL;
    }
    if (r >= 0 && amounts_add(field, name, total) < 0) {
        *ret_error = xasprintf("\"%s\": a broker may have at most %u resources", text, LIMIT_AMOUNTS);
        return -EINVAL;
    }
    return r;
}

static const struct option_def table[] = {
    { "listen", "ADDRESS", "where clients and workers connect: ipc:///PATH or tcp://HOST:PORT; several with commas", OPTION_TEXT,
      FIELD_AT(listen), 0, 0, NULL, false },
    { "key", "FILE", "this broker's secret key, for TCP (" TERN_SYSCONFDIR "/broker.key)", OPTION_TEXT, FIELD_AT(key), 0, 0, NULL,
      false },
    { "keys", "DIR", "the public keys that may come in by TCP (" TERN_SYSCONFDIR "/peers.d)", OPTION_TEXT, FIELD_AT(keys), 0, 0, NULL,
      false },
    { "db", "FILE", "the database; made when it is not there", OPTION_TEXT, FIELD_AT(db), 0, 0, NULL, false },
    { "heartbeat", "DUR", "how often workers and waiting clients give a sign of life (2s)", OPTION_DURATION,
      FIELD_AT(heartbeat), 10, 3600000, NULL, false },
    { "lost-after", "DUR", "a worker that is silent for so long is taken for lost (10s)", OPTION_DURATION,
      FIELD_AT(lost_after), 50, 86400000, NULL, false },
    { "retention", "DUR", "finished jobs are kept so long (7d)", OPTION_DURATION, FIELD_AT(retention), 0, INT64_MAX / 2,
      NULL, false },
    { "keep-finished", "N", "finished jobs are kept at most so many (10000000)", OPTION_NUMBER, FIELD_AT(keep_finished), 0,
      INT64_MAX / 2, NULL, false },
    { "max-payload", "SIZE", "the largest payload of a job (1M)", OPTION_SIZE, FIELD_AT(max_payload), 1,
      LIMIT_MESSAGE_BYTES / 2, NULL, false },
    { "disk-busy", "PERCENT", "from so much of the disk used on, submits get busy (95)", OPTION_NUMBER,
      FIELD_AT(disk_busy), 1, 101, NULL, false },
    { "ballast", "SIZE", "a file that is freed when the disk is full, so that results can be recorded (64M)", OPTION_SIZE,
      FIELD_AT(ballast), 0, INT64_MAX / 2, NULL, false },
    { "worker-user", "USER", "may be a worker, beside root and the broker's own user (tern-worker, where there is one)", OPTION_TEXT,
      FIELD_AT(worker_user), 0, 0, NULL, false },
    { "resource", "NAME=N", "of this, jobs that --need it can hold so much at a time, on all workers together",
      OPTION_CALL, FIELD_AT(shared), 0, 0, add_amount, false },
    { "insecure-loopback", NULL, "allow tcp://127.0.0.1 without keys: every local user is an admin then", OPTION_FLAG,
      FIELD_AT(insecure_loopback), 0, 0, NULL, false },
    { "log-level", "LEVEL", "error, warning, info or debug (info)", OPTION_TEXT, FIELD_AT(log_level), 0, 0, NULL, false },
    { "config", "FILE", "read this configuration (" TERN_SYSCONFDIR "/broker.conf)", OPTION_TEXT, FIELD_AT(config), 0, 0,
      NULL, true },
    { "help", NULL, "print this and exit", OPTION_FLAG, FIELD_AT(help), 0, 0, NULL, true },
    { "version", NULL, "print the version and exit", OPTION_FLAG, FIELD_AT(version), 0, 0, NULL, true },
    { 0 },
};

static void set_defaults(struct program_options *o)
{
    *o = (struct program_options){
        .listen = xstrdup("ipc:///run/tern/broker.sock"), .keys = xstrdup(TERN_SYSCONFDIR "/peers.d"),
        .db = xstrdup("/var/lib/tern/tern.db"),
        .log_level = xstrdup("info"), .heartbeat = 2000, .lost_after = 10000, .retention = 7ll * 86400 * 1000,
        .keep_finished = 10000000, .max_payload = LIMIT_PAYLOAD_BYTES, .disk_busy = 95, .ballast = 64ll << 20,
    };
}

void program_options_fini(struct program_options *o)
{
    options_fini(table, o);
    amounts_fini(&o->shared);
    for (size_t i = 0; i < o->n_listen; i++) {
        free(o->listen_at[i].address);
        key_pair_wipe(&o->listen_at[i].own);
    }
}

/* The file that was named must be there; the default one may be missing. */
static int load_config(const struct option_group *group, int argc, char **argv, char **ret_error)
{
    const char *named = options_peek(argc - 1, argv + 1, "config");
    int r = options_load(group, 1, named ? named : TERN_SYSCONFDIR "/broker.conf", "broker", ret_error);
    if (r == -ENOENT && !named) {
        free(TAKE(*ret_error));
        return 0;
    }
    return r;
}

/* The default one may be missing, as it is where everything runs as one user. */
static int find_worker_user(struct program_options *o, char **ret_error)
{
    const struct passwd *p = getpwnam(o->worker_user ? o->worker_user : WORKER_USER);
    o->worker_uid = p ? (int64_t)p->pw_uid : -1;
    if (p || !o->worker_user)
        return 0;
    *ret_error = xasprintf("--worker-user: there is no user %s", o->worker_user);
    return -EINVAL;
}

/* ADDRESS, or ADDRESS=FILE with a key of its own. */
static int add_address(struct program_options *o, struct str text, char **ret_error)
{
    if (o->n_listen == LIMIT_LISTEN) {
        *ret_error = xasprintf("--listen names more than %u addresses", LIMIT_LISTEN);
        return -EINVAL;
    }
    struct listen_at *a = &o->listen_at[o->n_listen++];
    *a = (struct listen_at){ .address = xstrndup(text) };
    char *equals = strchr(a->address, '=');
    cleanup(freep) char *file = key_find_file(equals ? equals + 1 : o->key, "broker.key", TERN_SYSCONFDIR "/broker.key");
    if (equals)
        *equals = '\0';
    bool tcp = address_is_tcp(a->address);
    a->keyed = tcp && file && !o->insecure_loopback;
    *ret_error = address_check(a->address, a->keyed ? ADDRESS_HAS_KEYS : ADDRESS_WANTS_BROKER_KEY, o->insecure_loopback);
    o->keyed |= a->keyed;
    if (*ret_error)
        return -EINVAL;
    return a->keyed ? key_read_secret(file, &a->own, ret_error) : 0;
}

static int check_addresses(struct program_options *o, char **ret_error)
{
    int r = 0;
    for (const char *at = o->listen; r >= 0 && *at; at += *at == ',') {
        struct str one = { at, strcspn(at, ",") };
        r = add_address(o, one, ret_error);
        at += one.n;
    }
    if (r >= 0 && !o->n_listen) {
        *ret_error = xasprintf("--listen names no address");
        r = -EINVAL;
    }
    return r;
}

static int check(struct program_options *o, char **ret_error)
{
    int r = check_addresses(o, ret_error);
    if (r < 0)
        return r == -EINVAL ? r : -EBADMSG;
    if (o->lost_after < 2 * o->heartbeat) {
        *ret_error = xasprintf("--lost-after must be at least twice --heartbeat");
        return -EINVAL;
    }
    if (log_level_parse(o->log_level) < 0) {
        *ret_error = xasprintf("--log-level must be error, warning, info or debug, not %s", o->log_level);
        return -EINVAL;
    }
    return find_worker_user(o, ret_error);
}

/* options_parse moves the arguments around, and they are read again at HUP: it gets a copy. */
static int parse_arguments(const struct option_group *group, int n, char **argv, char **ret_error)
{
    cleanup(freep) char **args = xcalloc((size_t)n + 1, sizeof *args);
    memcpy(args, argv, (size_t)n * sizeof *args);
    int operands = options_parse(group, 1, n, args, false, ret_error);
    if (operands <= 0)
        return operands;
    *ret_error = xasprintf("unexpected argument %s", args[0]);
    return -EINVAL;
}

static int read_all(struct program_options *o, int argc, char **argv, char **ret_error)
{
    struct option_group group = { table, o };
    int r = load_config(&group, argc, argv, ret_error);
    if (r < 0)
        return -EBADMSG;
    int n = parse_arguments(&group, argc - 1, argv + 1, ret_error);
    if (n < 0)
        return n;
    return o->help || o->version ? 0 : check(o, ret_error);
}

int program_options_read(struct program_options *o, int argc, char **argv)
{
    cleanup(freep) char *error = NULL;
    set_defaults(o);
    int r = read_all(o, argc, argv, &error);
    if (r < 0) {
        fprintf(stderr, "tern-broker: %s\nTry 'tern-broker --help'.\n", error);
        return r == -EBADMSG ? r : -EINVAL;
    }
    if (o->help) {
        printf("usage: tern-broker [OPTIONS]\n       tern-broker keygen | authorize | revoke | keys (--help says more)\n\n"
               "Keeps jobs and hands them to workers.\n\n");
        options_print_help(stdout, table);
    } else if (o->version) {
        printf("tern-broker %s\n", PACKAGE_VERSION);
    }
    if (o->help || o->version)
        return 0;
    log_init("tern-broker", (enum log_level)log_level_parse(o->log_level));
    if (o->insecure_loopback)
        log_warning("--insecure-loopback: every user of this machine is an admin of this broker");
    return 1;
}
