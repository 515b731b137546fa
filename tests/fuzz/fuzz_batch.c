/* fuzz_batch.c - any bytes as the lines of `tern submit --batch`: each is a job that goes onto the wire and comes back the
 * same, or an error with a text. Nothing that a line names is opened. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/batch.h"
#include "client/libtern.h"
#include "client/slurp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char last_error[256];

/* The library's own, without a connection. */
int client_fail(struct tern_client *c, int r, const char *format, ...)
{
    (void)c;
    va_list ap;
    va_start(ap, format);
    vsnprintf(last_error, sizeof last_error, format, ap);
    va_end(ap);
    return r;
}

static void check_same(const struct job_spec *spec)
{
    struct buf one, two;
    struct job_spec again;
    void *arena = NULL;
    buf_init(&one, LIMIT_MESSAGE_BYTES);
    buf_init(&two, LIMIT_MESSAGE_BYTES);
    int r = record_encode(&one, RECORD_job_spec, spec);
    assert(r == 0);
    r = record_decode(RECORD_job_spec, &again, one.p, one.n, &arena);
    assert(r == 0);
    r = record_encode(&two, RECORD_job_spec, &again);
    assert(r == 0 && str_equal(buf_str(&one), buf_str(&two)));
    record_free_arena(arena);
    buf_fini(&one);
    buf_fini(&two);
}

static void pack(const struct job_options *o)
{
    struct tern_client c = { .max_payload_bytes = LIMIT_PAYLOAD_BYTES };
    struct tern_job_spec spec;
    struct job_spec packed;
    void *block = NULL;
    size_t n = 0;
    job_options_spec(o, &spec);
    last_error[0] = '\0';
    int r = spec_pack(&c, &spec, &packed, &block, &n);
    assert(r == 0 || ((r == -EINVAL || r == -EMSGSIZE) && last_error[0]));
    if (r < 0)
        return;
    check_same(&packed);
    free(block);
}

static void read_line(struct str line)
{
    struct job_options base, o;
    char *error = NULL;
    job_options_init(&base);
    job_options_copy(&o, &base);
    int r = batch_read_line(line, &o, &error);
    free(TAKE(o.stdin_file)); /* a file that is not the fuzzer's */
    if (r >= 0 && (!o.payload || (o.payload[0] != '@' && strcmp(o.payload, "-") != 0)))
        r = job_options_load(&o, &error);
    assert(r >= 0 ? !error : error && error[0]);
    if (r >= 0)
        pack(&o);
    free(error);
    job_options_fini(&o);
    job_options_fini(&base);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cleanup(closep) int fd = memfd_create("fuzz_batch", MFD_CLOEXEC);
    ssize_t wrote = write(fd, bytes, n);
    assert(wrote == (ssize_t)n);
    off_t at = lseek(fd, 0, SEEK_SET);
    assert(at == 0);
    struct lines l;
    struct str line;
    int r;
    lines_init(&l, fd);
    while ((r = lines_next(&l, &line)) != 0) {
        if (r == -EAGAIN)
            r = lines_fill(&l);
        else if (r == 1 && !batch_is_blank(line))
            read_line(line);
        assert(r >= 0 || r == -EMSGSIZE);
        if (r < 0)
            break;
    }
    lines_fini(&l);
    return 0;
}
