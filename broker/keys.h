/* keys.h - the verbs of tern-broker that make keys and say who may come in. */
#ifndef TERN_BROKER_KEYS_H
#define TERN_BROKER_KEYS_H

#include "proto/base/base.h"

/* Is the first argument such a verb? Then it is done, and *ret_status is the program's exit status. */
bool keys_run(int argc, char **argv, int *ret_status);

#endif
