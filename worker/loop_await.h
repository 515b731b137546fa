/* loop_await.h - what a coroutine can wait for: a time, a descriptor. The async half of handler.h;
 * on the loop's thread. */
#ifndef TERN_LOOP_AWAIT_H
#define TERN_LOOP_AWAIT_H

#include "worker/handler.h"

int loop_await_ms(struct tern_job *j, int64_t ms);
int loop_await_fd(struct tern_job *j, int fd, int events);

#endif
