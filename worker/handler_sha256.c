/* handler_sha256.c - `sha256`: the digest of the payload, or of a file on the worker. */
#include "worker/handlers.h"
#include "worker/sha256.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (256u << 10) /* after each it asks whether to stop */

static int say(struct tern_job *job, struct sha256 *s)
{
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES + 1];
    sha256_end(s, digest);
    sha256_hex(digest, hex);
    return tern_result(job, hex, SHA256_HEX_BYTES);
}

static int of_descriptor(struct tern_job *job, int fd, const char *path)
{
    cleanup(freep) unsigned char *piece = xmalloc(PIECE_BYTES);
    struct sha256 s;
    sha256_init(&s);
    for (;;) {
        if (tern_should_stop(job))
            return tern_fail(job, "stopped while it read `%s`", path);
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tern_fail(job, "`%s` cannot be read: %s", path, strerrordesc_np(errno));
        if (n == 0)
            return say(job, &s);
        sha256_add(&s, piece, (size_t)n);
    }
}

/* Only plain files: anything else may never end, or never begin. */
static int of_file(struct tern_job *job, const char *path)
{
    struct stat st;
    cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return tern_fail(job, "`%s` cannot be opened: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(st.st_mode))
        return tern_fail_for_good(job, "`%s` is no plain file", path);
    return of_descriptor(job, fd, path);
}

static int sha256(struct tern_job *job)
{
    size_t n;
    const char *p = tern_payload(job, &n);
    if (n >= 2 && p[0] == '@' && p[1] == '/') {
        cleanup(freep) char *path = xstrndup((struct str){ p + 1, n - 1 });
        if (strlen(path) != n - 1)
            return tern_fail_for_good(job, "the path has a NUL byte");
        return of_file(job, path);
    }
    struct sha256 s;
    sha256_init(&s);
    sha256_add(&s, p, n);
    return say(job, &s);
}

const struct tern_handler handler_sha256 = {
    .name = "sha256",
    .description = "the SHA-256 digest of its payload, or of a file on the worker: @/path",
    .blocking = sha256,
    .tag = TERN_TAG_CPU,
    .retries = 1,
};
