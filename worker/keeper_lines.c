/* keeper_lines.c - what a runner writes on its standard error. */
#include "worker/keeper_state.h"

#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "worker/job_log.h"
#include "worker/job_text.h"

#define READS 16
#define LINES_A_WHILE 100 /* in the worker's log */
#define WHILE_MS 10000

static void begin_while(struct keeper_lines *l, const char *runner, int64_t now_ms)
{
    if (l->n_lines > LINES_A_WHILE)
        log_warning("event=runner-lines-left-out runner=%s lines=%zu", runner, l->n_lines - LINES_A_WHILE);
    l->while_until_ms = now_ms + WHILE_MS;
    l->n_lines = 0;
}

void keeper_end_line(struct keeper *k)
{
    struct keeper_lines *l = &k->lines;
    int64_t now_ms = clock_mono_us() / 1000;
    l->line[l->n_bytes] = '\0';
    l->n_bytes = 0;
    job_text_clean(l->line, KEEPER_LINE_BYTES - 1);
    if (!l->line[0])
        return;
    memcpy(l->last, l->line, KEEPER_LINE_BYTES);
    if (now_ms >= l->while_until_ms)
        begin_while(l, k->runner->name, now_ms);
    if (l->n_lines++ < LINES_A_WHILE)
        log_info("event=runner-says runner=%s text=\"%s\"", k->runner->name, l->line);
}

static void add(struct keeper *k, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || k->lines.n_bytes == KEEPER_LINE_BYTES - 1)
            keeper_end_line(k);
        if (p[i] != '\n')
            k->lines.line[k->lines.n_bytes++] = p[i];
    }
}

static void on_bytes(struct keeper *k, const char *p, size_t n)
{
    if (!k->ready || keeper_is_shared(k) || k->n_kept != 1)
        add(k, p, n);
    else
        job_log_add(&list_entry(k->kept.next, struct kept, link)->output, (struct str){ p, n });
}

void keeper_read_lines(struct keeper *k)
{
    char bytes[JOB_LOG_LINE_BYTES];
    ssize_t n = 1;
    for (int i = 0; i < READS && n > 0 && k->process.error >= 0; i++) {
        n = read(k->process.error, bytes, sizeof bytes);
        if (n > 0)
            on_bytes(k, bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            closep(&k->process.error);
    }
}
