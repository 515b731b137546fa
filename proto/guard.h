/* guard.h - bounds what libzmq does not: connections, the parts of a message, and the bytes that wait to be taken. */
#ifndef TERN_GUARD_H
#define TERN_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, for every connection that this process accepts. For a process that listens, and connects nowhere itself. Before
 * socket_listen. */
void guard_start(void);

/* The program has taken a message of n bytes from libzmq (in_box: it came by CURVE); and: there is none left. (Some are lost
 * with their connections, which nobody tells of: only the second sets things right.) */
void guard_heard(size_t n, bool in_box);
void guard_heard_all(void);

#endif
