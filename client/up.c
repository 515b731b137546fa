/* up.c - the place of a broker and a worker of one user. */
#include "client/up.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/slurp.h"

static int fail(char **ret_error, int error, char *text)
{
    *ret_error = text;
    return -error;
}

static int make_parents(const char *path)
{
    cleanup(freep) char *copy = xstrdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Ours, and no link that somebody else put there: what is said in it is believed. */
static int check_owner(const char *path, struct stat *ret, char **ret_error)
{
    if (lstat(path, ret) < 0 && errno == ENOENT)
        return fail(ret_error, ENOENT, xasprintf("nothing has been started in %s", path));
    if (lstat(path, ret) < 0)
        return fail(ret_error, errno, xasprintf("%s: %s", path, strerror(errno)));
    if (!S_ISDIR(ret->st_mode))
        return fail(ret_error, ENOTDIR, xasprintf("%s is no directory", path));
    if (ret->st_uid != geteuid())
        return fail(ret_error, EPERM,
                    xasprintf("%s belongs to the user %u: choose another with --dir", path,
                              ret->st_uid));
    return 0;
}

static int make_private(const char *path, char **ret_error)
{
    struct stat st;
    int r = make_parents(path);
    if (r < 0)
        return fail(ret_error, -r,
                    xasprintf("cannot make the directory %s: %s", path, strerror(-r)));
    r = check_owner(path, &st, ret_error);
    if (r >= 0 && (st.st_mode & 0077) && chmod(path, 0700) < 0)
        return fail(ret_error, errno,
                    xasprintf("%s: cannot be made private: %s", path, strerror(errno)));
    return r;
}

/* Set, absolute, and (for a directory that must be there) there. */
static const char *directory_from(const char *variable)
{
    const char *dir = getenv(variable);
    return dir && dir[0] == '/' ? dir : NULL;
}

static char *state_directory(void)
{
    const char *state = directory_from("XDG_STATE_HOME"), *home = directory_from("HOME");
    if (state)
        return xasprintf("%s/tern", state);
    const struct passwd *me = home ? NULL : getpwuid(geteuid());
    return xasprintf("%s/.local/state/tern", home ? home : me ? me->pw_dir : "/nonexistent");
}

static char *absolute(const char *dir)
{
    cleanup(freep) char *here = dir[0] == '/' ? xstrdup("") : getcwd(NULL, 0);
    char *path = xasprintf("%s%s%s", here ? here : "", dir[0] == '/' ? "" : "/", dir);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    return path;
}

static bool fits_a_socket(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

/* Of the directory's name, so that each has its own socket (FNV-1a). */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* With --dir always beside the state: two of them must not share one socket. */
static int find_socket(struct up *u, bool make, char **ret_error)
{
    const char *runtime = u->asked_dir ? NULL : directory_from("XDG_RUNTIME_DIR");
    cleanup(freep) char *place =
        runtime && access(runtime, W_OK) == 0 ? xasprintf("%s/tern", runtime) : xstrdup(u->dir);
    cleanup(freep) char *path = xasprintf("%s/broker.sock", place);
    if (!fits_a_socket(path)) {
        free(place);
        free(path);
        place = xasprintf("/tmp/tern-%u", geteuid());
        path = xasprintf("%s/%016" PRIx64 ".sock", place, hash(u->dir));
    }
    int r = make ? make_private(place, ret_error) : 0;
    if (r >= 0)
        u->address = xasprintf("ipc://%s", path);
    return r;
}

int up_find(struct up *u, const char *dir, bool make, char **ret_error)
{
    *u = (struct up){ .dir = dir ? absolute(dir) : state_directory(),
                      .asked_dir = dir != NULL,
                      .lock = -1 };
    struct stat st;
    int r = make ? make_private(u->dir, ret_error) : check_owner(u->dir, &st, ret_error);
    return r < 0 ? r : find_socket(u, make, ret_error);
}

int up_lock(struct up *u, char **ret_error)
{
    cleanup(freep) char *path = xasprintf("%s/lock", u->dir);
    u->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (u->lock < 0 || flock(u->lock, LOCK_EX) < 0)
        return fail(ret_error, errno, xasprintf("%s: %s", path, strerror(errno)));
    return 0;
}

void up_fini(struct up *u)
{
    free(u->dir);
    free(u->address);
    closep(&u->lock);
    *u = (struct up){ .lock = -1 };
}

static char *read_address(const struct up *u)
{
    struct buf b;
    char *error = NULL, *address = NULL;
    cleanup(freep) char *path = xasprintf("%s/address", u->dir);
    buf_init(&b, 4096);
    if (slurp(path, &b, &error) >= 0 && b.n && b.p[b.n - 1] == '\n')
        address = xstrndup((struct str){ b.p, b.n - 1 });
    free(error);
    buf_fini(&b);
    return address;
}

char *up_running_address(void)
{
    struct up u;
    char *error = NULL, *address = NULL;
    pid_t pid;
    cleanup(closep) int fd = -1;
    if (up_find(&u, NULL, false, &error) >= 0)
        fd = up_program_find(&u, "broker", &pid);
    if (fd >= 0)
        address = read_address(&u);
    free(error);
    up_fini(&u);
    return address;
}
