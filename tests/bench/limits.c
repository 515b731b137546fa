/* limits.c - measures one limit once and prints a line of JSON. The limits of SQLite are in files of their own.
 *
 *   usage: limits LIMIT N DIRECTORY
 *
 *   commit, insert, finish, life                one table of SQLite (limits.h)
 *   store-insert, store-finish, store-life      the broker's own store, called in a loop
 *   sync       4 KiB written at the end of a file, and fdatasync
 *   roundtrip  one ZeroMQ message over a Unix socket to another process, and back
 *   spawn      posix_spawn of /bin/true and wait, two at a time
 *   idle-commit, idle-roundtrip                 the same, each after a rest */
#include "tests/bench/limits.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/base.h"
#include "proto/socket.h"

#define MESSAGE_BYTES 200 /* about a SUBMIT of one job */
#define CONNECT_MS 5000
#define ROUND_TRIP_MS 10000
#define AT_A_TIME 2
#define BLOCK_BYTES 4096

void limits_quit(const char *what, const char *why)
{
    fprintf(stderr, "bench/limits: %s: %s\n", what, why);
    exit(1);
}

int64_t measured_begin(const struct measured *m)
{
    if (m->rested)
        sleep_ms(IDLE_MS);
    return mono_ns();
}

void measured_end(struct measured *m, int64_t began)
{
    int64_t ns = mono_ns() - began;
    samples_add(&m->each, ns);
    m->ns += ns;
}

/* ---- sync ------------------------------------------------------------------------------------- */

static void limit_sync(const char *path, size_t n, struct measured *ret)
{
    static const char block[BLOCK_BYTES];
    cleanup(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        limits_quit(path, strerror(errno));
    for (size_t i = 0; i < n; i++) {
        int64_t began = measured_begin(ret);
        if (pwrite(fd, block, sizeof block, (off_t)(i * sizeof block)) != sizeof block || fdatasync(fd) < 0)
            limits_quit(path, strerror(errno));
        measured_end(ret, began);
    }
}

/* ---- a round trip ----------------------------------------------------------------------------- */

_Noreturn static void answer_all(const char *address)
{
    struct socket *s = NULL;
    struct frame f;
    char *error = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (socket_listen(&s, address, &error) < 0)
        limits_quit(address, error);
    for (;;) {
        socket_poll(s, NULL, 0, -1);
        while (socket_recv(s, &f) >= 0) {
            socket_send_to(s, f.routing_id, (struct str){ f.p, f.n });
            frame_fini(&f);
        }
    }
}

static bool take_answer(struct socket *s)
{
    struct frame f;
    if (socket_poll(s, NULL, 0, ROUND_TRIP_MS) <= 0 || socket_recv(s, &f) < 0)
        return false;
    frame_fini(&f);
    return true;
}

static void ask_many(struct socket *s, size_t n, struct measured *ret)
{
    static const char bytes[MESSAGE_BYTES];
    const struct str message = { bytes, sizeof bytes };
    int64_t until = mono_ns() + CONNECT_MS * INT64_C(1000000);
    while (socket_send(s, message) < 0) {
        if (mono_ns() > until)
            limits_quit("roundtrip", "the other process does not answer");
        socket_poll(s, NULL, 0, 1);
    }
    bool good = take_answer(s);
    for (size_t i = 0; i < n && good; i++) {
        int64_t began = measured_begin(ret);
        good = socket_send(s, message) >= 0 && take_answer(s);
        measured_end(ret, began);
    }
    if (!good)
        limits_quit("roundtrip", "a message was lost");
}

static void limit_roundtrip(const char *path, size_t n, struct measured *ret)
{
    cleanup(freep) char *address = xasprintf("ipc://%s", path);
    cleanup(freep) char *error = NULL;
    struct socket *s = NULL;
    pid_t child = fork();
    if (child < 0)
        limits_quit("fork", strerror(errno));
    if (child == 0)
        answer_all(address);
    if (socket_connect(&s, address, &error) < 0)
        limits_quit(address, error);
    ask_many(s, n, ret);
    socket_close(s);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- commands --------------------------------------------------------------------------------- */

static void take_end(void)
{
    int status;
    if (wait(&status) < 0 || status != 0)
        limits_quit("/bin/true", "did not end with 0");
}

static void limit_spawn(const char *path, size_t n, struct measured *ret)
{
    (void)path;
    char *argv[] = { (char *)"/bin/true", NULL };
    int64_t began = mono_ns();
    for (size_t i = 0; i < n; i++) {
        pid_t pid;
        if (i >= AT_A_TIME)
            take_end();
        int r = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
        if (r)
            limits_quit(argv[0], strerror(r));
    }
    for (size_t i = 0; i < min_size(n, AT_A_TIME); i++)
        take_end();
    ret->ns = mono_ns() - began;
}

/* ---- words ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*measure)(const char *path, size_t n, struct measured *ret);
    bool rested;
} limits[] = {
    { "commit", limit_commit, false },
    { "idle-commit", limit_commit, true },
    { "insert", limit_insert, false },
    { "finish", limit_finish, false },
    { "life", limit_life, false },
    { "store-insert", limit_store_insert, false },
    { "store-finish", limit_store_finish, false },
    { "store-life", limit_store_life, false },
    { "sync", limit_sync, false },
    { "roundtrip", limit_roundtrip, false },
    { "idle-roundtrip", limit_roundtrip, true },
    { "spawn", limit_spawn, false },
};

static void print(struct measured *m, size_t n)
{
    printf("{\"rate\": %.2f", rate_of(n, m->ns));
    if (m->each.n) {
        printf(", ");
        samples_print(&m->each, "");
    }
    printf("}\n");
    samples_fini(&m->each);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        limits_quit("usage", "limits LIMIT N DIRECTORY");
    long n = strtol(argv[2], NULL, 10);
    if (n < A_COMMIT)
        limits_quit(argv[2], "too few");
    cleanup(freep) char *path = xasprintf("%s/%s", argv[3], argv[1]);
    for (size_t i = 0; i < ELEMENTS(limits); i++) {
        if (strcmp(limits[i].name, argv[1]) != 0)
            continue;
        struct measured m = { .rested = limits[i].rested };
        limits[i].measure(path, (size_t)n, &m);
        print(&m, (size_t)n);
        return 0;
    }
    limits_quit(argv[1], "there is no such limit");
}
