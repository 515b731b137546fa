/* fuzz_broker.c - the whole core of a broker, driven by decisions that are read from bytes: peers come, say anything
 * that the lists of message.h can say, fall silent, are cut off, and the broker is killed and started again. After every
 * turn leases, credit and counts are one; at the end the rows say the same, and nothing that was acknowledged is missing.
 *
 * One broker serves many inputs: between two of them its tables are emptied, and it starts over as it does when a disk
 * was full. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/lease.h"
#include "broker/store_internal.h"
#include "proto/base/log.h"
#include "tests/fuzz/generate.h"

#define N_PEERS 6
#define N_INSTANCES 4
#define OPERATIONS_MAX 60
#define RESTARTS_MAX 1
#define ACKNOWLEDGED_MAX 100
#define HEARTBEAT_MS 2000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A connection, as its other end knows it. */
struct side {
    char routing_id[ROUTING_ID_BYTES];
    int64_t uid;
    uint64_t epoch, session, req, seq, reports;
    bool worker;
    int refuses; /* what the socket says to messages for it; 0: it takes them */
};

static struct bench {
    char dir[64], path[96];
    struct broker *broker;
    struct now now;
    struct generate g;
    struct side sides[N_PEERS], *side; /* side: who speaks */
    uint64_t connections, hellos, picked_attempt;
    struct idmap runs; /* (job, attempt) that was handed out: anything */
    struct range acknowledged[ACKNOWLEDGED_MAX];
    size_t n_acknowledged;
    bool may_be_gone; /* somebody removed jobs, or so much time went by that the broker did */
} bench;

/* ---- the database: made once, emptied for each input ---------------------------------------------- */

static void remove_database(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    bench.broker = broker_close(bench.broker);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *path = xasprintf("%s%s", bench.path, ends[i]);
        unlink(path);
    }
    rmdir(bench.dir);
}

static int ask_reader(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner);

static void start_broker(void)
{
    const struct broker_options o = {
        .store = { .path = bench.path, .quiet = true },
        .heartbeat_ms = HEARTBEAT_MS,
        .lost_after_ms = 5 * HEARTBEAT_MS,
        .retention_ms = 7ll * 86400 * 1000,
        .keep_finished = 1000000,
        .max_payload_bytes = 4000,
        .disk_busy_percent = 101,
        .own_uid = 500,
        .seed = 1,
        .software = "fuzz",
        .ask_reader = ask_reader,
    };
    char *error = NULL;
    int r = broker_open(&bench.broker, &o, bench.now, &error);
    if (r < 0)
        fprintf(stderr, "broker_open: %s\n", error);
    assert(r >= 0);
}

static void open_bench(void)
{
    const char *parent = getenv("TMPDIR");
    if (!parent)
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    log_init("fuzz", (enum log_level)0);
    snprintf(bench.dir, sizeof bench.dir, "%s/tern-fuzz-XXXXXX", parent);
    const char *made = mkdtemp(bench.dir);
    assert(made);
    snprintf(bench.path, sizeof bench.path, "%s/t.db", bench.dir);
    atexit(remove_database);
    start_broker();
}

static void empty(struct broker *b)
{
    static const char clear[] =
        "BEGIN; DELETE FROM job; DELETE FROM payload; DELETE FROM attempt; DELETE FROM output; DELETE FROM event;"
        "DELETE FROM spec; DELETE FROM expiry;"
        "DELETE FROM client; DELETE FROM submit; DELETE FROM worker; DELETE FROM owner; DELETE FROM queue;"
        "DELETE FROM counter; DELETE FROM class; DELETE FROM meta WHERE key = 'next_id'; COMMIT";
    store_rollback(b->store);
    int rc = sqlite3_exec(b->store->db, clear, NULL, NULL, NULL);
    assert(rc == SQLITE_OK);
    store_rollback(b->store);
    store_tidy(b->store);
    b->failed = -ENOSPC;
    int r = broker_commit(b, bench.now);
    assert(r == 0);
    outbox_clear(&b->outbox);
    b->disk_busy = false;
    b->next_upkeep_mono_ms = b->next_measures_mono_ms = b->next_rebalance_mono_ms = 0;
    b->last_turn_mono_ms = bench.now.mono_ms;
    rng_init(&b->rng, 1);
}

