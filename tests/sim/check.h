/* check.h - what must hold, by the names of the promises; where it does not, the run ends (world_fail). */
#ifndef TERN_SIM_CHECK_H
#define TERN_SIM_CHECK_H

#include "tests/sim/world.h"

/* After every turn of the broker: leases, credit, bounds. */
void check_turn(struct world *w);
/* After every start of the broker: what anybody was told is still so, or further on its way. */
void check_promises(struct world *w);
/* All that was acknowledged has ended? */
bool check_all_ended(struct world *w);
/* At the end: how every job ended, and the counters. */
void check_end(struct world *w);

#endif
