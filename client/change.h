/* change.h - what cancel, retry and rm share: a selector, a request, and what became of it. */
#ifndef TERN_CHANGE_H
#define TERN_CHANGE_H

#include "client/cli.h"

typedef int change_fn(struct tern_client *c, const struct tern_range *ranges, size_t n,
                      tern_refusal_fn *refused, void *context, struct tern_changed *ret);

/* skipped: what the jobs of a wider range are that it does not concern: "had finished already". */
int change_jobs(struct cli *cli, int n, char **args, change_fn *change, const char *skipped);

#endif
