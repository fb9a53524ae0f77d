/*
 * Timers of grt.h, of Go 1.23's kind.
 *
 * A timer with a channel owns one with room for one value that shows none. Firing puts the time there if there is room; stop and reset end the
 * timer, wait until a firing in progress is over, and take the value out: what is received later is not from before.
 *
 * Two locks. `ops`, without a rank, makes one of concurrent stops and resets wait for the other; firing does not take it, so they may wait for
 * firing under it. `lock` guards what firing looks at: a timer that was ended while it fires does not start itself again.
 *
 * fire may neither park nor make a task. A function is called by a task that the runner makes, a task of the runtime that takes timers from a
 * list. Where tasks stay 1:1 a thread of our own keeps the timers.
 */
#ifndef GRT_API_TIMER_API_H
#define GRT_API_TIMER_API_H

#include "sched/sched.h"
#include "sync/chan.h"

/* Any thread. */
void grt__timer_start_any(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *));
/* grt_chan_free of what grt_after and grt_tick made; nobody waits there. */
void grt__timer_chan_free(struct grt_chan *c);
void grt__timer_api_fork_child(void);
void grt__context_fork_child(void);

#endif
