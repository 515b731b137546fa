/* utf8.h - which bytes are text (Unicode 15, table 3-7). */
#ifndef TERN_UTF8_H
#define TERN_UTF8_H

#include "proto/base/base.h"

/* Length of the well-formed sequence at p, of n > 0 bytes; 0 where there is none. */
size_t utf8_sequence(const unsigned char *p, size_t n);
/* Well-formed, and without NUL. */
bool utf8_is_text(struct str s);

#endif
