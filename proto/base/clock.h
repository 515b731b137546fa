/* clock.h - time as a value. Only loops call clock_now, once a turn; all else is handed a struct now. */
#ifndef TERN_CLOCK_H
#define TERN_CLOCK_H

#include "proto/base/base.h"

struct now {
    int64_t wall_ms; /* since 1970, UTC: due times, expiry, retention, what people see */
    int64_t mono_ms; /* CLOCK_MONOTONIC: leases, beats, time limits */
};

struct now clock_now(void);
int64_t clock_mono_us(void);
#define NEVER INT64_MAX /* as a deadline */

#endif
