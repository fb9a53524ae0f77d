/*
 * Collected output to standard error: reports are many lines, and a write(2) for each would be torn apart by other
 * threads and cost more than the lines. Async-signal-safe; the buffer is the caller's.
 */
#ifndef GRT_OBSERVE_PRINT_H
#define GRT_OBSERVE_PRINT_H

#include "base/throw.h"

struct grt_out {
	char *buf;
	size_t size, len;
	bool no_flush; /* full: drop lines (a lock is held, nothing may block) */
};

void grt__out(struct grt_out *o, const char *fmt, ...) GRT_PRINTF(2, 3);
/* A string of any length. */
void grt__out_str(struct grt_out *o, const char *s);
void grt__out_flush(struct grt_out *o);

#endif
