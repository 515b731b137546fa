/* backup.c - the two commands of tern-broker that copy a database: their options, and what they say. */
#include "broker/backup.h"

#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/store_backup.h"
#include "proto/base/conf.h"
#include "proto/base/options.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define DATABASE "/var/lib/tern/tern.db"
#define SKIP_IDS 10000000

struct backup_options {
    char *db, *config, *progress; /* owned */
    int64_t skip_ids;
    bool replace, help;
};

#define FIELD_AT(field) offsetof(struct backup_options, field)
static const struct option_def table[] = {
    { "db", "FILE", "the database (as in broker.conf)", OPTION_TEXT, FIELD_AT(db), 0, 0, NULL, true },
    { "config", "FILE", "read this broker.conf", OPTION_TEXT, FIELD_AT(config), 0, 0, NULL, true },
    { "progress", "WHEN", "of backup: auto (on a terminal) or none", OPTION_TEXT, FIELD_AT(progress), 0, 0, NULL, true },
    { "replace", NULL, "of restore: set a database aside that is there", OPTION_FLAG, FIELD_AT(replace), 0, 0, NULL, true },
    { "skip-ids", "N", "of restore: so many ids may have been given out since the backup (10000000)", OPTION_NUMBER, FIELD_AT(skip_ids),
      0, INT64_MAX / 4, NULL, true },
    { "help", NULL, "print this and exit", OPTION_FLAG, FIELD_AT(help), 0, 0, NULL, true },
    { 0 },
};

bool backup_is_command(const char *word) { return strcmp(word, "backup") == 0 || strcmp(word, "restore") == 0; }

/* ---- options ----------------------------------------------------------------------------------- */

/* Of broker.conf only this counts here. */
static int on_key(void *ctx, const char *section, const char *key, const char *value, char **ret_error)
{
    struct backup_options *o = ctx;
    (void)section, (void)ret_error;
    if (strcmp(key, "db") == 0 && !o->db)
        o->db = xstrdup(value);
    return 0;
}

static int find_database(struct backup_options *o, char **ret_error)
{
    int r = o->db ? 0 : conf_load(o->config ? o->config : TERN_SYSCONFDIR "/broker.conf", on_key, o, ret_error);
    if (r < 0 && (o->config || r != -ENOENT))
        return r;
    free(TAKE(*ret_error));
    o->db = o->db ? o->db : xstrdup(DATABASE);
    return 0;
}

static int usage(const char *command, char *text)
{
    fprintf(stderr, "tern-broker %s: %s\nTry 'tern-broker %s --help'.\n", command, text, command);
    free(text);
    return EXIT_USAGE;
}

/* ---- the commands ------------------------------------------------------------------------------ */

static void show_progress(void *ctx, int64_t done, int64_t all)
{
    int64_t *percent = ctx, now = all ? done * 100 / all : 100;
    if (now != *percent)
        fprintf(stderr, "\r%" PRId64 " %%%s", now, now == 100 ? "\n" : "");
    *percent = now;
}

static int backup(const struct backup_options *o, const char *file, char **ret_error)
{
    int64_t percent = -1;
    bool shows = isatty(STDERR_FILENO) && !(o->progress && strcmp(o->progress, "none") == 0);
    return store_backup(o->db, file, shows ? show_progress : NULL, &percent, ret_error);
}

static int restore(const struct backup_options *o, const char *file, char **ret_error)
{
    struct restore_options how = { .database = o->db, .file = file, .replace = o->replace, .skip_ids = o->skip_ids };
    struct restored done;
    int r = store_restore(&how, &done, ret_error);
    if (r >= 0) {
        printf("restored %s: %" PRId64 " jobs; the next id is %" PRId64 ", the next epoch %" PRId64 "\n", o->db, done.jobs, done.next_id,
               done.epoch + 1);
        printf("%" PRId64 " jobs ran at the time of the backup: what a worker still holds goes on, the rest runs again\n", done.running);
        printf("jobs submitted since the backup are not there, and those that ended since run again\n");
    }
    if (done.set_aside)
        printf("the database that was there is %s now\n", done.set_aside);
    free(done.set_aside);
    return r;
}

static void print_help(const char *command)
{
    printf("usage: tern-broker %s [OPTIONS] FILE\n\n%s\n\n", command,
           *command == 'b' ? "Copies the database into a new file, while the broker serves it."
                           : "Puts a backup where the broker will look for its database, which must not run.");
    options_print_help(stdout, table);
}

static int run(struct backup_options *o, const char *command, int n, char **args)
{
    char *error = NULL;
    struct option_group group = { table, o };
    int operands = options_parse(&group, 1, n, args, false, &error);
    if (operands < 0)
        return usage(command, error);
    if (o->help) {
        print_help(command);
        return 0;
    }
    if (operands != 1)
        return usage(command, xstrdup(operands ? "one file at a time" : "which file?"));
    if (o->progress && strcmp(o->progress, "none") != 0 && strcmp(o->progress, "auto") != 0)
        return usage(command, xasprintf("--progress must be auto or none, not %s", o->progress));
    int r = find_database(o, &error);
    if (r >= 0)
        r = (*command == 'b' ? backup : restore)(o, args[0], &error);
    if (r < 0)
        fprintf(stderr, "tern-broker %s: %s\n", command, error);
    free(error);
    return r < 0 ? EXIT_FAILED : 0;
}

int backup_main(int argc, char **argv)
{
    struct backup_options o = { .skip_ids = SKIP_IDS };
    int status = run(&o, argv[1], argc - 2, argv + 2);
    options_fini(table, &o);
    return status;
}
