#include "sync/futex.h"
#include "os/os.h"
#include "sched/clock.h"
#include "sched/cancel.h"
#include <errno.h>
#include <limits.h>

enum { BUCKETS = GRT_SMALL(4096, 4) };

struct waiter {
	struct grt_list link; /* bucket lock */
	uintptr_t key;        /* bucket lock; changed by requeue */
	uint32_t bitset;
	uint8_t linked, expired; /* bucket lock */
	uint8_t starving, prio;  /* constant */
	uint32_t *counter;       /* see grt__futex_wait_unlock */
	struct parker *pk;
	struct grt_timer timer;
};

static struct bucket {
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	uint32_t nwaiters; /* bucket lock; read without it as a hint by wake */
	struct grt_list waiters;
} buckets[BUCKETS];

static struct bucket *bucket_of(uintptr_t key)
{
	uint64_t h = (key >> 2) * 0x9e3779b97f4a7c15ull;
	return &buckets[(h >> 40) % BUCKETS];
}

static void init_bucket(struct bucket *b)
{
	if (grt_unlikely(!b->waiters.next)) /* zeroed memory is a valid empty bucket */
		grt_list_init(&b->waiters);
}

static void lock_bucket(struct bucket *b)
{
	grt_lock(&b->lock);
	init_bucket(b);
}

/* Before which w queues: as in the kernel, after those of its real-time priority and before those of a lower one. */
static struct grt_list *place_of(struct bucket *b, const struct waiter *w)
{
	struct grt_list *pos = &b->waiters;
	if (grt_likely(!w->prio && !w->starving))
		return pos;
	for (pos = pos->next; pos != &b->waiters; pos = pos->next) {
		int prio = grt_container_of(pos, struct waiter, link)->prio;
		if (w->starving ? prio <= w->prio : prio < w->prio)
			break;
	}
	return pos;
}

static void link_locked(struct bucket *b, struct waiter *w)
{
	grt_list_push_tail(place_of(b, w), &w->link);
	w->linked = 1;
	grt_store_relaxed(&b->nwaiters, b->nwaiters + 1);
	if (w->counter)
		grt_store_relaxed(w->counter, *w->counter + 1);
}

static void unlink_locked(struct bucket *b, struct waiter *w)
{
	grt_list_unlink(&w->link);
	w->linked = 0;
	grt_store_relaxed(&b->nwaiters, b->nwaiters - 1);
	if (w->counter)
		grt_store_relaxed(w->counter, *w->counter - 1);
}

/* Critical sections for tasks only: a foreign thread has no M to protect. */
static inline void enter(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__enter();
}

static inline void leave(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__leave();
}

static inline void leave_wait(bool cancelable)
{
	if (grt_unlikely(grt__self.g == NULL))
		return;
	if (cancelable)
		grt__leave_wait();
	else
		grt__leave();
}

/* Locks the bucket that the waiter is in now (a requeue may move it meanwhile). */
static struct bucket *lock_waiter(struct waiter *w)
{
	for (;;) {
		uintptr_t key = grt_load_relaxed(&w->key);
		struct bucket *b = bucket_of(key);
		lock_bucket(b);
		if (grt_load_relaxed(&w->key) == key)
			return b;
		grt_unlock(&b->lock);
	}
}

static void expire(struct grt_timer *t)
{
	struct waiter *w = grt_container_of(t, struct waiter, timer);
	struct bucket *b = lock_waiter(w);
	bool mine = w->linked;
	if (mine) {
		unlink_locked(b, w);
		w->expired = 1;
	}
	grt_unlock(&b->lock);
	if (mine)
		grt__wake(w->pk);
}

/* The waiter gives up by itself. False: it was unlinked by a waker, whose wake is on its way. */
static bool give_up(struct waiter *w)
{
	struct bucket *b = lock_waiter(w);
	bool mine = w->linked;
	if (mine)
		unlink_locked(b, w);
	grt_unlock(&b->lock);
	return mine;
}

