#include "os/os.h"
#include "sched/clock.h"
#include "sched/proc.h"

enum { ARITY = 4 };

static void place(struct p *pp, uint32_t i, struct grt_timer *t)
{
	pp->timers[i] = t;
	t->index = i + 1;
}

static void sift_up(struct p *pp, uint32_t i)
{
	struct grt_timer *t = pp->timers[i];
	while (i > 0) {
		uint32_t parent = (i - 1) / ARITY;
		if (pp->timers[parent]->when <= t->when)
			break;
		place(pp, i, pp->timers[parent]);
		i = parent;
	}
	place(pp, i, t);
}

static void sift_down(struct p *pp, uint32_t i)
{
	struct grt_timer *t = pp->timers[i];
	for (;;) {
		uint32_t first = i * ARITY + 1, best = i;
		int64_t when = t->when;
		for (uint32_t c = first; c < first + ARITY && c < pp->ntimers; c++)
			if (pp->timers[c]->when < when) {
				best = c;
				when = pp->timers[c]->when;
			}
		if (best == i)
			break;
		place(pp, i, pp->timers[best]);
		i = best;
	}
	place(pp, i, t);
}

static void note_first(struct p *pp)
{
	grt_store_relaxed(&pp->timer0, pp->ntimers ? pp->timers[0]->when : GRT_FOREVER);
}

static void remove_locked(struct p *pp, struct grt_timer *t)
{
	uint32_t i = t->index - 1;
	struct grt_timer *last = pp->timers[--pp->ntimers];
	t->index = 0;
	if (last != t) {
		place(pp, i, last);
		sift_up(pp, i);
		sift_down(pp, last->index - 1);
	}
	note_first(pp);
}

static void grow_locked(struct p *pp)
{
	uint32_t cap = pp->timers_cap ? pp->timers_cap * 2 : 512;
	struct grt_timer **bigger = grt__os_alloc(cap * sizeof(void *));
	if (!bigger)
		grt__throw("out of memory for %u timers", cap);
	for (uint32_t i = 0; i < pp->ntimers; i++)
		bigger[i] = pp->timers[i];
	grt__os_free(pp->timers, pp->timers_cap * sizeof(void *));
	pp->timers = bigger;
	pp->timers_cap = cap;
}

static void place_anew_locked(struct p *pp, struct grt_timer *t)
{
	t->when = grt__deadline_mono(t->real);
	sift_up(pp, t->index - 1);
	sift_down(pp, t->index - 1);
	note_first(pp);
}

void grt__timer_start(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	struct m *mp = grt__enter();
	struct p *pp = mp->p;
	uint32_t sets = grt_load_acquire(&grt__clock_sets);
	t->when = grt__deadline_mono(deadline);
	t->real = deadline < 0 ? deadline : 0;
	t->fire = fire;
	t->firing = 0;
	if (t->real)
		grt__clock_watch();
	grt_lock(&pp->timers_lock);
	t->pp = pp;
	if (pp->ntimers == pp->timers_cap)
		grow_locked(pp);
	pp->timers[pp->ntimers] = t;
	sift_up(pp, pp->ntimers++);
	note_first(pp);
	if (grt_unlikely(t->real && sets != grt_load_acquire(&grt__clock_sets)))
		place_anew_locked(pp, t);
	grt_unlock(&pp->timers_lock);
	grt__leave();
}

bool grt__timer_stop(struct grt_timer *t)
{
	struct p *pp = t->pp;
	bool stopped = false;
	if (!pp)
		return false;
	grt__enter();
	grt_lock(&pp->timers_lock);
	if (t->index) {
		remove_locked(pp, t);
		stopped = true;
	}
	grt_unlock(&pp->timers_lock);
	for (unsigned i = 0; grt_load_acquire(&t->firing); i++) /* pairs with the release in grt__timers_run */
		grt__os_pause(i);
	grt__leave();
	return stopped;
}

int64_t grt__timers_run(struct p *pp, int64_t now)
{
	int64_t next;
	if (grt_load_relaxed(&pp->timer0) > now)
		return grt_load_relaxed(&pp->timer0);
	grt_lock(&pp->timers_lock);
	while (pp->ntimers && pp->timers[0]->when <= now) {
		struct grt_timer *t = pp->timers[0];
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

static void clock_set(struct p *pp)
{
	grt_lock(&pp->timers_lock);
	for (uint32_t k = 0; k < pp->ntimers; k++)
		if (pp->timers[k]->real)
			pp->timers[k]->when = grt__deadline_mono(pp->timers[k]->real);
	for (uint32_t k = pp->ntimers; k-- > 0;)
		sift_down(pp, k);
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
	pp->ntimers = 0;
	pp->timer0 = GRT_FOREVER;
}
