/* submit.h - what SUBMIT and SPAWN do with each job that they are handed. */
#ifndef TERN_SUBMIT_H
#define TERN_SUBMIT_H

#include "broker/broker.h"

/* What is wrong with it, in a static buffer, or NULL. g: what whoever submits it may; NULL: that is seen to elsewhere. */
const char *submit_check(const struct broker *b, const struct grant *g, const struct job_spec *s, enum error_code *ret_code);
/* The row that it is to be. -E2BIG: too many classes. */
int submit_plan(struct broker *b, const struct job_spec *s, struct new_job *ret, struct now now);
/* It is in the store. */
void submit_note(struct broker *b, const struct new_job *j, uint64_t id);

#endif
