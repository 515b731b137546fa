/* cmd_up.c - `tern up`: a broker and a worker for this user on this machine. */
#include "client/commands.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "client/up.h"
#include "proto/base/clock.h"

struct up_options {
    char *dir;
};

static const struct option_def options[] = {
    { .name = "dir",
      .value = "DIR",
      .help = "keep everything there (~/.local/state/tern)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct up_options, dir) },
    { 0 },
};

static int write_address(const struct up *u, char **ret_error)
{
    cleanup(freep) char *path = xasprintf("%s/address", u->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || dprintf(fd, "%s\n", u->address) < 0) {
        *ret_error = xasprintf("%s: %s", path, strerror(errno));
        closep(&fd);
        return -EIO;
    }
    close(fd);
    return 0;
}

/* 1: it was started; 0: it runs already. */
static int ensure(const struct up *u, const char *program, const char *const *args,
                  char **ret_error)
{
    pid_t pid;
    cleanup(closep) int fd = up_program_find(u, program, &pid);
    if (fd >= 0)
        return 0;
    int r = up_program_start(u, program, args, ret_error);
    return r < 0 ? r : 1;
}

static int start_both(const struct up *u, char **ret_error)
{
    cleanup(freep) char *db = xasprintf("%s/tern.db", u->dir);
    const char *const broker[] = { "--listen", u->address, "--db", db, NULL };
    const char *const worker[] = { "--broker", u->address, "--http-allow", "loopback", NULL };
    int b = ensure(u, "broker", broker, ret_error);
    if (b < 0)
        return b;
    if (write_address(u, ret_error) < 0)
        return -EIO;
    int w = ensure(u, "worker", worker, ret_error);
    bool killed;
    if (w < 0 && b > 0)
        up_program_stop(u, "broker", 10000, &killed);
    return w < 0 ? w : b || w;
}

static int count(void *context, const struct tern_worker_view *w)
{
    (void)w;
    ++*(size_t *)context;
    return 0;
}

#define CONNECTED_WITHIN_MS 5000
#define LOOK_AGAIN_MS 20

/* The worker is ready before the broker has let it in: `tern up` returns when both is so. Where that takes too long, the
 * worker goes on trying, and nothing is lost. */
static void wait_for_worker(const struct up *u)
{
    struct tern_client *c = tern_client_new();
    size_t n = 0;
    int64_t until = clock_now().mono_ms + CONNECTED_WITHIN_MS;
    if (tern_client_connect(c, u->address) >= 0)
        while (tern_client_workers(c, count, &n) >= 0 && !n && clock_now().mono_ms < until)
            poll(NULL, 0, LOOK_AGAIN_MS);
    tern_client_free(c);
}

static void say_what_next(const struct up *u, bool started)
{
    cli_notice("%s at %s; state and logs in %s",
               started ? "up: a broker and a worker run" : "is up already", u->address, u->dir);
    if (u->asked_dir)
        cli_notice("next: export TERN_BROKER=%s", u->address);
    cli_notice("%s tern run -- echo hello; tern list; tern workers; and to stop: tern down%s%s",
               u->asked_dir ? "then:" : "next:", u->asked_dir ? " --dir " : "",
               u->asked_dir ? u->dir : "");
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)cli;
    struct up_options *o = to;
    struct up u = { .lock = -1 };
    char *error = NULL;
    int status = cli_no_operands(n, args);
    if (status)
        return status;
    int r = up_find(&u, o->dir, true, &error);
    if (r >= 0)
        r = up_lock(&u, &error);
    if (r >= 0)
        r = start_both(&u, &error);
    if (r < 0)
        status = cli_fail(STATUS_REFUSED, "%s", error);
    else if (r > 0)
        wait_for_worker(&u);
    if (r >= 0)
        say_what_next(&u, r > 0);
    free(error);
    up_fini(&u);
    return status;
}

const struct command command_up = {
    .name = "up",
    .operands = "",
    .summary = "start a broker and a worker for this user on this machine",
    .options = options,
    .options_bytes = sizeof(struct up_options),
    .run = run,
};
