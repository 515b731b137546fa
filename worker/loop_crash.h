/* loop_crash.h - a handler that crashes on the loop takes the worker with it: before that, it is named. */
#ifndef TERN_LOOP_CRASH_H
#define TERN_LOOP_CRASH_H

struct looper;

/* On the loop's thread, before it runs anything: from then on a crash there says on standard error which job of which
 * handler it was, and whether its stack has overflowed; then the worker dies of it as it would have. */
void loop_crash_open(const struct looper *l);
void loop_crash_close(void);

#endif
