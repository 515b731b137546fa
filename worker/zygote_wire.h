/* zygote_wire.h - what worker and zygote say to each other, one packet a message, between two halves of one program:
 * plain structs. Descriptor 3 of the zygote is its end. */
#ifndef TERN_ZYGOTE_WIRE_H
#define TERN_ZYGOTE_WIRE_H

#include "proto/base/base.h"

#define ZYGOTE_FD 3

enum zygote_verb {
    ZYGOTE_BEGIN,  /* first of all; value: the soft limit of descriptors that commands get */
    ZYGOTE_FORK,   /* value: capacity, and the other parts of its role; its data socket comes with the packet */
    ZYGOTE_SIGNAL, /* value: the signal */
    ZYGOTE_KILL,
    ZYGOTE_LIMIT,  /* value: bytes */
    ZYGOTE_PING,
};

struct zygote_request {
    uint64_t verb, child;
    int64_t value;
    int64_t runner, pool; /* FORK: as in struct child_role */
};

enum zygote_news { ZYGOTE_FORKED, ZYGOTE_NOT_FORKED, ZYGOTE_ENDED, ZYGOTE_PONG };

struct zygote_report {
    uint64_t news, child;
    int64_t pid, status; /* NOT_FORKED: status is the errno */
    int64_t memory_limit, strays;
    int64_t cpu_us, max_rss_kb, peak_bytes;
};

#endif
