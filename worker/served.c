/* served.c - a broker that is served: its messages in and out, and the verbs of its link on the pools. */
#include "worker/served.h"

#include "proto/base/log.h"
#include "proto/socket.h"
#include "worker/number.h"

#define MESSAGES_A_TURN 100
#define BYTES_A_TURN (8u << 20)

/* ---- the link's verbs on the pools ------------------------------------------------------------ */

static uint64_t number(const struct served *s, uint64_t job) { return number_of(s->place, job); }

/* The pools know it no more: it has its broker's own number again. */
static struct run *own_again(struct run *r)
{
    if (r)
        r->job.job = r->outcome.job = number_own(r->job.job);
    return r;
}

/* A broker may have sent ahead what turned out to be long: of several, the first that waits does not wait for another one's. */
static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    struct served *s = ctx;
    struct link_tally t = link_tally(s->link, pool);
    r->job.job = number(s, r->job.job);
    if (s->pair && t.held - t.started == 1)
        pool_give_in_turn(s->pools[pool], r, now);
    else
        pool_give(s->pools[pool], r, now);
}

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    struct served *s = ctx;
    return own_again(pool_take_waiting(s->pools[pool], number(s, job), attempt));
}

static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
                 struct now now)
{
    struct served *s = ctx;
    pool_stop(s->pools[pool], number(s, job), attempt, reason, grace_ms, now);
}

/* What is stuck is no broker's any more. */
static struct pool_load load(void *ctx, enum pool_kind pool)
{
    struct served *s = ctx;
    struct pool_load load = pool_load(s->pools[pool]);
    if (!s->pair)
        return load;
    struct link_tally t = link_tally(s->link, pool);
    load.slots = s->share[pool].offered;
    load.parked = t.parked;
    load.used = t.started - t.parked;
    load.waiting = t.held - t.started;
    return load;
}

static void answer(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, const struct message *m, struct now now)
{
    struct served *s = ctx;
    pool_answer(s->pools[pool], number(s, job), attempt, m, now);
}

/* ---- from the pools --------------------------------------------------------------------------- */

static struct attempt_ref ref_of(const struct run *r) { return (struct attempt_ref){ number_own(r->job.job), r->job.attempt }; }

void served_on_started(struct served *s, const struct run *r) { link_on_started(s->link, ref_of(r)); }
void served_on_finished(struct served *s, struct run *r) { link_on_finished(s->link, own_again(r)); }

void served_on_asked(struct served *s, const struct run *r, const struct message *ask, struct now now)
{
    link_on_asked(s->link, ref_of(r), ask, now);
}

/* ---- the socket ------------------------------------------------------------------------------- */

static int connect_to(const struct served *s, struct socket **ret, char **ret_error)
{
    const struct broker_entry *e = &s->brokers->at[s->place];
    return socket_connect_keyed(ret, e->address, e->keyed ? &s->brokers->own : NULL, &e->key, ret_error);
}

static void recv_one(struct served *s, const struct frame *f, struct now now)
{
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, f->p, f->n, &why);
    if (r < 0) {
        log_warning("dropped a message of %zu bytes from the broker: %s", f->n, why);
        return;
    }
    link_recv(s->link, &m, now);
    message_fini(&m);
}

bool served_recv(struct served *s, struct now now)
{
    size_t bytes = 0;
    if (served_is_over(s))
        return false;
    for (int i = 0; i < MESSAGES_A_TURN && bytes < BYTES_A_TURN; i++) {
        struct frame f;
        int r = socket_recv(s->socket, &f);
        if (r == -EBADMSG)
            continue;
        if (r < 0)
            return false;
        bytes += f.n;
        recv_one(s, &f, now);
        frame_fini(&f);
    }
    return true;
}

/* What the socket does not take is dropped, and the link begins a new session, whose HELLO says how things are. */
static bool send_all(struct served *s, struct now now)
{
    struct buf bytes;
    bool sent = true;
    while (link_take_message(s->link, &bytes)) {
        int r = socket_send(s->socket, buf_str(&bytes));
        buf_fini(&bytes);
        if (r < 0) {
            sent = false;
            link_on_unsent(s->link, now);
        }
    }
    return sent;
}

