/* modules_child.c - modules in a child: descriptors of their copies, and a table of lines that says which handler is in
 * which (modules.c writes it). */
#include "worker/modules_child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/job_text.h"
#include "worker/pass.h"

static struct {
    struct copy {
        int fd;
        ino_t inode;
        bool loaded;
    } at[PASS_MOST];
    size_t n;
    char *table; /* owned: lines of NUMBER HANDLER MODULE */
    char *why;   /* owned */
} copies;

/* Its number, the module's name in *ret_module; -ENOENT. */
static ssize_t copy_of(struct str handler, struct str *ret_module)
{
    for (char *line = copies.table, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        char *name;
        unsigned long i = strtoul(line, &name, 10);
        struct str of = { name + 1, strcspn(name + 1, " ") };
        if (!str_equal(of, handler))
            continue;
        *ret_module = (struct str){ of.p + of.n + 1, (size_t)(end - of.p) - of.n - 1 };
        return i < copies.n ? (ssize_t)i : -EBADMSG;
    }
    return -ENOENT;
}

static bool is_there(const struct copy *c)
{
    struct stat st;
    return fstat(c->fd, &st) == 0 && st.st_ino == c->inode;
}

static int load_copy(struct copy *c, const char *name, char **ret_error)
{
    struct module *m;
    if (!is_there(c)) {
        *ret_error = xstrdup("its copy is gone: a handler has closed descriptors that are not its own");
        return -EBADF;
    }
    c->loaded = true;
    int r = module_load(&m, name, c->fd, ret_error);
    if (r < 0)
        return r;
    r = handlers_add_module(m, ret_error);
    if (r < 0)
        module_free(m);
    return r;
}

static int load(struct str handler)
{
    struct str module;
    ssize_t i = copy_of(handler, &module);
    if (i < 0)
        return (int)i;
    cleanup(freep) char *name = xstrndup(module), *error = NULL;
    int r = load_copy(&copies.at[i], name, &error);
    if (r < 0) {
        free(copies.why);
        copies.why = xasprintf("the module %s: %s", name, error);
        job_text_clean(copies.why, LIMIT_TEXT_BYTES);
    }
    return r;
}

const char *modules_why_not(void) { return copies.why; }

bool modules_are_there(void)
{
    for (size_t i = 0; i < copies.n; i++)
        if (!copies.at[i].loaded && !is_there(&copies.at[i]))
            return false;
    return true;
}

static char *read_all(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return NULL;
    char *text = xcalloc((size_t)st.st_size + 1, 1);
    ssize_t n = pread(fd, text, (size_t)st.st_size, 0);
    if (n != st.st_size)
        free(TAKE(text));
    return text;
}

int modules_accept(int socket)
{
    int fds[PASS_MOST];
    ssize_t n = pass_receive(socket, fds, PASS_MOST);
    if (n <= 0)
        return (int)n;
    copies.table = read_all(fds[0]);
    close(fds[0]);
    for (ssize_t i = 1; i < n; i++) {
        struct stat st;
        if (fstat(fds[i], &st) < 0)
            return -errno;
        copies.at[copies.n++] = (struct copy){ fds[i], st.st_ino, false };
    }
    handlers_set_load(load);
    return copies.table ? 0 : -EBADMSG;
}

/* ---- the throw-away child --------------------------------------------------------------------- */

static void report(struct frames *f, const struct module *m, const char *error)
{
    struct message out;
    message_init(&out, m ? MSG_HELLO : MSG_ERROR);
    if (m) {
        out.hello.handlers = m->info;
        out.hello.n_handlers = m->n_handlers;
    } else {
        out.error.text = str_of(error);
    }
    frames_put(f, &out);
    frames_flush(f, true);
}

_Noreturn void modules_probe(int socket)
{
    int fd;
    struct frames f;
    struct module *m = NULL;
    char *error = NULL;
    frames_init(&f, socket);
    if (pass_receive(socket, &fd, 1) != 1)
        _exit(EXIT_FAILURE);
    module_load(&m, "module", fd, &error);
    if (error)
        job_text_clean(error, LIMIT_TEXT_BYTES);
    report(&f, m, error);
    _exit(EXIT_SUCCESS);
}
