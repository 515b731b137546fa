/* ring.c - the memory that the worker shares with one child of the process pool. */
#include "worker/ring.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/pass.h"

enum place_state { PLACE_GIVEN = 1, PLACE_BEGUN, PLACE_TAKEN };

struct ring {
    _Atomic uint64_t from, said;          /* the child's: these bytes stand here */
    _Atomic uint64_t heard;               /* the worker's */
    _Atomic uint64_t places[RING_PLACES]; /* the place with its state, so that nobody mistakes a later one for it */
    char bytes[RING_BYTES];               /* byte `at` of all stands at `at % RING_BYTES` */
};

/* ---- making and handing over ------------------------------------------------------------------ */

static int map(struct ring **ret, int fd)
{
    void *p = mmap(NULL, sizeof(struct ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    *ret = p;
    return 0;
}

/* Sealed: a child that made it smaller would kill the worker. */
static int make(void)
{
    cleanup(closep) int fd = memfd_create("tern-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, sizeof(struct ring)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int ring_open(struct ring **ret, int socket)
{
    cleanup(closep) int fd = make();
    if (fd < 0)
        return fd;
    struct ring *ring = NULL;
    int r = map(&ring, fd);
    if (r < 0)
        return r;
    r = pass_send(socket, &fd, 1);
    if (r < 0)
        ring_close(ring);
    else
        *ret = ring;
    return r;
}

int ring_accept(struct ring **ret, int socket)
{
    cleanup(closep) int fd = -1;
    ssize_t n = pass_receive(socket, &fd, 1);
    if (n != 1)
        return n < 0 ? (int)n : -ECONNRESET;
    int r = map(ret, fd);
    if (r >= 0) /* what a handler forks has no business here */
        madvise(*ret, sizeof(struct ring), MADV_DONTFORK);
    return r;
}

void ring_close(struct ring *r)
{
    if (r)
        munmap(r, sizeof(*r));
}

/* ---- places ----------------------------------------------------------------------------------- */

static uint64_t word(uint64_t place, enum place_state state) { return place << 2 | (uint64_t)state; }

static bool move(struct ring *r, uint64_t place, enum place_state to)
{
    uint64_t given = word(place, PLACE_GIVEN);
    return atomic_compare_exchange_strong(&r->places[place % RING_PLACES], &given, word(place, to));
}

void ring_give(struct ring *r, uint64_t place)
{
    atomic_store(&r->places[place % RING_PLACES], word(place, PLACE_GIVEN));
}

bool ring_take(struct ring *r, uint64_t place) { return move(r, place, PLACE_TAKEN); }

int ring_begin(struct ring *r, uint64_t place)
{
    if (move(r, place, PLACE_BEGUN))
        return 1;
    return atomic_load(&r->places[place % RING_PLACES]) == word(place, PLACE_TAKEN) ? 0 : -EBADMSG;
}

bool ring_is_given(const struct ring *r, uint64_t place)
{
    return atomic_load(&r->places[place % RING_PLACES]) == word(place, PLACE_GIVEN);
}

static bool can_be(uint64_t w, uint64_t i) { return !w || ((w & 3) && (w >> 2) % RING_PLACES == i); }

bool ring_is_whole(const struct ring *r, uint64_t place, uint64_t said)
{
    bool whole = atomic_load(&r->places[place % RING_PLACES]) == word(place, PLACE_BEGUN);
    for (uint64_t i = 0; i < RING_PLACES && whole; i++)
        whole = can_be(atomic_load_explicit(&r->places[i], memory_order_relaxed), i);
    return whole && atomic_load(&r->said) == said && atomic_load(&r->from) <= said && atomic_load(&r->heard) <= said;
}

/* ---- what the child has said ------------------------------------------------------------------ */

bool ring_say(struct ring *r, uint64_t at, const char *p, size_t n)
{
    if (n > RING_BYTES || at + n - atomic_load(&r->heard) > RING_BYTES)
        return false;
    size_t to = at % RING_BYTES, first = min_size(n, RING_BYTES - to);
    memcpy(r->bytes + to, p, first);
    memcpy(r->bytes, p + first, n - first);
    atomic_store(&r->said, at + n);
    return true;
}

void ring_said(struct ring *r, uint64_t at)
{
    atomic_store(&r->from, at);
    atomic_store(&r->said, at);
}

ssize_t ring_hear(const struct ring *r, uint64_t at, struct buf *to)
{
    uint64_t said = atomic_load(&r->said); /* before `from`, which the child moves first */
    if (said <= at || said - at > RING_BYTES || atomic_load(&r->from) > at)
        return 0;
    size_t n = (size_t)(said - at), from = at % RING_BYTES, first = min_size(n, RING_BYTES - from), before = to->n;
    int e = buf_add(to, r->bytes + from, first);
    if (e >= 0)
        e = buf_add(to, r->bytes, n - first);
    if (e < 0)
        to->n = before;
    return e < 0 ? e : (ssize_t)n;
}

void ring_heard(struct ring *r, uint64_t at) { atomic_store(&r->heard, at); }
