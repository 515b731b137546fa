/* guard_box.h - what guard.c does for bytes, done for what CURVE hides from it. */
#ifndef TERN_GUARD_BOX_H
#define TERN_GUARD_BOX_H

#include <stdbool.h>
#include <stddef.h>

#define GUARD_BOX_BYTES 33 /* that a message grows by in its box */

/* From guard_start. */
void guard_box_start(void);
/* Is there a connection's name, of one byte or more, among the properties of a handshake? */
bool guard_names_itself(const void *bytes, size_t n);

#endif