static void reopen(struct served *s)
{
    struct socket *fresh = NULL;
    cleanup(freep) char *error = NULL;
    if (connect_to(s, &fresh, &error) < 0) {
        log_error("%s", error);
        return;
    }
    socket_close(s->socket);
    s->socket = fresh;
}

int64_t served_send(struct served *s, struct now now)
{
    int64_t due_ms = link_flush(s->link, now);
    if (!send_all(s, now))
        due_ms = link_flush(s->link, now);
    if (link_take_reopen(s->link))
        reopen(s);
    return due_ms;
}

/* ---- slots ------------------------------------------------------------------------------------ */

static void look(struct served *s, enum pool_kind pool, struct share *ret)
{
    struct link_view v = link_view(s->link);
    struct link_tally t = link_tally(s->link, pool);
    ret->present = v.connected && !v.quiet && !v.draining;
    ret->runs = t.started - t.parked;
    ret->waits = t.held - t.started;
}

static bool divide_pool(struct served *all, size_t n, enum pool_kind pool, struct now now, int64_t *ret_due_ms)
{
    struct share shares[LIMIT_BROKERS];
    for (size_t i = 0; i < n; i++) {
        shares[i] = all[i].share[pool];
        look(&all[i], pool, &shares[i]);
    }
    bool changed = share_divide(shares, n, pool_load(all->pools[pool]).slots, now, ret_due_ms);
    for (size_t i = 0; i < n; i++)
        all[i].share[pool] = shares[i];
    return changed;
}

bool served_divide(struct served *all, size_t n, struct now now, int64_t *ret_due_ms)
{
    bool changed = false;
    *ret_due_ms = NEVER;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        int64_t due_ms = NEVER;
        if (all->pools[pool])
            changed |= divide_pool(all, n, pool, now, &due_ms);
        *ret_due_ms = min_i64(*ret_due_ms, due_ms);
    }
    return changed;
}

/* ---- life ------------------------------------------------------------------------------------- */

const char *served_address(const struct served *s) { return s->brokers->at[s->place].address; }

bool served_is_over(const struct served *s)
{
    int status;
    return link_is_over(s->link, &status);
}

/* No broker knows what another one gives out: each gets a part, those that come first the rest of it. */
static void divide_amounts(struct served *s, struct link_options *o)
{
    size_t n = 0, brokers = s->brokers->n;
    s->amounts = xcalloc(o->n_amounts + 1, sizeof *s->amounts);
    for (size_t i = 0; i < o->n_amounts; i++) {
        struct amount a = o->amounts[i];
        a.total = a.total / brokers + (s->place < a.total % brokers);
        if (a.total)
            s->amounts[n++] = a;
        else
            log_warning("of the resource %.*s there is not one for each broker: jobs of this one will not get any", (int)a.name.n,
                        a.name.p);
    }
    o->amounts = s->amounts;
    o->n_amounts = n;
}

int served_open(struct served *s, const struct broker_list *brokers, size_t place, struct pool *const *pools,
                const struct link_options *o, struct now now, char **ret_error)
{
    struct link_options own = *o;
    *s = (struct served){ .brokers = brokers, .place = place, .pools = pools };
    int r = connect_to(s, &s->socket, ret_error);
    if (r < 0)
        return r;
    if (brokers->n > 1)
        s->pair = xasprintf("broker=%s", served_address(s));
    log_about(s->pair);
    divide_amounts(s, &own);
    log_about(NULL);
    own.pools = (struct link_pools){ s, give, take_waiting, stop, load, answer };
    own.insist = brokers->n > 1;
    own.instance[0] ^= (unsigned char)place; /* two addresses may be the same broker's */
    s->link = link_new(&own, now);
    return 0;
}

void served_close(struct served *s)
{
    link_free(s->link);
    socket_close(s->socket);
    free(s->amounts);
    free(s->pair);
}
