/*
 * Sleeping: a timer of the scheduler and the task's own parker, no kernel thread.
 *
 * The timer lives in the task's static TLS, not on the stack: a signal handler that interrupts the sleep may itself sleep,
 * or leave by siglongjmp or cancellation and never come back to stop it. So each sleep first stops a timer that a sleep
 * before left behind, and whoever ends or unwinds a task calls grt__sleep_abandon. (Rejected: the timer on the stack, as
 * waiters of the futex are: it would be in the heap of timers after its frame is gone.)
 */
#ifndef GRT_SYNC_SLEEP_H
#define GRT_SYNC_SLEEP_H

#include "sched/sched.h"
#include <time.h>

/*
 * Task. Sleeps until `deadline` (sched/clock.h). 0, or -EINTR when a signal handler ran before
 * the deadline or a cancellation is due; *left is then what was still to sleep, in ns, more than 0.
 */
int grt__sleep_until(int64_t deadline, int64_t *left);

/* Task. Stops the timer of a sleep that will not return (task exit, longjmp out of a handler). */
void grt__sleep_abandon(void);

/* The deadline of a relative sleep; GRT_FOREVER where ns do not fit. t is valid: not negative, tv_nsec below 10^9. */
int64_t grt__sleep_deadline(const struct timespec *t);

#endif
