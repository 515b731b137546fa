/* disk.c - forwards everything to the real VFS, and refuses writes while the disk is full. */
#include "tests/sim/disk.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static sqlite3_vfs vfs;
static bool is_full;
static unsigned long n_refused;

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* owned; allocated with room for the real VFS */
};

static sqlite3_file *real(sqlite3_file *f) { return ((struct file *)(void *)f)->real; }

static int on_close(sqlite3_file *f)
{
    int rc = real(f)->pMethods ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
    sqlite3_free(real(f));
    return rc;
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (is_full) {
        n_refused++;
        return SQLITE_FULL;
    }
    return real(f)->pMethods->xWrite(real(f), p, n, at);
}

static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) { return real(f)->pMethods->xRead(real(f), p, n, at); }
static int on_truncate(sqlite3_file *f, sqlite3_int64 n) { return real(f)->pMethods->xTruncate(real(f), n); }
static int on_sync(sqlite3_file *f, int flags) { return real(f)->pMethods->xSync(real(f), flags); }
static int on_size(sqlite3_file *f, sqlite3_int64 *ret) { return real(f)->pMethods->xFileSize(real(f), ret); }
static int on_lock(sqlite3_file *f, int level) { return real(f)->pMethods->xLock(real(f), level); }
static int on_unlock(sqlite3_file *f, int level) { return real(f)->pMethods->xUnlock(real(f), level); }
static int on_reserved(sqlite3_file *f, int *ret) { return real(f)->pMethods->xCheckReservedLock(real(f), ret); }
static int on_control(sqlite3_file *f, int op, void *arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); }
static int on_sector(sqlite3_file *f) { return real(f)->pMethods->xSectorSize(real(f)); }
static int on_device(sqlite3_file *f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, ret);
}
static int on_shm_lock(sqlite3_file *f, int at, int n, int flags) { return real(f)->pMethods->xShmLock(real(f), at, n, flags); }
static void on_shm_barrier(sqlite3_file *f) { real(f)->pMethods->xShmBarrier(real(f)); }
static int on_shm_unmap(sqlite3_file *f, int delete) { return real(f)->pMethods->xShmUnmap(real(f), delete); }

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = on_close, .xRead = on_read, .xWrite = on_write, .xTruncate = on_truncate, .xSync = on_sync,
    .xFileSize = on_size, .xLock = on_lock, .xUnlock = on_unlock, .xCheckReservedLock = on_reserved,
    .xFileControl = on_control, .xSectorSize = on_sector, .xDeviceCharacteristics = on_device, .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock, .xShmBarrier = on_shm_barrier, .xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    sqlite3_vfs *under = v->pAppData;
    struct file *file = (struct file *)(void *)f;
    file->base.pMethods = NULL;
    file->real = sqlite3_malloc(under->szOsFile);
    if (!file->real)
        return SQLITE_NOMEM;
    memset(file->real, 0, (size_t)under->szOsFile);
    int rc = under->xOpen(under, name, file->real, flags, ret_flags);
    if (rc == SQLITE_OK)
        file->base.pMethods = &methods;
    else
        sqlite3_free(file->real);
    return rc;
}

void disk_init(void)
{
    sqlite3_vfs *under = sqlite3_vfs_find(NULL);
    vfs = *under;
    vfs.szOsFile = sizeof(struct file);
    vfs.zName = DISK_VFS;
    vfs.pAppData = under;
    vfs.xOpen = on_open;
    vfs.pNext = NULL;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        abort();
}

void disk_set_full(bool full) { is_full = full; }
unsigned long disk_refused(void) { return n_refused; }
