/* store_account.c - accounts: how many open jobs the owners have that may have only so many. Of nobody else anything is kept.
 *
 * An account is written with the turn that changes it, so the row of an owner is true, or there is none: then its jobs are counted
 * anew, in slices by id. Until that is through, what has come to be open or has ended counts where the slices have been, and is
 * found by them elsewhere. */
#include "broker/store_internal.h"

static struct account *find(const struct store *s, int64_t owner) { return idmap_find(&s->accounts, (uint64_t)owner); }

const struct account *store_account(const struct store *s, int64_t owner)
{
    const struct account *a = find(s, owner);
    return a && a->most ? a : NULL;
}

static struct account *add(struct store *s, int64_t owner, int64_t open, bool known)
{
    struct account *a = xcalloc(1, sizeof *a);
    *a = (struct account){ .owner = owner, .open = open, .known = known };
    list_init(&a->link);
    idmap_put(&s->accounts, (uint64_t)owner, a);
    return a;
}

static void note_changed(struct store *s, struct account *a)
{
    list_remove(&a->link);
    list_add_tail(&s->changed_accounts, &a->link);
}

void account_move(struct store *s, int64_t owner, uint64_t id, int by)
{
    struct account *a = s->accounts.n ? find(s, owner) : NULL;
    if (!a || (!a->known && id >= s->count_next))
        return;
    a->open += by;
    if (a->known)
        note_changed(s, a);
}

int accounts_flush(struct store *s)
{
    int r = 0;
    for (struct link *l; r >= 0 && (l = list_pop(&s->changed_accounts));) {
        const struct account *a = list_entry(l, struct account, link);
        sqlite3_stmt *q = sql(s, SQL_ACCOUNT_PUT);
        bind_int(q, 1, a->owner);
        bind_int(q, 2, a->open);
        r = sql_run(s, q);
    }
    return r < 0 ? r : 0;
}

void accounts_drop(struct store *s)
{
    struct account *a;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        free(a);
    idmap_fini(&s->accounts);
    list_init(&s->changed_accounts);
    s->n_uncounted = 0;
}

/* A broker that is told of no limits keeps the rows true all the same: the next one may be. */
int accounts_load(struct store *s)
{
    accounts_drop(s);
    sqlite3_stmt *q = sql(s, SQL_ACCOUNTS);
    int r;
    while ((r = sql_row(s, q)) > 0)
        add(s, column_int(q, 0), column_int(q, 1), true);
    return r;
}

/* ---- limits ---------------------------------------------------------------------------------------- */

/* All whose jobs are not known are counted together, from the first job on. */
static void begin_count(struct store *s)
{
    struct account *a;
    s->count_next = 1;
    s->n_uncounted = 0;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        if (!a->known) {
            a->open = 0;
            s->n_uncounted++;
        }
}

/* *begun: somebody is to be counted. */
static int set_limit(struct store *s, const struct open_limit *l, bool *begun)
{
    int64_t owner = store_owner(s, l->owner);
    bool is_new = !owner; /* and has no jobs */
    int r = is_new ? store_owner_intern(s, l->owner, &owner) : s->failed;
    if (r < 0)
        return r;
    struct account *a = find(s, owner);
    if (!a) {
        a = add(s, owner, 0, is_new);
        *begun |= !is_new;
        if (is_new)
            note_changed(s, a);
    }
    a->most = a->most ? min_i64(a->most, l->most) : l->most;
    return 0;
}

static int forget(struct store *s, struct account *a)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    bind_int(sql(s, SQL_ACCOUNT_DROP), 1, a->owner);
    r = sql_run(s, sql(s, SQL_ACCOUNT_DROP));
    s->n_uncounted -= !a->known;
    list_remove(&a->link);
    idmap_remove(&s->accounts, (uint64_t)a->owner);
    free(a);
    return r < 0 ? r : 0;
}

static int forget_unlimited(struct store *s)
{
    struct account *a;
    int r = 0;
    for (size_t i = 0; r >= 0 && (a = idmap_next(&s->accounts, &i));)
        if (!a->most) {
            r = forget(s, a);
            i = 0; /* what stood behind it may stand before it now */
        }
    return r;
}

int store_limit_open(struct store *s, const struct open_limit *limits, size_t n)
{
    struct account *a;
    bool begun = false;
    int r = s->failed;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        a->most = 0;
    for (size_t i = 0; i < n && r >= 0; i++)
        r = set_limit(s, &limits[i], &begun);
    if (r >= 0)
        r = forget_unlimited(s);
    if (begun)
        begin_count(s);
    return r;
}

/* ---- counting -------------------------------------------------------------------------------------- */

static void count_job(struct store *s, const struct glance *g)
{
    struct account *a = state_is_terminal(g->state) ? NULL : find(s, g->owner);
    if (a && !a->known)
        a->open++;
}

/* Written with the next turn that writes: who comes before it counts again. */
static void know_all(struct store *s)
{
    struct account *a;
    s->n_uncounted = 0;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        if (!a->known) {
            a->known = true;
            note_changed(s, a);
        }
}

#define COUNTED_AT_A_TIME 250

int store_count_open(struct store *s, size_t max)
{
    struct glance jobs[COUNTED_AT_A_TIME];
    for (size_t seen = 0; s->n_uncounted && seen < max; seen += ELEMENTS(jobs)) {
        size_t most = min_size(ELEMENTS(jobs), max - seen);
        int n = store_scan_states(s, s->count_next, UINT64_MAX, jobs, most);
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++)
            count_job(s, &jobs[i]);
        if (n < (int)most)
            know_all(s);
        else
            s->count_next = jobs[n - 1].id + 1;
    }
    return s->n_uncounted > 0;
}