static void connect_side(struct side *s)
{
    uint64_t n = ++bench.connections;
    *s = (struct side){ .uid = s == &bench.sides[N_PEERS - 1] ? 1234 : 0 };
    memcpy(s->routing_id, &n, min_size(sizeof n, sizeof s->routing_id));
}

static void begin(const uint8_t *bytes, size_t n)
{
    if (!bench.broker)
        open_bench();
    bench.now = (struct now){ 1700000000000, 1000000 };
    empty(bench.broker);
    generate_init(&bench.g, bytes, n);
    bench.n_acknowledged = 0;
    bench.connections = bench.hellos = 0;
    bench.may_be_gone = store_disk_used(bench.broker->store) >= 85; /* then finished jobs go at once */
    for (size_t i = 0; i < N_PEERS; i++)
        connect_side(&bench.sides[i]);
}

/* ---- what must hold ------------------------------------------------------------------------------- */

static void check_worker(const struct worker *w, size_t *leased_in_all)
{
    size_t leased[N_POOLS] = { 0 }, started[N_POOLS] = { 0 };
    list_each(link, &w->leases) {
        const struct lease *l = list_entry(link, struct lease, link);
        leased[l->pool]++;
        started[l->pool] += l->started;
        assert(l->worker == w);
        ++*leased_in_all;
    }
    for (int k = 0; k < N_POOLS; k++) {
        assert(w->pools[k].leased == leased[k] && w->pools[k].started == started[k]);
        assert(leased[k] <= LIMIT_SLOTS + LIMIT_PREFETCH);
    }
    assert(!w->peer || w->peer->worker == w);
}

static void check_turn(const struct broker *b)
{
    uint64_t running = 0;
    size_t leased = 0;
    struct worker *w;
    for (size_t i = 0; i < b->classes.n; i++)
        running += b->classes.all[i] ? b->classes.all[i]->jobs[STATE_RUNNING] : 0;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        check_worker(w, &leased);
    assert(running == b->leases.n && leased == b->leases.n);
}

static void add_stored(void *ctx, const struct class_row *c)
{
    uint64_t *stored = ctx;
    for (int s = 0; s < N_STATES; s++)
        stored[s] += c->jobs[s];
}

/* A job that runs is the same in its row and in memory. */
static void check_row(const struct broker *b, const struct job_row *j)
{
    const struct lease *l = lease_of_job(b, j->id);
    assert((j->state == STATE_RUNNING) == (l != NULL));
    if (!l)
        return;
    assert(l->job.attempt == j->attempt && l->worker->row == j->worker && l->pool == j->pool);
    assert(l->job.cancel_asked == j->cancel_asked && l->class->id == j->class);
    assert(l->job.failures == j->failures && l->job.crashes == j->crashes);
}

/* The rows, the counts in the database and those in memory are one. */
static void check_counts(const struct broker *b)
{
    uint64_t counted[N_STATES] = { 0 }, kept[N_STATES] = { 0 }, stored[N_STATES] = { 0 }, from = 1;
    struct job_row rows[64];
    store_each_class(b->store, add_stored, stored);
    for (int n; (n = store_scan(b->store, from, UINT64_MAX, rows, ELEMENTS(rows))) > 0; from = rows[n - 1].id + 1)
        for (int i = 0; i < n; i++) {
            counted[rows[i].state]++;
            check_row(b, &rows[i]);
        }
    for (size_t i = 0; i < b->classes.n; i++)
        for (int s = 0; b->classes.all[i] && s < N_STATES; s++)
            kept[s] += b->classes.all[i]->jobs[s];
    for (int s = 0; s < N_STATES; s++)
        assert(counted[s] == kept[s] && counted[s] == stored[s]);
}

static void check_acknowledged(const struct broker *b)
{
    for (size_t i = 0; i < bench.n_acknowledged && !bench.may_be_gone; i++)
        for (uint64_t id = bench.acknowledged[i].first; id <= bench.acknowledged[i].last; id++) {
            struct job_row j;
            int r = store_get(b->store, id, &j);
            assert(r == 0);
        }
}

