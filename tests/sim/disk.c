/* disk.c - the simulated disk as SQLite sees it: names, locks, shared memory, and the fault that is to come. */
#include "tests/sim/disk.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "tests/sim/platter.h"

/* A file, by its name. One that was deleted lives on until its deletion is safe and nobody has it open. */
struct node {
    struct link link;
    char *name;                   /* owned */
    bool linked, linked_safe;     /* has its name: as programs see it; after a power cut */
    bool syncs_names;             /* a new log: SQLite syncs the directory with its first sync */
    struct platter bytes;
    int n_open;
    int n_shared;
    const void *reserved, *pending; /* borrowed: the struct file that holds that lock */
    void *shm[64];                /* owned: the index of the log, a region each */
    int n_mapped;
    int shm_shared[SQLITE_SHM_NLOCK];
    bool shm_exclusive[SQLITE_SHM_NLOCK];
};

/* An open file. SQLite allocates it. */
struct file {
    sqlite3_file base;
    struct node *node; /* borrowed */
    int lock;
    bool mapped, delete_on_close;
    unsigned shm_shared, shm_exclusive; /* a bit a lock */
};

static sqlite3_vfs vfs;
static sqlite3_mutex *mutex; /* owned; for all that follows */
static struct link nodes;
static bool is_full, is_off;
static unsigned long n_refused, n_ops, fault_at;
static const char **ops; /* owned, of static ones: what each operation was */
static size_t cap_ops;
static enum disk_fault fault;
static const char *failed_op; /* static; NULL while the fault is still to come */
static struct rng *fault_rng; /* borrowed: from disk_fail_at */
static int last_errno;

static struct file *of(sqlite3_file *f) { return (struct file *)(void *)f; }

static int leave(int rc)
{
    sqlite3_mutex_leave(mutex);
    return rc;
}

/* ---- names ---------------------------------------------------------------------------------------- */

