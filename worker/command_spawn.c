/* command_spawn.c - starting a command, without a shell in between. */
#include "worker/command_spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/parse.h"
#include "worker/broker_list.h"
#include "worker/number.h"
#include "worker/part.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* ---- environment ------------------------------------------------------------------------------ */

static bool starts_with(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

static bool is_private(const char *assignment)
{
    static const char *const prefixes[] = { "TERN_", "NOTIFY_", "LISTEN_", "WATCHDOG_", "CREDENTIALS_", "JOURNAL_STREAM=",
                                            "INVOCATION_ID=", "SYSTEMD_EXEC_PID=" };
    for (size_t i = 0; i < ELEMENTS(prefixes); i++)
        if (starts_with(assignment, prefixes[i]))
            return true;
    return false;
}

void command_ground_init(struct command_ground *g, int64_t nofile_soft)
{
    size_t n = 0, kept = 0;
    while (environ && environ[n])
        n++;
    *g = (struct command_ground){ .environ = xcalloc(n + 1, sizeof(char *)), .nofile_soft = nofile_soft };
    for (size_t i = 0; i < n; i++)
        if (!is_private(environ[i]))
            g->environ[kept++] = environ[i];
}

void command_ground_fini(struct command_ground *g)
{
    free(g->environ);
    g->environ = NULL;
}

/* A NULL-terminated array of owned texts. */
struct texts {
    char **at;
    size_t n, cap;
};

static void texts_fini(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->at[i]);
    free(t->at);
}

static void texts_add(struct texts *t, char *text)
{
    t->at = grow_array(t->at, &t->cap, t->n + 2, sizeof(char *));
    t->at[t->n++] = text;
    t->at[t->n] = NULL;
}

/* Takes an assignment; what had its name before goes. */
static void environ_set(struct texts *t, char *assignment)
{
    size_t name = strcspn(assignment, "=") + 1;
    for (size_t i = 0; i < t->n; i++) {
        if (strncmp(t->at[i], assignment, name) == 0) {
            free(t->at[i]);
            t->at[i] = assignment;
            return;
        }
    }
    texts_add(t, assignment);
}

/* `tern` within asks the broker that the job came from. */
static void environ_set_broker(struct texts *t, const struct run_job *job)
{
    char *own[BROKER_LIST_TEXTS];
    size_t n = run_is_part(job) ? 0 : broker_list_environ(number_place(job->job), own);
    for (size_t i = 0; i < n; i++)
        environ_set(t, own[i]);
}

static void environ_set_own(struct texts *t, const struct run_job *job, struct now now)
{
    if (run_is_part(job)) { /* whose job it belongs to stands in its own environment */
        environ_set(t, xasprintf("TERN_PART=%llu", (unsigned long long)(job->job & ~PART_BIT)));
    } else {
        environ_set(t, xasprintf("TERN_JOB_ID=%llu", (unsigned long long)number_own(job->job)));
        environ_set(t, xasprintf("TERN_ATTEMPT=%llu", (unsigned long long)job->attempt));
        char *number = broker_list_number(number_place(job->job));
        if (number)
            environ_set(t, number);
    }
    environ_set(t, xasprintf("TERN_QUEUE=%.*s", (int)job->queue.n, job->queue.p ? job->queue.p : ""));
    if (job->timeout_ms == UNSET || job->timeout_ms <= 0)
        return;
    char deadline[FORMAT_BYTES];
    environ_set(t, xasprintf("TERN_DEADLINE=%s", format_time(now.wall_ms + job->timeout_ms, deadline)));
}

static struct texts environ_of(const struct run_job *job, const struct str *env, size_t n_env,
                               const struct command_ground *g, struct now now)
{
    struct texts t = { 0 };
    for (size_t i = 0; g->environ[i]; i++)
        texts_add(&t, xstrdup(g->environ[i]));
    environ_set_broker(&t, job);
    for (size_t i = 0; i < n_env; i++)
        if (env[i].n && memchr(env[i].p, '=', env[i].n))
            environ_set(&t, xstrndup(env[i]));
    environ_set_own(&t, job, now);
    return t;
}

/* ---- program ---------------------------------------------------------------------------------- */

