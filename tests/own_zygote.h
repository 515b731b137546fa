/* own_zygote.h - a zygote for tests, which is the test's own program. */
#ifndef TERN_TESTS_OWN_ZYGOTE_H
#define TERN_TESTS_OWN_ZYGOTE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/handler.h"
#include "worker/zygote.h"

extern struct zygote *zygote; /* one for all tests: started before any thread */

/* These, and exec, are what there is to run, in the zygote too. They stay borrowed. */
void own_zygote_handlers(const struct tern_handler *handlers, size_t n);
/* The payload of an `exec` in which sh runs this; owned by the caller. */
struct buf own_zygote_script(const char *script);
/* The end of such a test's main, once there are handlers: it is the zygote's main too. A word after the program's name chooses the
 * cases. */
int own_zygote_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests);

/* A case in each pool; its state is the kind. */
#define IN_POOL(f, name, kind) { name ": " #f, f, NULL, NULL, &(enum pool_kind){ kind } }
#define IN_EACH_POOL(f) IN_POOL(f, "process", POOL_PROCESS), IN_POOL(f, "thread", POOL_THREAD), IN_POOL(f, "loop", POOL_LOOP)

#endif