/* The waiter is linked, no lock is held, a task is inside a critical section. 0, -ETIMEDOUT, or -EINTR: interrupted. */
static int sleep_linked(struct waiter *w, int64_t deadline, enum grt_wait why, bool cancelable)
{
	bool task = w->pk->g != NULL, timed = deadline != GRT_FOREVER;
	int r = 0;
	if (task && timed)
		grt__timer_start(&w->timer, deadline, expire);
	if ((cancelable && grt__cancel_due()) || !grt__park(w->pk, why, deadline)) {
		r = !task && timed && grt__deadline_left(deadline) <= 0 ? -ETIMEDOUT : -EINTR;
		if (give_up(w)) {
			w->pk->state = PARK_RUNNING;
		} else {
			grt__park_await(w->pk);
			r = 0;
		}
	}
	if (task && timed)
		grt__timer_stop(&w->timer);
	return w->expired ? -ETIMEDOUT : r;
}

static inline uint8_t priority(const struct parker *pk)
{
	return pk->g ? grt_load_relaxed(&pk->g->rt_prio) : 0;
}

int grt__futex_wait(uint32_t *addr, uint32_t expected, uint32_t bitset, int64_t deadline, unsigned flags,
                    enum grt_wait why)
{
	for (;;) {
		struct waiter w = {
			.key = (uintptr_t)addr, .bitset = bitset, .pk = grt__parker(), .starving = (flags & FUTEX_STARVING) != 0};
		w.prio = priority(w.pk);
		struct bucket *b = bucket_of(w.key);
		struct g *gp = w.pk->g;
		enter();
		lock_bucket(b);
		link_locked(b, &w);
		/* Pairs with nobody_waits: the lock was taken by a locked instruction, so it is seen held before *addr is read. */
		if (grt_load_relaxed(addr) != expected) {
			unlink_locked(b, &w);
			grt_unlock(&b->lock);
			leave();
			return -EAGAIN;
		}
		grt__park_prepare(w.pk);
		grt_unlock(&b->lock);
		uint32_t any = gp ? gp->handlers_ran : 0, hard = gp ? gp->handlers_hard : 0;
		bool cancelable = flags & FUTEX_CANCELABLE;
		int r = sleep_linked(&w, deadline, why, cancelable);
		leave_wait(cancelable); /* handlers run here */
		if (r != -EINTR)
			return r;
		if (cancelable && grt__cancel_due())
			return -ECANCELED;
		/* signal(7): without a time-out, handlers with SA_RESTART do not end the wait; with one, any handler does. */
		if (flags & FUTEX_INTERRUPTIBLE &&
		    (!gp || (deadline == GRT_FOREVER ? gp->handlers_hard != hard : gp->handlers_ran != any)))
			return -EINTR;
	}
}

int grt__futex_wait_unlock(void *addr, uint32_t *counter, void (*unlock)(void *), void *arg, int64_t deadline,
                           enum grt_wait why)
{
	struct waiter w = {.key = (uintptr_t)addr, .bitset = ~0u, .counter = counter, .pk = grt__parker()};
	w.prio = priority(w.pk);
	struct bucket *b = bucket_of(w.key);
	enter();
	lock_bucket(b);
	link_locked(b, &w);
	grt__park_prepare(w.pk);
	grt_unlock(&b->lock);
	unlock(arg);
	int r = sleep_linked(&w, deadline, why, true);
	leave_wait(true);
	if (r == -EINTR) /* a handler ran: a spurious wake-up, as POSIX allows */
		r = grt__cancel_due() ? -ECANCELED : 0;
	return r;
}

/*
 * A waker's hint, without the lock. It changed *addr by a locked instruction, then looks at the lock, then at the count; a waiter takes
 * the lock, then looks at *addr, counts itself in and lets go. If the waker sees the lock free, then either the waiter has
 * not taken it yet, and will see the new *addr; or it has let go, and the count, read later, has it.
 */
static bool nobody_waits(struct bucket *b)
{
	return !grt_load_seqcst(&b->lock.word) && !grt_load_acquire(&b->nwaiters);
}

