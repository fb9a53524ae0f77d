/*
 * Deadlines, and the clock that may be set.
 *
 * A deadline is an int64_t: ns of CLOCK_MONOTONIC, or, negative, minus the ns of CLOCK_REALTIME; GRT_FOREVER is none. Heaps of timers
 * are ordered by CLOCK_MONOTONIC, so a timer with a CLOCK_REALTIME deadline keeps that too, and is placed anew when
 * somebody sets the clock. sysmon learns of it from a timerfd that the kernel cancels then (TFD_TIMER_CANCEL_ON_SET), which it polls
 * beside the bell, in a process that has had such a deadline. Whoever reads the clocks for a new deadline reads them before or
 * after the setting: before, its timer is found in a heap and placed anew; a timer that is put into its heap only after that look was
 * read out of the old clock, so it is checked again: grt__clock_sets is read before the clocks and after the timer is in its heap.
 *
 * Foreign threads sleep on the kernel's own futex with the clock that they asked for.
 */
#ifndef GRT_SCHED_CLOCK_H
#define GRT_SCHED_CLOCK_H

#include "sched/sched.h"

/* The deadline in ns of CLOCK_MONOTONIC, as the clocks stand now. Any thread. */
int64_t grt__deadline_mono(int64_t deadline);
/* ns until then; not positive when it has passed. Any thread. */
int64_t grt__deadline_left(int64_t deadline);

/* Settings of the clock that sysmon has seen. */
extern uint32_t grt__clock_sets; /* atomic */

/* A first CLOCK_REALTIME deadline: sysmon shall watch. Task, in a critical section. */
void grt__clock_watch(void);
/* sysmon: the descriptor to poll, or -1, and what poll said of it. */
int grt__clock_fd(void);
void grt__clock_event(short revents);
void grt__clock_fork_child(void);

/* timer.c: all timers with a CLOCK_REALTIME deadline are placed anew. */
void grt__timers_clock_set(void);

#endif
