/* greeting.c - the greeting of ZMTP 3 has 64 bytes: a signature of 10, two of the version, 20 of the mechanism, and what does not
 * matter here. libzmq says the mechanism once it has heard a version. */
#include "proto/greeting.h"

#include <poll.h>
#include <sys/socket.h>

#include "proto/base/clock.h"

#define MECHANISM_AT 12
#define MECHANISM_BYTES 20
#define GREETING_BYTES 64

static const unsigned char ours[] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3 };

static int read_all(int fd, unsigned char *p, size_t n, int64_t until_ms)
{
    for (size_t have = 0; have < n;) {
        struct pollfd f = { .fd = fd, .events = POLLIN };
        int64_t left_ms = until_ms - clock_now().mono_ms;
        if (left_ms <= 0 || poll(&f, 1, (int)min_i64(left_ms, INT32_MAX)) == 0)
            return -ETIMEDOUT;
        ssize_t got = recv(fd, p + have, n - have, 0);
        if (got == 0)
            return -ECONNRESET;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        have += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static bool is(const unsigned char *mechanism, const char *name) { return strncmp((const char *)mechanism, name, MECHANISM_BYTES) == 0; }

int greeting_read(int fd, int64_t timeout_ms, bool *ret_keyed)
{
    unsigned char theirs[GREETING_BYTES];
    const unsigned char *mechanism = theirs + MECHANISM_AT;
    int64_t until_ms = clock_now().mono_ms + timeout_ms;
    if (send(fd, ours, sizeof ours, MSG_NOSIGNAL) < 0)
        return -errno;
    int r = read_all(fd, theirs, 1, until_ms);
    if (r == 0 && theirs[0] != 0xff)
        return -EPROTO;
    if (r == 0)
        r = read_all(fd, theirs + 1, sizeof theirs - 1, until_ms);
    if (r < 0)
        return r;
    *ret_keyed = is(mechanism, "CURVE");
    return *ret_keyed || is(mechanism, "NULL") ? 0 : -EPROTO;
}
