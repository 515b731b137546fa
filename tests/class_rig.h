/* class_rig.h - classes on a store that is an array. */
#ifndef TERN_TESTS_CLASS_RIG_H
#define TERN_TESTS_CLASS_RIG_H

#include "broker/class.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MOST 4000

struct store {
    struct head waiting[MOST]; /* sorted, the best first */
    size_t n;
    uint32_t n_classes;
    const struct class_row *rows; /* what was there at the start */
    size_t n_rows;
    const char *paused;
    int fails; /* if < 0: every verb */
    size_t reads;
};

bool is_waiting(const struct store *s, struct head h);
void put_waiting(struct store *s, struct head h);
void take_waiting(struct store *s, struct head h);
struct class_key key_of(const char *queue, const char *handler, const char *program);
struct class *intern(struct classes *c, struct store *s, struct class_key k);
int set_up(void **state);
int tear_down(void **state);

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
