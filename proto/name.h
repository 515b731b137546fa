/* name.h - names of queues, handlers and workers: 1 to 128 bytes of [A-Za-z0-9._:-]. */
#ifndef TERN_NAME_H
#define TERN_NAME_H

#include "proto/base/base.h"

/* NULL when good; else what is wrong, the first bad byte named, in a static buffer of this thread. what: "queue", "handler"... */
const char *name_check(struct str name, const char *what);

#endif
