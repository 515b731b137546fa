/* cli.h - what the commands of `tern` share: the options that all of them take, the connection, how
 * a command is a row.
 *
 * Data goes to standard output, everything else to standard error. A command returns its exit
 * status. */
#ifndef TERN_CLI_H
#define TERN_CLI_H

#include "client/brokers.h"
#include "client/tern.h"
#include "proto/base/map.h"
#include "proto/base/options.h"

#define STATUS_FAILED 1
#define STATUS_USAGE 2
#define STATUS_NOT_FOUND 3
#define STATUS_REFUSED 4
#define STATUS_TIMEOUT 124

struct json;
struct selection;
struct selector;

struct cli {
    struct address where; /* owned: --broker, --key, --broker-key; all of it once they are found */
    char *config; /* owned: --config, or NULL */
    int64_t broker_timeout_ms;
    bool json, help;
    struct brokers brokers;     /* once they are found */
    size_t place;               /* of the one that is asked, from 0 */
    struct tern_client *client; /* borrowed: its connection */
    bool all_of_several;        /* one of them may have no jobs */
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
/* The same with the client's error, and of several brokers the number. result: of a tern_client_* function. */
int cli_broken(struct cli *cli, int result);
/* The same where it concerns one job, or some: names the one that is not there. */
int cli_broken_job(struct cli *cli, int result, uint64_t id);
int cli_broken_jobs(struct cli *cli, int result, const struct selector *sel);
/* No job of a range is there. */
int cli_no_jobs(struct cli *cli);
void cli_notice(const char *format, ...) printf_like(1, 2);

/* ---- the brokers: a command asks one after the other. All return 0 or an exit status, having said why. */

#define STATUS_NO_BROKER 69

typedef int broker_fn(struct cli *cli, void *context);
typedef int selected_fn(struct cli *cli, void *context, const struct selector *sel);

/* Finds the addresses, once. */
int cli_open(struct cli *cli);
/* Connects to one of them, once, and lets cli->client be it. */
int cli_use(struct cli *cli, size_t place);
/* The home of a queue; NULL: of the default queue. */
int cli_use_home(struct cli *cli, const char *queue);
/* Asks all, whether others answer or not: what is printed may be a part, and the status says so. */
int cli_each_broker(struct cli *cli, broker_fn *fn, void *context);
/* Reads selectors and connects to the brokers that they name; sel is finished by the caller in any case. */
int cli_select(struct cli *cli, int n, char **args, struct selection *sel);
/* Asks those about their jobs; the first failure is the status. */
int cli_each_of(struct cli *cli, const struct selection *sel, selected_fn *fn, void *context);
/* Both. */
int cli_each_selected(struct cli *cli, int n, char **args, selected_fn *fn, void *context);
void cli_keep_first(int *status, int one);

/* A job's id as people write it: `7`, of several brokers `2:7`. */
struct cli_id {
    char text[48];
};
struct cli_id cli_id(const struct cli *cli, uint64_t id);
bool cli_has_several(const struct cli *cli);
const char *cli_address(const struct cli *cli);
/* With several brokers, `"broker_number":2`. */
void cli_json_broker(const struct cli *cli, struct json *j);
/* For tern_client_on_notice, with struct cli as context: prints each text once. */
void cli_on_notice(void *context, const char *text);
/* Frees all that the above made. */
void cli_fini(struct cli *cli);
/* For commands that take no operands, or exactly one. */
int cli_no_operands(int n, char **args);
int cli_one_operand(int n, char **args, const char *what);

#endif
