/* selector.h - which jobs a person means: `7`, `5-9`, `5,7,12-20`, `last`, `all`; of several brokers `2:7`, `2:5,7-9`, `2:last`,
 * `2:all`. */
#ifndef TERN_SELECTOR_H
#define TERN_SELECTOR_H

#include "client/tern.h"
#include "proto/base/base.h"

struct selector {
    struct tern_range *ranges; /* owned; a job named alone has first == last */
    size_t n, cap;
    bool last; /* this user's newest there was asked for too: the caller adds it */
};

/* The jobs of each broker. */
struct selection {
    struct selector *of; /* owned: one for each broker */
    size_t n;
    bool last; /* the newest of all brokers was asked for: the caller adds it */
    bool all;  /* all jobs of all brokers were */
};

void selection_init(struct selection *s, size_t n_brokers);
void selection_fini(struct selection *s);
/* How many brokers it concerns. */
size_t selection_brokers(const struct selection *s);
/* One word of the command line. -EINVAL with a text in *ret_error, owned by the caller. */
int selection_add(struct selection *s, const char *text, char **ret_error);
void selector_add_range(struct selector *s, uint64_t first, uint64_t last);
/* So many ranges as one request may have: beyond, neighbours are merged. -E2BIG when that is not
 * enough. */
int selector_compact(struct selector *s);
bool selector_is_one_job(const struct selector *s);
void selector_fini(struct selector *s);

#endif