static int wake(void *addr, int n, uint32_t bitset, bool *starving)
{
	uintptr_t key = (uintptr_t)addr;
	struct bucket *b = bucket_of(key);
	struct grt_list woken;
	int count = 0;
	if (nobody_waits(b))
		return 0;
	grt_list_init(&woken);
	enter();
	lock_bucket(b);
	grt_list_for_safe (pos, next, &b->waiters) {
		struct waiter *w = grt_container_of(pos, struct waiter, link);
		if (w->key != key || !(w->bitset & bitset))
			continue;
		if (count == n)
			break;
		unlink_locked(b, w);
		grt_list_push_tail(&woken, &w->link);
		*starving |= w->starving;
		count++;
	}
	grt_unlock(&b->lock);
	while (!grt_list_empty(&woken)) {
		struct waiter *w = grt_container_of(woken.next, struct waiter, link);
		grt_list_unlink(&w->link);
		grt__wake(w->pk); /* w is gone after this */
	}
	leave();
	return count;
}

int grt__futex_wake(void *addr, int n, uint32_t bitset)
{
	bool starving = false;
	return wake(addr, n, bitset, &starving);
}

bool grt__futex_wake_one(void *addr)
{
	bool starving = false;
	wake(addr, 1, ~0u, &starving);
	return starving;
}

static void lock_two(struct bucket *a, struct bucket *b)
{
	if (a > b) {
		struct bucket *t = a;
		a = b;
		b = t;
	}
	lock_bucket(a);
	if (a == b)
		return;
	/* Of the same rank as the first: their order is that of the addresses, which the checker does not know. */
	if (!grt_cas(&b->lock.word, 0, 1))
		grt__lock_slow(&b->lock);
	init_bucket(b);
}

static void unlock_two(struct bucket *a, struct bucket *b)
{
	struct bucket *first = a < b ? a : b, *second = a < b ? b : a;
	if (first != second)
		grt_store_release(&second->lock.word, 0);
	grt_unlock(&first->lock);
}

int grt__futex_requeue(uint32_t *addr, int nwake, int nmove, uint32_t *addr2, const uint32_t *expected)
{
	uintptr_t key = (uintptr_t)addr, key2 = (uintptr_t)addr2;
	struct bucket *a = bucket_of(key), *b = bucket_of(key2);
	struct grt_list woken;
	int nwoken = 0, moved = 0;
	grt_list_init(&woken);
	enter();
	lock_two(a, b);
	if (expected && grt_load_seqcst(addr) != *expected) {
		nwoken = -EAGAIN;
		goto out;
	}
	grt_list_for_safe (pos, next, &a->waiters) {
		struct waiter *w = grt_container_of(pos, struct waiter, link);
		if (w->key != key)
			continue;
		if (nwoken < nwake) {
			unlink_locked(a, w);
			grt_list_push_tail(&woken, &w->link);
			nwoken++;
		} else if (moved < nmove) {
			if (a != b || key != key2) {
				unlink_locked(a, w);
				w->counter = NULL;
				grt_store_relaxed(&w->key, key2);
				link_locked(b, w);
			}
			moved++;
		} else {
			break;
		}
	}
out:
	unlock_two(a, b);
	while (!grt_list_empty(&woken)) {
		struct waiter *w = grt_container_of(woken.next, struct waiter, link);
		grt_list_unlink(&w->link);
		grt__wake(w->pk);
	}
	leave();
	return nwoken < 0 ? nwoken : nwoken + moved;
}

int64_t grt__deadline(clockid_t clock, const struct timespec *abstime, int *error)
{
	*error = 0;
	if (!abstime)
		return GRT_FOREVER;
	if (abstime->tv_nsec < 0 || abstime->tv_nsec >= 1000000000 ||
	    (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)) {
		*error = -EINVAL;
		return 0;
	}
	if (abstime->tv_sec < 0)
		return 0;
	if (abstime->tv_sec > INT64_MAX / 1000000000 / 2)
		return GRT_FOREVER;
	int64_t t = abstime->tv_sec * 1000000000 + abstime->tv_nsec;
	return clock == CLOCK_REALTIME ? -t : t;
}

void grt__futex_reset_in_child(void)
{
	for (int i = 0; i < BUCKETS; i++) {
		grt_lock_init(&buckets[i].lock, GRT_RANK_BUCKET);
		buckets[i].nwaiters = 0;
		grt_list_init(&buckets[i].waiters);
	}
}
