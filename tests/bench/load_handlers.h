/* load_handlers.h - work for the benchmark that every pool can run. */
#ifndef TERN_BENCH_LOAD_HANDLERS_H
#define TERN_BENCH_LOAD_HANDLERS_H

#include "worker/handlers.h"

extern const struct tern_handler handler_compute, handler_file;

#endif
