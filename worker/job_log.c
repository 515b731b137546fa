/* job_log.c - the lines a handler wrote: bounded, head and tail kept. */
#include "worker/job_log.h"

#include "proto/output.h"

#define CUT_BYTES (OUTPUT_HEAD_BYTES + 8u)

/* Takes chunks off the front of *rest until at least n bytes are gone; returns how many bytes of
 * text they had. */
static uint64_t skip(struct str *rest, size_t n)
{
    const char *until = rest->p + min_size(n, rest->n);
    uint64_t text = 0;
    int stream;
    struct str bytes;
    while (rest->p < until && output_next(rest, &stream, &bytes))
        text += stream == OUTPUT_CUT ? output_cut_bytes(bytes) : bytes.n;
    return text;
}

/* Drops a quarter of all there may be, from behind the head: rarely, so that each line costs
 * little. An older cut stands just behind the head, and is counted into the new one. */
static void make_room(struct buf *output)
{
    struct str rest = buf_str(output);
    struct buf trimmed;
    buf_init(&trimmed, output->max);
    skip(&rest, output->max / 2);
    struct str head = { output->p, (size_t)(rest.p - output->p) };
    uint64_t cut = skip(&rest, output->max / 4 + CUT_BYTES);
    int r = buf_add(&trimmed, head.p, head.n);
    if (r == 0)
        r = output_add_cut(&trimmed, cut);
    if (r == 0)
        r = buf_add(&trimmed, rest.p, rest.n);
    assert(r == 0);
    buf_fini(output);
    *output = trimmed;
}

void job_log_add(struct buf *output, struct str line)
{
    assert(line.n <= JOB_LOG_LINE_BYTES);
    if (output_add(output, OUTPUT_STDERR, line.p, line.n) == 0)
        return;
    make_room(output);
    int r = output_add(output, OUTPUT_STDERR, line.p, line.n);
    assert(r == 0);
}
