/* test_compat.c - peers of the release before, as they were recorded (compat_0_1.txt): today's broker does their work, today's link
 * works for their broker, and neither says anything that they do not know. */
#include "tests/broker_harness.h"
#include "tests/idle_pools.h"

#include "worker/link.h"

#define LINES_MAX 100

struct line {
    bool from_peer;
    char id[ROUTING_ID_BYTES];
    unsigned char bytes[1024];
    size_t n;
};

/* The messages of 0.1.0. */
static bool known_then(enum message_type type)
{
    return (type >= MSG_HELLO && type <= MSG_OK) || (type >= MSG_SUBMIT && type <= MSG_STAT_LIST) ||
           (type >= MSG_RUN && type <= MSG_STOP);
}

/* ---- the record ------------------------------------------------------------------------------- */

static size_t unhex(const char *text, unsigned char *ret, size_t max)
{
    size_t n = 0;
    unsigned byte;
    while (n < max && sscanf(text + 2 * n, "%2x", &byte) == 1)
        ret[n++] = (unsigned char)byte;
    return n;
}

static size_t read_record(struct line *ret)
{
    cleanup(freep) char *path = xasprintf("%s/tests/compat_0_1.txt", getenv("TERN_SOURCE") ?: ".");
    static char text[8192], way[8], id[16], hex[4096];
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot read %s", path);
    size_t n = 0;
    while (fgets(text, sizeof text, f)) {
        if (text[0] == '#' || sscanf(text, "%7s %15s %4095s", way, id, hex) != 3)
            continue;
        assert_true(n < LINES_MAX);
        ret[n].from_peer = strcmp(way, "from") == 0;
        assert_int_equal(unhex(id, (unsigned char *)ret[n].id, sizeof ret[n].id), sizeof ret[n].id);
        ret[n].n = unhex(hex, ret[n].bytes, sizeof ret[n].bytes - 1);
        n++;
    }
    fclose(f);
    assert_true(n > 40);
    return n;
}

/* As a peer of a later release would say it: all fields of today, and one more. */
static void append_field(struct line *l)
{
    struct message m;
    struct buf b;
    const char *why = NULL;
    assert_int_equal(message_decode(&m, l->bytes, l->n, &why), 0);
    buf_init(&b, sizeof l->bytes - 3);
    assert_int_equal(message_encode(&b, &m), 0);
    message_fini(&m);
    const unsigned char *p = (const unsigned char *)b.p;
    bool small = (p[0] & 0xf0) == 0x90; /* of at most 15 elements */
    unsigned n = small ? p[0] & 15u : (unsigned)p[1] << 8 | p[2];
    size_t head = small ? 1 : 3;
    memcpy(l->bytes, (unsigned char[]){ 0xdc, (unsigned char)((n + 1) >> 8), (unsigned char)(n + 1) }, 3);
    memcpy(l->bytes + 3, p + head, b.n - head);
    l->n = b.n - head + 3;
    l->bytes[l->n++] = 0x2a;
    buf_fini(&b);
}

/* ---- the broker ------------------------------------------------------------------------------- */

static void check_answers(struct bench *t)
{
    for (size_t i = 0; i < t->n_sent; i++) {
        const struct message *m = &t->sent[i].m;
        if (!known_then(m->type))
            fail_msg("an old peer was sent %s", message_name(m->type));
        if (m->type == MSG_ERROR || m->type == MSG_HELLO_AGAIN)
            fail_msg("an old peer got %s: %.*s", message_name(m->type), (int)m->error.text.n, m->error.text.p);
    }
}

static size_t count_sent(const struct bench *t, const char *id, enum message_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_sent; i++)
        n += t->sent[i].m.type == type && memcmp(t->sent[i].routing_id, id, ROUTING_ID_BYTES) == 0;
    return n;
}

/* LIST is answered by the reader, which is not here. */
static int ask_reader(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner)
{
    (void)ctx, (void)p, (void)epoch, (void)m, (void)owner;
    return 0;
}

