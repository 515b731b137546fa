/* cli.h - what the commands of `tern` share: the options that all of them take, the connection, how
 * a command is a row.
 *
 * Data goes to standard output, everything else to standard error. A command returns its exit
 * status. */
#ifndef TERN_CLI_H
#define TERN_CLI_H

#include "client/address.h"
#include "client/tern.h"
#include "proto/base/map.h"
#include "proto/base/options.h"

#define STATUS_FAILED 1
#define STATUS_USAGE 2
#define STATUS_NOT_FOUND 3
#define STATUS_REFUSED 4
#define STATUS_TIMEOUT 124

struct selector;

struct cli {
    struct address where; /* owned: --broker, --key, --broker-key; all of it once it is resolved */
    char *config; /* owned: --config, or NULL */
    int64_t broker_timeout_ms;
    bool json, help;
    struct tern_client *client; /* owned: once connected */
    struct strmap told;         /* notices that were printed */
};

/* One verb: a row of the table in commands.c. */
struct command {
    const char *name;
    const char *operands;                 /* for the usage line */
    const char *summary;                  /* one line */
    const struct option_def *options;     /* its own; or NULL */
    const struct option_def *job_options; /* those that describe a job; or NULL */
    size_t job_options_offset;            /* in the struct of its options */
    size_t options_bytes;                 /* the size of that struct */
    void (*init)(void *options);          /* or NULL: all zero */
    void (*fini)(void *options);          /* besides the texts of the tables; or NULL */
    bool stop_at_operand;                 /* what follows has options of its own */
    int (*run)(struct cli *cli, void *options, int n, char **args);
};

extern const struct option_def cli_options[]; /* of struct cli */

/* Prints `tern: TEXT` and returns the status. */
int cli_fail(int status, const char *format, ...) printf_like(2, 3);
/* The same with the client's error. result: of a tern_client_* function. */
int cli_broken(struct cli *cli, int result);
/* The same where it concerns one job, or some: names the one that is not there. */
int cli_broken_job(struct cli *cli, int result, uint64_t id);
int cli_broken_jobs(struct cli *cli, int result, const struct selector *sel);
void cli_notice(const char *format, ...) printf_like(1, 2);

/* Finds the address and connects, once. 0, or an exit status, having said why. */
int cli_connect(struct cli *cli);
/* For tern_client_on_notice, with struct cli as context: prints each text once. */
void cli_on_notice(void *context, const char *text);
/* Frees all that the above made. */
void cli_fini(struct cli *cli);
/* Connects, and reads selectors into sel, which the caller has zeroed and finishes in any case. */
int cli_select(struct cli *cli, int n, char **args, struct selector *sel);
/* For commands that take no operands, or exactly one. */
int cli_no_operands(int n, char **args);
int cli_one_operand(int n, char **args, const char *what);

#endif
