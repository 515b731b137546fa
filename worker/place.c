/* place.c - the working directory and the umask, noted and put back. */
#include "worker/place.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    char *directory; /* owned, for life; NULL: it is gone */
    mode_t mask;
} noted;

void place_note(void)
{
    if (noted.directory)
        return;
    noted.directory = getcwd(NULL, 0);
    noted.mask = umask(077);
    umask(noted.mask);
}

bool place_take_own(void) { return unshare(CLONE_FS) == 0; }

void place_restore(void)
{
    int r = noted.directory ? chdir(noted.directory) : 0;
    (void)r; /* it may be gone */
    umask(noted.mask);
}
