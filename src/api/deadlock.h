/*
 * "all tasks are asleep - deadlock!"
 *
 * Asked by the last M to go idle, when it has slept for a moment (sched/m.c), in programs that link libgrt; a preloaded one hangs as it would
 * without. It is one if nothing can ever make a task runnable: every P is idle, each task is parked in a wait that only another task ends, no
 * timer runs, no signal has a handler that could, and there is no thread in the process but Ms and sysmon. Since all of them sleep, what
 * is looked at does not change meanwhile. A task in a system call may be woken from outside, so it is none then. The look costs a walk over all tasks, once
 * each time the process has been idle for 50 ms.
 */
#ifndef GRT_API_DEADLOCK_H
#define GRT_API_DEADLOCK_H

void grt__deadlock_init(void);

#endif
