/* service.h - what the service manager hears of a daemon (sd_notify(3)): ready, status, watchdog, reload, stop. Where there is
 * none, nothing happens.
 *
 * The watchdog is fed only with what has been proved since it was fed before: the owner's loop calls service_tick in every turn, which
 * is the proof of that loop, and says whether all other parts have answered since they were last asked. */
#ifndef TERN_SERVICE_H
#define TERN_SERVICE_H

#include "proto/base/clock.h"

struct service {
    int64_t watchdog_ms;  /* what it allows; 0: there is none */
    int64_t feed_at_ms;   /* monotonic, as all times here */
    int64_t status_at_ms;
    char *status;         /* owned: as last told */
};

/* What the daemon's own parts are asked. ask: each is to answer as soon as it can. answered: all have, since. */
struct service_parts {
    void *ctx;
    void (*ask)(void *ctx);
    bool (*answered)(void *ctx);
};

void service_init(struct service *s);
void service_fini(struct service *s);
/* True when a new text is wanted: it costs something to make. */
bool service_wants_status(struct service *s, struct now now);
void service_set_status(struct service *s, const char *text);
/* Feeds the watchdog if it is time and all have answered. Returns when to come back, or NEVER. */
int64_t service_tick(struct service *s, const struct service_parts *parts, struct now now);

void service_say_ready(void);
/* Around a reload. */
void service_say_reloading(void);
void service_say_stopping(void);
/* While it stops: it may need so much longer. */
void service_extend_timeout(int64_t ms);

#endif