/* ---- what the broker says ------------------------------------------------------------------------- */

static struct side *side_of(const char *routing_id)
{
    for (size_t i = 0; i < N_PEERS; i++)
        if (memcmp(bench.sides[i].routing_id, routing_id, ROUTING_ID_BYTES) == 0)
            return &bench.sides[i];
    return NULL;
}

static void hear_runs(const struct msg_run *m)
{
    assert(m->n_jobs >= 1 && m->n_jobs <= LIMIT_BATCH);
    for (size_t i = 0; i < m->n_jobs; i++) {
        uint64_t key = m->jobs[i].job << 32 | m->jobs[i].attempt;
        assert(m->jobs[i].pool < N_POOLS && m->jobs[i].handler.n && m->jobs[i].queue.n);
        assert(!idmap_find(&bench.runs, key)); /* no attempt is handed out twice */
        idmap_put(&bench.runs, key, &bench);
    }
}

static void hear(struct side *s, const struct message *m)
{
    switch (m->type) {
    case MSG_WELCOME:
        s->epoch = m->epoch;
        s->session = m->session;
        s->reports = 0;
        break;
    case MSG_HELLO_AGAIN:
        assert(m->epoch == 0 && m->session == 0);
        s->session = 0;
        break;
    case MSG_ERROR:
        assert(strcmp(code_name((int64_t)m->error.code), "?") != 0 && m->error.text.n);
        break;
    case MSG_SUBMITTED:
        assert(m->submitted.first_id && m->submitted.count);
        if (bench.n_acknowledged < ACKNOWLEDGED_MAX)
            bench.acknowledged[bench.n_acknowledged++] =
                (struct range){ m->submitted.first_id, m->submitted.first_id + m->submitted.count - 1 };
        break;
    case MSG_RUN:
        hear_runs(&m->run);
        break;
    default:
        break;
    }
}

static int take(void *ctx, const char *routing_id, struct str bytes)
{
    (void)ctx;
    struct side *s = side_of(routing_id);
    if (!s)
        return -EHOSTUNREACH;
    if (s->refuses)
        return s->refuses;
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    assert(r == 0);
    hear(s, &m);
    message_fini(&m);
    return 0;
}

/* What the thread of the reader does, at once. */
static int ask_reader(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner)
{
    (void)ctx;
    static struct store_reader *reader; /* of `bench.path`, which stays */
    char *error = NULL;
    int r = reader ? 0 : store_reader_open(&reader, bench.path, &error);
    assert(r == 0);
    struct message asked = *m, answer;
    struct buf out;
    const char *why = NULL;
    asked.epoch = epoch;
    asked.session = p->session;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    store_reader_answer(reader, &asked, owner, &out);
    r = message_decode(&answer, out.p, out.n, &why);
    assert(r == 0 && answer.epoch == epoch && answer.session == p->session);
    assert(answer.type != MSG_ERROR || strcmp(code_name((int64_t)answer.error.code), "?") != 0);
    message_fini(&answer);
    buf_fini(&out);
    return 0;
}

static void commit(void)
{
    int r = broker_commit(bench.broker, bench.now);
    assert(r == 0);
    check_turn(bench.broker);
}

static void turn(void)
{
    broker_tick(bench.broker, bench.now);
    commit();
    broker_flush(bench.broker, take, NULL, bench.now);
}

/* ---- what peers say ------------------------------------------------------------------------------- */

/* Mostly one that the speaker holds. */
static void pick_job(uint64_t choice, uint64_t *ret)
{
    const struct peer *p = peers_find(&bench.broker->peers, bench.side->routing_id);
    *ret = 1 + choice % (store_last_id(bench.broker->store) + 1);
    bench.picked_attempt = 1 + choice % 3;
    if (!p || !p->worker || list_empty(&p->worker->leases) || choice % 8 == 7)
        return;
    list_each(link, &p->worker->leases) {
        const struct lease *l = list_entry(link, struct lease, link);
        *ret = l->job.id;
        bench.picked_attempt = l->job.attempt;
        if (choice < 32)
            break;
        choice -= 32;
    }
}

