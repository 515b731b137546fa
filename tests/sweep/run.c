/* run.c - turns, deaths and returns: the broker's program without its sockets, on a disk that fails once. */
#include <stdarg.h>
#include <stdio.h>

#include "broker/store_internal.h"
#include "tests/sweep/sweep.h"

#define FULL_TURNS 8
#define SECOND_POWER_TURNS 12

static enum disk_fault fault_of(enum kind k)
{
    static const enum disk_fault faults[N_KINDS] = {
        [KIND_DIE] = DISK_CRASH, [KIND_POWER] = DISK_CRASH, [KIND_EIO] = DISK_EIO, [KIND_EIO_DIE] = DISK_EIO,
        [KIND_EIO_POWER] = DISK_EIO, [KIND_FULL] = DISK_ENOSPC,
    };
    return faults[k];
}

static bool is_error(enum kind k) { return k == KIND_EIO || k == KIND_EIO_DIE || k == KIND_EIO_POWER; }
static bool power_goes(enum kind k) { return k == KIND_POWER || k == KIND_EIO_POWER; }

/* ---- down --------------------------------------------------------------------------------------- */

static void is_down(struct sweep *s, bool power_gone)
{
    if (disk_is_off())
        disk_restart(&s->rng, !power_gone);
    nodes_cut(s);
    s->now.mono_ms += 5 * TURN_MS;
    s->now.wall_ms += 5 * TURN_MS;
}

void run_kill(struct sweep *s, bool power_gone)
{
    sweep_trace(s, power_gone ? "the power goes" : "the broker is killed");
    disk_power_off();
    s->broker = broker_close(s->broker);
    is_down(s, power_gone);
}

void run_stop(struct sweep *s)
{
    sweep_trace(s, "the broker stops");
    s->broker = broker_close(s->broker);
    is_down(s, power_goes(s->kind));
}

/* ---- up ----------------------------------------------------------------------------------------- */

static int try_to_open(struct sweep *s, char **ret_error)
{
    struct broker_options o = {
        .store = { .path = s->path, .quiet = true, .vfs = DISK_VFS, .drop_cache = disk_drop_cache },
        .heartbeat_ms = HEARTBEAT_MS,
        .lost_after_ms = LOST_AFTER_MS,
        .retention_ms = RETENTION_MS,
        .keep_finished = 1000000,
        .max_payload_bytes = LIMIT_PAYLOAD_BYTES,
        .disk_busy_percent = 101,
        .own_uid = OWN_UID,
        .seed = 1,
        .software = "sweep",
    };
    return broker_open(&s->broker, &o, s->now, ret_error);
}

/* It may not come up while the disk fails under it, and says so; then it is started again. */
static void open_broker(struct sweep *s)
{
    bool failed_before = disk_failed_op() != NULL, full = s->full_turns && s->full_turns < FULL_TURNS;
    for (;;) {
        cleanup(freep) char *error = NULL;
        int r = try_to_open(s, &error);
        if (r >= 0)
            break;
        sweep_trace(s, "the broker does not come up: %s", error);
        bool failed_now = disk_failed_op() && !failed_before;
        sweep_check(s, failed_now || (full && r == -ENOSPC), "P1: the broker does not come back: %s", error);
        failed_before = true;
        full = false;
        disk_set_full(false);
        if (disk_is_off() || s->kind == KIND_EIO_DIE || s->kind == KIND_EIO_POWER)
            run_kill(s, power_goes(s->kind));
    }
    s->broker->store->tidy_pages = TIDY_PAGES_HERE;
    sqlite3_exec(s->broker->store->db, "PRAGMA cache_size = 10", NULL, NULL, NULL); /* a turn writes before its end, too */
    s->reopenings += s->turn > 1;
    sweep_check(s, store_epoch(s->broker->store) > s->epoch, "P5: epoch %lu is used again", (unsigned long)s->epoch);
    check_all(s);
}

/* ---- a turn ------------------------------------------------------------------------------------- */

static int send_letter(void *ctx, const char *routing_id, struct str bytes)
{
    struct sweep *s = ctx;
    if (disk_is_off()) /* who is dead says nothing */
        return 0;
    struct letter *l = xcalloc(1, sizeof *l);
    memcpy(l->routing_id, routing_id, ROUTING_ID_BYTES);
    buf_init(&l->bytes, LIMIT_MESSAGE_BYTES);
    buf_add(&l->bytes, bytes.p, bytes.n);
    list_add_tail(&s->letters, &l->link);
    return 0;
}

/* What the broker must make of a fault in this turn. */
static void check_end_of_turn(struct sweep *s, int r, bool failed_now)
{
    const char *op = disk_failed_op();
    bool bytes = op && (strcmp(op, "write") == 0 || strcmp(op, "sync") == 0);
    sweep_check(s, !(failed_now && is_error(s->kind) && bytes) || r < 0, "a failed %s did not end the broker", op);
    sweep_check(s, r >= 0 || (op && s->kind != KIND_FULL), "the turn failed: %d %s", r, store_error_text(s->broker->store));
    sweep_check(s, r >= 0 || list_empty(&s->letters), "P1: something left in a turn that failed");
}

static void end_turn(struct sweep *s, bool failed_before)
{
    int r = broker_end_turn(s->broker, send_letter, s, s->now);
    bool failed_now = disk_failed_op() && !failed_before;
    check_end_of_turn(s, r, failed_now);
    if (failed_now)
        sweep_trace(s, "the %s failed", disk_failed_op());
    if (disk_failed_op() && !s->power_turn)
        s->power_turn = s->turn + 1 + rng_below(&s->rng, SECOND_POWER_TURNS);
    nodes_listen(s);
    if (r < 0 && s->kind == KIND_EIO)
        run_stop(s);
    else if (r < 0)
        run_kill(s, power_goes(s->kind));
}

static void free_space(struct sweep *s)
{
    if (s->kind == KIND_FULL && disk_failed_op() && ++s->full_turns == FULL_TURNS)
        disk_set_full(false);
}

void run_turn(struct sweep *s)
{
    s->turn++;
    s->now.mono_ms += TURN_MS;
    s->now.wall_ms += TURN_MS;
    bool idle = !s->spoke;
    free_space(s);
    if (s->broker && s->power_turn == s->turn)
        run_kill(s, true);
    if (!s->broker)
        open_broker(s);
    bool failed_before = disk_failed_op() != NULL;
    sweep_trace(s, "turn, %lu operations", disk_ops());
    if (idle)
        store_tidy(s->broker->store);
    nodes_speak(s);
    broker_tick(s->broker, s->now);
    end_turn(s, failed_before);
}

void run_begin(struct sweep *s, unsigned long k, enum kind kind, unsigned variant, const char *path)
{
    *s = (struct sweep){ .k = k, .kind = kind, .variant = variant, .now = { 1700000000000, 1000 } };
    snprintf(s->path, sizeof s->path, "%s", path);
    rng_init(&s->rng, k * 1000 + kind * 10 + variant);
    list_init(&s->letters);
    nodes_init(s);
    disk_wipe();
    if (kind != KIND_NONE)
        disk_fail_at(k, fault_of(kind), &s->rng);
}

void run_end(struct sweep *s)
{
    run_stop(s);
    disk_wipe();
}