static struct node *find(const char *name)
{
    list_each(l, &nodes) {
        struct node *n = list_entry(l, struct node, link);
        if (n->linked && strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

static struct node *add(const char *name)
{
    struct node *n = xcalloc(1, sizeof *n);
    n->name = xstrdup(name);
    n->linked = true;
    platter_init(&n->bytes);
    list_add_tail(&nodes, &n->link);
    return n;
}

static void drop_shm(struct node *n)
{
    for (size_t i = 0; i < ELEMENTS(n->shm); i++) {
        free(n->shm[i]);
        n->shm[i] = NULL;
    }
}

static void drop(struct node *n)
{
    list_remove(&n->link);
    platter_fini(&n->bytes);
    drop_shm(n);
    free(n->name);
    free(n);
}

static void drop_unlinked(void)
{
    list_each_safe(l, &nodes) {
        struct node *n = list_entry(l, struct node, link);
        if (!n->linked && !n->linked_safe && !n->n_open)
            drop(n);
    }
}

static void sync_names(void)
{
    list_each(l, &nodes) {
        struct node *n = list_entry(l, struct node, link);
        n->linked_safe = n->linked;
    }
    drop_unlinked();
}

static void lose_name(const char *name, bool keep)
{
    list_each(l, &nodes) {
        struct node *n = list_entry(l, struct node, link);
        if (strcmp(n->name, name) == 0)
            n->linked_safe = n->linked = keep ? n->linked : n->linked_safe;
    }
}

/* A name leads to what it led to when it was safe, or to what programs saw last. */
static void lose_names(struct rng *rng)
{
    list_each(l, &nodes) {
        const struct node *n = list_entry(l, struct node, link);
        if (n->linked != n->linked_safe)
            lose_name(n->name, rng_below(rng, 2));
    }
    drop_unlinked();
}

/* ---- faults --------------------------------------------------------------------------------------- */

static int refuse(int rc)
{
    last_errno = rc == SQLITE_FULL ? ENOSPC : EIO;
    return rc;
}

/* What happens to this operation. Without power it is no operation. */
static enum disk_fault count_op(const char *what)
{
    ops = grow_array(ops, &cap_ops, n_ops + 1, sizeof *ops);
    ops[n_ops] = what;
    if (++n_ops != fault_at)
        return DISK_NO_FAULT;
    failed_op = what;
    is_off |= fault == DISK_CRASH;
    is_full |= fault == DISK_ENOSPC;
    return fault;
}

/* ---- bytes ---------------------------------------------------------------------------------------- */

static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    sqlite3_mutex_enter(mutex);
    const struct bytes *b = &of(f)->node->bytes.now;
    if (is_off)
        return leave(refuse(SQLITE_IOERR_READ));
    size_t here = (size_t)at < b->n ? min_size((size_t)n, b->n - (size_t)at) : 0;
    if (here)
        memcpy(p, b->p + at, here);
    memset((char *)p + here, 0, (size_t)n - here);
    return leave(here < (size_t)n ? SQLITE_IOERR_SHORT_READ : SQLITE_OK);
}

/* The first sectors of a write that was cut short. */
static void write_some(struct platter *b, const void *p, size_t n, size_t at)
{
    size_t sectors = (n + SECTOR_BYTES - 1) / SECTOR_BYTES;
    platter_write(b, at, p, min_size(n, rng_below(fault_rng, sectors + 1) * SECTOR_BYTES));
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    sqlite3_mutex_enter(mutex);
    struct platter *b = &of(f)->node->bytes;
    if (is_off)
        return leave(refuse(SQLITE_IOERR_WRITE));
    enum disk_fault happens = count_op("write");
    if (happens)
        write_some(b, p, (size_t)n, (size_t)at);
    if (is_full) {
        n_refused++;
        return leave(refuse(SQLITE_FULL));
    }
    if (happens)
        return leave(refuse(SQLITE_IOERR_WRITE));
    platter_write(b, (size_t)at, p, (size_t)n);
    return leave(SQLITE_OK);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    sqlite3_mutex_enter(mutex);
    if (is_off)
        return leave(refuse(SQLITE_IOERR_TRUNCATE));
    enum disk_fault happens = count_op("truncate");
    bool fails = happens == DISK_CRASH || happens == DISK_EIO;
    if (!fails || rng_below(fault_rng, 2))
        platter_truncate(&of(f)->node->bytes, (size_t)n);
    return leave(fails ? refuse(SQLITE_IOERR_TRUNCATE) : SQLITE_OK);
}

static int on_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    sqlite3_mutex_enter(mutex);
    struct node *n = of(f)->node;
    if (is_off)
        return leave(refuse(SQLITE_IOERR_FSYNC));
    enum disk_fault happens = count_op("sync");
    if (happens == DISK_EIO)
        platter_sync_badly(&n->bytes, fault_rng);
    if (happens == DISK_EIO || happens == DISK_CRASH)
        return leave(refuse(SQLITE_IOERR_FSYNC));
    platter_sync(&n->bytes);
    if (n->syncs_names)
        sync_names();
    n->syncs_names = false;
    return leave(SQLITE_OK);
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    sqlite3_mutex_enter(mutex);
    if (is_off)
        return leave(refuse(SQLITE_IOERR_FSTAT));
    *ret = (sqlite3_int64)of(f)->node->bytes.now.n;
    return leave(SQLITE_OK);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    (void)f;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int on_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR_BYTES;
}

static int on_device(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- locks ---------------------------------------------------------------------------------------- */

static int lock_shared(struct file *f, struct node *n)
{
    if (n->pending)
        return SQLITE_BUSY;
    n->n_shared++;
    f->lock = SQLITE_LOCK_SHARED;
    return SQLITE_OK;
}

static int lock_reserved(struct file *f, struct node *n)
{
    if (n->reserved)
        return SQLITE_BUSY;
    n->reserved = f;
    f->lock = SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

static int lock_exclusive(struct file *f, struct node *n)
{
    if ((n->pending && n->pending != f) || (n->reserved && n->reserved != f))
        return SQLITE_BUSY;
    n->pending = f;
    f->lock = n->n_shared > 1 ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE;
    return n->n_shared > 1 ? SQLITE_BUSY : SQLITE_OK;
}

static int on_lock(sqlite3_file *file, int level)
{
    sqlite3_mutex_enter(mutex);
    struct file *f = of(file);
    if (is_off)
        return leave(refuse(SQLITE_IOERR_LOCK));
    if (f->lock >= level)
        return leave(SQLITE_OK);
    return leave(level == SQLITE_LOCK_SHARED     ? lock_shared(f, f->node)
                 : level == SQLITE_LOCK_RESERVED ? lock_reserved(f, f->node)
                                                 : lock_exclusive(f, f->node));
}

/* Works without power: who is gone holds nothing. */
static int on_unlock(sqlite3_file *file, int level)
{
    sqlite3_mutex_enter(mutex);
    struct file *f = of(file);
    if (f->lock <= level)
        return leave(SQLITE_OK);
    if (f->node->reserved == f)
        f->node->reserved = NULL;
    if (f->node->pending == f)
        f->node->pending = NULL;
    f->node->n_shared -= level == SQLITE_LOCK_NONE;
    f->lock = level;
    return leave(SQLITE_OK);
}

static int on_reserved(sqlite3_file *f, int *ret)
{
    sqlite3_mutex_enter(mutex);
    *ret = of(f)->node->reserved != NULL;
    return leave(SQLITE_OK);
}

/* ---- shared memory: dies with the last connection --------------------------------------------------- */

static int on_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    sqlite3_mutex_enter(mutex);
    struct file *f = of(file);
    *ret = NULL;
    if (is_off || (size_t)region >= ELEMENTS(f->node->shm))
        return leave(refuse(SQLITE_IOERR_SHMMAP));
    f->node->n_mapped += !f->mapped;
    f->mapped = true;
    if (!f->node->shm[region] && extend)
        f->node->shm[region] = xcalloc(1, (size_t)size);
    *ret = f->node->shm[region];
    return leave(SQLITE_OK);
}

static void shm_unlock(struct file *f, int i)
{
    unsigned bit = 1u << i;
    if (f->shm_exclusive & bit)
        f->node->shm_exclusive[i] = false;
    if (f->shm_shared & bit)
        f->node->shm_shared[i]--;
    f->shm_exclusive &= ~bit;
    f->shm_shared &= ~bit;
}

static bool shm_is_free(const struct file *f, int i, bool exclusive)
{
    unsigned bit = 1u << i;
    int shared_by_others = f->node->shm_shared[i] - ((f->shm_shared & bit) != 0);
    bool taken = f->node->shm_exclusive[i] && !(f->shm_exclusive & bit);
    return !taken && !(exclusive && shared_by_others);
}

static void shm_lock(struct file *f, int i, bool exclusive)
{
    unsigned bit = 1u << i;
    if (exclusive) {
        f->node->shm_exclusive[i] = true;
        f->shm_exclusive |= bit;
    } else if (!(f->shm_shared & bit)) {
        f->node->shm_shared[i]++;
        f->shm_shared |= bit;
    }
}

static int on_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
    sqlite3_mutex_enter(mutex);
    struct file *f = of(file);
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    if (flags & SQLITE_SHM_UNLOCK) {
        for (int i = at; i < at + n; i++)
            shm_unlock(f, i);
        return leave(SQLITE_OK);
    }
    if (is_off)
        return leave(refuse(SQLITE_IOERR_SHMLOCK));
    for (int i = at; i < at + n; i++)
        if (!shm_is_free(f, i, exclusive))
            return leave(SQLITE_BUSY);
    for (int i = at; i < at + n; i++)
        shm_lock(f, i, exclusive);
    return leave(SQLITE_OK);
}

static void on_shm_barrier(sqlite3_file *f)
{
    (void)f;
    sqlite3_mutex_enter(mutex);
    sqlite3_mutex_leave(mutex);
}

static int on_shm_unmap(sqlite3_file *file, int delete)
{
    (void)delete;
    sqlite3_mutex_enter(mutex);
    struct file *f = of(file);
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
        shm_unlock(f, i);
    if (f->mapped && --f->node->n_mapped == 0)
        drop_shm(f->node);
    f->mapped = false;
    return leave(SQLITE_OK);
}

/* ---- open, close, delete ---------------------------------------------------------------------------- */

static int on_close(sqlite3_file *file)
{
    on_shm_unmap(file, 0);
    on_unlock(file, SQLITE_LOCK_NONE);
    sqlite3_mutex_enter(mutex);
    struct node *n = of(file)->node;
    n->n_open--;
    if (of(file)->delete_on_close)
        n->linked = false;
    drop_unlinked();
    return leave(SQLITE_OK);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = on_close, .xRead = on_read, .xWrite = on_write, .xTruncate = on_truncate, .xSync = on_sync,
    .xFileSize = on_size, .xLock = on_lock, .xUnlock = on_unlock, .xCheckReservedLock = on_reserved,
    .xFileControl = on_control, .xSectorSize = on_sector, .xDeviceCharacteristics = on_device, .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock, .xShmBarrier = on_shm_barrier, .xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)v;
    struct file *f = of(file);
    *f = (struct file){ .delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE };
    sqlite3_mutex_enter(mutex);
    struct node *n = is_off || !name ? NULL : find(name);
    if (is_off || (!n && !(flags & SQLITE_OPEN_CREATE)))
        return leave(refuse(SQLITE_CANTOPEN));
    if (!n) {
        n = add(name ? name : "");
        n->syncs_names = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL);
    }
    n->n_open++;
    f->node = n;
    f->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return leave(SQLITE_OK);
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync)
{
    (void)v;
    sqlite3_mutex_enter(mutex);
    struct node *n = find(name);
    if (is_off)
        return leave(refuse(SQLITE_IOERR_DELETE));
    if (!n)
        return leave(SQLITE_IOERR_DELETE_NOENT);
    enum disk_fault happens = count_op("delete");
    bool fails = happens == DISK_CRASH || happens == DISK_EIO;
    n->linked = fails && rng_below(fault_rng, 2);
    if (fails)
        return leave(refuse(SQLITE_IOERR_DELETE));
    if (sync)
        sync_names();
    drop_unlinked();
    return leave(SQLITE_OK);
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    (void)v;
    sqlite3_mutex_enter(mutex);
    if (is_off)
        return leave(refuse(SQLITE_IOERR_ACCESS));
    const struct node *n = find(name);
    *ret = n && (flags != SQLITE_ACCESS_EXISTS || n->bytes.now.n); /* as on Unix, an empty file is none */
    return leave(SQLITE_OK);
}

