/* replay.c - gives a fuzz target every file of its corpus, without libFuzzer: so that `make check`
 * proves with any compiler that what was once found stays mended.
 *
 * The program is called fuzz_NOUN, its corpus is tests/fuzz/corpus/NOUN below TERN_SOURCE (or
 * here), or the arguments: directories and files. Empty where libFuzzer brings a main of its own. */
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "proto/base/buf.h"

#define FILE_BYTES_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static size_t n_replayed;

/* 0, or -1 with a line on stderr. */
static int fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
}

static int read_file(const char *path, struct buf *b)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return fail(path);
    char bytes[4096];
    size_t n;
    int r = 0;
    while (r == 0 && (n = fread(bytes, 1, sizeof bytes, f)) > 0)
        r = buf_add(b, bytes, n);
    if (ferror(f) || r < 0)
        r = fail(path);
    fclose(f);
    return r;
}

/* The bytes are given in memory of just their size, so that a read past their end is seen. */
static int replay_file(const char *path)
{
    struct buf b;
    buf_init(&b, FILE_BYTES_MAX);
    int r = read_file(path, &b);
    if (r == 0) {
        cleanup(freep) uint8_t *exact = xmalloc(b.n);
        memcpy(exact, buf_str(&b).p, b.n);
        LLVMFuzzerTestOneInput(exact, b.n);
        n_replayed++;
    }
    buf_fini(&b);
    return r;
}

static int replay_directory(const char *path)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort), r = n < 0 ? fail(path) : 0;
    for (int i = 0; i < n; i++) {
        cleanup(freep) char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        if (r == 0 && entries[i]->d_name[0] != '.')
            r = replay_file(file);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fail(path);
    return S_ISDIR(st.st_mode) ? replay_directory(path) : replay_file(path);
}

static char *own_corpus(const char *program)
{
    const char *slash = strrchr(program, '/'), *noun = strstr(slash ? slash : program, "fuzz_");
    const char *source = getenv("TERN_SOURCE");
    return xasprintf("%s/tests/fuzz/corpus/%s", source ? source : ".",
                     noun ? noun + strlen("fuzz_") : "");
}

int main(int argc, char **argv)
{
    int r = 0;
    if (argc < 2) {
        cleanup(freep) char *corpus = own_corpus(argv[0]);
        r = replay(corpus);
    }
    for (int i = 1; i < argc && r == 0; i++)
        r = replay(argv[i]);
    if (r == 0 && !n_replayed)
        fprintf(stderr, "%s: there was nothing to replay\n", argv[0]);
    printf("%zu inputs replayed\n", n_replayed);
    return r < 0 || !n_replayed;
}

#endif
