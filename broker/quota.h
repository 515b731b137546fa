/* quota.h - what all that hold one key share: how many of them may be here, and how fast they may submit. */
#ifndef TERN_QUOTA_H
#define TERN_QUOTA_H

#include "broker/grant.h"
#include "proto/base/clock.h"
#include "proto/base/map.h"
#include "proto/message.h"

struct quota {
    size_t sessions;      /* that are here now */
    double jobs, bytes;   /* that may be submitted now: buckets that fill up as time goes by */
    int64_t filled_mono_ms;
};

/* Found, or made with full buckets; by_owner has them all, few more than there are keys. */
struct quota *quota_of(struct strmap *by_owner, const char *owner, const struct grant *g, struct now now);
void quotas_fini(struct strmap *by_owner);

/* One more session; -EBUSY past the limit. NULL: a peer without a key, who is not counted. */
int quota_enter(struct quota *q, const struct grant *g);
void quota_leave(struct quota *q);

/* Takes a submit of so many jobs and bytes off the buckets. NULL, or why it must wait; owned by the caller. One that is larger than
 * a bucket goes through when that is full. */
char *quota_take(struct quota *q, const struct grant *g, const struct msg_submit *m, struct now now);

#endif
