/* cmd_down.c - `tern down`: stops what `tern up` started. Jobs that run may finish; what waits
 * stays on disk. */
#include "client/commands.h"

#include <unistd.h>

#include "client/up.h"
#include "proto/socket.h"

#define WORKER_MS 75000 /* its drain, 60 s, and the grace of what it kills then */
#define BROKER_MS 30000

struct down_options {
    char *dir;
};

static const struct option_def options[] = {
    { .name = "dir",
      .value = "DIR",
      .help = "where `tern up --dir DIR` was told to keep everything",
      .type = OPTION_TEXT,
      .offset = offsetof(struct down_options, dir) },
    { 0 },
};

static int stop(const struct up *u, const char *program, int64_t patience_ms)
{
    bool killed;
    int r = up_program_stop(u, program, patience_ms, &killed);
    if (killed)
        cli_notice("tern-%s did not stop within %lld s and was killed; nothing that was "
                   "acknowledged is lost",
                   program, (long long)patience_ms / 1000);
    return r;
}

static void tidy(const struct up *u)
{
    cleanup(freep) char *address = xasprintf("%s/address", u->dir);
    unlink(address);
    const char *path = address_ipc_path(u->address);
    if (path)
        unlink(path);
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)cli;
    struct down_options *o = to;
    struct up u = { .lock = -1 };
    char *error = NULL;
    int status = cli_no_operands(n, args);
    if (status)
        return status;
    int r = up_find(&u, o->dir, false, &error);
    if (r >= 0)
        r = up_lock(&u, &error);
    if (r == -ENOENT)
        cli_notice("%s", error);
    else if (r < 0)
        status = cli_fail(STATUS_REFUSED, "%s", error);
    else {
        int stopped = stop(&u, "worker", WORKER_MS) + stop(&u, "broker", BROKER_MS);
        tidy(&u);
        cli_notice(stopped ? "down; the jobs are kept in %s" : "nothing runs in %s", u.dir);
    }
    free(error);
    up_fini(&u);
    return status;
}

const struct command command_down = {
    .name = "down",
    .operands = "",
    .summary = "stop what `tern up` started",
    .options = options,
    .options_bytes = sizeof(struct down_options),
    .run = run,
};
