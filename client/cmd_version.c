/* cmd_version.c - `tern version`: of this program. What the broker is, says `tern ping`; workers,
 * `tern workers`. */
#include "client/commands.h"

#include "client/json.h"
#include "config.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_no_operands(n, args);
    if (status)
        return status;
    if (!cli->json) {
        printf("tern %s\n", PACKAGE_VERSION);
        return 0;
    }
    struct json j;
    json_begin(&j);
    json_text(&j, "version", PACKAGE_VERSION);
    json_print(&j);
    return 0;
}

const struct command command_version = {
    .name = "version",
    .operands = "",
    .summary = "the version of this program",
    .run = run,
};
