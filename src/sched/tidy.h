/*
 * sysmon's part in giving memory back (heap/scavenge.h): its times, and the caches of Ps that nobody runs on. Such a cache is taken to
 * pieces when its P has done nothing for two looks: the P is taken, as for a hand-off, so that its cache is ours, and put
 * back among the idle ones. While a P that has something is in use there is another look, after a quarter of a second and then, if
 * it does nothing that can be seen, less and less often. sysmon alone calls these, if not said otherwise.
 */
#ifndef GRT_SCHED_TIDY_H
#define GRT_SCHED_TIDY_H

#include "base/compiler.h"

/* Does what is due. */
void grt__tidy(int64_t now);
/* When it has to be called next, in ns; GRT_FOREVER: not before memory is freed. */
int64_t grt__tidy_due(int64_t now);
/* The caches of idle Ps, at once. A task in a critical section. */
void grt__tidy_trim(void);
/* sysmon is there, and may be woken. */
void grt__tidy_init(void);
/* There is no sysmon until the child makes a thread: who frees pages does it. */
void grt__tidy_fork_child(void);

#endif
