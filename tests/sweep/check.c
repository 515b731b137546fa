/* check.c - what was acknowledged must be in the database, whatever happened to the disk; and the tables must agree. */
#include <inttypes.h>

#include "broker/store_internal.h"
#include "tests/sweep/sweep.h"

/* ---- questions ---------------------------------------------------------------------------------- */

static sqlite3_stmt *ask(struct sweep *s, const char *text, uint64_t a, uint64_t b)
{
    sqlite3 *db = s->broker->store->db;
    sqlite3_stmt *q = NULL;
    sweep_check(s, sqlite3_prepare_v2(db, text, -1, &q, NULL) == SQLITE_OK, "%s: %s", text, sqlite3_errmsg(db));
    if (sqlite3_bind_parameter_count(q) > 0)
        sqlite3_bind_int64(q, 1, (int64_t)a);
    if (sqlite3_bind_parameter_count(q) > 1)
        sqlite3_bind_int64(q, 2, (int64_t)b);
    return q;
}

static int64_t number(struct sweep *s, const char *text, uint64_t a, uint64_t b)
{
    sqlite3_stmt *q = ask(s, text, a, b);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

static bool is_body(struct sweep *s, const char *text, uint64_t a, uint64_t b, struct str want)
{
    sqlite3_stmt *q = ask(s, text, a, b);
    bool is = sqlite3_step(q) == SQLITE_ROW ? str_equal(column_blob(q, 0), want) : !want.n;
    sqlite3_finalize(q);
    return is;
}

/* ---- the tables --------------------------------------------------------------------------------- */

static void check_integrity(struct sweep *s)
{
    sqlite3_stmt *q = ask(s, "PRAGMA integrity_check(1)", 0, 0);
    sweep_check(s, sqlite3_step(q) == SQLITE_ROW, "P1: the database cannot be read");
    sweep_check(s, str_is(column_text(q, 0), "ok"), "P1: the database is corrupt: %s", sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
}

static void add_kept(void *ctx, const struct class_row *c)
{
    uint64_t *kept = ctx;
    for (int state = 0; state < N_STATES; state++)
        kept[state] += c->jobs[state];
}

static void check_counts(struct sweep *s)
{
    uint64_t kept[N_STATES] = { 0 };
    store_each_class(s->broker->store, add_kept, kept);
    for (uint64_t state = 0; state < N_STATES; state++) {
        int64_t rows = number(s, "SELECT count(*) FROM job WHERE state = ?", state, 0);
        sweep_check(s, rows == (int64_t)kept[state], "P2: there are %" PRId64 " jobs that are %s, the counter says %" PRIu64, rows,
                    state_name((int64_t)state), kept[state]);
    }
}

/* What one transaction wrote is there whole, or not at all. */
static void check_whole(struct sweep *s)
{
    static const struct {
        const char *text, *broken;
    } rules[] = {
        { "SELECT count(*) FROM payload WHERE job NOT IN (SELECT id FROM job)", "a payload has no job" },
        { "SELECT count(*) FROM attempt WHERE job NOT IN (SELECT id FROM job)", "an attempt has no job" },
        { "SELECT count(*) FROM output WHERE (job, attempt) NOT IN (SELECT job, n FROM attempt)", "an output has no attempt" },
        { "SELECT count(*) FROM event WHERE job NOT IN (SELECT id FROM job)", "an event has no job" },
        { "SELECT count(*) FROM job WHERE class NOT IN (SELECT id FROM class) OR owner NOT IN (SELECT id FROM owner)",
          "a job has no class, or no owner" },
        { "SELECT count(*) FROM job WHERE state IN (4, 5) AND (id, attempt, state) NOT IN (SELECT job, n, state FROM attempt)",
          "a job is done or dead, and no attempt made it so" },
        { "SELECT count(*) FROM attempt JOIN job ON id = job WHERE n > attempt OR (n = attempt AND job.state = 3)",
          "an attempt is recorded that has not ended" },
        { "SELECT count(*) FROM job WHERE failures > (SELECT count(*) FROM attempt WHERE job = id AND ending = 1)",
          "a failure is counted that no attempt tells of" },
        { "SELECT count(*) FROM job WHERE (shelf, rank) IS NOT ("
          "CASE state WHEN 0 THEN -3 WHEN 1 THEN -1 WHEN 2 THEN class WHEN 3 THEN -2 ELSE 0 END, "
          "CASE state WHEN 1 THEN due_at WHEN 2 THEN -priority WHEN 0 THEN 0 WHEN 3 THEN 0 ELSE finished_at END)",
          "a job stands where its state does not belong" },
        { "SELECT count(*) FROM job WHERE expire_at IS NOT NULL AND state < 3 AND (expire_at, id) NOT IN (SELECT at, job FROM expiry)",
          "a job that expires is not noted" },
        { "SELECT count(*) FROM spec WHERE job NOT IN (SELECT id FROM job)", "a spec has no job" },
        { "SELECT count(*) FROM expiry WHERE job NOT IN (SELECT id FROM job)", "what is not there expires" },
        { "SELECT count(*) FROM job WHERE state = 3 AND worker NOT IN (SELECT id FROM worker)", "a job runs at nobody's" },
        { "SELECT count(*) FROM job WHERE NOT EXISTS (SELECT 1 FROM submit WHERE id >= first_id AND id < first_id + count)",
          "a job's submit is not remembered" },
        { "SELECT count(*) FROM submit WHERE (owner, instance) NOT IN (SELECT owner, instance FROM client)", "a submit has no client" },
    };
    for (size_t i = 0; i < ELEMENTS(rules); i++)
        sweep_check(s, number(s, rules[i].text, 0, 0) == 0, "P1: half a turn is in the database: %s", rules[i].broken);
}

/* ---- what was told ------------------------------------------------------------------------------ */

void check_recorded(struct sweep *s, size_t plan, uint64_t job, uint64_t attempt, enum ending ending)
{
    int64_t is = number(s, "SELECT ending FROM attempt WHERE job = ? AND n = ?", job, attempt);
    sweep_check(s, is == (int64_t)ending, "P2: attempt %" PRIu64 " of job %" PRIu64 " was recorded as %s and is %s", attempt, job,
                ending_name((int64_t)ending), is < 0 ? "lost" : ending_name(is));
    size_t n = plans[plan].result_bytes;
    cleanup(freep) char *result = xmalloc(n + 1);
    plan_fill(plan, attempt, result, n);
    bool same = is_body(s, "SELECT result FROM attempt WHERE job = ? AND n = ?", job, attempt,
                        (struct str){ result, n });
    sweep_check(s, same, "P2: the result of attempt %" PRIu64 " of job %" PRIu64 " is another than was recorded", attempt, job);
}

static void check_payload(struct sweep *s, size_t plan)
{
    cleanup(freep) char *payload = xmalloc(plans[plan].payload_bytes);
    struct job_spec spec = plan_spec(plan, payload);
    bool same = is_body(s, "SELECT body FROM payload WHERE job = ?", s->notes[plan].id, 0, spec.payload);
    sweep_check(s, same, "P1: the payload of job %" PRIu64 " is another than was submitted", s->notes[plan].id);
}

static void check_state(struct sweep *s, const struct note *n, const struct job_row *j)
{
    bool as_told = !n->ended || (n->state < 0 ? state_is_terminal(j->state) : n->state == (int)j->state);
    sweep_check(s, as_told, "P2: job %" PRIu64 " had ended as %s and is %s", n->id, n->state < 0 ? "?" : state_name(n->state),
                state_name(j->state));
    sweep_check(s, j->attempt >= n->attempt, "P2: attempt %" PRIu64 " of job %" PRIu64 " was handed out, and now it is %" PRIu64,
                n->attempt, n->id, j->attempt);
    sweep_check(s, !n->cancelled || j->cancel_asked || state_is_terminal(j->state), "P1: the cancel of job %" PRIu64 " is lost",
                n->id);
}

/* False when there is no such job any more, or not yet. */
static bool check_job(struct sweep *s, const struct note *n)
{
    struct job_row j;
    if (!n->id)
        return false;
    int r = store_get(s->broker->store, n->id, &j);
    sweep_check(s, r >= 0 || n->remove_asked || n->may_be_swept, "P1: job %" PRIu64 " was acknowledged and is lost", n->id);
    sweep_check(s, r < 0 || !n->removed, "P1: job %" PRIu64 " was removed and is there again", n->id);
    if (r >= 0)
        check_state(s, n, &j);
    return r >= 0;
}

static void check_bodies(struct sweep *s, size_t plan)
{
    const struct note *n = &s->notes[plan];
    check_payload(s, plan);
    for (size_t i = 0; i < n->n_recorded; i++)
        check_recorded(s, plan, n->id, n->recorded[i].attempt, n->recorded[i].ending);
    s->jobs_checked++;
}

void check_states(struct sweep *s)
{
    for (size_t i = 0; s->broker && i < N_PLANS; i++)
        check_job(s, &s->notes[i]);
}

static void check_submit_memory(struct sweep *s, size_t plan)
{
    const struct note *n = &s->notes[plan];
    struct submit_row row;
    uint64_t last;
    struct str instance = { (const char *)s->client.node.instance, sizeof s->client.node.instance };
    if (!n->id || (plan && plans[plan - 1].seq == plans[plan].seq))
        return;
    cleanup(freep) char *owner = xasprintf("uid:%d", OWN_UID);
    int r = store_find_submit(s->broker->store, str_of(owner), instance, plans[plan].seq, &row, &last);
    sweep_check(s, r >= 0 && row.first_id == n->id, "P4: submit %" PRIu64 " would get other ids if it were repeated",
                plans[plan].seq);
}

static void see_paused(void *ctx, struct str queue) { *(bool *)ctx |= str_is(queue, "other"); }

static void check_paused(struct sweep *s)
{
    bool paused = false;
    store_each_paused(s->broker->store, see_paused, &paused);
    sweep_check(s, s->paused < 0 || paused == (s->paused == 1), "P1: a pause, or a resume, is lost");
}

void check_all(struct sweep *s)
{
    check_integrity(s);
    check_counts(s);
    check_whole(s);
    check_paused(s);
    for (size_t i = 0; i < N_PLANS; i++) {
        if (check_job(s, &s->notes[i]))
            check_bodies(s, i);
        check_submit_memory(s, i);
    }
}

void check_end(struct sweep *s)
{
    static const enum job_state ends[] = {
        [FATE_DONE] = STATE_DONE, [FATE_FAILS_ONCE] = STATE_DONE, [FATE_DIES] = STATE_DONE, [FATE_CANCELLED] = STATE_CANCELLED,
        [FATE_STOPPED] = STATE_CANCELLED, [FATE_EXPIRES] = STATE_EXPIRED, [FATE_LOSES_WORKER] = STATE_DONE,
    };
    int64_t left = 0;
    for (size_t i = 0; i < N_PLANS; i++) {
        struct job_row j;
        sweep_check(s, s->notes[i].id, "a job was never acknowledged");
        if (store_get(s->broker->store, s->notes[i].id, &j) < 0)
            continue;
        left++;
        sweep_check(s, j.state == ends[plans[i].fate], "P2: job %" PRIu64 " ended as %s, not as %s", j.id, state_name(j.state),
                    state_name((int64_t)ends[plans[i].fate]));
    }
    int64_t rows = number(s, "SELECT count(*) FROM job", 0, 0);
    sweep_check(s, rows == left, "P4: %" PRId64 " jobs are there that nobody was told of", rows - left);
}
