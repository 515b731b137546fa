/* rebalance.h - what was given ahead and has not started is taken back when a fellow worker stands idle. */
#ifndef TERN_REBALANCE_H
#define TERN_REBALANCE_H

#include "broker/broker.h"

/* True when something is out that has not started: look again soon. */
bool rebalance(struct broker *b, struct now now);

#endif
