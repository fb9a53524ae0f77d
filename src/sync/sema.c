/* See sema.h. */
#include "sync/sema.h"
#include "sched/clock.h"

enum { BUCKETS = GRT_SMALL(1024, 2) };

struct waiter {
	struct grt_list link; /* bucket lock */
	const void *addr;
	struct parker *pk;
	uint32_t number;                 /* of a notify list */
	uint8_t linked, handed, expired; /* bucket lock; published by the wake */
	struct grt_timer timer;
};

static struct bucket {
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	uint32_t nwaiters; /* atomic: written under the lock */
	struct grt_list waiters;
} buckets[BUCKETS];

static struct bucket *bucket_of(const void *addr)
{
	return &buckets[((uintptr_t)addr >> 2) * 0x9e3779b97f4a7c15ull >> 40 & (BUCKETS - 1)];
}

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

static void lock(struct bucket *b)
{
	grt_lock(&b->lock);
	if (grt_unlikely(!b->waiters.next)) /* zeroed memory is a valid empty bucket */
		grt_list_init(&b->waiters);
}

static void link_locked(struct bucket *b, struct waiter *w, bool lifo)
{
	grt_list_push_tail(lifo ? b->waiters.next : &b->waiters, &w->link);
	w->linked = 1;
}

static void unlink_locked(struct bucket *b, struct waiter *w)
{
	grt_list_unlink(&w->link);
	w->linked = 0;
	grt_store_relaxed(&b->nwaiters, b->nwaiters - 1);
}

static void expire(struct grt_timer *t)
{
	struct waiter *w = grt_container_of(t, struct waiter, timer);
	struct bucket *b = bucket_of(w->addr);
	lock(b);
	bool mine = w->linked;
	if (mine) {
		unlink_locked(b, w);
		w->expired = 1;
	}
	grt_unlock(&b->lock);
	if (mine)
		grt__wake(w->pk);
}

/* w is linked and b locked; critical. False: interrupted, or a foreign thread's time is over; w is not linked. */
static bool wait_locked(struct bucket *b, struct waiter *w, enum grt_wait why, int64_t deadline)
{
	bool timed = deadline != GRT_FOREVER && w->pk->g, woken = true;
	grt__park_prepare(w->pk);
	grt_unlock(&b->lock);
	if (timed)
		grt__timer_start(&w->timer, deadline, expire);
	if (!grt__park(w->pk, why, deadline)) {
		lock(b);
		woken = !w->linked;
		if (!woken)
			unlink_locked(b, w);
		grt_unlock(&b->lock);
		if (woken)
			grt__park_await(w->pk);
		else
			w->pk->state = PARK_RUNNING;
	}
	if (timed)
		grt__timer_stop(&w->timer);
	return woken;
}

bool grt__sema_try(uint32_t *addr)
{
	for (uint32_t v = grt_load_seqcst(addr); v > 0; v = grt_load_relaxed(addr))
		if (grt_cas(addr, v, v - 1))
			return true;
	return false;
}

bool grt__sema_acquire(uint32_t *addr, bool lifo, enum grt_wait why, int64_t deadline)
{
	if (grt__sema_try(addr))
		return true;
	for (;;) {
		struct waiter w = {.addr = addr, .pk = grt__parker()};
		struct bucket *b = bucket_of(addr);
		enter();
		lock(b);
		/* Pairs with release: it adds to the count, then looks here; we count ourselves in, then look at the count. */
		grt_store_seqcst(&b->nwaiters, b->nwaiters + 1);
		if (grt__sema_try(addr)) {
			grt_store_relaxed(&b->nwaiters, b->nwaiters - 1);
			grt_unlock(&b->lock);
			leave();
			return true;
		}
		link_locked(b, &w, lifo);
		bool woken = wait_locked(b, &w, why, deadline);
		leave(); /* handlers run here */
		if (w.handed || (woken && grt__sema_try(addr)))
			return true;
		if (w.expired || (!woken && deadline != GRT_FOREVER && grt__deadline_left(deadline) <= 0))
			return false;
		lifo |= !woken; /* it was some way up: no worse place for a handler's sake */
	}
}

void grt__sema_release(uint32_t *addr, bool handoff)
{
	struct bucket *b = bucket_of(addr);
	struct waiter *first = NULL;
	grt_add_seqcst(addr, 1);
	if (grt_likely(!grt_load_seqcst(&b->nwaiters)))
		return;
	enter();
	lock(b);
	grt_list_for (pos, &b->waiters) {
		struct waiter *w = grt_container_of(pos, struct waiter, link);
		if (w->addr == addr) {
			first = w;
			break;
		}
	}
	if (first) {
		unlink_locked(b, first);
		first->handed = handoff && grt__sema_try(addr);
		handoff = first->handed;
	}
	grt_unlock(&b->lock);
	if (first)
		grt__wake(first->pk); /* it is gone after this */
	leave();
	if (first && handoff && grt__self.g)
		grt__yield();
}

/* ---- notify lists ---- */

static bool passed(uint32_t number, uint32_t notify)
{
	return (int32_t)(number - notify) < 0;
}

uint32_t grt__notify_add(struct grt_notify *l)
{
	return grt_add_seqcst(&l->wait, 1) - 1;
}

void grt__notify_wait(struct grt_notify *l, uint32_t number, enum grt_wait why)
{
	bool woken = false;
	while (!woken) {
		struct waiter w = {.addr = l, .pk = grt__parker(), .number = number};
		struct bucket *b = bucket_of(l);
		enter();
		lock(b);
		if (passed(number, l->notify)) {
			grt_unlock(&b->lock);
			leave();
			return;
		}
		grt_store_relaxed(&b->nwaiters, b->nwaiters + 1);
		link_locked(b, &w, false);
		woken = wait_locked(b, &w, why, GRT_FOREVER);
		leave(); /* handlers run here */
	}
}

static void notify(struct grt_notify *l, bool all)
{
	struct bucket *b = bucket_of(l);
	struct grt_list told;
	if (grt_load_seqcst(&l->wait) == grt_load_seqcst(&l->notify))
		return;
	grt_list_init(&told);
	enter();
	lock(b);
	uint32_t wait = grt_load_seqcst(&l->wait), from = l->notify;
	uint32_t to = all || wait == from ? wait : from + 1;
	grt_store_seqcst(&l->notify, to);
	grt_list_for_safe (pos, next, &b->waiters) {
		struct waiter *w = grt_container_of(pos, struct waiter, link);
		if (w->addr != l || !passed(w->number, to))
			continue;
		unlink_locked(b, w);
		grt_list_push_tail(&told, &w->link);
		if (!all)
			break;
	}
	grt_unlock(&b->lock);
	while (!grt_list_empty(&told)) {
		struct waiter *w = grt_container_of(told.next, struct waiter, link);
		grt_list_unlink(&w->link);
		grt__wake(w->pk);
	}
	leave();
}

void grt__notify_one(struct grt_notify *l)
{
	notify(l, false);
}

void grt__notify_all(struct grt_notify *l)
{
	notify(l, true);
}

void grt__sema_fork_child(void)
{
	for (int i = 0; i < BUCKETS; i++) {
		grt_lock_init(&buckets[i].lock, GRT_RANK_BUCKET);
		buckets[i].nwaiters = 0;
		grt_list_init(&buckets[i].waiters);
	}
}
