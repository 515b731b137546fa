/* libtern_run.c - one job, from its submit to its result, in one question. The broker begins the wait with the submit, and WAITED
 * brings a small result along; where it does not, the job is waited for and fetched like any other. */
#include "client/libtern.h"

static void told(uint64_t id, const struct msg_waited *w, struct tern_result *ret)
{
    *ret = (struct tern_result){
        .job = id,
        .state = state_name(STATE_DONE),
        .attempt = w->attempt,
        .exit_code = w->exit_code,
        .signal = UNSET,
        .data = bytes_copy(w->data),
        .data_bytes = w->data.n,
    };
}

static int fetch(struct tern_client *c, uint64_t id, uint64_t what, struct tern_result *ret)
{
    return what == WHAT_OUTPUT ? tern_client_fetch_output(c, id, 0, ret) : tern_client_fetch_result(c, id, ret);
}

/* Should the session end meanwhile, the next one hears of the wait by itself. */
static int await(struct tern_client *c, struct request *wait, uint64_t id, uint64_t what, struct tern_result *ret)
{
    struct range range = { id, id };
    struct message m;
    message_init(&m, MSG_WAIT);
    m.wait.ranges = &range;
    m.wait.n_ranges = 1;
    int r = request_release(c, wait, &m, c->end.begun_in);
    if (r >= 0)
        r = request_await(c, wait, &m, MSG_WAITED, INT64_MAX);
    if (r < 0 && !wait->done)
        wait_give_up(c, wait->req);
    if (r < 0 || !wait->answer.waited.attempt)
        return r < 0 ? r : fetch(c, id, what, ret);
    told(id, &wait->answer.waited, ret);
    return 0;
}

/* An interrupt waits until it is known which job there is. */
static int submit(struct tern_client *c, const struct tern_job_spec *spec, uint64_t *ret_id)
{
    int interrupt_fd = c->interrupt_fd;
    c->interrupt_fd = -1;
    int r = tern_client_submit(c, spec, 1, ret_id);
    c->interrupt_fd = interrupt_fd;
    return r;
}

int tern_client_run(struct tern_client *c, const struct tern_job_spec *spec, bool output, uint64_t *ret_id,
                    struct tern_result *ret)
{
    struct request wait;
    uint64_t what = output ? WHAT_OUTPUT : WHAT_RESULT;
    *ret_id = 0;
    int r = client_begin(c);
    if (r < 0)
        return r;
    request_hold(c, &wait);
    c->end.wait = wait.req;
    c->end.what = what;
    c->end.begun_in = 0;
    r = submit(c, spec, ret_id);
    c->end.wait = 0;
    if (r >= 0)
        r = await(c, &wait, *ret_id, what, ret);
    request_fini(&wait);
    return r;
}
