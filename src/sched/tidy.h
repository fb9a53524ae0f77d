/*
 * sysmon's part in giving memory back (heap/scavenge.h): its times, and the caches of Ps that nobody runs on. Such a cache is taken to
 * pieces when its P has done nothing for two looks: the P is taken, as for a hand-off, so that its cache is ours, and put
 * back among the idle ones. sysmon alone calls these.
 */
#ifndef GRT_SCHED_TIDY_H
#define GRT_SCHED_TIDY_H

#include "base/compiler.h"

/* Does what is due. */
void grt__tidy(int64_t now);
/* When it has to be called next, in ns; GRT_FOREVER: not before memory is freed. */
int64_t grt__tidy_due(int64_t now);
void grt__tidy_init(void);
/* There is no sysmon until the child makes a thread: who frees pages does it. */
void grt__tidy_fork_child(void);

#endif
