/* main.c - tern-broker: options, the order of things at start, and the exit status. */
#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "broker/backup.h"
#include "broker/broker_options.h"
#include "broker/keys.h"
#include "broker/loop.h"
#include "proto/base/log.h"
#include "proto/guard.h"
#include "proto/zap.h"

#define EXIT_USAGE 2
#define EXIT_FAILED 1
#define EXIT_CONFIG 78 /* systemd must not start it again: only a person can mend it */

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    ssize_t n = getrandom(&seed, sizeof seed, 0);
    return n == (ssize_t)sizeof seed ? seed : (uint64_t)clock_mono_us();
}

static struct broker_options core_options(const struct program_options *o, struct broker_loop *l)
{
    return (struct broker_options){
        .store = { .path = o->db, .ballast_bytes = o->ballast },
        .heartbeat_ms = o->heartbeat, .lost_after_ms = o->lost_after,
        .retention_ms = o->retention, .keep_finished = (uint64_t)o->keep_finished,
        .max_payload_bytes = (uint64_t)o->max_payload, .disk_busy_percent = (int)o->disk_busy,
        .shared = o->shared, .own_uid = geteuid(), .worker_uid = o->worker_uid, .seed = random_seed(),
        .software = "tern-broker " PACKAGE_VERSION,
        .ask_reader = broker_loop_ask, .ctx = l,
    };
}

static int fail(const char *error, int r)
{
    log_error("%s", error);
    bool only_a_person_helps = r == -EIO || r == -EBADMSG || r == -EROFS || r == -EPROTO || r == -ENOTSUP || r == -EINVAL;
    return only_a_person_helps ? EXIT_CONFIG : EXIT_FAILED;
}

/* ---- at HUP ----------------------------------------------------------------------------------- */

struct arguments {
    int n;
    char **at; /* borrowed */
};

static int reload(void *ctx, struct broker *b)
{
    const struct arguments *a = ctx;
    struct program_options o;
    int r = program_options_read(&o, a->n, a->at);
    if (r > 0) {
        b->options.retention_ms = o.retention;
        b->options.keep_finished = (uint64_t)o.keep_finished;
        b->options.disk_busy_percent = (int)o.disk_busy;
        b->options.worker_uid = o.worker_uid;
    }
    program_options_fini(&o);
    return r > 0 ? 0 : -EINVAL;
}

/* ---- life ------------------------------------------------------------------------------------- */

/* Watched before it is read, so that no change is missed. */
static int open_keys(struct broker_loop *l, const struct program_options *o, char **ret_error)
{
    if (!o->keyed)
        return 0;
    l->keys = o->keys;
    l->keys_changed = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (l->keys_changed >= 0)
        inotify_add_watch(l->keys_changed, o->keys, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE);
    int r = broker_loop_load_keys(l, ret_error);
    return r < 0 ? r : zap_open(broker_loop_admit, l, ret_error);
}

static int listen_on_all(struct broker_loop *l, const struct program_options *o, char **ret_error)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < o->n_listen; i++)
        r = socket_listen_also(&l->socket, o->listen_at[i].address, o->listen_at[i].keyed ? &o->listen_at[i].own : NULL, ret_error);
    return r;
}

/* In this order: the database (and its lock), the reader, the keys and who answers at the door, then the socket: who can connect is
 * served. */
static int serve(const struct program_options *o, struct arguments *a)
{
    struct broker_loop l = { .signals = block_signals(), .reload = reload, .ctx = a, .keys_changed = -1,
                             .open_tcp = o->insecure_loopback };
    cleanup(freep) char *error = NULL;
    struct broker_options core = core_options(o, &l);
    int r = broker_open(&l.broker, &core, clock_now(), &error);
    if (r >= 0)
        r = reader_start(&l.reader, o->db, &error);
    guard_start();
    if (r >= 0)
        r = open_keys(&l, o, &error);
    if (r >= 0)
        r = listen_on_all(&l, o, &error);
    int status = 0;
    if (r < 0) {
        status = fail(error, r);
    } else {
        log_info("listens on %s, database %s, epoch %" PRIu64, o->listen, o->db, store_epoch(l.broker->store));
        service_say_ready();
        r = broker_loop_run(&l);
        if (r < 0) {
            log_error("event=database-failed: the database has failed, nothing was acknowledged: %s", store_error_text(l.broker->store));
            status = EXIT_FAILED;
        }
    }
    socket_close(l.socket);
    zap_close();
    closep(&l.keys_changed);
    reader_stop(l.reader);
    broker_close(l.broker);
    closep(&l.signals);
    if (!status)
        log_info("stopped");
    return status;
}

int main(int argc, char **argv)
{
    int status;
    log_init("tern-broker", LOG_LEVEL_INFO);
    if (argc > 1 && backup_is_command(argv[1]))
        return backup_main(argc, argv);
    if (keys_run(argc, argv, &status))
        return status;
    raise_descriptor_limit();
    struct program_options o;
    int r = program_options_read(&o, argc, argv);
    if (r <= 0) {
        program_options_fini(&o);
        return r == -EBADMSG ? EXIT_CONFIG : r < 0 ? EXIT_USAGE : 0;
    }
    status = serve(&o, &(struct arguments){ argc, argv });
    program_options_fini(&o);
    return status;
}