static int on_full_name(sqlite3_vfs *v, const char *name, int n, char *ret)
{
    (void)v;
    return snprintf(ret, (size_t)n, "%s", name) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int on_last_error(sqlite3_vfs *v, int n, char *ret)
{
    (void)v;
    (void)n;
    (void)ret;
    return last_errno;
}

/* ---- for the tests ---------------------------------------------------------------------------------- */

void disk_init(void)
{
    if (mutex)
        return;
    list_init(&nodes);
    vfs = *sqlite3_vfs_find(NULL);
    mutex = sqlite3_mutex_alloc(SQLITE_MUTEX_FAST);
    vfs.szOsFile = sizeof(struct file);
    vfs.zName = DISK_VFS;
    vfs.pNext = NULL;
    vfs.xOpen = on_open;
    vfs.xDelete = on_delete;
    vfs.xAccess = on_access;
    vfs.xFullPathname = on_full_name;
    vfs.xGetLastError = on_last_error;
    if (!mutex || sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        abort();
}

static void nothing_is_open(void)
{
    list_each(l, &nodes)
        assert(!list_entry(l, struct node, link)->n_open);
}

void disk_wipe(void)
{
    nothing_is_open();
    while (!list_empty(&nodes))
        drop(list_entry(nodes.next, struct node, link));
    is_full = is_off = false;
    n_ops = 0;
    disk_fail_at(0, DISK_NO_FAULT, NULL);
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1, NULL);
}

void disk_set_full(bool full) { is_full = full; }
unsigned long disk_refused(void) { return n_refused; }
void disk_power_off(void) { is_off = true; }
bool disk_is_off(void) { return is_off; }
unsigned long disk_ops(void) { return n_ops; }
const char *disk_op(unsigned long k) { return ops[k - 1]; }
const char *disk_failed_op(void) { return failed_op; }

void disk_drop_cache(const char *path)
{
    struct node *n = find(path);
    if (n)
        platter_drop_cache(&n->bytes);
}

void disk_fail_at(unsigned long k, enum disk_fault what, struct rng *rng)
{
    fault_at = what ? n_ops + k : 0;
    failed_op = NULL;
    fault = what;
    fault_rng = rng;
}

void disk_restart(struct rng *rng, bool keep_all)
{
    nothing_is_open();
    is_off = false;
    if (keep_all)
        return;
    lose_names(rng);
    list_each(l, &nodes)
        platter_lose(&list_entry(l, struct node, link)->bytes, rng);
}
