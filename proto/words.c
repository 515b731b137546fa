/* words.c - names of numbers and numbers of names, from the lists in words.h. */
#include "proto/words.h"

#define NAME(id, number, name)                                                                     \
    case number:                                                                                   \
        return name;
#define NUMBER(id, number, name)                                                                   \
    if (str_is(s, name))                                                                           \
        return number;

#define DEFINE_NAME(function, LIST)                                                                \
    const char *function(int64_t n)                                                                \
    {                                                                                              \
        switch (n) {                                                                               \
            LIST(NAME)                                                                             \
        default:                                                                                   \
            return "?";                                                                            \
        }                                                                                          \
    }
#define DEFINE_PARSE(function, LIST)                                                               \
    int function(struct str s)                                                                     \
    {                                                                                              \
        LIST(NUMBER)                                                                               \
        return -EINVAL;                                                                            \
    }

DEFINE_NAME(tag_name, TAGS)
DEFINE_NAME(pool_name, POOLS)
DEFINE_NAME(chosen_by_name, CHOOSERS)
DEFINE_NAME(state_name, STATES)
DEFINE_NAME(reason_name, REASONS)
DEFINE_NAME(ending_name, ENDINGS)
DEFINE_NAME(code_name, ERROR_CODES)
DEFINE_PARSE(tag_parse, TAGS)
DEFINE_PARSE(pool_parse, POOLS)
DEFINE_PARSE(state_parse, STATES)
