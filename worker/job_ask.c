/* job_ask.c - what a handler asks of the broker: carried by its pool to the link, and the answer back. */
#include "worker/job_ask.h"

#include <stdarg.h>
#include <stdio.h>

#include "worker/job_text.h"

int job_in_vain(struct tern_job *j, int r, const char *format, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    va_end(ap);
    if (text)
        job_text_clean(text, LIMIT_TEXT_BYTES);
    free(j->ask_error);
    j->ask_error = text;
    j->ask_errno = r;
    return r;
}

int job_refused(struct tern_job *j, uint64_t code, struct str text)
{
    int r = code == CODE_BUSY ? -EBUSY : code == CODE_USAGE ? -EINVAL : -EPERM;
    return job_in_vain(j, r, "%.*s", (int)min_size(text.n, LIMIT_TEXT_BYTES), text.p ? text.p : "refused");
}

int job_ask(struct tern_job *j, const struct message *m, struct message *ret, struct buf *ret_bytes)
{
    struct buf request;
    const char *why;
    if (!j->ask)
        return job_in_vain(j, -EOPNOTSUPP, "here nobody can ask the broker");
    if (tern_should_stop(j))
        return -ECANCELED;
    buf_init(&request, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&request, m);
    if (r < 0) {
        buf_fini(&request);
        return job_in_vain(j, r, "what is asked may have %u bytes together", LIMIT_MESSAGE_BYTES);
    }
    buf_init(ret_bytes, LIMIT_MESSAGE_BYTES);
    r = j->ask(j, &request, ret_bytes);
    if (r >= 0 && message_decode(ret, ret_bytes->p, ret_bytes->n, &why) < 0)
        r = -EBADMSG;
    if (r < 0)
        buf_fini(ret_bytes);
    return r;
}
