/* handler_echo.c - `echo`: the payload is the result. */
#include "worker/handlers.h"

static int echo(struct tern_job *job)
{
    size_t n;
    const void *bytes = tern_payload(job, &n);
    if (tern_result(job, bytes, n) < 0)
        return tern_fail_for_good(job, "a payload of %zu bytes is larger than a result may be", n);
    return 0;
}

const struct tern_handler handler_echo = {
    .name = "echo",
    .description = "gives its payload back",
    .blocking = echo,
    .tag = TERN_TAG_IO,
    .retries = 3,
};
