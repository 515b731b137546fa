/* home.h - several brokers side by side: on which of them a queue lives.
 *
 * Rendezvous hashing (highest random weight; Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM
 * Transactions on Networking 6(1), 1998): every address gets a weight for the queue, the highest wins. All who know the same addresses
 * agree without asking anybody, in whatever order they know them, and one address more takes over its share of the queues and moves
 * no other. The weights are part of the contract: a version that computed others would send queues elsewhere. */
#ifndef TERN_HOME_H
#define TERN_HOME_H

#include "proto/base/base.h"

/* FNV-1a of the address, a zero byte and the queue's name, mixed as MurmurHash3 ends. */
uint64_t home_weight(const char *queue, const char *address);
/* The place of the queue's home among n addresses, from 0. n > 0, no address twice. */
size_t home_find(const char *queue, const char *const *addresses, size_t n);

#endif
