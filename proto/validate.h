/* validate.h - a walk over hostile msgpack before any library sees it. */
#ifndef TERN_VALIDATE_H
#define TERN_VALIDATE_H

#include "proto/base/base.h"

/* True when the n bytes are exactly one msgpack object, nested at most LIMIT_MESSAGE_DEPTH deep, of at most
 * LIMIT_MESSAGE_OBJECTS objects, every declared length and count fitting into the bytes that are left. Allocates
 * nothing, reads each byte at most once. Otherwise false, with a static text in *ret_why. */
bool msgpack_is_sane(const void *bytes, size_t n, const char **ret_why);

#endif
