/* shrink.h - of a run that failed, the shortest that fails still. */
#ifndef TERN_SIM_SHRINK_H
#define TERN_SIM_SHRINK_H

#include "tests/sim/world.h"

/* Leaves out faults, a run after the other, for as long as the run fails; then prints what is left as a trace, and how to
 * repeat it. */
void shrink(const struct report *failed);

#endif
