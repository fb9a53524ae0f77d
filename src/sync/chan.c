/* See chan.h. */
#include "sync/chan.h"
#include <errno.h>
#include <string.h>

uint32_t grt__chan_epoch = 1;
static struct grt_lock refresh_lock = GRT_LOCK_INIT(GRT_RANK_BUCKET);

/* Most elements are words; the compiler makes moves of those. */
GRT_ALWAYS_INLINE void copy(void *to, const void *from, size_t n)
{
	if (grt_likely(n == 8))
		memcpy(to, from, 8);
	else if (n == 4)
		memcpy(to, from, 4);
	else if (n == 16)
		memcpy(to, from, 16);
	else if (n)
		memcpy(to, from, n);
}

GRT_ALWAYS_INLINE char *place(struct grt_chan *c, size_t i)
{
	return c->ring + i * c->elem_size;
}

GRT_ALWAYS_INLINE void advance(const struct grt_chan *c, size_t *i)
{
	if (++*i == c->cap)
		*i = 0;
}

/* ---- queues ---- */

static struct chan_queue *queue_of(const struct chan_waiter *w)
{
	return w->sends ? &w->c->sendq : &w->c->recvq;
}

void grt__chan_enqueue_locked(struct chan_waiter *w)
{
	struct chan_queue *q = queue_of(w);
	struct chan_waiter *after = q->last;
	if (grt_likely(!w->turn))
		w->turn = ++w->c->turns;
	else
		while (after && after->turn > w->turn)
			after = after->prev;
	w->prev = after;
	w->next = after ? after->next : q->first;
	*(w->next ? &w->next->prev : &q->last) = w;
	*(after ? &after->next : &q->first) = w;
	w->linked = 1;
}

GRT_ALWAYS_INLINE void unlink_waiter(struct chan_queue *q, struct chan_waiter *w)
{
	*(w->next ? &w->next->prev : &q->last) = w->prev;
	*(w->prev ? &w->prev->next : &q->first) = w->next;
	w->linked = 0;
}

bool grt__chan_unlink_locked(struct chan_waiter *w)
{
	if (!w->linked)
		return false;
	unlink_waiter(queue_of(w), w);
	return true;
}

/* The first waiter that nothing else ended; it is the caller's, who has to wake it. */
GRT_ALWAYS_INLINE struct chan_waiter *dequeue(struct chan_queue *q)
{
	struct chan_waiter *w;
	while ((w = q->first)) {
		unlink_waiter(q, w);
		if (!w->wait->shared || grt_cas(&w->wait->decided, 0, 1))
			return w;
	}
	return NULL;
}

GRT_ALWAYS_INLINE void unlock(struct grt_chan *c, const struct chan_locks *all)
{
	if (grt_unlikely(all != NULL))
		grt__chan_unlock_all(all);
	else
		grt_unlock(&c->lock);
}

GRT_ALWAYS_INLINE void finish(struct chan_waiter *w, bool ok)
{
	struct chan_wait *wait = w->wait;
	w->ok = ok;
	wait->fired = w;
	grt__wake(wait->pk); /* w and wait are gone after this */
}

/* ---- the two directions ---- */

GRT_ALWAYS_INLINE int send_locked(struct grt_chan *c, const void *v, const struct chan_locks *all)
{
	if (grt_unlikely(c->closed)) {
		unlock(c, all);
		return -EPIPE;
	}
	struct chan_waiter *w = dequeue(&c->recvq);
	if (w) {
		size_t size = c->elem_size;
		unlock(c, all);
		if (w->elem)
			copy(w->elem, v, size);
		finish(w, true);
		return 0;
	}
	if (c->count >= c->cap)
		return -EAGAIN;
	copy(place(c, c->sendx), v, c->elem_size);
	advance(c, &c->sendx);
	grt_store_relaxed(&c->count, c->count + 1);
	unlock(c, all);
	return 0;
}