static void play_to_broker(struct bench *t, bool later)
{
    struct line lines[LINES_MAX];
    size_t n = read_record(lines), runs = 0, recorded = 0, submitted = 0;
    const char *worker = lines[0].id; /* it said HELLO first */
    t->broker->peers.last_session = 1;
    t->broker->options.ask_reader = ask_reader;
    for (size_t i = 0; i < n; i++) {
        if (!lines[i].from_peer)
            continue;
        if (later)
            append_field(&lines[i]);
        broker_recv(t->broker, lines[i].id, OWN_UID, (struct str){ (const char *)lines[i].bytes, lines[i].n }, t->now);
        bench_turn(t);
        check_answers(t);
        runs += count_sent(t, worker, MSG_RUN);
        recorded += count_sent(t, worker, MSG_RECORDED);
        submitted += count_sent(t, lines[i].id, MSG_SUBMITTED);
    }
    assert_int_equal(submitted, 2);
    assert_int_equal(runs, 2);
    assert_int_equal(recorded, 2);
    assert_state(t, 1, STATE_DONE);
    assert_state(t, 2, STATE_DONE);
    assert_int_equal(t->broker->workers.n, 0); /* it said goodbye */
}

static void the_broker_does_the_work_of_peers_of_0_1(void **state) { play_to_broker(*state, false); }
static void the_broker_ignores_fields_that_it_does_not_know(void **state) { play_to_broker(*state, true); }

/* ---- the link --------------------------------------------------------------------------------- */

struct old_broker {
    struct worker_link *link;
    struct run *running[8]; /* owned */
    size_t n_running;
    struct now now;
    size_t said[MESSAGE_TYPES];
};

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    struct old_broker *o = ctx;
    (void)pool, (void)now;
    assert_true(o->n_running < ELEMENTS(o->running));
    o->running[o->n_running++] = r;
    r->state = RUN_RUNNING;
    link_on_started(o->link, run_ref(r));
}

static void link_turn(struct old_broker *o)
{
    struct buf bytes;
    link_tick(o->link, o->now);
    link_flush(o->link, o->now);
    while (link_take_message(o->link, &bytes)) {
        struct message m;
        const char *why = NULL;
        assert_int_equal(message_decode(&m, bytes.p, bytes.n, &why), 0);
        if (!known_then(m.type))
            fail_msg("an old broker was sent %s", message_name(m.type));
        o->said[m.type]++;
        message_fini(&m);
        buf_fini(&bytes);
    }
}

static void finish_all(struct old_broker *o)
{
    struct outcome done;
    record_init(RECORD_outcome, &done);
    done.ending = ENDING_DONE;
    done.result = str_of("hello");
    while (o->n_running) {
        struct run *r = o->running[--o->n_running];
        run_finish(r, &done, o->now.mono_ms * 1000);
        link_on_finished(o->link, r);
    }
}

static void play_to_link(bool later)
{
    struct line lines[LINES_MAX];
    struct old_broker o = { .now = { 1700000000000, 1000000 } };
    struct rng rng;
    rng_init(&rng, 7);
    static const struct handler_info handlers[] = { { .name = { "echo", 4 }, .forms = FORM_BLOCKING | FORM_ASYNC },
                                                    { .name = { "exec", 4 }, .forms = FORM_BLOCKING | FORM_ASYNC } };
    struct link_options options = { .name = "new", .host = "host", .software = "new", .pid = 1, .handlers = handlers,
                                    .n_handlers = ELEMENTS(handlers), .pool_on = { true, true, true }, .rng = &rng };
    options.pools = idle_pools(&o, give);
    o.link = link_new(&options, o.now);
    link_turn(&o);
    assert_int_equal(o.said[MSG_HELLO], 1);
    size_t n = read_record(lines), runs = 0;
    for (size_t i = 0; i < n; i++) {
        if (lines[i].from_peer || memcmp(lines[i].id, lines[0].id, ROUTING_ID_BYTES) != 0)
            continue;
        if (later)
            append_field(&lines[i]);
        struct message m;
        const char *why = NULL;
        assert_int_equal(message_decode(&m, lines[i].bytes, lines[i].n, &why), 0);
        runs += m.type == MSG_RUN;
        link_recv(o.link, &m, o.now);
        message_fini(&m);
        assert_true(link_view(o.link).connected);
        link_turn(&o);
        finish_all(&o);
        link_turn(&o);
    }
    assert_int_equal(runs, 2);
    assert_int_equal(o.said[MSG_RESULT], 2);
    assert_int_equal(o.said[MSG_HELLO], 1);
    assert_int_equal(link_view(o.link).held, 0); /* both were recorded */
    link_free(o.link);
}

static void the_link_works_for_a_broker_of_0_1(void **state)
{
    (void)state;
    play_to_link(false);
}

static void the_link_ignores_fields_that_it_does_not_know(void **state)
{
    (void)state;
    play_to_link(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(the_broker_does_the_work_of_peers_of_0_1),
        bench_test(the_broker_ignores_fields_that_it_does_not_know),
        cmocka_unit_test(the_link_works_for_a_broker_of_0_1),
        cmocka_unit_test(the_link_ignores_fields_that_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
