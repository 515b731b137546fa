/* service.c - words to the service manager, in the order and with the pauses that it expects. */
#include "proto/base/service.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#define STATUS_MS 2000
#define FEEDS 3   /* in what the watchdog allows */
#define AGAIN_MS 500 /* while a part has not answered yet */

void service_init(struct service *s)
{
    uint64_t us = 0;
    *s = (struct service){ .watchdog_ms = sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0 };
    if (!getenv("NOTIFY_SOCKET"))
        s->status_at_ms = NEVER;
}

void service_fini(struct service *s)
{
    free(TAKE(s->status));
}

bool service_wants_status(struct service *s, struct now now)
{
    if (now.mono_ms < s->status_at_ms)
        return false;
    s->status_at_ms = now.mono_ms + STATUS_MS;
    return true;
}

void service_set_status(struct service *s, const char *text)
{
    if (s->status && strcmp(s->status, text) == 0)
        return;
    free(s->status);
    s->status = xstrdup(text);
    sd_notifyf(0, "STATUS=%s", text);
}

int64_t service_tick(struct service *s, const struct service_parts *parts, struct now now)
{
    if (!s->watchdog_ms)
        return NEVER;
    if (now.mono_ms < s->feed_at_ms)
        return s->feed_at_ms;
    if (s->feed_at_ms && !parts->answered(parts->ctx)) {
        s->feed_at_ms = now.mono_ms + min_i64(AGAIN_MS, s->watchdog_ms / (2 * FEEDS));
        return s->feed_at_ms;
    }
    sd_notify(0, "WATCHDOG=1");
    parts->ask(parts->ctx);
    s->feed_at_ms = now.mono_ms + max_i64(s->watchdog_ms / FEEDS, 1);
    return s->feed_at_ms;
}

void service_say_ready(void) { sd_notify(0, "READY=1"); }

void service_say_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
}

void service_say_stopping(void) { sd_notify(0, "STOPPING=1"); }

void service_extend_timeout(int64_t ms) { sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRId64, ms * 1000); }
