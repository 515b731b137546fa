/* main.c - tern-worker: the order of things at start and at the end, and the exit status. */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/socket.h"
#include "proto/zap.h"
#include "worker/handlers.h"
#include "worker/loop.h"
#include "worker/runners.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2

/* Descriptors beside the loop pool's: the program's own, two a thread, four a process. */
#define FDS_OWN 100
#define FDS_THREAD 2
#define FDS_PROCESS 4

static int fail(const char *what, int r)
{
    log_error("%s: %s", what, strerror(-r));
    return EXIT_FAILED;
}

/* ---- before anything else -------------------------------------------------------------------- */

static int start_zygote(const struct worker_options *o, struct zygote **ret, char ***ret_args)
{
    *ret_args = worker_options_for_zygote(o);
    return zygote_start(ret, *ret_args);
}

static void free_args(char **args)
{
    for (size_t i = 0; args && args[i]; i++)
        free(args[i]);
    free(args);
}

static int init_handlers(const struct worker_options *o)
{
    handlers_with_modules();
    cleanup(freep) char *error = NULL;
    if (handlers_init(o->handlers, !o->no_exec, &error) < 0) {
        log_error("--handlers: %s", error);
        return -EINVAL;
    }
    if (o->http_allow && handlers_allow_http(o->http_allow) < 0) {
        log_error("--http-allow %s: must be loopback, link-local, or both with a comma between",
                  o->http_allow);
        return -EINVAL;
    }
    return 0;
}

static int init_runners(const struct worker_options *o)
{
    cleanup(freep) char *error = NULL;
    for (size_t i = 0; i < o->runners.n; i++)
        if (runners_add(o->runners.at[i], &error) < 0) {
            log_error("--runner: %s", error);
            return -EINVAL;
        }
    return 0;
}

static int open_signals(void)
{
    sigset_t set;
    worker_loop_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The soft limit up to the hard one; and no more coroutines than descriptors, for each may hold
 * one. */
static void fit_descriptors(struct worker_options *o)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    int64_t most = limit.rlim_cur < INT32_MAX ? (int64_t)limit.rlim_cur : INT32_MAX;
    int64_t left = most - FDS_OWN - FDS_THREAD * o->slots[POOL_THREAD] -
                   FDS_PROCESS * o->slots[POOL_PROCESS];
    if (o->slots[POOL_LOOP] <= left || !o->slots[POOL_LOOP])
        return;
    int64_t fits = max_i64(left, 1);
    log_warning("the loop pool gets %lld slots, not %lld: this process may open %lld descriptors "
                "only; raise its hard "
                "limit (LimitNOFILE=, ulimit -Hn)",
                (long long)fits, (long long)o->slots[POOL_LOOP], (long long)most);
    o->slots[POOL_LOOP] = fits;
}

/* A name that no module has yet may be that of one that was refused: which the log says. */
static int check_chosen(const struct worker_loop *l)
{
    size_t n_refused;
    cleanup(freep) char *unknown = handlers_unknown();
    modules_notices(l->modules, &n_refused);
    if (!unknown)
        return 0;
    if (n_refused) {
        log_warning("--handlers: there is no handler `%s` so far", unknown);
        return 0;
    }
    log_error("--handlers: there is no handler `%s`", unknown);
    return -EINVAL;
}

/* ---- the parts ------------------------------------------------------------------------------- */

/* The thread pool's come first. Two brokers share none: to a runner a run is named by its broker's own number. */
static struct launcher **runners_of(struct worker_loop *l, enum pool_kind pool)
{
    return l->launchers + 1 + (pool == POOL_LOOP ? runners_count() * l->options->brokers.n : 0);
}

static int open_pool(struct worker_loop *l, enum pool_kind pool)
{
    size_t slots = (size_t)l->options->slots[pool];
    if (!slots)
        return 0;
    struct pool_options o = {
        .kind = pool,
        .slots = slots,
        .zygote = l->zygote,
        .launcher = l->launchers[0],
        .modules = l->modules,
        .runners = pool == POOL_PROCESS ? NULL : runners_of(l, pool),
        .pools = l->pools,
        .jobs_per_child = (size_t)l->options->jobs_per_child,
        .stuck_max = pool == POOL_PROCESS ? 0 : slots,
        .on_started = worker_loop_on_started,
        .on_finished = worker_loop_on_finished,
        .on_asked = worker_loop_on_asked,
        .ctx = l,
    };
    return pool_open(&l->pools[pool], &o);
}

