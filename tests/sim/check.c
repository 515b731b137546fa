/* check.c - holds the broker and its database against the record. */
#include "tests/sim/check.h"

#include "broker/lease.h"
#include "broker/store_internal.h"
#include "tests/sim/record.h"

#define RETRIES_DECLARED 2 /* by both handlers */
#define PREFETCH_MS 20
#define PEERS_MAX 2000     /* a connection each cut, and 60 s until it is forgotten */

/* ---- after every turn ------------------------------------------------------------------------------ */

static size_t check_worker(struct world *w, const struct worker *worker)
{
    size_t leased = 0;
    for (int k = 0; k < N_POOLS; k++) {
        const struct worker_pool *p = &worker->pools[k];
        leased += p->leased;
        world_check(w, 0, p->started <= p->leased, "%zu attempts have started of %zu leased", p->started, p->leased);
        world_check(w, 0, p->parked <= LIMIT_PARKED * SLOTS, "P6: %zu attempts of %s are parked", p->parked, worker->name);
        world_check(w, 0, p->leased <= SLOTS + SLOTS * LIMIT_PARKED + SLOTS * PREFETCH_MS,
                    "P6: %zu leases of %s exceed its credit", p->leased, worker->name);
    }
    return leased;
}

/* What the jobs that are out hold of an amount, told from the text of what they need. */
static int64_t held_by_leases(const struct world *w, const struct worker *only, const char *name)
{
    int64_t held = 0;
    struct lease *l;
    for (size_t i = 0; (l = idmap_next(&w->broker->leases, &i));) {
        struct need needs[LIMIT_NEEDS];
        size_t n = 0;
        if (!only || l->worker == only)
            needs_read(str_of(l->class->needs.text), needs, &n);
        for (size_t k = 0; k < n; k++)
            held += str_is(needs[k].name, name) ? needs[k].amount : 0;
    }
    return held;
}

static void check_amount(struct world *w, const struct amount_held *a, const struct worker *only)
{
    int64_t held = held_by_leases(w, only, a->name);
    world_check(w, 0, held <= a->total, "P6: jobs hold %ld of %ld %s", (long)held, (long)a->total, a->name);
    world_check(w, 0, held == a->held, "P6: jobs hold %ld %s; the broker counts %ld", (long)held, a->name, (long)a->held);
}

static void check_amounts(struct world *w)
{
    const struct broker *b = w->broker;
    struct worker *worker;
    for (size_t i = 0; i < b->options.shared.n; i++)
        check_amount(w, &b->options.shared.at[i], NULL);
    for (size_t i = 0; (worker = strmap_next(&b->workers, &i));)
        for (size_t k = 0; k < worker->amounts.n; k++)
            check_amount(w, &worker->amounts.at[k], worker);
}

static void check_bounds(struct world *w)
{
    const struct broker *b = w->broker;
    struct peer *p;
    world_check(w, 0, b->peers.by_routing_id.n <= PEERS_MAX, "P6: %zu peers", b->peers.by_routing_id.n);
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));)
        world_check(w, 0, p->n_open <= LIMIT_REQUESTS_OPEN, "P6: %zu waits and changes of one peer", p->n_open);
    for (size_t i = 0; i < b->classes.n; i++)
        world_check(w, 0, !b->classes.all[i] || b->classes.all[i]->n_heads <= CLASS_HEADS, "P6: the look-ahead has no bound");
}

/* What is kept is what is counted; and more there never are, but where a limit was lowered, and then they become fewer. */
static void check_open_jobs(struct world *w)
{
    struct store *s = w->broker->store;
    int64_t owner = store_owner(s, str_of("key:ada"));
    const struct account *a = store_account(s, owner);
    sqlite3_stmt *q = NULL;
    sqlite3_prepare_v2(s->db, "SELECT count(*) FROM job WHERE owner = ? AND state < 4", -1, &q, NULL);
    sqlite3_bind_int64(q, 1, owner);
    int64_t open = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    world_check(w, 0, !a || !a->known || a->open == open, "P6: an owner has %ld open jobs, and its account says %ld", (long)open,
                a ? (long)a->open : 0);
    world_check(w, 0, !a || open <= a->most || open <= w->open_before, "P6: an owner has %ld open jobs, and may have %ld", (long)open,
                a ? (long)a->most : 0);
    w->open_before = open;
}

void check_turn(struct world *w)
{
    const struct broker *b = w->broker;
    uint64_t running = 0, leased = 0;
    struct worker *worker;
    for (size_t i = 0; i < b->classes.n; i++)
        running += b->classes.all[i] ? b->classes.all[i]->jobs[STATE_RUNNING] : 0;
    world_check(w, 0, running == b->leases.n, "P2: %lu jobs are running, but there are %zu leases", (unsigned long)running,
                b->leases.n);
    for (size_t i = 0; (worker = strmap_next(&b->workers, &i));)
        leased += check_worker(w, worker);
    world_check(w, 0, leased == b->leases.n, "P6: the leases and the workers' counts differ");
    check_amounts(w);
    if (b->counts.turns % 8 == 0) /* each row is looked at */
        check_open_jobs(w);
    check_bounds(w);
}

