/* guard.h - what libzmq's listeners leave unbounded: how many connections there are, and how many parts a message has. */
#ifndef TERN_GUARD_H
#define TERN_GUARD_H

/* From now on, for every connection that this process accepts. For a process that listens, and connects nowhere itself. Before
 * socket_listen. */
void guard_start(void);

#endif
