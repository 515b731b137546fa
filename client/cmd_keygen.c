/* cmd_keygen.c - `tern keygen`: a key of one's own, for a broker on another machine. No broker is asked. */
#include "client/commands.h"

#include "proto/key.h"
#include "proto/name.h"

struct keygen_options {
    char *role, *dir;
};

static const struct option_def options[] = {
    { .name = "role",
      .value = "ROLE",
      .help = "what it is for: client, worker or admin (client)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct keygen_options, role) },
    { .name = "dir",
      .value = "DIR",
      .help = "keep the two files there (the current directory)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct keygen_options, dir) },
    { 0 },
};

static bool is_role(const char *text)
{
    return strcmp(text, "client") == 0 || strcmp(text, "worker") == 0 || strcmp(text, "admin") == 0;
}

static void say_what_next(const char *base, const char *name, const char *role)
{
    printf("made %s.key (secret: it stays on this machine) and %s.pub\n", base, base);
    printf("next: copy %s.pub to the broker's machine, and there: tern-broker authorize %s.pub\n", base, name);
    if (strcmp(role, "worker") == 0)
        printf("then: tern-worker --broker tcp://HOST:7711 --key %s.key --broker-key broker.pub\n", base);
    else
        printf("then: export TERN_BROKER=tcp://HOST:7711 TERN_KEY=%s.key TERN_BROKER_KEY=broker.pub\n", base);
}

static int make(const char *name, const struct keygen_options *o)
{
    const char *role = o->role ? o->role : "client", *bad = name_check_peer(str_of(name));
    cleanup(freep) char *error = NULL;
    if (bad)
        return cli_fail(STATUS_USAGE, "%s", bad);
    if (!is_role(role))
        return cli_fail(STATUS_USAGE, "--role must be client, worker or admin, not %s", role);
    cleanup(freep) char *base = o->dir ? xasprintf("%s/%s", o->dir, name) : xstrdup(name);
    cleanup(freep) char *text = xasprintf("; The public key of %s. On the broker's machine: tern-broker authorize %s.pub\n"
                                          "[peer]\nname = %s\nrole = %s\n", name, name, name, role);
    if (key_write_pair(base, name, text, &error) < 0)
        return cli_fail(STATUS_REFUSED, "%s", error);
    say_what_next(base, name, role);
    return 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)cli;
    int status = cli_one_operand(n, args, "name");
    return status ? status : make(args[0], to);
}

const struct command command_keygen = {
    .name = "keygen",
    .operands = "NAME",
    .summary = "make a key for a broker on another machine: NAME.key and NAME.pub",
    .options = options,
    .options_bytes = sizeof(struct keygen_options),
    .run = run,
};
