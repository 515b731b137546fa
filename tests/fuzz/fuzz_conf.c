/* fuzz_conf.c - any bytes as a configuration file, and any words as a command line, of the broker and of the worker: what
 * is taken is within its bounds, and what is not is an error that says where.
 *
 * An input is the file, and after each NUL one more argument. Its first byte chooses the program. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/broker_options.h"
#include "proto/base/conf.h"
#include "proto/limits.h"
#include "proto/name.h"
#include "worker/worker_options.h"

#define ARGUMENTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* ---- the reader of files alone ------------------------------------------------------------------- */

struct seen {
    int keys;
    bool refuse;
};

static int on_key(void *context, const char *section, const char *key, const char *value, char **ret_error)
{
    struct seen *seen = context;
    seen->keys++;
    assert(!strchr(section, '\n') && !strchr(key, '\n') && !strchr(value, '\n'));
    if (!seen->refuse)
        return 0;
    *ret_error = xstrdup("refused");
    return -EINVAL;
}

static void check_reader(const char *path, bool has_nul)
{
    struct seen all = { 0, false }, first = { 0, true };
    char *error = NULL;
    int r = conf_load(path, on_key, &all, &error);
    assert(r == 0 ? !error && !has_nul : r == -EINVAL && strncmp(error, path, strlen(path)) == 0);
    free(error);
    if (r < 0 || !all.keys)
        return;
    r = conf_load(path, on_key, &first, &error);
    assert(r == -EINVAL && first.keys == 1 && strstr(error, ": refused"));
    free(error);
}

/* ---- the two programs ---------------------------------------------------------------------------- */

static void check_broker(int n, char **args)
{
    struct program_options o;
    int r = program_options_read(&o, n, args);
    assert(r == 1 || r == 0 || r == -EINVAL || r == -EBADMSG);
    if (r == 1) {
        assert(o.listen && o.db && o.lost_after >= 2 * o.heartbeat && o.heartbeat >= 10);
        assert(o.max_payload >= 1 && o.max_payload <= LIMIT_MESSAGE_BYTES / 2);
        assert(o.retention >= 0 && o.keep_finished >= 0 && o.ballast >= 0 && o.disk_busy >= 1 && o.disk_busy <= 101);
    }
    program_options_fini(&o);
}

static void check_worker(int n, char **args)
{
    struct worker_options o;
    int status = -1, r = worker_options_read(&o, n, args, &status);
    assert(r < 0 ? status == 2 || status == 78 : status == 0);
    if (r == 1) {
        int64_t slots = 0;
        for (int k = 0; k < N_POOLS; k++) {
            assert(o.slots[k] >= 0 && o.slots[k] <= LIMIT_SLOTS);
            slots += o.slots[k];
        }
        assert(slots && !name_check(str_of(o.name), "worker") && o.drain >= 0 && o.jobs_per_child >= 0);
        for (size_t i = 0; i < o.n_queues; i++)
            assert(!name_check(o.queue_list[i], "queue"));
    }
    worker_options_fini(&o);
}

/* ---- one input ------------------------------------------------------------------------------------ */

/* Another --config would name a file that is not the fuzzer's. */
static bool is_allowed(const char *argument) { return strncmp(argument, "--config", strlen("--config")) != 0; }

/* In memory; the path is owned by the caller. */
static int make_file(struct str text, char **ret_path)
{
    int fd = memfd_create("fuzz_conf", MFD_CLOEXEC);
    assert(fd >= 0);
    ssize_t wrote = write(fd, text.p, text.n);
    assert(wrote == (ssize_t)text.n);
    *ret_path = xasprintf("/proc/self/fd/%d", fd);
    return fd;
}

static void check_file(struct str text, bool has_nul)
{
    cleanup(freep) char *path = NULL;
    int fd = make_file(text, &path);
    check_reader(path, has_nul);
    close(fd);
}

static void check_program(bool broker, struct str text, char *arguments, const char *end)
{
    cleanup(freep) char *path = NULL;
    int fd = make_file(text, &path), n = 2;
    cleanup(freep) char *config = xasprintf("--config=%s", path);
    char *args[ARGUMENTS_MAX + 3] = { (char *)"program", config };
    for (char *at = arguments; at < end && n < ARGUMENTS_MAX + 2; at += strlen(at) + 1)
        if (is_allowed(at))
            args[n++] = at;
    if (broker)
        check_broker(n, args);
    else
        check_worker(n, args);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!n)
        return 0;
    cleanup(freep) char *text = xstrndup((struct str){ (const char *)bytes + 1, n - 1 });
    size_t n_file = strlen(text);
    check_file((struct str){ text, n - 1 }, n_file < n - 1);
    check_program(bytes[0] % 2, (struct str){ text, n_file }, text + n_file + 1, text + n);
    return 0;
}
