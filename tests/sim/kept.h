/* kept.h - checkpoints: what attempts have left, and what later ones of their job are handed. */
#ifndef TERN_SIM_KEPT_H
#define TERN_SIM_KEPT_H

#include "tests/sim/record.h"

#define KEPT_BODY_BYTES 64

/* The body of this attempt's n-th checkpoint; it tells whose it is. Points into text, of KEPT_BODY_BYTES. */
struct str kept_body(char *text, uint64_t job, struct mark mark);
/* An attempt was handed out, with this checkpoint or with none. */
void kept_handed(struct world *w, const struct run_job *job);
/* Its handler was told that the checkpoint is on disk. */
void kept_acknowledged(struct world *w, uint64_t job, struct mark mark);
/* Or that it is not. */
void kept_refused(struct world *w, uint64_t job, uint64_t attempt, enum error_code code);
/* A worker was told what became of a checkpoint that comes of an attempt whose job has gone on in a later one. */
void kept_late(struct world *w, enum error_code code);

#endif