/* One start of a command: what it needs, and what went wrong. */
struct start {
    const struct command_ground *ground; /* borrowed */
    struct texts argv, environ;          /* owned */
    int cwd;                             /* owned; -1: where this process stands */
    int in, out[2], err[2];              /* owned */
    char *program;                       /* owned: its path, as seen from cwd */
    int exit_code;
    char *error; /* owned */
};

static int fail(struct start *s, int exit_code, int error, char *text)
{
    free(s->error);
    s->exit_code = exit_code;
    s->error = text;
    return -error;
}

static const char *environ_get(const struct texts *t, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < t->n; i++)
        if (strncmp(t->at[i], name, n) == 0 && t->at[i][n] == '=')
            return t->at[i] + n + 1;
    return NULL;
}

static int place(const struct start *s) { return s->cwd < 0 ? AT_FDCWD : s->cwd; }

/* 0: can be executed, as far as can be seen from here. */
static int try_program(const struct start *s, const char *path)
{
    struct stat st;
    if (fstatat(place(s), path, &st, 0) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EACCES;
    return faccessat(place(s), path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* As execvp(3): a name without a slash is looked for in PATH, the command's own. */
static int search_path(struct start *s, const char *name)
{
    const char *path = environ_get(&s->environ, "PATH") ?: PATH_DEFAULT;
    int result = -ENOENT;
    for (const char *end; *name && path; path = *end ? end + 1 : NULL) {
        end = strchrnul(path, ':');
        int n = (int)(end - path);
        char *candidate = xasprintf("%.*s%s%s", n, path, n ? "/" : "./", name);
        int r = try_program(s, candidate);
        if (r == 0) {
            s->program = candidate;
            return 0;
        }
        free(candidate);
        if (r != -ENOENT && r != -ENOTDIR)
            result = r;
    }
    return result;
}

static int find_program(struct start *s)
{
    const char *name = s->argv.at[0];
    int r;
    if (strchr(name, '/')) {
        r = try_program(s, name);
        s->program = xstrdup(name);
    } else {
        r = search_path(s, name);
    }
    if (r == 0)
        return 0;
    if (r == -ENOENT || r == -ENOTDIR)
        return fail(s, EXIT_NOT_FOUND, -r, xasprintf("%s: command not found", name));
    return fail(s, EXIT_NOT_EXECUTABLE, -r, xasprintf("%s: cannot be executed: %s", name, strerror(-r)));
}

/* ---- directory, descriptors ------------------------------------------------------------------- */

static int enter(struct start *s, struct str cwd)
{
    if (!cwd.p || !cwd.n)
        return 0;
    cleanup(freep) char *path = xstrndup(cwd);
    s->cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->cwd < 0 || faccessat(s->cwd, ".", X_OK, AT_EACCESS) < 0)
        return fail(s, 0, errno, xasprintf("directory %s cannot be entered: %s", path, strerror(errno)));
    return 0;
}

/* A file in memory: the command may read it at its own pace, and nothing has to feed it. */
static int open_input(struct start *s, struct str input)
{
    if (!input.n) {
        s->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } else {
        s->in = memfd_create("input", MFD_CLOEXEC);
        for (size_t at = 0; s->in >= 0 && at < input.n;) {
            ssize_t n = write(s->in, input.p + at, input.n - at);
            if (n <= 0 && errno != EINTR)
                return fail(s, 0, EIO, xasprintf("its input cannot be kept: %s", strerror(errno)));
            at += n > 0 ? (size_t)n : 0;
        }
        if (s->in >= 0)
            lseek(s->in, 0, SEEK_SET);
    }
    return s->in < 0 ? fail(s, 0, errno, xasprintf("its input cannot be opened: %s", strerror(errno))) : 0;
}

static int open_pipes(struct start *s)
{
    if (pipe2(s->out, O_CLOEXEC) < 0 || pipe2(s->err, O_CLOEXEC) < 0)
        return fail(s, 0, errno, xasprintf("no pipe for its output: %s", strerror(errno)));
    fcntl(s->out[0], F_SETFL, O_NONBLOCK);
    fcntl(s->err[0], F_SETFL, O_NONBLOCK);
    return 0;
}

/* ---- start ------------------------------------------------------------------------------------ */

static void set_nofile_soft(rlim_t soft)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The new process gets the limit that this one has at that moment. */
static int spawn_limited(const struct start *s, const char *program, char **argv, pid_t *ret_pid,
                         const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes)
{
    struct rlimit mine;
    bool lower = getrlimit(RLIMIT_NOFILE, &mine) == 0 && s->ground->nofile_soft > 0 &&
                 mine.rlim_cur != (rlim_t)s->ground->nofile_soft;
    if (lower)
        set_nofile_soft((rlim_t)s->ground->nofile_soft);
    int r = posix_spawn(ret_pid, program, actions, attributes, argv, s->environ.at);
    if (lower)
        set_nofile_soft(mine.rlim_cur);
    return -r;
}

static void attributes_init(posix_spawnattr_t *a)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(a);
    posix_spawnattr_setsigdefault(a, &all);
    posix_spawnattr_setsigmask(a, &none);
    posix_spawnattr_setflags(a, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static void actions_init(posix_spawn_file_actions_t *a, const struct start *s)
{
    posix_spawn_file_actions_init(a);
    if (s->cwd >= 0)
        posix_spawn_file_actions_addfchdir_np(a, s->cwd);
    posix_spawn_file_actions_adddup2(a, s->in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(a, s->out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(a, s->err[1], STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(a, STDERR_FILENO + 1);
}

/* As execvp(3): a script without an interpreter line is for the shell. */
static int spawn_by_shell(const struct start *s, pid_t *ret_pid, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes)
{
    char **argv = xcalloc(s->argv.n + 2, sizeof(char *));
    argv[0] = (char *)"sh";
    argv[1] = s->program;
    for (size_t i = 1; i < s->argv.n; i++)
        argv[i + 1] = s->argv.at[i];
    int r = spawn_limited(s, "/bin/sh", argv, ret_pid, actions, attributes);
    free(argv);
    return r;
}

static int spawn(struct start *s, pid_t *ret_pid)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    attributes_init(&attributes);
    actions_init(&actions, s);
    int r = spawn_limited(s, s->program, s->argv.at, ret_pid, &actions, &attributes);
    if (r == -ENOEXEC)
        r = spawn_by_shell(s, ret_pid, &actions, &attributes);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r == 0)
        return 0;
    int exit_code = r == -ENOENT ? EXIT_NOT_FOUND : r == -EACCES || r == -ENOEXEC ? EXIT_NOT_EXECUTABLE : 0;
    return fail(s, exit_code, -r, xasprintf("%s: cannot be started: %s", s->argv.at[0], strerror(-r)));
}

static int prepare(struct start *s, const struct run_job *job, struct now now)
{
    struct command command;
    void *arena = NULL;
    int r = record_decode(RECORD_command, &command, job->payload.p ? job->payload.p : "", job->payload.n, &arena);
    if (r < 0)
        return fail(s, 0, EBADMSG, xstrdup("the payload is not a command"));
    for (size_t i = 0; i < command.n_argv; i++)
        texts_add(&s->argv, xstrndup(command.argv[i].p ? command.argv[i] : str_of("")));
    s->environ = environ_of(job, command.env, command.n_env, s->ground, now);
    r = s->argv.n ? 0 : fail(s, 0, EINVAL, xstrdup("the command is empty"));
    r = r < 0 ? r : enter(s, command.cwd);
    r = r < 0 ? r : find_program(s);
    r = r < 0 ? r : open_input(s, command.input);
    record_free_arena(arena);
    return r < 0 ? r : open_pipes(s);
}

static void start_fini(struct start *s)
{
    texts_fini(&s->argv);
    texts_fini(&s->environ);
    free(s->program);
    closep(&s->cwd);
    closep(&s->in);
    for (size_t i = 0; i < 2; i++) {
        closep(&s->out[i]);
        closep(&s->err[i]);
    }
}

int command_spawn(const struct run_job *job, const struct command_ground *g, struct now now, pid_t *ret_pid,
                  int ret_fds[2], int *ret_exit_code, char **ret_error)
{
    struct start s = { .ground = g, .cwd = -1, .in = -1, .out = { -1, -1 }, .err = { -1, -1 } };
    int r = prepare(&s, job, now);
    if (r >= 0)
        r = spawn(&s, ret_pid);
    if (r >= 0) {
        ret_fds[0] = TAKE_FD(s.out[0]);
        ret_fds[1] = TAKE_FD(s.err[0]);
    } else {
        *ret_exit_code = s.exit_code;
        *ret_error = TAKE(s.error);
    }
    start_fini(&s);
    return r;
}
