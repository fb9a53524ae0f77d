/* See chan.h. */
#include "sync/chan.h"
#include "sched/clock.h"
#include <errno.h>
#include <string.h>

/* The number generator of the calling thread: a multiplicative one of 64 bits, whose upper half is used. */
static GRT_TLS uint64_t seed;

GRT_ALWAYS_INLINE uint32_t random_below(uint32_t n)
{
	if (grt_unlikely(!seed))
		seed = (grt__cycles() ^ (uintptr_t)&seed * 0x9e3779b97f4a7c15ull) | 1;
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 32) * n >> 32);
}

/* What a select of n cases works with. */
struct scratch {
	uint16_t *poll;  /* cases in the order in which they are looked at */
	uint16_t *order; /* by the addresses of their channels; nil channels are in neither */
	struct chan_waiter *waiters;
};

size_t grt__select_bytes(size_t n)
{
	return n * (sizeof(struct chan_waiter) + 2 * sizeof(uint16_t));
}

static size_t shuffle(const struct chan_case *cases, size_t n, uint16_t *poll)
{
	size_t live = 0;
	for (size_t i = 0; i < n; i++) {
		if (!cases[i].c)
			continue;
		uint32_t j = random_below((uint32_t)live + 1);
		poll[live++] = poll[j];
		poll[j] = (uint16_t)i;
	}
	return live;
}

/* By address: a heap sort, in place and without a bad case; what is short is inserted. */
static bool before(const struct chan_case *cases, uint16_t a, uint16_t b)
{
	return (uintptr_t)cases[a].c < (uintptr_t)cases[b].c;
}

static void sift(const struct chan_case *cases, uint16_t *a, size_t root, size_t n)
{
	uint16_t x = a[root];
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && before(cases, a[child], a[child + 1]))
			child++;
		if (!before(cases, x, a[child]))
			break;
		a[root] = a[child];
	}
	a[root] = x;
}

static void sort(const struct chan_case *cases, uint16_t *a, size_t n)
{
	if (n <= SELECT_SMALL) {
		for (size_t i = 1; i < n; i++) {
			uint16_t x = a[i];
			size_t j = i;
			for (; j > 0 && before(cases, x, a[j - 1]); j--)
				a[j] = a[j - 1];
			a[j] = x;
		}
		return;
	}
	for (size_t i = n / 2; i-- > 0;)
		sift(cases, a, i, n);
	for (size_t i = n; i-- > 1;) {
		uint16_t x = a[0];
		a[0] = a[i];
		a[i] = x;
		sift(cases, a, 0, i);
	}
}

/* One channel may be in several cases. All but the first are of the same rank: their order is the address's, which the checker of ranks
 * does not know. */
static void lock_all(const struct chan_locks *all)
{
	struct grt_chan *c, *last = NULL;
	for (size_t i = 0; i < all->n; i++, last = c) {
		c = all->cases[all->order[i]].c;
		grt__chan_fresh(c);
		if (i == 0)
			grt_lock(&c->lock);
		else if (c != last && !grt_cas(&c->lock.word, 0, 1))
			grt__lock_slow(&c->lock);
	}
}

void grt__chan_unlock_all(const struct chan_locks *all)
{
	struct grt_chan *c, *last = NULL;
	for (size_t i = all->n; i-- > 0; last = c) {
		c = all->cases[all->order[i]].c;
		if (c == all->cases[all->order[0]].c) {
			grt_unlock(&c->lock);
			return;
		}
		if (c != last)
			grt_store_release(&c->lock.word, 0);
	}
}

/* Without the lock; a hint. */
GRT_ALWAYS_INLINE bool looks_ready(const struct chan_case *k)
{
	struct grt_chan *c = k->c;
	if (grt_load_relaxed(&c->closed))
		return true;
	if (k->op == CASE_SEND)
		return grt_load_relaxed(&c->count) < c->cap || grt_load_relaxed(&c->recvq.first);
	return grt_load_relaxed(&c->count) || grt_load_relaxed(&c->sendq.first);
}

GRT_ALWAYS_INLINE int attempt_locked(struct chan_case *k, const struct chan_locks *all)
{
	if (k->op == CASE_SEND)
		return grt__chan_send_locked(k->c, k->elem, all);
	int r = grt__chan_recv_locked(k->c, k->elem, all);
	if (r < 0)
		return r;
	k->ok = (uint8_t)r;
	return 0;
}

/* One by one. Its index, -EPIPE, or -EAGAIN: none. Critical. */
static int take_one(struct chan_case *cases, const uint16_t *poll, size_t live)
{
	for (size_t i = 0; i < live; i++) {
		struct chan_case *k = &cases[poll[i]];
		grt__chan_fresh(k->c);
		if (!looks_ready(k))
			continue;
		grt_lock(&k->c->lock);
		int r = attempt_locked(k, NULL);
		if (r != -EAGAIN)
			return r < 0 ? r : poll[i];
		grt_unlock(&k->c->lock);
	}
	return -EAGAIN;
}

