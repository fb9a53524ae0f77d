#include "io/wait.h"
#include "io/netpoll.h"
#include "sched/cancel.h"
#include "sched/proc.h"

struct grt_fd_wait {
	struct parker *pk;
	uint32_t claimed; /* atomic: acquire-release; whoever sets it decides how the wait ends, and wakes */
	bool expired;     /* whoever claimed; seen after the wake */
	struct grt_timer timer;
};

static bool claim(struct grt_fd_wait *w)
{
	return grt_cas(&w->claimed, 0, 1);
}

static void expire(struct grt_timer *t)
{
	struct grt_fd_wait *w = grt_container_of(t, struct grt_fd_wait, timer);
	struct parker *pk = w->pk;
	if (!claim(w))
		return;
	w->expired = true;
	grt__wake(pk);
}

/* A close may move it meanwhile. */
static struct grt_fd *lock_of(struct grt_wait_fd *w)
{
	for (;;) {
		struct grt_fd *e = grt_load_acquire(&w->e);
		grt_lock(&e->lock);
		if (grt_load_relaxed(&w->e) == e)
			return e;
		grt_unlock(&e->lock);
	}
}

static void unlink_locked(struct grt_wait_fd *w)
{
	grt_list_unlink(&w->link);
	w->linked = 0;
}

static void unlink_all(struct grt_wait_fd *fds, int n)
{
	for (int i = 0; i < n; i++) {
		struct grt_fd *e = lock_of(&fds[i]);
		if (fds[i].linked)
			unlink_locked(&fds[i]);
		grt_unlock(&e->lock);
	}
}

/* WAITED_NOT here: linked, go on. */
enum linked { LINKED, CHANGED, REFUSED };

static enum linked link_one(struct grt_fd_wait *w, struct grt_wait_fd *f)
{
	enum linked r = LINKED;
	struct grt_fd *e = lock_of(f);
	uint8_t kind = grt_load_relaxed(&e->kind);
	if (grt_load_relaxed(&e->closing) && !f->shadow)
		r = REFUSED;
	else if (e->gen != f->gen || f->lost)
		r = CHANGED;
	else
		for (int d = 0; d < 2; d++)
			if (f->dirs & GRT_DIR(d) && e->count[d] != f->seen[d])
				r = CHANGED;
	if (r == LINKED) {
		f->wait = w;
		grt_list_push_tail(&e->waiters, &f->link);
		f->linked = 1;
		e->checked = 0;
		grt_store_relaxed(&e->used, 1);
		if (e->registered != grt__netpoll_instance() && grt__netpoll_watch_locked(f->fd, e) != 0) {
			unlink_locked(f);
			if (kind != FD_UNKNOWN)
				grt_store_relaxed(&e->kind, FD_PLAIN);
			r = REFUSED;
		}
	}
	grt_unlock(&e->lock);
	return r;
}

/* Parks, unless something is there already. Critical. */
static enum grt_waited wait_once(struct grt_fd_wait *w, struct grt_wait_fd *fds, int n, int64_t deadline)
{
	enum linked r = LINKED;
	int linked = 0;
	bool woken = false, timed = deadline != GRT_FOREVER;
	for (; linked < n && r == LINKED; linked++)
		r = link_one(w, &fds[linked]);
	if (r == LINKED) {
		grt__netpoll_wait_begins();
		grt_add_seqcst(&grt__sched.net_waiters, 1);
		if (timed)
			grt__timer_start(&w->timer, deadline, expire);
		woken = !grt__cancel_due() && grt__park(w->pk, WAIT_IO, GRT_FOREVER);
		grt_add_relaxed(&grt__sched.net_waiters, -1);
	}
	if (!woken) {
		if (claim(w))
			grt_store_relaxed(&w->pk->state, PARK_RUNNING);
		else
			grt__park_await(w->pk);
	}
	if (r == LINKED && timed)
		grt__timer_stop(&w->timer);
	unlink_all(fds, linked);
	if (r != LINKED)
		return r == REFUSED ? WAITED_NOT : WAITED_READY;
	if (w->expired)
		return WAITED_TIMEOUT;
	return woken ? WAITED_READY : WAITED_RESTART;
}

enum grt_waited grt__wait_fds(struct grt_wait_fd *fds, int n, int64_t deadline)
{
	struct g *gp = grt__self.g;
	uint32_t any = gp->handlers_ran, hard = gp->handlers_hard;
	if (!grt__netpoll_ready())
		return WAITED_NOT;
	for (;;) {
		struct grt_fd_wait w = {.pk = &gp->park};
		grt__enter();
		grt__park_prepare(w.pk);
		enum grt_waited r = wait_once(&w, fds, n, deadline);
		grt__leave_wait(); /* handlers run here */
		if (r != WAITED_RESTART)
			return r;
		if (grt__cancel_due())
			return WAITED_CANCELLED;
		if (gp->handlers_hard != hard)
			return WAITED_EINTR;
		if (gp->handlers_ran != any)
			return WAITED_RESTART;
		/* not for the program at all: on with it */
	}
}

/* Owner of the lock. Its owner may be gone after the wake. False: it ends for another reason. */
static bool wake_locked(struct grt_wait_fd *f, struct gqueue *ready)
{
	struct parker *pk = f->wait->pk;
	if (!claim(f->wait))
		return false;
	unlink_locked(f);
	struct g *gp = grt__wake_take(pk);
	if (gp)
		grt__gqueue_put(ready, gp);
	return true;
}

void grt__wait_event_locked(struct grt_fd *e, unsigned dirs, bool all, struct gqueue *ready)
{
	bool passed = false;
	for (int d = 0; d < 2; d++)
		if (dirs & GRT_DIR(d))
			grt_store_release(&e->count[d], e->count[d] + 1);
	grt_list_for_safe (pos, next, &e->waiters) {
		struct grt_wait_fd *f = grt_container_of(pos, struct grt_wait_fd, link);
		if (!(f->dirs & dirs))
			continue;
		bool one = f->one_of && !all;
		if (one && passed)
			continue;
		passed |= wake_locked(f, ready) && one;
	}
}

void grt__wait_lost_locked(struct grt_fd *e)
{
	struct gqueue ready = {0};
	struct g *gp;
	grt_list_for_safe (pos, next, &e->waiters) {
		struct grt_wait_fd *f = grt_container_of(pos, struct grt_wait_fd, link);
		f->lost = 1;
		wake_locked(f, &ready);
	}
	while ((gp = grt__gqueue_pop(&ready)))
		grt__ready(gp);
}

void grt__wait_pass(struct grt_fd *e)
{
	struct gqueue ready = {0};
	struct g *gp;
	grt__enter();
	grt_lock(&e->lock);
	grt_list_for_safe (pos, next, &e->waiters) {
		struct grt_wait_fd *f = grt_container_of(pos, struct grt_wait_fd, link);
		if (f->one_of && wake_locked(f, &ready))
			break;
	}
	grt_unlock(&e->lock);
	while ((gp = grt__gqueue_pop(&ready)))
		grt__ready(gp);
	grt__leave();
}
