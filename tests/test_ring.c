/* test_ring.c - what worker and child share: a run is begun or taken back and never both; what was said is heard once, in
 * order, by whichever way it comes, also from a child that has died; rubbish is only rubbish. */
#include "worker/frame.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/rng.h"

struct pair {
    int worker, child; /* ends of the socket */
    struct ring *at_worker, *at_child;
};

static struct pair pair_open(void)
{
    struct pair p;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    p.worker = ends[0];
    p.child = ends[1];
    assert_int_equal(ring_open(&p.at_worker, p.worker), 0);
    assert_int_equal(ring_accept(&p.at_child, p.child), 0);
    return p;
}

static void pair_close(struct pair *p)
{
    ring_close(p->at_worker);
    ring_close(p->at_child);
    closep(&p->worker);
    closep(&p->child);
}

/* ---- places ----------------------------------------------------------------------------------- */

static void a_place_is_begun_or_taken(void **state)
{
    (void)state;
    struct pair p = pair_open();
    for (uint64_t place = 0; place < 3 * RING_PLACES; place += 2) {
        ring_give(p.at_worker, place);
        ring_give(p.at_worker, place + 1);
        assert_true(ring_is_given(p.at_worker, place));
        assert_int_equal(ring_begin(p.at_child, place), 1);
        assert_false(ring_is_given(p.at_worker, place));
        assert_false(ring_take(p.at_worker, place));
        assert_true(ring_take(p.at_worker, place + 1));
        assert_false(ring_take(p.at_worker, place + 1));
        assert_int_equal(ring_begin(p.at_child, place + 1), 0);
        assert_int_equal(ring_begin(p.at_child, place), -EBADMSG);
        assert_int_equal(ring_begin(p.at_child, place + RING_PLACES), -EBADMSG); /* never given */
        assert_true(ring_is_whole(p.at_child, place, 0));
        assert_false(ring_is_whole(p.at_child, place + 1, 0));
    }
    pair_close(&p);
}

enum { RACES = 100000, AHEAD = 16 };

/* Both sides use one mapping here: the thread sanitizer takes two for two memories. */
struct race {
    struct pair p;
    _Atomic uint64_t n_given, n_passed;
    unsigned char begun[RACES]; /* the child's */
};

static void *begin_all(void *arg)
{
    struct race *r = arg;
    for (uint64_t place = 0; place < RACES; place++) {
        while (atomic_load(&r->n_given) <= place)
            sched_yield();
        int e = ring_begin(r->p.at_worker, place);
        r->begun[place] = (unsigned char)(e < 0 ? 99 : e);
        atomic_store(&r->n_passed, place + 1);
    }
    return NULL;
}

static void who_is_first_has_it_alone(void **state)
{
    (void)state;
    static struct race r;
    static unsigned char taken[RACES];
    pthread_t child;
    struct rng rng;
    uint64_t given = 0;
    rng_init(&rng, 3);
    r.p = pair_open();
    assert_int_equal(pthread_create(&child, NULL, begin_all, &r), 0);
    while (given < RACES) {
        for (; given < RACES && given - atomic_load(&r.n_passed) < AHEAD; given++) {
            ring_give(r.p.at_worker, given);
            atomic_store(&r.n_given, given + 1);
        }
        for (uint64_t back = given; back > given - AHEAD && rng_below(&rng, 8); back--)
            taken[back - 1] |= ring_take(r.p.at_worker, back - 1);
        if (rng_below(&rng, 4) == 0)
            sched_yield();
    }
    pthread_join(child, NULL);
    size_t n_taken = 0;
    for (size_t i = 0; i < RACES; i++) {
        assert_int_equal(taken[i] + r.begun[i], 1);
        n_taken += taken[i];
    }
    assert_in_range(n_taken, 1, RACES - 1);
    pair_close(&r.p);
}

/* ---- what is said ----------------------------------------------------------------------------- */

enum { SAID = 20 << 20 };

/* The bytes follow from where they stand. */
static char byte_at(uint64_t at) { return (char)(unsigned char)(at * 2654435761u >> 13); }

struct speaker {
    struct pair *p;
    uint64_t said, sent;
    char *unsent; /* owned */
    struct rng rng;
    bool dies;
};

static void send_unsent(struct speaker *s)
{
    uint64_t done = 0;
    while (done < s->said - s->sent) {
        ssize_t n = send(s->p->child, s->unsent + done, (size_t)(s->said - s->sent - done), 0);
        assert_true(n > 0);
        done += (uint64_t)n;
    }
    s->sent = s->said;
}