static int take_locked(const uint16_t *poll, size_t live, const struct chan_locks *all)
{
	for (size_t i = 0; i < live; i++) {
		int r = attempt_locked(&all->cases[poll[i]], all);
		if (r != -EAGAIN)
			return r < 0 ? r : poll[i];
	}
	return -EAGAIN;
}

static void expire(struct grt_timer *t)
{
	struct chan_wait *wait = grt_container_of(t, struct chan_wait, timer);
	if (!grt_cas(&wait->decided, 0, 1))
		return;
	wait->fired = NULL;
	grt__wake(wait->pk);
}

static void unlink_all(struct chan_waiter *waiters, size_t live)
{
	for (size_t i = 0; i < live; i++) {
		grt_lock(&waiters[i].c->lock);
		grt__chan_unlink_locked(&waiters[i]);
		grt_unlock(&waiters[i].c->lock);
	}
}

/* The channels are locked. Who ended the wait is in wait->fired; -EINTR: nobody; -ETIMEDOUT. Critical; the waiters are unlinked. */
static int wait_locked(const struct chan_locks *all, struct chan_wait *wait, struct chan_waiter *waiters,
                       int64_t deadline)
{
	bool task = wait->pk->g != NULL, timed = deadline != GRT_FOREVER;
	int r = 0;
	wait->decided = 0;
	for (size_t i = 0; i < all->n; i++)
		grt__chan_enqueue_locked(&waiters[i]);
	grt__park_prepare(wait->pk);
	if (all->n)
		grt__chan_unlock_all(all);
	if (task && timed)
		grt__timer_start(&wait->timer, deadline, expire);
	if (!grt__park(wait->pk, all->n ? WAIT_SELECT : WAIT_SELECT_NONE, deadline)) {
		if (grt_cas(&wait->decided, 0, 1)) {
			wait->pk->state = PARK_RUNNING;
			r = !task && timed && grt__deadline_left(deadline) <= 0 ? -ETIMEDOUT : -EINTR;
		} else {
			grt__park_await(wait->pk);
		}
	}
	if (task && timed)
		grt__timer_stop(&wait->timer);
	unlink_all(waiters, all->n);
	return r ? r : wait->fired ? 0 : -ETIMEDOUT;
}

static int outcome(struct chan_case *cases, struct chan_waiter *w, uint16_t index)
{
	struct chan_case *k = &cases[index];
	if (w->sends)
		return w->ok ? index : -EPIPE;
	k->ok = w->ok;
	if (!w->ok && k->elem)
		memset(k->elem, 0, k->c->elem_size);
	return index;
}

/* None was ready a moment ago. Critical; not any more when it returns. */
static GRT_NOINLINE int select_slow(struct chan_case *cases, size_t live, int64_t deadline, const struct scratch *s)
{
	struct chan_locks all = {cases, s->order, live};
	struct chan_wait wait;
	bool begun = false;
	memcpy(s->order, s->poll, live * sizeof *s->poll);
	sort(cases, s->order, live);
	memset(&wait, 0, sizeof wait);
	wait.pk = grt__parker();
	wait.shared = 1;
	for (;;) {
		lock_all(&all);
		int r = take_locked(s->poll, live, &all);
		if (r == -EAGAIN && deadline == INT64_MIN && live)
			grt__chan_unlock_all(&all);
		if (r != -EAGAIN || deadline == INT64_MIN) {
			grt__chan_leave();
			return r;
		}
		for (size_t i = 0; i < live && !begun; i++) {
			struct chan_case *k = &cases[s->order[i]];
			s->waiters[i] =
				(struct chan_waiter){.wait = &wait, .c = k->c, .elem = k->elem, .sends = k->op == CASE_SEND};
		}
		begun = true;
		r = wait_locked(&all, &wait, s->waiters, deadline);
		int index = r == 0 ? outcome(cases, wait.fired, s->order[wait.fired - s->waiters]) : r;
		grt__chan_leave(); /* handlers run here */
		if (index != -EINTR)
			return index == -ETIMEDOUT ? -EAGAIN : index;
		grt__chan_enter();
	}
}

static GRT_NOINLINE int select_small(struct chan_case *cases, uint16_t *poll, size_t live, int64_t deadline)
{
	uint16_t order[SELECT_SMALL];
	struct chan_waiter waiters[SELECT_SMALL];
	struct scratch s = {poll, order, waiters};
	return select_slow(cases, live, deadline, &s);
}

int grt__select(struct chan_case *cases, size_t n, int64_t deadline, void *scratch)
{
	uint16_t small[SELECT_SMALL];
	struct scratch s = {.poll = small};
	if (n > SELECT_SMALL) {
		s.waiters = scratch;
		s.poll = (uint16_t *)(s.waiters + n);
		s.order = s.poll + n;
	}
	grt__chan_enter();
	size_t live = shuffle(cases, n, s.poll);
	int r = take_one(cases, s.poll, live);
	if (r == -EAGAIN)
		return n > SELECT_SMALL ? select_slow(cases, live, deadline, &s) : select_small(cases, small, live, deadline);
	grt__chan_leave();
	return r;
}
