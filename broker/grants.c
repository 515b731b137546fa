/* grants.c - reads the directory of keys. */
#include "broker/grants.h"

#include <dirent.h>
#include <sys/stat.h>

#include "proto/base/log.h"
#include "proto/limits.h"

int grant_load(struct grant *g, const char *path, char **ret_error)
{
    struct option_group group = { grant_options, g };
    int r = options_load(&group, 1, path, "peer", ret_error);
    if (r < 0)
        return r;
    cleanup(freep) char *why = NULL;
    r = grant_check(g, &why);
    if (r < 0)
        *ret_error = xasprintf("%s: %s", path, why);
    return r;
}

int grants_load_one(struct grant *g, const char *path, char **ret_error)
{
    struct stat s;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        *ret_error = xasprintf("%s: is no file", path);
        return -EINVAL;
    }
    return grant_load(g, path, ret_error);
}

static void free_grant(struct grant *g)
{
    grant_fini(g);
    free(g);
}

static void add(struct grants *all, const char *path)
{
    cleanup(freep) char *error = NULL;
    struct grant *g = xcalloc(1, sizeof *g);
    grant_init(g);
    int r = grants_load_one(g, path, &error);
    if (r >= 0 && strmap_find(&all->by_key, str_of(g->digits))) {
        r = -EEXIST;
        error = xasprintf("%s: this key stands in another file too", path);
    }
    if (r >= 0 && all->by_key.n >= LIMIT_KEYS) {
        r = -E2BIG;
        error = xasprintf("%s: there are more than %u keys", path, LIMIT_KEYS);
    }
    if (r >= 0) {
        strmap_put(&all->by_key, str_of(g->digits), g);
        return;
    }
    log_error("%s; this key lets nobody in", error);
    all->n_bad++;
    free_grant(g);
}

bool grants_is_key_file(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

static int is_key_file(const struct dirent *d) { return grants_is_key_file(d->d_name); }

int grants_load(struct grants **ret, const char *directory, char **ret_error)
{
    struct dirent **files;
    int n = scandir(directory, &files, is_key_file, alphasort);
    if (n < 0) {
        int error = errno;
        *ret_error = xasprintf("the directory of keys, %s: %s; `tern-broker authorize` makes it", directory, strerror(error));
        return -error;
    }
    struct grants *all = xcalloc(1, sizeof *all);
    for (int i = 0; i < n; i++) {
        cleanup(freep) char *path = xasprintf("%s/%s", directory, files[i]->d_name);
        add(all, path);
        free(files[i]);
    }
    free(files);
    *ret = all;
    return 0;
}

struct grants *grants_free(struct grants *g)
{
    struct grant *one;
    if (!g)
        return NULL;
    for (size_t i = 0; (one = strmap_next(&g->by_key, &i));)
        free_grant(one);
    strmap_fini(&g->by_key);
    free(g);
    return NULL;
}

const struct grant *grants_find(const struct grants *g, const char *digits)
{
    return g ? strmap_find(&g->by_key, str_of(digits)) : NULL;
}
