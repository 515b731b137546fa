/* loop_curl.h - transfers of libcurl on the loop: curl_multi driven by libuv, on the loop's thread.
 * */
#ifndef TERN_LOOP_CURL_H
#define TERN_LOOP_CURL_H

#include "worker/handler.h"

#include <curl/curl.h>

struct looper;
struct loop_curl;

/* Before the loop begins: the first transfer would have everybody wait for it. Safe to repeat. */
void loop_curl_prepare(void);
/* Awaits a transfer. 0 and how it ended in *ret; -ECANCELED: the job should stop, the transfer was
 * given up. easy stays the caller's; its options SOCKOPTFUNCTION, PREREQFUNCTION and PRIVATE are
 * taken here. */
int loop_await_curl(struct tern_job *j, CURL *easy, CURLcode *ret);

/* Once no job is left; its handles are closed by the loop, then it is gone. NULL is fine. */
void loop_curl_close(struct loop_curl *c);

#endif
