/* own_zygote.c - a zygote for tests, which is the test's own program. */
#include "tests/own_zygote.h"

#include "worker/handlers.h"

struct zygote *zygote;

void own_zygote_handlers(const struct tern_handler *handlers, size_t n)
{
    static const struct tern_handler *all[64];
    char *error = NULL;
    assert(n + 2 <= ELEMENTS(all));
    for (size_t i = 0; i < n; i++)
        all[i] = &handlers[i];
    all[n] = &handler_exec;
    if (handlers_init_from(all, NULL, true, &error) < 0)
        abort();
}

struct buf own_zygote_script(const char *script)
{
    struct str argv[] = { str_of("sh"), str_of("-c"), str_of(script) };
    struct command c;
    struct buf b;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = ELEMENTS(argv);
    buf_init(&b, LIMIT_PAYLOAD_BYTES);
    assert_int_equal(record_encode(&b, RECORD_command, &c), 0);
    return b;
}

int own_zygote_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests)
{
    if (argc > 1 && strcmp(argv[1], "--zygote") == 0)
        return zygote_main();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    if (zygote_start(&zygote, NULL) < 0)
        abort();
    int failed = _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
    zygote_stop(zygote);
    return failed;
}
