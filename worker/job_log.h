/* job_log.h - the lines a handler wrote, as marked chunks (proto/output.h): bounded, head and tail
 * kept. */
#ifndef TERN_JOB_LOG_H
#define TERN_JOB_LOG_H

#include "proto/base/buf.h"

#define JOB_LOG_LINE_BYTES 8192u /* a longer line is cut by who adds it */

/* Adds a line, which ends in a newline and is no longer than the above. Past output's ceiling the
 * oldest lines behind the first half make room, and a cut says how many bytes they had. */
void job_log_add(struct buf *output, struct str line);

#endif