static void say(struct speaker *s, size_t n)
{
    char *p = s->unsent + (s->said - s->sent);
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(s->said + i);
    bool stands = ring_say(s->p->at_worker, s->said, p, n);
    s->said += n;
    if (!stands) {
        send_unsent(s);
        ring_said(s->p->at_worker, s->said);
    } else if (!s->dies && rng_below(&s->rng, 6) == 0) {
        send_unsent(s);
    }
}

static void *speak(void *arg)
{
    struct speaker *s = arg;
    s->unsent = xmalloc(4 * RING_BYTES);
    while (s->said < SAID) {
        size_t most = rng_below(&s->rng, 50) ? 600 : RING_BYTES * 3 / 2;
        say(s, (size_t)rng_below(&s->rng, (uint32_t)most) + 1);
        if (rng_below(&s->rng, 20) == 0)
            sched_yield();
    }
    s->dies = true;
    while (s->said == s->sent)
        say(s, 600);
    closep(&s->p->child); /* with what it has not sent */
    free(s->unsent);
    return NULL;
}

static void check_heard(struct frames *f, uint64_t *at)
{
    for (size_t i = f->in_at; i < f->in.n; i++, ++*at)
        if (f->in.p[i] != byte_at(*at))
            fail_msg("byte %llu is wrong", (unsigned long long)*at);
    f->in_at = f->in.n;
    assert_int_equal(f->heard, *at);
}

static void all_is_heard_once_and_in_order(void **state)
{
    (void)state;
    struct pair p = pair_open();
    struct speaker s = { .p = &p };
    struct frames f;
    struct rng rng;
    pthread_t child;
    uint64_t at = 0, n_in_ring = 0;
    ssize_t n;
    rng_init(&rng, 5);
    rng_init(&s.rng, 6);
    frames_init(&f, TAKE_FD(p.worker));
    assert_int_equal(pthread_create(&child, NULL, speak, &s), 0);
    do {
        if (rng_below(&rng, 2)) {
            n = frames_hear(&f, p.at_worker);
            assert_true(n >= 0);
            n_in_ring += (uint64_t)n;
            check_heard(&f, &at);
        }
        n = frames_read(&f, false);
        if (n == -EAGAIN)
            sched_yield();
        check_heard(&f, &at);
        if (rng_below(&rng, 3) == 0)
            ring_heard(p.at_worker, at);
    } while (n != -ECONNRESET);
    pthread_join(child, NULL);
    n_in_ring += (uint64_t)frames_hear(&f, p.at_worker); /* what it did not come to send */
    check_heard(&f, &at);
    assert_int_equal(at, s.said);
    assert_true(s.said > s.sent);
    assert_true(n_in_ring > 0);
    frames_fini(&f);
    pair_close(&p);
}

/* ---- rubbish ---------------------------------------------------------------------------------- */

static void rubbish_is_only_rubbish(void **state)
{
    (void)state;
    struct pair p = pair_open();
    struct rng rng;
    rng_init(&rng, 9);
    for (int round = 0; round < 2000; round++) {
        uint64_t *words = (uint64_t *)(void *)p.at_child;
        struct buf heard;
        buf_init(&heard, 1u << 20);
        for (size_t i = 0; i < 3 + RING_PLACES; i++)
            words[i] = round % 3 == 0 ? UINT64_MAX : rng_below(&rng, 1u << 20) * (uint64_t)(round % 3 == 1 ? 1 : UINT32_MAX);
        uint64_t at = rng_below(&rng, 1u << 20);
        ssize_t n = ring_hear(p.at_worker, at, &heard);
        assert_in_range(n, 0, RING_BYTES);
        assert_int_equal(heard.n, n);
        assert_false(ring_is_whole(p.at_child, at, at));
        ring_take(p.at_worker, at);
        ring_give(p.at_worker, at);
        assert_true(ring_take(p.at_worker, at));
        buf_fini(&heard);
    }
    pair_close(&p);
}

/* A mapping of what has been cut off would kill whoever reads it. */
static void its_size_cannot_be_changed(void **state)
{
    (void)state;
    int ends[2], fd;
    struct ring *r;
    char byte;
    struct iovec v = { &byte, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(ring_open(&r, ends[0]), 0);
    assert_int_equal(recvmsg(ends[1], &m, MSG_CMSG_CLOEXEC), 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    close(ends[0]);
    struct ring *none;
    assert_int_equal(ring_accept(&none, ends[1]), -ECONNRESET); /* nobody gives one */
    ring_close(r);
    close(fd);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_is_begun_or_taken),
        cmocka_unit_test(who_is_first_has_it_alone),
        cmocka_unit_test(all_is_heard_once_and_in_order),
        cmocka_unit_test(rubbish_is_only_rubbish),
        cmocka_unit_test(its_size_cannot_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