/* ---- every job ------------------------------------------------------------------------------------- */

/* Calls check for every job that was noted, with its row, or with NULL. False as soon as one says so. */
static bool each_job(struct world *w, bool (*check)(struct world *w, uint64_t id, const struct job_row *j))
{
    struct job_row rows[256];
    int n = 0, at = 0;
    for (uint64_t id = 1; id <= record_last(w); id++) {
        if (at == n) {
            n = store_scan(w->broker->store, id, UINT64_MAX, rows, ELEMENTS(rows));
            world_check(w, 0, n >= 0, "the store cannot be read: %s", store_error_text(w->broker->store));
            at = 0;
        }
        bool there = at < n && rows[at].id == id;
        if (!check(w, id, there ? &rows[at] : NULL))
            return false;
        at += there;
    }
    return true;
}

static bool check_there(struct world *w, uint64_t id, const struct job_row *j)
{
    const struct noted *n = record_job(w, id);
    world_check(w, id, j || record_may_be_gone(w, n) || (!n->promised && !n->acknowledged), "P1: job %lu was acknowledged and is lost",
                (unsigned long)id);
    return j != NULL;
}

static bool check_promise(struct world *w, uint64_t id, const struct job_row *j)
{
    const struct noted *n = record_job(w, id);
    if (!check_there(w, id, j) || !n->promised)
        return true;
    world_check(w, id, j->attempt >= n->attempt, "P2: job %lu is at attempt %lu; it was at %lu", (unsigned long)id,
                (unsigned long)j->attempt, (unsigned long)n->attempt);
    if (n->retry_asked)
        return true;
    world_check(w, id, !n->terminal || (j->state == n->state && j->attempt == n->attempt),
                "P2: job %lu had ended as %s, attempt %lu; now it is %s, attempt %lu", (unsigned long)id, state_name(n->state),
                (unsigned long)n->attempt, state_name(j->state), (unsigned long)j->attempt);
    world_check(w, id, j->failures >= n->failures, "P2: job %lu has failed %lu times; it was %lu", (unsigned long)id,
                (unsigned long)j->failures, (unsigned long)n->failures);
    return true;
}

void check_promises(struct world *w) { each_job(w, check_promise); }

static bool has_ended(struct world *w, uint64_t id, const struct job_row *j)
{
    return !check_there(w, id, j) || state_is_terminal(j->state);
}

bool check_all_ended(struct world *w) { return w->broker && each_job(w, has_ended); }

/* ---- at the end ------------------------------------------------------------------------------------ */

static int64_t retries_of(const struct job_row *j) { return or_default(j->retries, RETRIES_DECLARED); }
static int64_t crash_limit_of(const struct job_row *j) { return max_i64(or_default(j->crash_limit, RETRY_CRASH_LIMIT), 1); }

/* What passes a limit is dead, or was to be cancelled then, and nothing comes after it. */
static void check_limits(struct world *w, const struct job_row *j)
{
    int over = j->state == STATE_DEAD || j->state == STATE_CANCELLED;
    world_check(w, j->id, (int64_t)j->failures <= retries_of(j) + over, "P2: job %lu is %s and has failed %lu times",
                (unsigned long)j->id, state_name(j->state), (unsigned long)j->failures);
    world_check(w, j->id, (int64_t)j->crashes <= crash_limit_of(j) - !over, "P2: job %lu is %s and has crashed %lu times",
                (unsigned long)j->id, state_name(j->state), (unsigned long)j->crashes);
}

static void check_dead(struct world *w, const struct job_row *j, const struct noted_attempt *a, enum fate fate)
{
    bool failed = a && a->ended_by_itself && fate != FATE_DONE;
    bool no_more = fate == FATE_FAILS_FOR_GOOD || (int64_t)j->failures > retries_of(j);
    bool lost = record_job(w, j->id)->ran && (int64_t)j->crashes >= crash_limit_of(j);
    world_check(w, j->id, (failed && no_more) || lost, "P2: job %lu is dead by attempt %lu, for no reason", (unsigned long)j->id,
                (unsigned long)j->attempt);
}

/* Of it, or of a job that it descends from. */
static bool was_cancel_asked(struct world *w, const struct job_row *j)
{
    struct job_row parent;
    if (record_job(w, j->id)->cancel_asked || !j->parent)
        return record_job(w, j->id)->cancel_asked;
    if (store_get(w->broker->store, j->parent, &parent) < 0)
        return true; /* nobody knows */
    return was_cancel_asked(w, &parent);
}