static int load_modules(struct worker_loop *l)
{
    const struct worker_options *o = l->options;
    struct modules_options options = {
        .in_thread = o->slots[POOL_THREAD],
        .in_loop = o->slots[POOL_LOOP],
        .zygote = l->zygote,
        .on_changed = worker_loop_on_handlers,
        .ctx = l,
    };
    struct now now = clock_now();
    l->modules = modules_new(&options);
    modules_reload(l->modules, o->modules, o->modules_named, now);
    while (!modules_are_settled(l->modules)) {
        int64_t until_ms = modules_tick(l->modules, now);
        struct pollfd fd = { zygote_fd(l->zygote), POLLIN, 0 };
        poll(&fd, 1, until_ms == NEVER ? 100 : (int)min_i64(max_i64(until_ms - now.mono_ms, 0), 100));
        now = clock_now();
        zygote_on_readable(l->zygote, now);
    }
    return check_chosen(l);
}

/* What they share in this pool; nothing is started before there is a run for it. */
static int open_runners(struct worker_loop *l, enum pool_kind pool)
{
    int r = 0;
    for (size_t i = 0; i < runners_count() * l->options->brokers.n && r >= 0; i++) {
        size_t runner = i % runners_count() + 1;
        size_t room = min_size(runners_get(runner)->room, (size_t)max_i64(l->options->slots[pool], 1));
        r = launcher_open_runner(&l->launchers[l->n_launchers++], l->zygote, room, runner, pool);
    }
    return r;
}

static int open_pools(struct worker_loop *l)
{
    size_t commands = (size_t)(l->options->slots[POOL_THREAD] + l->options->slots[POOL_LOOP]);
    int r = l->options->no_exec || !commands ? 0 : launcher_open(&l->launchers[0], l->zygote, commands);
    l->n_launchers = 1;
    for (enum pool_kind pool = POOL_THREAD; pool <= POOL_LOOP && r >= 0; pool++)
        r = open_runners(l, pool);
    for (enum pool_kind pool = 0; pool < N_POOLS && r >= 0; pool++)
        r = open_pool(l, pool);
    return r;
}

static void close_pools(struct worker_loop *l)
{
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            pool_close(l->pools[pool]);
    for (size_t i = 0; i < l->n_launchers; i++)
        launcher_close(l->launchers[i]);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    ssize_t n = getrandom(&seed, sizeof seed, 0);
    return n == (ssize_t)sizeof seed ? seed : (uint64_t)clock_mono_us();
}

static struct link_options link_options_of(struct worker_loop *l, struct rng *rng)
{
    const struct worker_options *o = l->options;
    struct link_options link = {
        .name = o->name,
        .host = o->host,
        .software = "tern-worker " PACKAGE_VERSION,
        .pid = (uint64_t)getpid(),
        .isolation = isolation_name(l->isolation),
        .queues = o->queue_list,
        .n_queues = o->n_queues,
        .labels = o->labels.at,
        .n_labels = o->labels.n,
        .amounts = o->amounts.at,
        .n_amounts = o->amounts.n,
        .rng = rng,
    };
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        link.pool_on[pool] = l->pools[pool] != NULL;
    link.handlers = handlers_info(&link.n_handlers);
    link.notices = modules_notices(l->modules, &link.n_notices);
    for (size_t i = 0; i < sizeof link.instance; i++)
        link.instance[i] = (unsigned char)rng_below(rng, 256);
    ssize_t n = getrandom(link.instance, sizeof link.instance, 0);
    (void)n; /* never fails for so few bytes; else the ones above serve */
    return link;
}

/* ---- life ------------------------------------------------------------------------------------ */

#define HANDSHAKE_MS 1000
#define LOOK_MS 1500

/* libzmq goes on trying, and never says what it was told: a key may be let in at any time. */
static void try_keys(const struct broker_list *l, const struct broker_entry *e)
{
    int r = zap_try(e->address, &l->own, &e->key, HANDSHAKE_MS);
    if (r == -EACCES)
        log_warning("the broker at %s does not know this worker's key yet: let it in there with `tern-broker authorize NAME.pub`; "
                    "waiting for that", e->address);
    else if (r == -EPROTO)
        log_warning("what answers at %s does not have the key that --broker-key says: it is another broker, it has a new key, or it "
                    "has none; going on trying", e->address);
    else if (r < 0)
        log_warning("no broker answers at %s yet; waiting for it", e->address);
}

