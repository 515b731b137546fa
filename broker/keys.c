/* keys.c - keygen, authorize, revoke, keys: each a change of files, which a running broker sees at once. */
#include "broker/keys.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/grants.h"
#include "proto/base/buf.h"
#include "proto/base/conf.h"
#include "proto/base/log.h"
#include "proto/name.h"

#define STATUS_USAGE 2
#define STATUS_NOT_FOUND 3
#define STATUS_REFUSED 4

struct keys_options {
    char *keys, *dir, *config; /* owned */
    bool help;
};

#define AT(field) offsetof(struct keys_options, field)
static const struct option_def own_options[] = {
    { "keys", "DIR", "the directory of public keys (as broker.conf has it, else " TERN_SYSCONFDIR "/peers.d)", OPTION_TEXT, AT(keys),
      0, 0, NULL, false },
    { "dir", "DIR", "keygen: where the new key is kept (" TERN_SYSCONFDIR ")", OPTION_TEXT, AT(dir), 0, 0, NULL, false },
    { "config", "FILE", "read this configuration (" TERN_SYSCONFDIR "/broker.conf)", OPTION_TEXT, AT(config), 0, 0, NULL, false },
    { "help", NULL, "print this and exit", OPTION_FLAG, AT(help), 0, 0, NULL, false },
    { 0 },
};

