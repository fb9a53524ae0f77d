/*
 * CPU time of a task.
 *
 * The kernel counts for its threads. A task that asks for its own time (CLOCK_THREAD_CPUTIME_ID, RUSAGE_THREAD) must get a clock that
 * never goes back when it moves to another thread, and that leaves out what others did on its thread. Reading the kernel's clock costs
 * several switches, so nobody pays for it until somebody asks: the first question in a process turns counting on for all tasks, and
 * from then on each switch adds what the thread's clock says to the task that leaves. The first to ask starts with the clock of its
 * thread, the upper bound of what it has used; the others start with nothing when they run next.
 */
#ifndef GRT_SCHED_CPUTIME_H
#define GRT_SCHED_CPUTIME_H

#include "sched/sched.h"

extern uint32_t grt__cputime_counts; /* atomic: somebody has asked */

/* Task. Its CPU time in ns. */
int64_t grt__cputime(void);
/* The switch, while somebody counts: mp goes on with `to`, or with its g0. */
void grt__cputime_switch(struct m *mp, struct g *to);
/* The child of fork: its thread's clock starts again. */
void grt__cputime_fork_child(struct m *mp);

#endif