/* See struct generate. */
static bool know(void *ctx, const char *field, uint64_t choice, uint64_t *ret)
{
    (void)ctx;
    struct side *s = bench.side;
    if (generate_is(field, "job"))
        pick_job(choice, ret);
    else if (generate_is(field, "attempt"))
        *ret = bench.picked_attempt + (choice > 200);
    else if (generate_is(field, "first") || generate_is(field, "last"))
        *ret = choice % (store_last_id(bench.broker->store) + 2);
    else if (generate_is(field, "req"))
        *ret = ++s->req;
    else if (generate_is(field, "seq"))
        *ret = (s->seq += choice < 180);
    else if (generate_is(field, "number"))
        *ret = choice < 160 ? 0 : (s->reports += choice < 200);
    else
        return false;
    return true;
}

static void tell(struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&b, m);
    assert(r == 0 || r == -EMSGSIZE); /* then it is empty */
    broker_recv(bench.broker, bench.side->routing_id, bench.side->uid, buf_str(&b), bench.now);
    buf_fini(&b);
}

/* How many of these outcomes are of attempts that the speaker holds. */
static size_t count_own(const struct msg_result *m)
{
    const struct peer *p = peers_find(&bench.broker->peers, bench.side->routing_id);
    size_t n = 0;
    for (size_t i = 0; i < m->n_outcomes && p && p->worker; i++) {
        const struct lease *l = lease_of_job(bench.broker, m->outcomes[i].job);
        n += l && l->worker == p->worker && l->job.attempt == m->outcomes[i].attempt;
    }
    return n;
}

static void say(enum message_type type)
{
    struct message m;
    generate_message(&bench.g, &m, type);
    m.epoch = bench.side->epoch;
    m.session = bench.side->session;
    bench.may_be_gone |= type == MSG_REMOVE;
    size_t leases = bench.broker->leases.n, own = type == MSG_RESULT ? count_own(&m.result) : 0;
    tell(&m);
    if (type == MSG_RESULT)
        assert(bench.broker->leases.n + own >= leases); /* nobody ends what another one holds */
}

/* Handlers of all kinds, and slots in every pool. */
static void offer_usual(struct msg_hello *h)
{
    static const char *const names[] = { "cpu", "io", "net", "exec" };
    h->n_handlers = ELEMENTS(names);
    h->handlers = generate_alloc(&bench.g, h->n_handlers, sizeof *h->handlers);
    for (size_t i = 0; i < h->n_handlers; i++)
        h->handlers[i] = (struct handler_info){ str_of(names[i]), 1 + i % 3, (int64_t)i, (int64_t)i, UNSET, i % 2 };
    h->n_pools = N_POOLS;
    h->pools = generate_alloc(&bench.g, N_POOLS, sizeof *h->pools);
    for (size_t k = 0; k < N_POOLS; k++)
        h->pools[k] = (struct pool_load){ .pool = k, .slots = 1 + generate_below(&bench.g, 3) };
    h->n_queues = 0;
}

/* A HELLO that is right but for what the bytes decide, of one of a few clients or workers. */
static void say_hello(void)
{
    struct message m;
    char name[] = "w0", instance[16];
    uint64_t who = generate_below(&bench.g, N_INSTANCES);
    bool worker = bench.side->worker = bench.side - bench.sides < 3 && generate_below(&bench.g, 8) != 7;
    generate_message(&bench.g, &m, MSG_HELLO);
    memset(instance, (int)(who + (worker ? 'w' : 'c')), sizeof instance);
    name[1] = (char)('0' + who);
    m.hello.version = m.hello.min_version = PROTOCOL_VERSION;
    m.hello.role = str_of(worker ? "worker" : "client");
    m.hello.instance = (struct str){ instance, sizeof instance };
    m.hello.name = str_of(name);
    m.hello.count = ++bench.hellos;
    if (generate_below(&bench.g, 4) != 3)
        offer_usual(&m.hello);
    tell(&m);
}

