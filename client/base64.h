/* base64.h - RFC 4648, section 4, with padding. */
#ifndef TERN_BASE64_H
#define TERN_BASE64_H

#include "proto/base/buf.h"

/* Owned by the caller. */
char *base64_encode(struct str bytes);
/* Appends the bytes. -EINVAL where the text is no base64; -EMSGSIZE past out's ceiling. */
int base64_decode(struct str text, struct buf *out);

#endif
