/* job.c - what a command of the chaos run does: it tells an append-only record, outside of the database, that it started
 * and how it ended, each with one write.
 *
 *   usage: job RECORD MS END[:N]
 *
 * Sleeps for MS milliseconds, then ends as END says: an exit status, or `kill`, by a signal. With :N only the first N
 * attempts end so, the others with 0. Its standard output is its job and its attempt. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATUS_BROKEN 99 /* the record cannot be written, or the job was not told who it is: the checker objects */
#define BY_SIGNAL (-9)

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void put(int fd, const char *line, int n)
{
    if (write(fd, line, (size_t)n) != n)
        _exit(STATUS_BROKEN);
}

static void sleep_ms(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static int ending(const char *text, long attempt)
{
    const char *colon = strchr(text, ':');
    if (colon && attempt > strtol(colon + 1, NULL, 10))
        return 0;
    return strncmp(text, "kill", 4) == 0 ? BY_SIGNAL : (int)strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
    const char *job = getenv("TERN_JOB_ID"), *attempt = getenv("TERN_ATTEMPT");
    if (argc != 4 || !job || !attempt)
        return STATUS_BROKEN;
    int fd = open(argv[1], O_WRONLY | O_APPEND | O_CLOEXEC);
    char host[64] = "", line[256];
    if (fd < 0 || gethostname(host, sizeof host - 1) < 0)
        return STATUS_BROKEN;
    put(fd, line, snprintf(line, sizeof line, "start %s %s %d %s %" PRId64 "\n", job, attempt, (int)getpid(), host,
                           wall_ms()));
    put(STDOUT_FILENO, line, snprintf(line, sizeof line, "%s %s\n", job, attempt));
    sleep_ms(strtol(argv[2], NULL, 10));
    int code = ending(argv[3], strtol(attempt, NULL, 10));
    put(fd, line, snprintf(line, sizeof line, "end %s %s %d %" PRId64 "\n", job, attempt, code, wall_ms()));
    if (code == BY_SIGNAL)
        raise(SIGKILL);
    return code;
}
