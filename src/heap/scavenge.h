/*
 * The scavenger: memory that is free for a while goes back to the kernel.
 *
 * Free runs are stamped with the epoch in which they became free, a quarter of a second long. What is older than a whole
 * epoch is given back, largest runs first, until what is left is a tenth of the memory in use (at least 1 MiB), as Go's scavenger
 * retains. At most 4 MiB at a time and each 10 ms, so that it costs about a hundredth of a CPU. GOMEMLIMIT is a hard edge: before so many
 * pages become resident that it is passed, as many free ones go, whatever their age. A control group's limit counts as one, since the
 * kernel kills at it.
 *
 * In a process with tasks sysmon does it (sched/tidy.c), which also takes the caches of idle Ps to pieces; with nothing left to give
 * back it looks no more. In one without, whoever frees pages does it, at the same times.
 */
#ifndef GRT_HEAP_SCAVENGE_H
#define GRT_HEAP_SCAVENGE_H

#include "base/compiler.h"

#define GRT_EPOCH_NS 250000000

/* One step. When the next is due, in ns; INT64_MAX: there is nothing to give back. Takes locks of the heap. */
int64_t grt__scavenge(int64_t now);
/* There may be something to give back since grt__scavenge last said that there was nothing. */
bool grt__scavenge_wanted(void);
/* Pages were freed. No locks held. */
void grt__scavenge_note(void);
/* Called from time to time while memory is freed and the scavenger has nothing to do; registered by sched/, which scavenges then. */
extern void (*grt__scavenge_hook)(void);

/* GOMEMLIMIT, or without it seven eighths of what the control group allows; SIZE_MAX: none. Atomic: relaxed. */
extern size_t grt__heap_limit;
extern bool grt__heap_limit_given; /* by GOMEMLIMIT, be it "off" */
/* The control group is asked now, not only once the heap has grown: a filter that is about to come may kill who opens files. */
void grt__heap_limit_learn(void);

#endif
