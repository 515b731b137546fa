/* guard.c - stands between libzmq's listeners and the kernel.
 *
 * libzmq calls accept4 and recv; in a program that is linked to this file it finds those that are defined here. It needs them:
 *
 * - its listeners abort the program (ipc), or spin (tcp), when there is no descriptor left;
 * - it keeps the parts of a message until the last one has come, however many they are, where no high-water mark counts them.
 *   A message of tern has one part, and a command never has more, so the flag `more` in the header of a frame (ZMTP 3, RFC 23)
 *   is enough to know a stranger. (Some commands, as SUBSCRIBE, libzmq hands on like messages.)
 * - nor does any mark count the frames that have not come to their end: past UNFINISHED_BYTES over all connections the one that
 *   has let its own wait for longest is cut;
 * - its mark for messages that the program has not taken yet counts messages, of which 250 a connection may be 4 GiB: past
 *   UNHEARD_BYTES over all connections a message that is not small is not read on for a while, and waits at its sender;
 * - it aborts the program when a new connection is given a name, by counting, that another one has chosen for itself in its
 *   handshake (READY). Nobody may choose one;
 * - what is inside of CURVE's boxes is looked at where they are opened (guard_box.c), and no handshake is larger than libzmq's own;
 * - whoever has connected, and not come to the end of its handshake, costs a descriptor: past LIMIT_STRANGERS of them, the one that
 *   has taken longest is cut;
 * - it aborts the program over a PING that was read before, but comes to be looked at after its connection has ended. Nobody needs
 *   to be answered one, so PING is given another name on its way, which libzmq does not know. */
#include "proto/guard.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/base.h"
#include "proto/base/list.h"
#include "proto/guard_box.h"
#include "proto/limits.h"

#define SPARE_DESCRIPTORS 64 /* for files, while all others are connections */
#define GREETING_BYTES 64u
#define MECHANISM_AT 12u /* in the greeting: its name */
#define READY_BYTES 200u /* most in a handshake's first command; libzmq's own are 41, and CURVE's HELLO is 200 */
#define INITIATE_BYTES 512u /* CURVE's second and last one; libzmq's own are 310 */
#define UNFINISHED_BYTES (128u << 20)
#define UNFINISHED_LARGE (64u << 10) /* smaller ones are let be */
#define UNHEARD_BYTES (128 << 20)
#define UNHEARD_SMALL (4u << 10) /* smaller ones are not counted, and never wait: those of a connection are few bytes */

enum frame_flags { FRAME_MORE = 1, FRAME_LONG = 2, FRAME_COMMAND = 4 };

/* What a connection has sent so far, as far as it must be known. Only libzmq's one I/O thread is here. */
struct stream {
    bool guarded;
    bool curve;
    enum { IN_GREETING, IN_READY, IN_INITIATE, IN_MESSAGES } phase; /* IN_INITIATE: of CURVE alone */
    uint8_t ready[READY_BYTES];
    uint8_t n_header;
    uint8_t header[9]; /* of the frame that is coming in */
    uint8_t n_name;    /* of a command: the length of its name */
    uint64_t skip;     /* bytes of the greeting, or of a frame's body, that are still to come */
    uint64_t has;      /* bytes of it that are there */
    uint64_t moved;    /* when it got the last of them, by the count of recv */
    struct link link;  /* in strangers, while it is in its handshake; else not on a list (next is NULL) */
};

static struct stream streams[LIMIT_CONNECTIONS]; /* by descriptor */
static uint64_t unfinished, n_recv; /* unfinished: sum of has; of connections that have ended too, until they are found out */
static atomic_llong unheard; /* bytes of messages that are whole */
static struct link strangers; /* oldest first; some have ended, which is found out when their descriptor is given again */
static size_t n_strangers;
static bool is_on;

void guard_start(void)
{
    if (is_on)
        return;
    list_init(&strangers);
    guard_box_start();
    is_on = true;
}

void guard_heard(size_t n, bool in_box)
{
    n += in_box ? GUARD_BOX_BYTES : 0;
    if (n >= UNHEARD_SMALL)
        atomic_fetch_sub(&unheard, (long long)n);
}

void guard_heard_all(void) { atomic_store(&unheard, 0); }

/* The lowest descriptor that is free is given, so it says how many are open. */
static int most_connections(void)
{
    struct rlimit limit;
    rlim_t most = LIMIT_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most + SPARE_DESCRIPTORS)
        most = limit.rlim_cur - min_size(SPARE_DESCRIPTORS, limit.rlim_cur / 2);
    return (int)most;
}

static void no_stranger(struct stream *s)
{
    if (!s->link.next)
        return;
    list_remove(&s->link);
    s->link.next = NULL;
    n_strangers--;
}

/* libzmq hears of a cut by the next recv. A descriptor that is no connection any more takes no harm. */
static void cut(struct stream *s)
{
    shutdown((int)(s - streams), SHUT_RDWR);
}

static void begin_stream(int fd)
{
    struct stream *s = &streams[fd];
    unfinished -= s->has;
    no_stranger(s);
    *s = (struct stream){ .guarded = true, .skip = GREETING_BYTES };
    list_add_tail(&strangers, &s->link);
    if (++n_strangers <= LIMIT_STRANGERS)
        return;
    struct stream *oldest = list_entry(strangers.next, struct stream, link);
    no_stranger(oldest);
    cut(oldest);
}