static void say_garbage(void)
{
    struct str bytes = generate_bytes(&bench.g, generate_byte(&bench.g));
    broker_recv(bench.broker, bench.side->routing_id, bench.side->uid, bytes, bench.now);
}

/* What most peers say most of the time: HELLO first. */
static void say_usual(void)
{
    if (!bench.side->session) {
        say_hello();
        turn();
    }
    static const enum message_type of_worker[] = { MSG_STARTED, MSG_RESULT, MSG_RESULT, MSG_GIVEN,
                                                   MSG_BEAT,    MSG_DRAIN,  MSG_BYE };
    static const enum message_type of_client[] = { MSG_SUBMIT,  MSG_SUBMIT,  MSG_SUBMIT, MSG_WAIT,  MSG_UNWAIT, MSG_CANCEL,
                                                   MSG_RETRY,   MSG_PAUSE,   MSG_LIST,   MSG_FETCH, MSG_HISTORY, MSG_WHY,
                                                   MSG_WORKERS, MSG_QUEUES,  MSG_STATS,  MSG_DRAIN, MSG_REMOVE, MSG_ADVISE,  MSG_BYE };
    uint8_t choice = generate_byte(&bench.g);
    say(bench.side->worker ? of_worker[choice % ELEMENTS(of_worker)] : of_client[choice % ELEMENTS(of_client)]);
}

/* ---- what happens --------------------------------------------------------------------------------- */

static void pass_time(void)
{
    static const int64_t steps_ms[] = { 1,    50,   100,   500,   1000,  1999,   2001,
                                        5000, 9999, 10001, 60000, 71000, 600001, 86400001 };
    int64_t ms = steps_ms[generate_below(&bench.g, ELEMENTS(steps_ms))];
    bench.now.mono_ms += ms;
    bench.now.wall_ms += generate_below(&bench.g, 16) ? ms : -ms; /* somebody sets the clock */
    bench.may_be_gone |= bench.now.wall_ms - 1700000000000 > 6ll * 86400 * 1000;
}

/* Killed before the commit, after it, or after its messages have left. */
static void restart(void)
{
    uint64_t where = generate_below(&bench.g, 3);
    if (where == 1)
        broker_tick(bench.broker, bench.now);
    if (where == 1)
        commit();
    if (where == 2)
        turn();
    bench.broker = broker_close(bench.broker);
    start_broker();
    check_turn(bench.broker);
    check_counts(bench.broker);
}

static void refuse_or_take(void)
{
    static const int answers[] = { 0, -EAGAIN, -EHOSTUNREACH, 0 };
    bench.side->refuses = answers[generate_below(&bench.g, ELEMENTS(answers))];
}

static void step(size_t *restarts)
{
    uint8_t choice = generate_byte(&bench.g);
    if (choice >= 128)
        bench.side = &bench.sides[generate_below(&bench.g, N_PEERS)];
    switch (choice % 32) {
    case 0:
        say_garbage();
        break;
    case 1:
        connect_side(bench.side);
        break;
    case 2:
        if ((*restarts)++ < RESTARTS_MAX)
            restart();
        break;
    case 3:
        refuse_or_take();
        break;
    case 4:
        say(generate_type(&bench.g));
        break;
    case 5:
    case 6:
        say_hello();
        break;
    case 7:
    case 8:
        say_hello();
        turn();
        break;
    case 9:
    case 10:
        pass_time();
        break;
    case 11:
    case 12:
    case 13:
        pass_time();
        turn();
        break;
    case 14:
    case 15:
    case 16:
    case 17:
        turn();
        break;
    default:
        say_usual();
    }
    generate_forget(&bench.g);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t restarts = 0;
    begin(bytes, n);
    bench.g.know = know;
    bench.side = bench.sides;
    for (int i = 0; i < OPERATIONS_MAX && bench.g.left; i++)
        step(&restarts);
    turn();
    commit(); /* what came back because it could not be sent */
    check_counts(bench.broker);
    check_acknowledged(bench.broker);
    generate_fini(&bench.g);
    idmap_fini(&bench.runs);
    return 0;
}