GRT_ALWAYS_INLINE int recv_locked(struct grt_chan *c, void *v, const struct chan_locks *all)
{
	struct chan_waiter *w;
	size_t size = c->elem_size;
	if (c->count) {
		char *first = place(c, c->recvx);
		if (v)
			copy(v, first, size);
		advance(c, &c->recvx);
		w = grt_unlikely(c->sendq.first != NULL) ? dequeue(&c->sendq) : NULL;
		if (w) { /* the ring is full: the place that has become free is the last one */
			copy(first, w->elem, size);
			c->sendx = c->recvx;
			unlock(c, all);
			finish(w, true);
		} else {
			grt_store_relaxed(&c->count, c->count - 1);
			unlock(c, all);
		}
		return 1;
	}
	if ((w = dequeue(&c->sendq))) {
		unlock(c, all);
		if (v)
			copy(v, w->elem, size);
		finish(w, true);
		return 1;
	}
	if (!c->closed)
		return -EAGAIN;
	unlock(c, all);
	if (v)
		memset(v, 0, size);
	return 0;
}

int grt__chan_send_locked(struct grt_chan *c, const void *v, const struct chan_locks *all)
{
	return send_locked(c, v, all);
}

int grt__chan_recv_locked(struct grt_chan *c, void *v, const struct chan_locks *all)
{
	return recv_locked(c, v, all);
}

/* ---- waiting ---- */

static GRT_NORETURN void wait_for_ever(enum grt_wait why)
{
	struct parker *pk = grt__parker();
	for (;;) {
		grt__chan_enter();
		grt__park_prepare(pk);
		grt__park(pk, why, GRT_FOREVER);
		pk->state = PARK_RUNNING;
		grt__chan_leave();
	}
}

/* c is locked and w was made; critical. False: interrupted, w is not linked. Not critical after that. */
static bool wait_locked(struct grt_chan *c, struct chan_waiter *w, enum grt_wait why)
{
	struct parker *pk = w->wait->pk;
	bool done = true;
	grt__chan_enqueue_locked(w);
	grt__park_prepare(pk);
	grt_unlock(&c->lock);
	if (grt_unlikely(!grt__park(pk, why, GRT_FOREVER))) {
		grt_lock(&c->lock);
		done = !grt__chan_unlink_locked(w);
		grt_unlock(&c->lock);
		if (done)
			grt__park_await(pk);
		else
			pk->state = PARK_RUNNING;
	}
	grt__chan_leave();
	return done;
}

static GRT_NOINLINE int send_wait(struct grt_chan *c, const void *v)
{
	struct chan_wait wait;
	struct chan_waiter w;
	wait.pk = grt__parker();
	wait.shared = 0;
	w.wait = &wait;
	w.c = c;
	w.elem = (void *)v;
	w.turn = 0;
	w.sends = 1;
	while (grt_unlikely(!wait_locked(c, &w, WAIT_CHAN_SEND))) {
		grt__chan_fresh(c); /* the handler may have forked */
		grt__chan_enter();
		grt_lock(&c->lock);
		int r = send_locked(c, v, NULL);
		if (r == -EAGAIN)
			continue;
		grt__chan_leave();
		return r;
	}
	return w.ok ? 0 : -EPIPE;
}

static GRT_NOINLINE int recv_wait(struct grt_chan *c, void *v)
{
	struct chan_wait wait;
	struct chan_waiter w;
	wait.pk = grt__parker();
	wait.shared = 0;
	w.wait = &wait;
	w.c = c;
	w.elem = v;
	w.turn = 0;
	w.sends = 0;
	size_t size = c->elem_size;
	while (grt_unlikely(!wait_locked(c, &w, WAIT_CHAN_RECV))) {
		grt__chan_fresh(c); /* the handler may have forked */
		grt__chan_enter();
		grt_lock(&c->lock);
		int r = recv_locked(c, v, NULL);
		if (r == -EAGAIN)
			continue;
		grt__chan_leave();
		return r;
	}
	if (w.ok)
		return 1;
	if (v)
		memset(v, 0, size);
	return 0;
}

int grt__chan_send(struct grt_chan *c, const void *v)
{
	if (grt_unlikely(!c))
		wait_for_ever(WAIT_CHAN_SEND_NIL);
	grt__chan_fresh(c);
	grt__chan_enter();
	grt_lock(&c->lock);
	int r = send_locked(c, v, NULL);
	if (r == -EAGAIN)
		return send_wait(c, v);
	grt__chan_leave();
	return r;
}