static int fail(int status, const char *format, ...) printf_like(2, 3);
static int fail(int status, const char *format, ...)
{
    va_list ap;
    fputs("tern-broker: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

/* ---- where the keys are ----------------------------------------------------------------------------- */

static int on_broker_key(void *context, const char *section, const char *key, const char *value, char **ret_error)
{
    char **keys = context;
    (void)section, (void)ret_error;
    if (strcmp(key, "keys") == 0) {
        free(*keys);
        *keys = xstrdup(value);
    }
    return 0;
}

static void find_directory(struct keys_options *o)
{
    cleanup(freep) char *ignored = NULL;
    if (!o->keys)
        conf_load(o->config ? o->config : TERN_SYSCONFDIR "/broker.conf", on_broker_key, &o->keys, &ignored);
    if (!o->keys)
        o->keys = xstrdup(TERN_SYSCONFDIR "/peers.d");
}

static int make_directory(const char *path)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    return fail(STATUS_REFUSED, "cannot make %s: %s", path, strerror(errno));
}

/* ---- keygen ----------------------------------------------------------------------------------------- */

static int keygen(struct keys_options *o, struct grant *g, const char *operand)
{
    (void)g;
    const char *name = operand ? operand : "broker", *dir = o->dir ? o->dir : TERN_SYSCONFDIR;
    const char *bad = name_check(str_of(name), "key");
    cleanup(freep) char *base = xasprintf("%s/%s", dir, name), *error = NULL;
    if (bad)
        return fail(STATUS_USAGE, "%s", bad);
    if (make_directory(dir) || make_directory(o->keys))
        return STATUS_REFUSED;
    const char *text = "; The public key of a broker: its peers must know it, and anybody may.\n[broker]\n";
    if (key_write_pair(base, "this broker", text, &error) < 0)
        return fail(STATUS_REFUSED, "%s", error);
    printf("made %s.key (secret: it stays here, and its reader must be the user that the broker runs as) and %s.pub\n", base, base);
    printf("next: copy %s.pub to the machines of workers and clients; let them in with: tern-broker authorize NAME.pub\n", base);
    return 0;
}

/* ---- authorize -------------------------------------------------------------------------------------- */

static void set_default(char **field, const char *text)
{
    if (!*field && text)
        *field = xstrdup(text);
}

/* A public key's file says who its peer wants to be: its name, its role and its key count, unless the command says otherwise; all
 * else is for the admin alone to say. */
static int take_request(struct grant *g, const char *path)
{
    cleanup(freep) char *error = NULL;
    struct grant asked;
    grant_init(&asked);
    int status = 0;
    if (grant_load(&asked, path, &error) < 0)
        status = fail(STATUS_REFUSED, "%s", error);
    else if (asked.role == ROLE_ADMIN && !g->role_text)
        status = fail(STATUS_REFUSED, "%s asks for the role admin, which sees and changes everything: say --role admin if you mean it",
                      path);
    if (!status) {
        set_default(&g->name, asked.name);
        set_default(&g->role_text, asked.role_text);
        set_default(&g->key_text, asked.key_text);
    }
    grant_fini(&asked);
    return status;
}

static int take_operand(struct grant *g, const char *operand)
{
    struct key key;
    if (!operand)
        return fail(STATUS_USAGE, "which key? tern-broker authorize NAME.pub, or authorize DIGITS --name NAME --role ROLE");
    if (key_parse(operand, &key) < 0)
        return take_request(g, operand);
    set_default(&g->key_text, operand);
    return 0;
}

static void add_list(struct buf *b, const char *key, const char *value)
{
    if (value && *value)
        buf_addf(b, "%s = %s\n", key, value);
}

/* Those that are not as usual; written with this text before each, between its name and number, and behind it. */
static void add_limits(struct buf *b, const struct grant *g, const char *before, const char *between, const char *behind)
{
    struct grant usual;
    grant_init(&usual);
    const struct {
        const char *name;
        int64_t value, usual;
    } limits[] = { { "sessions", g->sessions, usual.sessions },
                   { "rate", g->rate, usual.rate },
                   { "bytes", g->bytes, usual.bytes },
                   { "open-jobs", g->open_jobs, usual.open_jobs } };
    for (size_t i = 0; i < ELEMENTS(limits); i++)
        if (limits[i].value != limits[i].usual)
            buf_addf(b, "%s%s%s%lld%s", before, limits[i].name, between, (long long)limits[i].value, behind);
}

static void write_grant(const struct grant *g, struct buf *b)
{
    buf_addf(b, "; Made by tern-broker authorize; see tern-broker(8).\n[peer]\nname = %s\nrole = %s\nkey = %s\n", g->name,
             role_name(g->role), g->digits);
    add_list(b, "queues", g->queues);
    add_list(b, "handlers", g->handlers);
    add_list(b, "exec", g->exec ? "yes" : NULL);
    add_limits(b, g, "", " = ", "\n");
}

static int count_other_keys(const struct grants *known, const struct grant *g)
{
    const struct grant *other;
    int n = 0;
    for (size_t i = 0; (other = strmap_next(&known->by_key, &i));)
        n += strcmp(other->name, g->name) == 0 && !key_equal(&other->key, &g->key);
    return n;
}

/* The file of this key; else a free name for it: a peer may have more than one key, as while it changes them. Owned by the caller. */
static char *choose_path(const char *directory, const struct grant *g)
{
    for (int n = 1;; n++) {
        cleanup(freep) char *path =
            n == 1 ? xasprintf("%s/%s.conf", directory, g->name) : xasprintf("%s/%s.%d.conf", directory, g->name, n);
        cleanup(freep) char *ignored = NULL;
        struct grant there;
        grant_init(&there);
        bool same = grants_load_one(&there, path, &ignored) >= 0 && key_equal(&there.key, &g->key);
        grant_fini(&there);
        if (same || access(path, F_OK) < 0)
            return TAKE(path);
    }
}

/* Whole or not at all: a broker that looks in between sees no half file. */
static int replace_file(const char *directory, const char *path, const char *text, char **ret_error)
{
    cleanup(freep) char *half = xasprintf("%s/.new.%d", directory, (int)getpid());
    int r = key_write_file(half, 0644, text, ret_error);
    if (r >= 0 && rename(half, path) < 0) {
        r = -errno;
        *ret_error = xasprintf("%s: %s", path, strerror(errno));
        unlink(half);
    }
    return r;
}

/* The same key under another name would be two owners. */
static int check_known(const struct grants *known, const struct grant *g)
{
    const struct grant *same = grants_find(known, g->digits);
    if (!same || strcmp(same->name, g->name) == 0)
        return 0;
    return fail(STATUS_REFUSED, "this key is known already, as %s: tern-broker revoke %s first", same->name, same->name);
}

/* A request may not name whoever has a key already: it would be the owner of that peer's jobs. */
static int check_name_free(const struct grant *g, int others, bool said)
{
    if (!others || said)
        return 0;
    return fail(STATUS_REFUSED, "the name %s has another key: whoever has this one would be the owner of its jobs, too; say "
                "--name %s if it is a second key of the same peer, or another name", g->name, g->name);
}

static void say_authorized(const struct grant *g, const char *path, int others)
{
    printf("authorized %s, role %s, in %s; a running broker sees it at once\n", g->name, role_name(g->role), path);
    if (g->role == ROLE_CLIENT && !grant_allows_handler(g, str_of("exec")))
        printf("it may not submit commands (they could do whatever the workers' user can): authorize it with --exec to allow them\n");
    if (others)
        printf("%s has %d keys now; take an old one away with: tern-broker revoke DIGITS (tern-broker keys lists them)\n", g->name,
               others + 1);
}

static int add_grant(const char *directory, const struct grant *g, int others)
{
    cleanup(freep) char *path = choose_path(directory, g), *error = NULL;
    struct buf b;
    buf_init(&b, 64u << 10);
    write_grant(g, &b);
    cleanup(freep) char *text = xstrndup(buf_str(&b));
    int r = replace_file(directory, path, text, &error);
    buf_fini(&b);
    if (r < 0)
        return fail(STATUS_REFUSED, "%s", error);
    say_authorized(g, path, others);
    return 0;
}

static int authorize_peer(struct keys_options *o, struct grant *g, const char *operand)
{
    cleanup(freep) char *error = NULL;
    bool name_said = g->name;
    int status = take_operand(g, operand);
    if (!status && grant_check(g, &error) < 0)
        status = fail(STATUS_USAGE, "%s", error);
    if (!status)
        status = make_directory(o->keys);
    struct grants *known = NULL;
    if (!status && grants_load(&known, o->keys, &error) < 0)
        status = fail(STATUS_REFUSED, "%s", error);
    if (!status && !(status = check_known(known, g))) {
        int others = count_other_keys(known, g);
        status = check_name_free(g, others, name_said || grants_find(known, g->digits));
        if (!status)
            status = add_grant(o->keys, g, others);
    }
    grants_free(known);
    return status;
}

/* ---- revoke, keys: all files of the directory ------------------------------------------------------- */

typedef void each_fn(void *ctx, const char *path, const struct grant *g);

static int each_file(const char *directory, each_fn *each, void *ctx)
{
    DIR *d = opendir(directory);
    if (!d)
        return fail(STATUS_REFUSED, "%s: %s", directory, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        if (!grants_is_key_file(e->d_name))
            continue;
        cleanup(freep) char *path = xasprintf("%s/%s", directory, e->d_name), *error = NULL;
        struct grant g;
        grant_init(&g);
        if (grants_load_one(&g, path, &error) >= 0)
            each(ctx, path, &g);
        else
            fail(0, "%s; it lets nobody in", error);
        grant_fini(&g);
    }
    closedir(d);
    return 0;
}

struct revoking {
    const char *who; /* a name, or digits */
    int revoked, failed;
};

static void revoke_one(void *ctx, const char *path, const struct grant *g)
{
    struct revoking *r = ctx;
    if (strcmp(g->name, r->who) != 0 && strcasecmp(g->digits, r->who) != 0)
        return;
    if (unlink(path) < 0) {
        r->failed = fail(STATUS_REFUSED, "%s: %s", path, strerror(errno));
        return;
    }
    r->revoked++;
    printf("revoked %s, key %s; a running broker cuts it off at once\n", g->name, g->digits);
}

static int revoke_peer(struct keys_options *o, struct grant *g, const char *operand)
{
    (void)g;
    if (!operand)
        return fail(STATUS_USAGE, "whom? tern-broker revoke NAME, or revoke DIGITS for one key of several");
    struct revoking r = { .who = operand };
    int status = each_file(o->keys, revoke_one, &r);
    if (!status && !r.revoked && !r.failed)
        status = fail(STATUS_NOT_FOUND, "%s: no such name or key in %s", operand, o->keys);
    return status ? status : r.failed;
}

static void print_one(void *ctx, const char *path, const struct grant *g)
{
    (void)ctx, (void)path;
    struct buf limits;
    buf_init(&limits, SIZE_MAX);
    add_limits(&limits, g, " ", "=", "");
    printf("%-20s %-7s %s", g->name, role_name(g->role), g->digits);
    if (g->queues)
        printf(" queues=%s", g->queues);
    if (g->handlers)
        printf(" handlers=%s", g->handlers);
    printf("%s%.*s\n", g->exec ? " exec=yes" : "", (int)limits.n, limits.n ? limits.p : "");
    buf_fini(&limits);
}

static int list(struct keys_options *o, struct grant *g, const char *operand)
{
    (void)g;
    return operand ? fail(STATUS_USAGE, "unexpected argument %s", operand) : each_file(o->keys, print_one, NULL);
}

/* ---- the verbs -------------------------------------------------------------------------------------- */

static const struct verb {
    const char *name, *operand, *summary;
    int (*run)(struct keys_options *o, struct grant *g, const char *operand);
    bool grants; /* takes the options of a grant */
} verbs[] = {
    { "keygen", "[NAME]", "make this broker's key: NAME.key and NAME.pub (broker)", keygen, false },
    { "authorize", "FILE|DIGITS", "let a public key in, or change what it may", authorize_peer, true },
    { "revoke", "NAME|DIGITS", "take a peer's keys away, or one of them", revoke_peer, false },
    { "keys", "", "list the keys that may come in", list, false },
};

static void print_help(const struct verb *v)
{
    printf("usage: tern-broker %s%s%s [OPTIONS]\n\n%s\n\n", v->name, *v->operand ? " " : "", v->operand, v->summary);
    options_print_help(stdout, own_options);
    if (v->grants)
        options_print_help(stdout, grant_options);
}

static int run(const struct verb *v, int n, char **args)
{
    cleanup(freep) char *error = NULL;
    struct keys_options o = { 0 };
    struct grant g;
    grant_init(&g);
    const struct option_group groups[] = { { own_options, &o }, { grant_options, &g } };
    int operands = options_parse(groups, v->grants ? 2 : 1, n, args, false, &error);
    int status = 0;
    if (operands < 0)
        status = fail(STATUS_USAGE, "%s; tern-broker %s --help lists the options", error, v->name);
    else if (operands > 1)
        status = fail(STATUS_USAGE, "unexpected argument %s", args[1]);
    else if (o.help)
        print_help(v);
    if (!status && !o.help) {
        find_directory(&o);
        status = v->run(&o, &g, operands ? args[0] : NULL);
    }
    grant_fini(&g);
    options_fini(own_options, &o);
    return status;
}

bool keys_run(int argc, char **argv, int *ret_status)
{
    for (size_t i = 0; argc > 1 && i < ELEMENTS(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0) {
            *ret_status = run(&verbs[i], argc - 2, argv + 2);
            return true;
        }
    return false;
}
