/* load_handlers.c - two kinds of work for the benchmark, with both forms, so that every pool can run them: `compute` keeps a core busy
 * for a few milliseconds, `file` waits for the disk for a moment. The third kind, a long wait, is `sleep`. */
#include "tests/bench/load_handlers.h"

#include <fcntl.h>
#include <unistd.h>

#include "proto/base/base.h"
#include "worker/sha256.h"

#define PIECE_BYTES (16u << 10)
#define COMPUTE_BYTES (512u << 10)
#define FILE_BYTES 4096

static int compute(struct tern_job *job)
{
    static const char piece[PIECE_BYTES];
    unsigned char digest[SHA256_BYTES];
    struct sha256 s;
    sha256_init(&s);
    for (size_t n = 0; n < COMPUTE_BYTES; n += sizeof piece)
        sha256_add(&s, piece, sizeof piece);
    sha256_end(&s, digest);
    return tern_result(job, digest, sizeof digest);
}

/* In the worker's directory, without a name: nothing of it stays. */
static int write_file(struct tern_job *job)
{
    static const char bytes[FILE_BYTES];
    cleanup(closep) int fd = open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes || fdatasync(fd) < 0)
        return tern_fail(job, "no file can be written here: %s", strerrordesc_np(errno));
    return 0;
}

const struct tern_handler handler_compute = {
    .name = "compute",
    .description = "computes a digest of half a mebibyte",
    .blocking = compute,
    .async = compute,
    .tag = TERN_TAG_CPU,
};

const struct tern_handler handler_file = {
    .name = "file",
    .description = "writes a small file, and waits until it is on the disk",
    .blocking = write_file,
    .async = write_file,
    .tag = TERN_TAG_IO,
};
