/* addresses.h - several addresses in one text: `ADDRESS, ADDRESS`. */
#ifndef TERN_ADDRESSES_H
#define TERN_ADDRESSES_H

#include "proto/base/base.h"

/* The first address of *text, without the spaces around its comma; *text becomes what follows it, NULL behind the last one. Only a
 * comma before another ipc:// or tcp:// parts two: the path of a socket may hold one. */
struct str addresses_next(const char **text);
bool addresses_are_several(const char *text);

#endif