/* A socket that is not there, or that this user may not open, is no reason not to start: but it is
 * worth a word. */
static void look_for(const struct broker_list *l, const struct broker_entry *e, int64_t until_ms)
{
    const char *address = e->address, *path = address_ipc_path(address);
    if (e->keyed && clock_now().mono_ms < until_ms)
        try_keys(l, e);
    if (!path || access(path, W_OK) == 0)
        return;
    if (errno == EACCES)
        log_warning("this user may not connect to %s: run the worker as the broker's user, or let "
                    "it into the socket's group",
                    address);
    else
        log_warning("no broker at %s yet (%s); waiting for it", address, strerror(errno));
}

/* Many that do not answer must not hold up the start: the link tells of them as well, in time. */
static void look_for_all(const struct broker_list *l)
{
    int64_t until_ms = clock_now().mono_ms + LOOK_MS;
    for (size_t i = 0; i < l->n; i++)
        look_for(l, &l->at[i], until_ms);
}

/* A socket and a link to each. */
static int open_served(struct worker_loop *l, const struct link_options *link)
{
    const struct broker_list *brokers = &l->options->brokers;
    cleanup(freep) char *error = NULL;
    l->served = xcalloc(brokers->n, sizeof *l->served);
    for (size_t i = 0; i < brokers->n; i++) {
        int r = served_open(&l->served[i], brokers, i, l->pools, link, clock_now(), &error);
        if (r < 0) {
            log_error("%s", error);
            return r;
        }
        l->n_served++;
    }
    return 0;
}

static void close_served(struct worker_loop *l)
{
    for (size_t i = 0; i < l->n_served; i++)
        served_close(&l->served[i]);
    free(TAKE(l->served));
}

static int run_loop(struct worker_loop *l, struct rng *rng)
{
    struct link_options link = link_options_of(l, rng);
    if (open_served(l, &link) < 0)
        return EXIT_USAGE;
    log_info("worker=%s broker=%s process=%lld thread=%lld loop=%lld", l->options->name,
             l->options->broker, (long long)l->options->slots[POOL_PROCESS],
             (long long)l->options->slots[POOL_THREAD], (long long)l->options->slots[POOL_LOOP]);
    look_for_all(&l->options->brokers);
    service_say_ready();
    return worker_loop_run(l);
}

static int serve(struct worker_loop *l)
{
    l->signals = open_signals();
    if (l->signals < 0)
        return fail("cannot make a signalfd", -errno);
    struct rng rng;
    rng_init(&rng, random_seed());
    int r = load_modules(l), status = EXIT_USAGE;
    if (r >= 0) {
        r = open_pools(l);
        status = r < 0 ? fail("cannot start the pools", r) : run_loop(l, &rng);
        close_pools(l);
    }
    close_served(l);
    modules_free(l->modules);
    closep(&l->signals);
    if (!status)
        log_info("stopped");
    return status;
}

static int run_worker(struct worker_options *o, int argc, char **argv)
{
    struct worker_loop l = { .options = o, .argc = argc, .argv = argv, .signals = -1 };
    char **args = NULL;
    log_init("tern-worker", o->level);
    if (init_handlers(o) < 0 || init_runners(o) < 0)
        return EXIT_USAGE;
    l.isolation = cgroup_open();
    broker_list_know(&o->brokers);
    /* Before any thread, and while the limits are those that commands get. */
    int r = start_zygote(o, &l.zygote, &args);
    int status;
    if (r < 0) {
        status = fail("cannot start the zygote", r);
    } else {
        fit_descriptors(o);
        runners_ask(l.zygote);
        status = serve(&l);
        zygote_stop(l.zygote);
        runners_clear();
    }
    free_args(args);
    broker_list_forget();
    return status;
}

static int run_zygote(int argc, char **argv)
{
    struct worker_options o;
    int r = worker_options_read_zygote(&o, argc, argv);
    log_init("tern-worker", o.level);
    int status = r < 0 || init_handlers(&o) < 0 || init_runners(&o) < 0 ? EXIT_USAGE : zygote_main();
    broker_list_forget();
    worker_options_fini(&o);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--zygote") == 0)
        return run_zygote(argc, argv);
    struct worker_options o;
    int status;
    int r = worker_options_read(&o, argc, argv, &status);
    if (r > 0)
        status = run_worker(&o, argc, argv);
    worker_options_fini(&o);
    return status;
}
