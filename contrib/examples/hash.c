/* hash.c - a blocking handler that computes: a checksum of its payload, or of a file on the worker (a payload of @/path; the
 * command itself reads what stands behind an @, so that one comes from standard input).
 *
 *     cc -shared -fPIC $(pkg-config --cflags tern) hash.c -o hash.so
 *     install hash.so "$(pkg-config --variable=modulesdir tern)" && systemctl reload tern-worker
 *     tern submit --handler fnv --payload hello --wait
 *
 * Its own tag is cpu: it runs in a process, on a core of its own, where a crash costs nobody else anything. */
#include <tern/handler.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PRIME UINT64_C(0x100000001b3) /* FNV-1a, 64 bits */
#define BASIS UINT64_C(0xcbf29ce484222325)

static uint64_t add(uint64_t hash, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * PRIME;
    return hash;
}

static int hash_file(struct tern_job *job, const char *path, uint64_t *ret)
{
    static const size_t block = 1 << 20;
    FILE *f = fopen(path, "rbe");
    if (!f)
        return tern_fail_for_good(job, "cannot open %s: %s", path, strerror(errno));
    unsigned char *bytes = malloc(block);
    size_t n;
    uint64_t hash = BASIS;
    while (bytes && !tern_should_stop(job) && (n = fread(bytes, 1, block, f)) > 0)
        hash = add(hash, bytes, n);
    bool whole = bytes && feof(f);
    free(bytes);
    fclose(f);
    if (!whole)
        return tern_fail(job, "%s was not read to its end", path);
    *ret = hash;
    return 0;
}

static int fnv(struct tern_job *job)
{
    size_t n;
    const char *payload = tern_payload(job, &n);
    uint64_t hash = BASIS;
    char path[4096], text[17];
    if (n > 1 && n <= sizeof path && payload[0] == '@') {
        memcpy(path, payload + 1, n - 1); /* a payload does not end with a NUL */
        path[n - 1] = '\0';
        int r = hash_file(job, path, &hash);
        if (r < 0)
            return r;
        tern_log(job, "read %s", path);
    } else {
        hash = add(hash, (const unsigned char *)payload, n);
    }
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return tern_result(job, text, 16);
}

static const struct tern_handler handlers[] = {
    {
        .name = "fnv",
        .description = "FNV-1a checksum of the payload, or of @/path",
        .blocking = fnv,
        .tag = TERN_TAG_CPU,
        .retries = 1,
        .timeout_ms = 600000,
    },
};
TERN_MODULE(handlers);
