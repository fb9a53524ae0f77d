/*
 * Go's semaphores and notify lists: what grt.h's locks, wait groups and condition variables sleep on.
 *
 * A semaphore is a count in the object; waiters are in a table hashed by its address, first in, first out, so an object is a few words,
 * zero is a valid one, and nothing has to be undone in it by a child of fork: the table starts empty there. (The task futex cannot serve: a release
 * with hand-over gives the count to the waiter it wakes, under the table's lock.)
 *
 *   acquire   take 1 off the count if it is not zero; else queue, look once more, park. Woken, try again, unless it was handed over.
 *   release   add 1; if somebody waits, wake the first. handoff: it owns the count already, and the caller makes room for it.
 *
 * A notify list is two counters: `wait` numbers those who came, `notify` those who were told. Who waits with number n is told when notify has
 * passed n, in the queue or not; so a handler may run in the middle of a wait, which is not in the queue then, and nothing is lost.
 *
 * Any thread. The objects must live until the last call has returned. Not cancellation points. Lock order: one bucket (rank BUCKET).
 */
#ifndef GRT_SYNC_SEMA_H
#define GRT_SYNC_SEMA_H

#include "sched/sched.h"

/* lifo: queues in front. False: the deadline (CLOCK_MONOTONIC, GRT_FOREVER: none) passed. */
bool grt__sema_acquire(uint32_t *addr, bool lifo, enum grt_wait why, int64_t deadline);
void grt__sema_release(uint32_t *addr, bool handoff);
bool grt__sema_try(uint32_t *addr);

struct grt_notify {
	uint32_t wait;   /* atomic: the next number */
	uint32_t notify; /* bucket lock; read without it as a hint */
};
uint32_t grt__notify_add(struct grt_notify *l);
void grt__notify_wait(struct grt_notify *l, uint32_t number, enum grt_wait why);
void grt__notify_one(struct grt_notify *l);
void grt__notify_all(struct grt_notify *l);

/* The child of fork: nobody waits any more. */
void grt__sema_fork_child(void);

#endif