static bool check_ending(struct world *w, uint64_t id, const struct job_row *j)
{
    if (!check_there(w, id, j))
        return true;
    const struct noted_attempt *a = record_attempt(w, id, j->attempt);
    enum fate fate = fate_of(w->seed, id, j->attempt);
    check_limits(w, j);
    switch (j->state) {
    case STATE_DONE:
        world_check(w, id, a && a->ended_by_itself && fate == FATE_DONE, "P2: job %lu is done by attempt %lu, which did not do it",
                    (unsigned long)id, (unsigned long)j->attempt);
        break;
    case STATE_DEAD:
        check_dead(w, j, a, fate);
        break;
    case STATE_CANCELLED:
        world_check(w, id, was_cancel_asked(w, j), "P2: job %lu is cancelled, and nobody asked", (unsigned long)id);
        break;
    case STATE_EXPIRED:
        world_check(w, id, j->expire_at_ms != UNSET, "P2: job %lu is expired, and it has no such time", (unsigned long)id);
        break;
    default:
        world_fail(w, id, "P2: job %lu ended as %s", (unsigned long)id, state_name(j->state));
    }
    return true;
}

static void add_stored(void *ctx, const struct class_row *c)
{
    uint64_t *stored = ctx;
    for (int s = 0; s < N_STATES; s++)
        stored[s] += c->jobs[s];
}

/* The rows, the counts in the database and those in memory must be one. */
static void check_counts(struct world *w)
{
    uint64_t counted[N_STATES] = { 0 }, kept[N_STATES] = { 0 }, stored[N_STATES] = { 0 };
    store_each_class(w->broker->store, add_stored, stored);
    struct job_row rows[256];
    uint64_t from = 1;
    for (int n; (n = store_scan(w->broker->store, from, UINT64_MAX, rows, ELEMENTS(rows))) > 0; from = rows[n - 1].id + 1)
        for (int i = 0; i < n; i++)
            counted[rows[i].state]++;
    for (size_t i = 0; i < w->broker->classes.n; i++)
        for (int s = 0; w->broker->classes.all[i] && s < N_STATES; s++)
            kept[s] += w->broker->classes.all[i]->jobs[s];
    for (int s = 0; s < N_STATES; s++)
        world_check(w, 0, counted[s] == kept[s] && counted[s] == stored[s],
                    "P2: there are %lu rows that are %s; memory counts %lu, the database %lu", (unsigned long)counted[s],
                    state_name(s), (unsigned long)kept[s], (unsigned long)stored[s]);
}

/* What the attempts tell must be what became of their jobs. */
static void check_attempts(struct world *w)
{
    static const struct {
        const char *text, *broken;
    } rules[] = {
        { "SELECT coalesce(min(job), 0) FROM attempt WHERE ending = 0 AND state <> 4", "an attempt did it, and it did not end as done" },
        { "SELECT coalesce(min(id), 0) FROM job WHERE state IN (4, 5) AND (id, attempt, state) NOT IN (SELECT job, n, state FROM attempt)",
          "it is done or dead, and no attempt made it so" },
        { "SELECT coalesce(min(id), 0) FROM job WHERE (shelf, rank) IS NOT ("
          "CASE state WHEN 0 THEN -3 WHEN 1 THEN -1 WHEN 2 THEN class WHEN 3 THEN -2 ELSE 0 END, "
          "CASE state WHEN 1 THEN due_at WHEN 2 THEN -priority WHEN 0 THEN 0 WHEN 3 THEN 0 ELSE finished_at END)",
          "it stands where its state does not belong" },
        { "SELECT coalesce(min(id), 0) FROM job WHERE expire_at IS NOT NULL AND state < 3 "
          "AND (expire_at, id) NOT IN (SELECT at, job FROM expiry)", "it expires, and is not noted" },
        { "SELECT coalesce(min(job), 0) FROM spec WHERE parent IN (SELECT id FROM job) AND job NOT IN (SELECT job FROM child) "
          "AND parent NOT IN (SELECT job FROM event WHERE event = 'retried')", "its parent has it twice, or does not know it" },
        { "SELECT coalesce(min(job), 0) FROM checkpoint WHERE job NOT IN (SELECT id FROM job WHERE state < 4)",
          "it has ended, and its checkpoint is still there" },
        { "SELECT coalesce(min(job), 0) FROM attempt WHERE worker NOT IN (SELECT id FROM worker)", "nobody knows who ran it" },
        { "SELECT coalesce(min(parent), 0) FROM cascade", "it was cancelled, and what it has started was not" },
    };
    for (size_t i = 0; i < ELEMENTS(rules); i++) {
        sqlite3_stmt *q = NULL;
        sqlite3_prepare_v2(w->broker->store->db, rules[i].text, -1, &q, NULL);
        uint64_t job = sqlite3_step(q) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 0) : UINT64_MAX;
        sqlite3_finalize(q);
        world_check(w, job, !job, "P2: job %lu: %s", (unsigned long)job, rules[i].broken);
    }
}

void check_end(struct world *w)
{
    check_attempts(w);
    each_job(w, check_ending);
    check_counts(w);
}
