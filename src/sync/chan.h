/*
 * Channels: Go's, for any size of element.
 *
 * A channel has a lock, a ring of `cap` elements and two queues of waiters, first in, first out. Invariants, under the lock:
 *   receivers wait only while the ring is empty, and senders only while it is full (both at once only in one select);
 *   nobody waits on a closed channel.
 *
 *   send      a receiver waits: unlink it, unlock, copy straight into its memory, wake it. Else room in the ring: copy, unlock. Else
 *             queue, unlock, park: whoever takes the element copies it out of the sender's memory and wakes it.
 *   receive   the mirror image; with a full ring it takes the first of the ring and puts the first waiting sender's element behind.
 *   close     marks, unlinks all waiters, unlocks, wakes them: receivers with zero and false, senders to be told of their mistake.
 *
 * Waiters are automatic variables of the waiting function, for each case of a select one, all of one `struct chan_wait`. Whoever unlinks
 * the waiter of a plain operation decides its fate. A wait that others may end too (several channels, a time) is decided by one CAS
 * of chan_wait.decided; who loses it goes on to the next in the queue. The element is copied between that decision and the wake,
 * after the channel's lock was let go: both ends belong to the two parties alone then, and a large one holds up nobody.
 *
 * The last access to the channel of a plain operation is the release of its lock, so who learns of it may free the channel. A select
 * comes back to each of its channels after its wait.
 *
 * select (select.c) looks at the cases one by one, in a random order, and takes the first that is ready: that is uniform among the
 * ready. If none was, all channels are locked, in the order of their addresses, and looked at once more: only then is it true that
 * none was ready at one moment. Rejected: locking all of them first, as Go does: twice the time with two cases, one ready.
 *
 * A handler may run in the middle of a wait (HACKING.md, "Parking"): the waiter is unlinked before, and begins anew after, at the place
 * of its first arrival (`turn`), so no signal costs it its turn.
 *
 * A child of fork may go on with channels of its parent: `epoch` tells it apart, and whoever comes first forgets the waiters and the lock
 * of tasks that do not exist there.
 *
 * Lock order: channels by address, then what grt__wake takes. Any thread; critical sections are these functions' own business.
 */
#ifndef GRT_SYNC_CHAN_H
#define GRT_SYNC_CHAN_H

#include "sched/sched.h"

struct chan_waiter;
struct chan_queue {
	struct chan_waiter *first, *last;
};

struct grt_chan {
	struct grt_lock lock;
	uint32_t epoch; /* atomic: forks since the process began, when it was made or first used after one */
	size_t elem_size;
	size_t cap;
	size_t count;        /* lock; read without it as a hint */
	size_t sendx, recvx; /* lock: the next free and the first used place */
	uint8_t closed;      /* lock; likewise a hint */
	struct chan_queue recvq, sendq;
	uint64_t turns; /* lock: waiters that ever queued */
	void *owner;    /* constant: the timer that sends here, or NULL (api/timer_api.c) */
	uint8_t hidden; /* constant: len and cap are 0, though there is room for one */
	GRT_ALIGNED(16) char ring[];
};

/* One operation that waits. */
struct chan_wait {
	struct parker *pk;
	uint32_t shared;           /* constant: others may end it too, so it is decided by CAS */
	uint32_t decided;          /* atomic */
	struct chan_waiter *fired; /* by whom it ended, published by the wake; NULL: by its time */
	struct grt_timer timer;
};

struct chan_waiter {
	struct chan_waiter *next, *prev; /* lock of c */
	struct chan_wait *wait;
	struct grt_chan *c;
	void *elem;
	uint64_t turn;  /* lock of c; 0: has not queued yet */
	uint8_t linked; /* lock of c */
	uint8_t sends;  /* constant */
	uint8_t ok;     /* written by who ends the wait: an element was handed over, not the end of the channel */
};

/* A case of a select: the memory layout of grt.h's grt_case. */
struct chan_case {
	struct grt_chan *c;
	void *elem; /* what to send, or where to; NULL: it is dropped */
	uint8_t op;
	uint8_t ok; /* receives: an element came, not the end of the channel */
};
enum { CASE_SEND = 1, CASE_RECV = 2 };

/* Bytes that a channel wants, or 0: more than there can be. init: they need not be zero. */
size_t grt__chan_bytes(size_t elem_size, size_t cap);
void grt__chan_init(struct grt_chan *c, size_t elem_size, size_t cap);
/* Nobody waits there. */
bool grt__chan_idle(struct grt_chan *c);

/* 0; -EPIPE: closed; try: -EAGAIN, would wait. c == NULL waits for ever. */
int grt__chan_send(struct grt_chan *c, const void *v);
int grt__chan_try_send(struct grt_chan *c, const void *v);
/* 1: an element; 0: closed and empty, *v is zero now; try: -EAGAIN. v may be NULL. */
int grt__chan_recv(struct grt_chan *c, void *v);
int grt__chan_try_recv(struct grt_chan *c, void *v);
/* 0; -EPIPE: is closed already. */
int grt__chan_close(struct grt_chan *c);
size_t grt__chan_len(struct grt_chan *c);

/*
 * The index of the case that went ahead; -EAGAIN: none did before the deadline; -EPIPE: one that sends on a closed channel was
 * chosen. deadline: ns of CLOCK_MONOTONIC, INT64_MIN: do not wait. scratch: grt__select_bytes(n) bytes, for n above SELECT_SMALL.
 */
enum { SELECT_SMALL = 16, SELECT_MAX = 65535 };
size_t grt__select_bytes(size_t n);
int grt__select(struct chan_case *cases, size_t n, int64_t deadline, void *scratch);

/* The child of fork. */
void grt__chan_fork_child(void);

/* ---- between chan.c and select.c ---- */

extern uint32_t grt__chan_epoch;
void grt__chan_refresh(struct grt_chan *c);
/* A case as it stands: grt__chan_send's and recv's try results, with c locked; unlocked if it went ahead or c is closed. `all`: the other
 * locks of a select, to be let go at the same place. */
struct chan_locks {
	struct chan_case *cases;
	const uint16_t *order; /* by address */
	size_t n;
};
int grt__chan_send_locked(struct grt_chan *c, const void *v, const struct chan_locks *all);
int grt__chan_recv_locked(struct grt_chan *c, void *v, const struct chan_locks *all);
void grt__chan_unlock_all(const struct chan_locks *all);
void grt__chan_enqueue_locked(struct chan_waiter *w);
/* True: it was still linked. */
bool grt__chan_unlink_locked(struct chan_waiter *w);

/* Before the lock, which may be a ghost's in a child of fork. */
GRT_ALWAYS_INLINE void grt__chan_fresh(struct grt_chan *c)
{
	if (grt_unlikely(grt_load_acquire(&c->epoch) != grt__chan_epoch))
		grt__chan_refresh(c);
}

/* A foreign thread has no M to protect. */
GRT_ALWAYS_INLINE void grt__chan_enter(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__enter();
}

GRT_ALWAYS_INLINE void grt__chan_leave(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__leave();
}

#endif
