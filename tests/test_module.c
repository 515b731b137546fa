/* test_module.c - what a module may declare, and what it is refused for. */
#include "worker/module.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/handlers.h"

static int work(struct tern_job *job) { return tern_result(job, "", 0); }

static const struct tern_handler handlers[] = {
    { .name = "a", .blocking = work, .tag = TERN_TAG_CPU, .retries = 3, .timeout_ms = 1000 },
    { .name = "b", .async = work },
};
static const struct tern_function functions[] = { { "f", work }, { "g", work } };
TERN_MODULE_WITH(handlers, functions);

static void what_the_macro_makes_is_taken(void **state)
{
    (void)state;
    struct module *m;
    char *error = NULL;
    assert_int_equal(module_new(&m, "m.so", &tern_module, &error), 0);
    assert_int_equal(m->n_handlers, 2);
    assert_ptr_equal(module_find(m, str_of("b"))->async, work);
    assert_null(module_find(m, str_of("c")));
    assert_ptr_equal(module_find_function(m, str_of("g"))->call, work);
    assert_null(module_find_function(m, str_of("a")));
    module_free(m);
}

static void refused(const struct tern_module *t, const char *why)
{
    struct module *m = NULL;
    char *error = NULL;
    assert_int_equal(module_new(&m, "m.so", t, &error), -EINVAL);
    assert_null(m);
    if (!strstr(error, why))
        fail_msg("\"%s\" does not say \"%s\"", error, why);
    free(error);
}

static struct tern_module with(const struct tern_handler *h, uint32_t n)
{
    struct tern_module t = tern_module;
    t.handlers = h;
    t.n_handlers = n;
    return t;
}

static void each_mistake_is_named(void **state)
{
    (void)state;
    struct tern_module t = tern_module;
    t.abi = 7;
    refused(&t, "ABI 7");
    t = tern_module;
    t.handler_bytes += 8;
    refused(&t, "newer tern/handler.h");
    t.handler_bytes = 8;
    refused(&t, "TERN_MODULE");
    t = with(handlers, 0);
    refused(&t, "no handler");
    t = with(handlers, 100000);
    refused(&t, "100000 handlers");
    static const struct {
        struct tern_handler h[2];
        const char *why;
    } bad[] = {
        { { { .name = "a", .blocking = work }, { .name = "a", .async = work } }, "the handler a twice" },
        { { { .name = "a", .blocking = work }, { .blocking = work } }, "no name" },
        { { { .name = "a", .blocking = work }, { .name = "", .blocking = work } }, "must not be empty" },
        { { { .name = "a", .blocking = work }, { .name = "a/b", .blocking = work } }, "byte 2 is 0x2f" },
        { { { .name = "a", .blocking = work }, { .name = "b" } }, "b has no form" },
        { { { .name = "a", .blocking = work, .tag = (enum tern_tag)9 }, { .name = "b" } }, "a has a tag" },
        { { { .name = "a", .blocking = work, .retries = -1 }, { .name = "b" } }, "a declares retries" },
        { { { .name = "a", .blocking = work, .timeout_ms = -1 }, { .name = "b" } }, "a declares a time limit" },
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        t = with(bad[i].h, 2);
        refused(&t, bad[i].why);
    }
    static const struct tern_function twice[] = { { "f", work }, { "f", work } }, null[] = { { "f", NULL } };
    t = tern_module;
    t.functions = twice;
    refused(&t, "the function f twice");
    t.functions = null;
    t.n_functions = 1;
    refused(&t, "f is NULL");
}

/* As a module that was compiled when struct tern_handler ended before its last fields. */
static void an_older_header_lacks_what_it_did_not_know(void **state)
{
    (void)state;
    enum { OLD = offsetof(struct tern_handler, timeout_ms) };
    char table[2 * OLD];
    memcpy(table, &handlers[0], OLD);
    memcpy(table + OLD, &handlers[1], OLD);
    struct tern_module t = tern_module;
    t.handlers = (const void *)table;
    t.handler_bytes = OLD;
    struct module *m;
    char *error = NULL;
    assert_int_equal(module_new(&m, "m.so", &t, &error), 0);
    assert_string_equal(module_find(m, str_of("b"))->name, "b");
    assert_int_equal(module_find(m, str_of("a"))->retries, 3);
    assert_int_equal(module_find(m, str_of("a"))->timeout_ms, 0);
    module_free(m);
}

static void its_handlers_stand_beside_the_built_in_ones(void **state)
{
    (void)state;
    struct module *m, *again, *echo;
    char *error = NULL;
    assert_int_equal(handlers_init(NULL, true, &error), 0);
    assert_int_equal(module_new(&m, "m.so", &tern_module, &error), 0);
    assert_int_equal(handlers_add_module(m, &error), 0);
    assert_ptr_equal(handlers_find(str_of("a"))->blocking, work);
    assert_ptr_equal(handlers_find_function(str_of("b"), str_of("f"))->call, work);
    assert_null(handlers_find_function(str_of("b"), str_of("a")));
    assert_null(handlers_find_function(str_of("echo"), str_of("f")));
    assert_int_equal(module_new(&again, "n.so", &tern_module, &error), 0);
    assert_int_equal(handlers_add_module(again, &error), -EEXIST);
    assert_string_equal(error, "its handler a is that of the module m.so");
    free(error);
    static const struct tern_handler mine[] = { { .name = "z", .blocking = work }, { .name = "echo", .blocking = work } };
    struct tern_module t = with(mine, 2);
    assert_int_equal(module_new(&echo, "e.so", &t, &error), 0);
    assert_int_equal(handlers_add_module(echo, &error), -EEXIST);
    assert_string_equal(error, "its handler echo has the name of one that is built in");
    free(error);
    assert_null(handlers_find(str_of("z")));
    assert_int_equal(handlers_init(NULL, true, &error), 0);
    module_free(m);
    module_free(again);
    module_free(echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_macro_makes_is_taken),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(an_older_header_lacks_what_it_did_not_know),
        cmocka_unit_test(its_handlers_stand_beside_the_built_in_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
