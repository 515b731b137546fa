/* loop_http.h - tern_await_http: a request that an async handler awaits. On the loop's thread. */
#ifndef TERN_LOOP_HTTP_H
#define TERN_LOOP_HTTP_H

#include "worker/handler.h"

/* reply: all zero. */
int loop_await_http(struct tern_job *j, const struct tern_http *h, struct tern_reply *reply);

#endif