/* One connection too many is closed at once; it may come again. */
int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict n, int flags)
{
    int got = (int)syscall(SYS_accept4, fd, address, n, flags);
    if (got < 0 && errno == EMFILE)
        errno = EAGAIN;
    if (!is_on || got < 0)
        return got;
    if (got < most_connections()) {
        begin_stream(got);
        return got;
    }
    close(got);
    errno = EAGAIN;
    return -1;
}

static uint64_t body_bytes(const uint8_t *header)
{
    if (!(header[0] & FRAME_LONG))
        return header[1];
    uint64_t n = 0;
    for (int i = 1; i <= 8; i++)
        n = n << 8 | header[i];
    return n;
}

static void let_go(struct stream *s)
{
    unfinished -= s->has;
    s->has = 0;
}

/* The first two bytes of a command's body: its name's length, and the name's beginning. */
static void look_at_command(struct stream *s, uint8_t *p, size_t n)
{
    if (!(s->header[0] & FRAME_COMMAND))
        return;
    if (s->has == 0)
        s->n_name = p[0];
    if (s->has <= 1 && s->has + n > 1 && s->n_name == strlen("PING"))
        p[1 - s->has] = 'X';
}

/* Of the greeting: which mechanism it names. */
static void look_at_greeting(struct stream *s, const uint8_t *p, size_t n)
{
    if (s->phase == IN_GREETING && s->has <= MECHANISM_AT && s->has + n > MECHANISM_AT)
        s->curve = p[MECHANISM_AT - s->has] == 'C';
}

static void next_phase(struct stream *s)
{
    s->phase += s->phase == IN_READY && !s->curve ? 2 : 1;
    if (s->phase == IN_MESSAGES)
        no_stranger(s);
}

/* False: the connection is none of tern's. */
static bool end_body(struct stream *s)
{
    if (s->phase == IN_READY && !s->curve && guard_names_itself(s->ready, s->has))
        return false;
    if (s->phase != IN_MESSAGES)
        next_phase(s);
    if (!(s->header[0] & FRAME_COMMAND) && s->has >= UNHEARD_SMALL)
        atomic_fetch_add(&unheard, (long long)s->has);
    let_go(s);
    return true;
}

static bool take_body(struct stream *s, uint8_t *p, size_t n)
{
    if (s->phase == IN_READY)
        memcpy(s->ready + s->has, p, n);
    look_at_greeting(s, p, n);
    look_at_command(s, p, n);
    s->skip -= n;
    s->has += n;
    unfinished += n;
    s->moved = n_recv;
    return s->skip || end_body(s);
}

static void cut_the_oldest(void)
{
    struct stream *oldest = NULL;
    for (size_t i = 0; i < ELEMENTS(streams); i++)
        if (streams[i].has >= UNFINISHED_LARGE && (!oldest || streams[i].moved < oldest->moved))
            oldest = &streams[i];
    if (!oldest)
        return;
    let_go(oldest);
    cut(oldest);
}

/* The header of a frame is there. */
static bool begin_body(struct stream *s)
{
    s->skip = body_bytes(s->header);
    s->n_header = 0;
    return s->phase == IN_MESSAGES || s->skip <= (s->phase == IN_READY ? READY_BYTES : INITIATE_BYTES);
}

/* False: a message of more than one part, or a handshake that is not tern's. */
static bool follow(struct stream *s, uint8_t *p, size_t n)
{
    while (n) {
        if (s->skip) {
            size_t passed = min_size(s->skip, n);
            if (!take_body(s, p, passed))
                return false;
            p += passed;
            n -= passed;
            continue;
        }
        s->header[s->n_header++] = *p++;
        n--;
        if (s->header[0] & FRAME_MORE)
            return false;
        if (s->n_header == (s->header[0] & FRAME_LONG ? 9 : 2) && !begin_body(s))
            return false;
    }
    return true;
}

/* One that is well under way goes on: it counts as unfinished while it waits. */
static bool must_wait(const struct stream *s)
{
    return s->has + s->skip >= UNHEARD_SMALL && s->has < UNFINISHED_LARGE && atomic_load(&unheard) > UNHEARD_BYTES;
}

/* There is something to read, so libzmq is back at once, over and over: it is slowed down, but only once for all that wait. */
static void wait_a_little(void)
{
    static int64_t last_us;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    if (now_us - last_us < 1200)
        return;
    usleep(1000);
    last_us = now_us;
}

/* A connection that is not tern's has ended, as far as libzmq knows. */
ssize_t recv(int fd, void *to, size_t n, int flags)
{
    struct stream *s = fd < (int)LIMIT_CONNECTIONS && streams[fd].guarded ? &streams[fd] : NULL;
    if (s && must_wait(s)) {
        wait_a_little();
        errno = EAGAIN;
        return -1;
    }
    ssize_t got = syscall(SYS_recvfrom, fd, to, n, flags, NULL, NULL);
    if (got <= 0 || !s)
        return got;
    n_recv++;
    if (!follow(s, to, (size_t)got))
        return 0;
    if (unfinished > UNFINISHED_BYTES)
        cut_the_oldest();
    return got;
}
