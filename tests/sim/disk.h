/* disk.h - a disk that is full, breaks, and loses what was not synced: a VFS of SQLite's with its files in memory.
 *
 * What a program writes it sees at once; a disk keeps it for certain only once the file was synced (and a name once its
 * directory was). Nothing is claimed that a disk does not give: as the VFS for Unix it says that a torn write harms only
 * the bytes that it wrote itself (SQLITE_IOCAP_POWERSAFE_OVERWRITE), and no more. Reads never fail while the power is on. */
#ifndef TERN_SIM_DISK_H
#define TERN_SIM_DISK_H

#include "proto/base/rng.h"

#define DISK_VFS "tern-sim-disk"

enum disk_fault { DISK_NO_FAULT, DISK_CRASH, DISK_EIO, DISK_ENOSPC };

/* Registers the VFS; again is harmless. */
void disk_init(void);
/* An empty disk, with room, power and no fault to come. Nothing may be open. What SQLite draws by lot from here on is the
 * same each time. */
void disk_wipe(void);

/* From now on every write is refused with SQLITE_FULL (or no more). */
void disk_set_full(bool full);
/* How many writes were refused so far; disk_wipe leaves it. */
unsigned long disk_refused(void);

/* The process dies, or the power goes: every further operation fails until disk_restart, so that closing the database
 * writes nothing. */
void disk_power_off(void);
bool disk_is_off(void);
/* The power is on again; nothing may be open, and a full disk stays full. keep_all: only the process died, and what it wrote is
 * still there. Else the power was gone: of each write that was not synced every sector is kept, lost or torn, of each
 * truncation, creation and deletion it is kept or lost, as rng falls. */
void disk_restart(struct rng *rng, bool keep_all);

/* From here on programs see of a file what the disk has, and what is still to be written to it: not what a failed sync has
 * given up. For struct store_options. */
void disk_drop_cache(const char *path);

/* The k-th operation from now (1: the next one) fails. CRASH: part of it is done, then all is off. EIO: it fails, once; a
 * sync that failed may have kept anything, and what it did not keep no later sync will. ENOSPC: the disk is full from here
 * on. DISK_NO_FAULT takes it back. rng is borrowed until then. */
void disk_fail_at(unsigned long k, enum disk_fault fault, struct rng *rng);
/* "write", "sync", "truncate" or "delete": what failed; NULL as long as nothing did. */
const char *disk_failed_op(void);
/* Writes, syncs, truncates and deletes since disk_wipe; not those that the missing power refused. */
unsigned long disk_ops(void);
/* What the k-th of them was; 1 is the first. */
const char *disk_op(unsigned long k);

#endif
