/* disk.h - a disk that can be full: a VFS of SQLite's in front of the real one. */
#ifndef TERN_SIM_DISK_H
#define TERN_SIM_DISK_H

#include <stdbool.h>

#define DISK_VFS "sim"

/* Registers the VFS under DISK_VFS. */
void disk_init(void);
/* From now on every write that makes a file larger, or to a log, fails with "disk full" (or no more). */
void disk_set_full(bool full);
/* How many writes were refused so far. */
unsigned long disk_refused(void);

#endif
