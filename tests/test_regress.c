/* test_regress.c - what once broke the broker, found by attacking it. */
#include "tests/broker_harness.h"

#define MANY LIMIT_HANDLERS
#define NAME_MAX_BYTES (LIMIT_NAME_BYTES + 1)

/* HELLO of a worker that declares as many names as it may, each as long as it may be. */
static struct conn greet_with_names(struct bench *t, const char *id, size_t name_bytes)
{
    struct conn c = bench_conn(id, OWN_UID);
    memcpy(c.instance, id, ROUTING_ID_BYTES);
    cleanup(freep) char *names = xcalloc(MANY, NAME_MAX_BYTES + 1);
    cleanup(freep) struct handler_info *handlers = xcalloc(MANY, sizeof *handlers);
    cleanup(freep) struct str *queues = xcalloc(MANY, sizeof *queues);
    for (size_t i = 0; i < MANY; i++) {
        char *name = names + i * (NAME_MAX_BYTES + 1);
        snprintf(name, NAME_MAX_BYTES + 1, "%0*zu", (int)name_bytes, i);
        queues[i] = str_of(name);
        handlers[i] = (struct handler_info){ .name = { name, min_size(name_bytes, LIMIT_NAME_BYTES) },
                                             .forms = FORM_BLOCKING };
    }
    struct message m = bench_hello(&c, "worker");
    m.hello.name = str_of(id);
    m.hello.handlers = handlers;
    m.hello.queues = queues;
    m.hello.n_handlers = m.hello.n_queues = MANY;
    m.hello.count = 1;
    bench_tell(t, &c, &m);
    return c;
}

/* 100 workers with 2,000 names of 128 bytes are more than one message holds. */
static void a_list_of_workers_that_declare_too_much_is_cut_and_does_not_end_the_broker(void **state)
{
    struct bench *t = *state;
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "w-%03d", i);
        struct conn w = greet_with_names(t, id, LIMIT_NAME_BYTES);
        bench_welcome(t, &w);
    }
    struct conn c = bench_client(t, "cli-1", 1000);
    struct message m;
    message_init(&m, MSG_WORKERS);
    m.workers.req = ++c.req;
    bench_tell(t, &c, &m);
    bench_turn(t);
    const struct message *list = bench_expect(t, &c, MSG_WORKER_LIST);
    assert_int_equal(list->worker_list.n_workers, 100);
    size_t whole = 0;
    for (size_t i = 0; i < 100; i++)
        whole += list->worker_list.workers[i].n_handlers == MANY;
    assert_in_range(whole, 1, 99);
}

static void a_worker_whose_queues_have_names_that_cannot_be_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn w = greet_with_names(t, "w-000", NAME_MAX_BYTES);
    bench_turn(t);
    bench_expect_error(t, &w, CODE_PROTOCOL, "queue's name");
}

static void more_notices_than_are_kept_are_left_out(void **state)
{
    struct bench *t = *state;
    struct conn w = bench_conn("w-000", OWN_UID), c;
    cleanup(freep) char *text = xcalloc(LIMIT_TEXT_BYTES + 100, 1);
    struct str notices[LIMIT_NOTICES + 5];
    memset(text, 'x', LIMIT_TEXT_BYTES + 99);
    for (size_t i = 0; i < ELEMENTS(notices); i++)
        notices[i] = str_of(text);
    struct message m = bench_hello(&w, "worker");
    m.hello.name = str_of("w-000");
    m.hello.notices = notices;
    m.hello.n_notices = ELEMENTS(notices);
    m.hello.count = 1;
    bench_tell(t, &w, &m);
    bench_welcome(t, &w);
    c = bench_client(t, "cli-1", 1000);
    message_init(&m, MSG_WORKERS);
    m.workers.req = ++c.req;
    bench_tell(t, &c, &m);
    bench_turn(t);
    const struct worker_view *v = bench_expect(t, &c, MSG_WORKER_LIST)->worker_list.workers;
    assert_int_equal(v->n_notices, LIMIT_NOTICES);
    assert_int_equal(v->notices[0].n, LIMIT_TEXT_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_list_of_workers_that_declare_too_much_is_cut_and_does_not_end_the_broker),
        bench_test(more_notices_than_are_kept_are_left_out),
        bench_test(a_worker_whose_queues_have_names_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
