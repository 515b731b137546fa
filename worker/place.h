/* place.h - where handlers run: the working directory and the umask, which one may change, and the next one must not find changed. */
#ifndef TERN_PLACE_H
#define TERN_PLACE_H

#include "proto/base/base.h"

/* Before any handler runs in this process: how it is now. Said again, nothing happens. */
void place_note(void);
/* From here on these are the calling thread's own, and no longer those of the worker. False: the system does not let them be. */
bool place_take_own(void);
/* As it was noted. Where that directory is gone, the last one stays. */
void place_restore(void);

#endif