int grt__chan_recv(struct grt_chan *c, void *v)
{
	if (grt_unlikely(!c))
		wait_for_ever(WAIT_CHAN_RECV_NIL);
	grt__chan_fresh(c);
	grt__chan_enter();
	grt_lock(&c->lock);
	int r = recv_locked(c, v, NULL);
	if (r == -EAGAIN)
		return recv_wait(c, v);
	grt__chan_leave();
	return r;
}

/* ---- without waiting ---- */

int grt__chan_try_send(struct grt_chan *c, const void *v)
{
	if (!c)
		return -EAGAIN;
	grt__chan_fresh(c);
	/* Each of the three was so at some moment of the call, and a channel that is closed or becomes ready does not go back by itself. */
	if (!grt_load_relaxed(&c->closed) && !grt_load_relaxed(&c->recvq.first) && grt_load_relaxed(&c->count) >= c->cap)
		return -EAGAIN;
	grt__chan_enter();
	grt_lock(&c->lock);
	int r = send_locked(c, v, NULL);
	if (r == -EAGAIN)
		grt_unlock(&c->lock);
	grt__chan_leave();
	return r;
}

int grt__chan_try_recv(struct grt_chan *c, void *v)
{
	if (!c)
		return -EAGAIN;
	grt__chan_fresh(c);
	if (!grt_load_relaxed(&c->count) && !grt_load_relaxed(&c->sendq.first) && !grt_load_acquire(&c->closed))
		return -EAGAIN;
	grt__chan_enter();
	grt_lock(&c->lock);
	int r = recv_locked(c, v, NULL);
	if (r == -EAGAIN)
		grt_unlock(&c->lock);
	grt__chan_leave();
	return r;
}

/* ---- the rest ---- */

int grt__chan_close(struct grt_chan *c)
{
	struct chan_waiter *w, *all = NULL, **end = &all;
	grt__chan_fresh(c);
	grt__chan_enter();
	grt_lock(&c->lock);
	if (c->closed) {
		grt_unlock(&c->lock);
		grt__chan_leave();
		return -EPIPE;
	}
	grt_store_relaxed(&c->closed, 1);
	while ((w = dequeue(&c->recvq)) || (w = dequeue(&c->sendq))) {
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	grt_unlock(&c->lock);
	while ((w = all)) {
		all = w->next;
		finish(w, false);
	}
	grt__chan_leave();
	return 0;
}

size_t grt__chan_len(struct grt_chan *c)
{
	return c && !c->hidden ? grt_load_relaxed(&c->count) : 0;
}

size_t grt__chan_bytes(size_t elem_size, size_t cap)
{
	size_t ring, all;
	if (__builtin_mul_overflow(elem_size, cap, &ring) || __builtin_add_overflow(ring, sizeof(struct grt_chan), &all) ||
	    all > PTRDIFF_MAX)
		return 0;
	return all;
}

void grt__chan_init(struct grt_chan *c, size_t elem_size, size_t cap)
{
	memset(c, 0, sizeof *c);
	grt_lock_init(&c->lock, GRT_RANK_CHAN);
	c->epoch = grt__chan_epoch;
	c->elem_size = elem_size;
	c->cap = cap;
}

bool grt__chan_idle(struct grt_chan *c)
{
	grt__chan_fresh(c);
	grt__chan_enter();
	grt_lock(&c->lock);
	bool idle = !c->recvq.first && !c->sendq.first;
	grt_unlock(&c->lock);
	grt__chan_leave();
	return idle;
}

GRT_COLD_FN void grt__chan_refresh(struct grt_chan *c)
{
	grt__chan_enter();
	grt_lock(&refresh_lock);
	if (c->epoch != grt__chan_epoch) {
		grt_lock_init(&c->lock, GRT_RANK_CHAN);
		c->recvq = c->sendq = (struct chan_queue){NULL, NULL};
		grt_store_release(&c->epoch, grt__chan_epoch);
	}
	grt_unlock(&refresh_lock);
	grt__chan_leave();
}

void grt__chan_fork_child(void)
{
	grt_lock_init(&refresh_lock, GRT_RANK_BUCKET);
	grt__chan_epoch++;
}
