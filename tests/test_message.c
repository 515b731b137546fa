/* test_message.c - every message and every record, from the very lists that make them: what goes out comes in again. */
#include "tests/message_rig.h"

/* ---- there and back -------------------------------------------------------------------------- */

static void assert_comes_back(const struct message *m)
{
    struct message got;
    const char *why = NULL;
    struct buf b = encoded(m);
    assert_int_equal(message_decode(&got, b.p, b.n, &why), 0);
    assert_true(got.epoch == m->epoch && got.session == m->session);
    assert_same_message(m, &got, SIZE_MAX);
    message_fini(&got);
    buf_fini(&b);
}

static void every_message_comes_back_as_it_went(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types) * ROUNDS; i++) {
        struct message m;
        fill_message(&m, types[i % ELEMENTS(types)]);
        assert_comes_back(&m);
        free_made();
    }
}

static void every_record_comes_back_as_it_went(void **state)
{
    (void)state;
    for (int i = 0; i < N_RECORDS * ROUNDS; i++) {
        enum record_kind kind = (enum record_kind)(i % N_RECORDS);
        union any_record r, got;
        void *arena = NULL;
        struct buf b;
        buf_init(&b, LIMIT_MESSAGE_BYTES);
        fill_record(kind, &r);
        assert_int_equal(record_encode(&b, kind, &r), 0);
        assert_int_equal(record_decode(kind, &got, b.p, b.n, &arena), 0);
        assert_same_record(kind, &r, &got, SIZE_MAX);
        record_free_arena(arena);
        buf_fini(&b);
        free_made();
    }
}

static void an_empty_message_comes_back_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m;
        message_init(&m, types[i]);
        assert_comes_back(&m);
    }
}

static void empty_text_is_not_taken_for_text_that_is_not_given(void **state)
{
    (void)state;
    struct message m;
    message_init(&m, MSG_BYE);
    m.bye.text = str_of("");
    assert_comes_back(&m);
}

static void a_shorter_array_leaves_the_rest_not_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m, got;
        const char *why = NULL;
        const enum kind *kinds;
        fill_message(&m, types[i]);
        struct buf b = encoded(&m);
        for (size_t given = 0; given <= kinds_of(types[i], &kinds); given++) {
            msgpack_sbuffer s = repack(buf_str(&b), 3 + given, 0);
            assert_int_equal(message_decode(&got, s.data, s.size, &why), 0);
            assert_same_message(&m, &got, given);
            message_fini(&got);
            msgpack_sbuffer_destroy(&s);
        }
        buf_fini(&b);
        free_made();
    }
}

static void elements_behind_the_last_known_field_are_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m, got;
        const char *why = NULL;
        const enum kind *kinds;
        fill_message(&m, types[i]);
        struct buf b = encoded(&m);
        msgpack_sbuffer s =
            repack(buf_str(&b), 3 + kinds_of(types[i], &kinds), 1 + rng_below(&rng, 20));
        assert_int_equal(message_decode(&got, s.data, s.size, &why), 0);
        assert_same_message(&m, &got, SIZE_MAX);
        message_fini(&got);
        msgpack_sbuffer_destroy(&s);
        buf_fini(&b);
        free_made();
    }
}

static void records_may_be_shorter_and_longer_too(void **state)
{
    (void)state;
    for (int i = 0; i < N_RECORDS; i++) {
        enum record_kind kind = (enum record_kind)i;
        union any_record r, got;
        const enum kind *kinds;
        struct buf b;
        buf_init(&b, LIMIT_MESSAGE_BYTES);
        fill_record(kind, &r);
        assert_int_equal(record_encode(&b, kind, &r), 0);
        size_t n = kinds_of_record(kind, &kinds);
        for (size_t given = 0; given <= n; given++) {
            void *arena = NULL;
            msgpack_sbuffer s = repack(buf_str(&b), given, given == n ? 3 : 0);
            assert_int_equal(record_decode(kind, &got, s.data, s.size, &arena), 0);
            assert_same_record(kind, &r, &got, given);
            record_free_arena(arena);
            msgpack_sbuffer_destroy(&s);
        }
        buf_fini(&b);
        free_made();
    }
}

static void each_message_has_its_own_name_and_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        assert_in_range(types[i], 1, MESSAGE_TYPES - 1);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(types[i], types[k]);
            assert_string_not_equal(message_name(types[i]), message_name(types[k]));
        }
    }
    assert_string_equal(message_name(MSG_HELLO_AGAIN), "HELLO_AGAIN");
    assert_string_equal(message_name((enum message_type)63), "?");
}

/* ---- a ceiling ------------------------------------------------------------------------------- */

static void a_message_over_the_ceiling_leaves_the_buffer_unchanged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m;
        fill_message(&m, types[i]);
        struct buf full = encoded(&m), b;
        for (size_t room = 0; room <= full.n; room++) {
            buf_init(&b, 3 + room);
            assert_int_equal(buf_add(&b, "abc", 3), 0);
            assert_int_equal(message_encode(&b, &m), room < full.n ? -EMSGSIZE : 0);
            assert_int_equal(b.n, room < full.n ? 3 : 3 + full.n);
            assert_memory_equal(b.p, "abc", 3);
            buf_fini(&b);
        }
        buf_fini(&full);
        free_made();
    }
}

static void a_record_over_the_ceiling_leaves_the_buffer_unchanged(void **state)
{
    (void)state;
    struct str argv[] = { str_of("echo"), str_of("hello") };
    struct command c;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = 2;
    for (size_t room = 0; room <= 16; room++) {
        struct buf b;
        buf_init(&b, 3 + room);
        assert_int_equal(buf_add(&b, "abc", 3), 0);
        assert_int_equal(record_encode(&b, RECORD_command, &c), room < 16 ? -EMSGSIZE : 0);
        assert_int_equal(b.n, room < 16 ? 3 : 3 + 16);
        buf_fini(&b);
    }
}

static void a_message_is_added_behind_what_the_buffer_holds(void **state)
{
    (void)state;
    struct message m, got;
    const char *why = NULL;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    message_init(&m, MSG_OK);
    m.ok.req = 77;
    assert_int_equal(message_encode(&b, &m), 0);
    size_t first = b.n;
    assert_int_equal(message_encode(&b, &m), 0);
    assert_int_equal(b.n, 2 * first);
    assert_int_equal(message_decode(&got, b.p + first, first, &why), 0);
    assert_int_equal(got.ok.req, 77);
    message_fini(&got);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(every_record_comes_back_as_it_went),
        cmocka_unit_test(an_empty_message_comes_back_empty),
        cmocka_unit_test(empty_text_is_not_taken_for_text_that_is_not_given),
        cmocka_unit_test(a_shorter_array_leaves_the_rest_not_given),
        cmocka_unit_test(elements_behind_the_last_known_field_are_ignored),
        cmocka_unit_test(records_may_be_shorter_and_longer_too),
        cmocka_unit_test(each_message_has_its_own_name_and_number),
        cmocka_unit_test(a_message_over_the_ceiling_leaves_the_buffer_unchanged),
        cmocka_unit_test(a_record_over_the_ceiling_leaves_the_buffer_unchanged),
        cmocka_unit_test(a_message_is_added_behind_what_the_buffer_holds),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
