#include "os/os.h"
#include "sched/clock.h"
#include "sched/proc.h"

#define sched grt__sched

/*
 * The timers of a P are a leftist heap, whose links are in the timers themselves: starting one needs no memory, so no wait with a time-out
 * can fail. A timer's rank is one more than its right child's, and that has the smaller rank of the two; so the right spine is
 * at most log2(n) + 1 long, and a merge walks down two of these. Rejected: an array, which has to grow, and a pairing heap, whose
 * first removal after n insertions takes n steps under the lock.
 */

static uint32_t rank(const struct grt_timer *t)
{
	return t ? t->rank : 0;
}

static void set_rank(struct grt_timer *t)
{
	if (rank(t->left) < rank(t->right)) {
		struct grt_timer *left = t->left;
		t->left = t->right;
		t->right = left;
	}
	t->rank = rank(t->right) + 1;
}

/* One heap of two. */
static struct grt_timer *merge(struct grt_timer *a, struct grt_timer *b)
{
	struct grt_timer *root = NULL, *up = NULL, **at = &root;
	while (a && b) {
		if (b->when < a->when) {
			struct grt_timer *later = a;
			a = b;
			b = later;
		}
		*at = a;
		a->up = up;
		up = a;
		at = &a->right;
		a = a->right;
	}
	if (!a)
		a = b;
	*at = a;
	if (a)
		a->up = up;
	for (; up; up = up->up)
		set_rank(up);
	return root;
}

static void note_first(struct p *pp)
{
	grt_store_relaxed(&pp->timer0, pp->timers ? pp->timers->when : GRT_FOREVER);
}

static void insert_locked(struct p *pp, struct grt_timer *t)
{
	t->left = t->right = t->up = NULL;
	t->rank = 1;
	pp->timers = merge(pp->timers, t);
	pp->ntimers++;
	note_first(pp);
}

static void remove_locked(struct p *pp, struct grt_timer *t)
{
	struct grt_timer *up = t->up, *rest = merge(t->left, t->right);
	if (rest)
		rest->up = up;
	*(!up ? &pp->timers : up->left == t ? &up->left : &up->right) = rest;
	for (uint32_t was; up; up = up->up) {
		was = up->rank;
		set_rank(up);
		if (up->rank == was)
			break;
	}
	t->rank = 0;
	pp->ntimers--;
	note_first(pp);
}

static void place_anew_locked(struct p *pp, struct grt_timer *t)
{
	remove_locked(pp, t);
	t->when = grt__deadline_mono(t->real);
	insert_locked(pp, t);
}

void grt__timer_start_in(struct p *pp, struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	uint32_t sets = grt_load_acquire(&grt__clock_sets);
	t->when = grt__deadline_mono(deadline);
	t->real = deadline < 0 ? deadline : 0;
	t->fire = fire;
	t->firing = 0;
	if (t->real)
		grt__clock_watch();
	grt_lock(&pp->timers_lock);
	t->pp = pp;
	insert_locked(pp, t);
	if (grt_unlikely(t->real && sets != grt_load_acquire(&grt__clock_sets)))
		place_anew_locked(pp, t);
	grt_unlock(&pp->timers_lock);
}

void grt__timer_start(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	struct m *mp = grt__enter();
	grt__timer_start_in(mp->p, t, deadline, fire);
	grt__leave();
}

void grt__timer_start_foreign(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	grt__timer_start_in(sched.allp[0], t, deadline, fire);
	grt__sysmon_promise(deadline);
}

void grt__timer_again(struct grt_timer *t, int64_t when)
{
	struct p *pp = t->pp;
	grt_lock(&pp->timers_lock);
	t->when = when;
	insert_locked(pp, t);
	grt_unlock(&pp->timers_lock);
}

bool grt__timer_stop(struct grt_timer *t)
{
	struct p *pp = t->pp;
	bool stopped = false;
	if (!pp)
		return false;
	bool task = grt__self.g != NULL;
	if (grt_likely(task))
		grt__enter();
	grt_lock(&pp->timers_lock);
	if (t->rank) {
		remove_locked(pp, t);
		stopped = true;
	}
	grt_unlock(&pp->timers_lock);
	for (unsigned i = 0; grt_load_acquire(&t->firing); i++) /* pairs with the release in grt__timers_run */
		grt__os_pause(i);
	if (grt_likely(task))
		grt__leave();
	return stopped;
}

int64_t grt__timers_run(struct p *pp, int64_t now)
{
	int64_t next;
	if (grt_load_relaxed(&pp->timer0) > now)
		return grt_load_relaxed(&pp->timer0);
	grt_lock(&pp->timers_lock);
	while (pp->timers && pp->timers->when <= now) {
		struct grt_timer *t = pp->timers;
		grt_store_relaxed(&t->firing, 1);
		remove_locked(pp, t);
		grt_unlock(&pp->timers_lock);
		t->fire(t);
		grt_store_release(&t->firing, 0); /* the last access: stop waits for it, then the timer may be gone */
		grt_lock(&pp->timers_lock);
	}
	next = pp->timer0;
	grt_unlock(&pp->timers_lock);
	return next;
}

/* All are taken out and put in again; `up` links those that wait for it. */
static void clock_set(struct p *pp)
{
	grt_lock(&pp->timers_lock);
	struct grt_timer *t, *todo = pp->timers;
	pp->timers = NULL;
	pp->ntimers = 0;
	while ((t = todo)) {
		struct grt_timer *children[] = {t->left, t->right};
		todo = t->up;
		for (int i = 0; i < 2; i++)
			if (children[i]) {
				children[i]->up = todo;
				todo = children[i];
			}
		if (t->real)
			t->when = grt__deadline_mono(t->real);
		insert_locked(pp, t);
	}
	note_first(pp);
	grt_unlock(&pp->timers_lock);
}

void grt__timers_clock_set(void)
{
	uint32_t n = grt_load_acquire(&grt__sched.nallp);
	grt_add_seqcst(&grt__clock_sets, 1);
	for (uint32_t i = 0; i < n; i++)
		clock_set(grt__sched.allp[i]);
	grt__sysmon_promise(grt__timers_earliest());
	for (struct m *mp = grt_load_acquire(&grt__sched.allm); mp; mp = mp->all_next) {
		struct p *pp = grt_load_acquire(&mp->own);
		if (!pp || grt_load_relaxed(&pp->timer0) == GRT_FOREVER)
			continue;
		clock_set(pp);
		grt__m_look_own(mp); /* it sleeps until the old time, perhaps */
	}
}

int64_t grt__timers_earliest(void)
{
	int64_t first = GRT_FOREVER;
	uint32_t n = grt_load_acquire(&grt__sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		int64_t when = grt_load_relaxed(&grt__sched.allp[i]->timer0);
		if (when < first)
			first = when;
	}
	return first;
}

void grt__timers_fork_child(struct p *pp)
{
	grt_lock_init(&pp->timers_lock, GRT_RANK_TIMERS);
	pp->timers = NULL;
	pp->ntimers = 0;
	pp->timer0 = GRT_FOREVER;
}
