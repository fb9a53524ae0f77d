/*
 * The scavenger: memory that is free for a while goes back to the kernel.
 *
 * Free runs are stamped with the epoch in which they became free, a quarter of a second long. What is older than a whole
 * epoch is given back, runs with whole huge pages first and of those the oldest, until what is left is a tenth of the memory in use
 * (at least 1 MiB), as Go's scavenger retains. At most 4 MiB at a time and each 10 ms, so that it costs about a hundredth of a CPU.
 *
 * GOMEMLIMIT is a hard edge: before pages that are not resident are handed out over it, as many go back as are wanted, whatever
 * their age. So what that costs is in proportion to the page faults that the program is about to take, and nothing when all that
 * the program has is in use: then it goes beyond the limit. A control group's limit counts as one, since the kernel kills at it.
 *
 * In a process with tasks sysmon does it (sched/tidy.c), which also takes the caches of idle Ps to pieces; with nothing left to give
 * back it looks no more. In one without, malloc and free do it on their slow paths, and calls that are about to sleep, at the same
 * times; see HACKING.md, "malloc".
 */
#ifndef GRT_HEAP_SCAVENGE_H
#define GRT_HEAP_SCAVENGE_H

#include "base/compiler.h"

#define GRT_EPOCH_NS 250000000

/* One step. When the next is due, in ns; INT64_MAX: there is nothing to give back. Takes locks of the heap, holds none before. */
int64_t grt__scavenge(int64_t now);
/* There may be something to give back since grt__scavenge last said that there was nothing. */
bool grt__scavenge_wanted(void);
/* Pages were freed. Any locks of the heap may be held. */
void grt__scavenge_note(void);
/* A cache that had nothing has something. Any locks held. */
void grt__scavenge_look(void);
/* Called by these two, by the former from time to time; registered by sched/, which scavenges then. */
extern void (*grt__scavenge_hook)(void);
/* In a process without tasks, set while there may be something to do: whoever comes by (malloc and free on their slow paths, a call that
 * is about to sleep) looks, and calls the latter with no lock held. */
extern uint8_t grt__scavenge_ourselves; /* atomic: relaxed */
void grt__scavenge_by_ourselves(void);
/* So many bytes at once, if there are so many: at the limit. No lock of mheap or central held. */
void grt__scavenge_eagerly(size_t bytes);

/* GOMEMLIMIT, or without it seven eighths of what the control group allows; SIZE_MAX: none. Atomic: relaxed. */
extern size_t grt__heap_limit;
extern bool grt__heap_limit_given; /* by GOMEMLIMIT, be it "off" */
/* The control group is asked now, not only once the heap has grown: a filter that is about to come may kill who opens files. */
void grt__heap_limit_learn(void);
/* GODEBUG=scavtrace=1: a line for what was given back, at most one a second. */
extern bool grt__scavtrace;

#endif
