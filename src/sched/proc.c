#include "sched/proc.h"
#include "os/os.h"
#include "sched/cputime.h"
#include "sched/netpoll.h"
#include "sched/stack.h"

GRT_TLS struct grt_tls grt__self;
struct grt_sched grt__sched = {.lock = GRT_LOCK_INIT(GRT_RANK_SCHED), .promised = GRT_FOREVER};
struct p grt__no_p; /* word 0: never equals a running word */
struct g grt__main_g;

#define sched grt__sched

struct p *grt__p_new(uint32_t id)
{
	struct p *pp = grt__os_alloc(sizeof *pp);
	if (!pp)
		return NULL;
	pp->id = id;
	pp->timer0 = GRT_FOREVER;
	grt_lock_init(&pp->timers_lock, GRT_RANK_TIMERS);
	return pp;
}

bool grt__proc_init(int nprocs)
{
	if (!sched.allp && !(sched.allp = grt__os_alloc(MAX_PROCS * sizeof(struct p *))))
		return false;
	for (int i = 0; i < nprocs; i++)
		if (!sched.allp[i] && !(sched.allp[i] = grt__p_new((uint32_t)i)))
			return false;
	sched.max_ms = MAX_MS;
	sched.nprocs = sched.nallp = (uint32_t)nprocs;
	sched.next_id = 1;
	sched.sysmon_asleep = 1;
	return true;
}

/* ---- run queues ---- */

/* A chain of tasks, from first to last. */
static void gqueue_append(struct gqueue *q, struct g *first, struct g *last)
{
	last->sched_next = NULL;
	if (q->tail)
		q->tail->sched_next = first;
	else
		q->head = first;
	q->tail = last;
}

void grt__gqueue_put(struct gqueue *q, struct g *gp)
{
	gqueue_append(q, gp, gp);
}

struct g *grt__gqueue_pop(struct gqueue *q)
{
	struct g *gp = q->head;
	if (!gp)
		return NULL;
	__builtin_prefetch(gp->sched_ahead, 1);
	if (!(q->head = gp->sched_next))
		q->tail = NULL;
	return gp;
}

static void globq_put_locked(struct g *gp)
{
	gqueue_append(&sched.globq, gp, gp);
	grt_store_relaxed(&sched.globq_size, sched.globq_size + 1);
}

void grt__globq_put(struct g *gp)
{
	grt_lock(&sched.lock);
	globq_put_locked(gp);
	grt_unlock(&sched.lock);
}

void grt__urgq_put(struct g *gp)
{
	grt_lock(&sched.lock);
	gqueue_append(&sched.urgq, gp, gp);
	grt_store_relaxed(&sched.urgq_size, sched.urgq_size + 1);
	grt_store_relaxed(&sched.globq_size, sched.globq_size + 1);
	grt_unlock(&sched.lock);
}

static struct g *urgq_pop_locked(void)
{
	struct g *gp = grt__gqueue_pop(&sched.urgq);
	if (gp) {
		grt_store_relaxed(&sched.urgq_size, sched.urgq_size - 1);
		grt_store_relaxed(&sched.globq_size, sched.globq_size - 1);
	}
	return gp;
}

static struct g *globq_pop_locked(void)
{
	struct g *gp = grt__gqueue_pop(&sched.globq);
	if (!gp)
		return urgq_pop_locked();
	grt_store_relaxed(&sched.globq_size, sched.globq_size - 1);
	return gp;
}

/* So many Gs of a chain are fetched at once: following it one by one would wait for memory at each. */
enum { AHEAD = 12 };

/* Our half: a local queue that is full moves half of itself and gp to the global one. Owner P. */
static bool runq_overflow(struct p *pp, struct g *gp, uint32_t head, uint32_t tail)
{
	struct g *batch[GRT_RUNQ / 2 + 1];
	uint32_t n = (tail - head) / 2;
	for (uint32_t i = 0; i < n; i++)
		batch[i] = pp->runq[(head + i) % GRT_RUNQ];
	if (!grt_cas(&pp->runq_head, head, head + n)) /* pairs with the stealers' CAS */
		return false;
	batch[n] = gp;
	for (uint32_t i = 0; i < n; i++) {
		batch[i]->sched_next = batch[i + 1];
		batch[i]->sched_ahead = batch[i + AHEAD < n ? i + AHEAD : n];
	}
	grt_lock(&sched.lock);
	gqueue_append(&sched.globq, batch[0], gp);
	grt_store_relaxed(&sched.globq_size, sched.globq_size + n + 1);
	grt_unlock(&sched.lock);
	return true;
}

/* There was never a second P: nobody can steal, and the owner's queue operations need no locked instructions. A P is added by
 * the owner of the only one, inside a critical section, so what it did before is complete. */
static inline bool alone(void)
{
	return grt_load_relaxed(&sched.nallp) == 1;
}

static void runq_put_tail(struct p *pp, struct g *gp)
{
	for (;;) {
		uint32_t head = grt_load_acquire(&pp->runq_head); /* pairs with the stealers' CAS: slots before it are free */
		uint32_t tail = pp->runq_tail;
		if (tail - head < GRT_RUNQ) {
			grt_store_relaxed(&pp->runq[tail % GRT_RUNQ], gp);
			grt_store_release(&pp->runq_tail, tail + 1); /* pairs with the stealers' acquire */
			return;
		}
		if (runq_overflow(pp, gp, head, tail))
			return;
	}
}

void grt__runq_put(struct p *pp, struct g *gp, bool next)
{
	if (next) {
		/* Always exchanged by the owner; CASed away by stealers. The full barrier also orders the caller's reads of
		 * nspinning and sysmon_asleep (proc.h). */
		struct g *old;
		if (alone()) {
			old = pp->runnext;
			grt_store_relaxed(&pp->runnext, gp);
			grt_barrier(); /* sysmon's membarrier does the rest */
		} else {
			old = grt_xchg_seqcst(&pp->runnext, gp);
		}
		gp = old;
		if (!gp)
			return;
	}
	runq_put_tail(pp, gp);
}

/* One task is taken from the head: the next but one will be read, the next one switched to. Gs are never unmapped. */
static inline void prefetch_next(const struct p *pp, uint32_t head, uint32_t tail)
{
	if (tail - head > 2) {
		const struct g *next = grt_load_relaxed(&pp->runq[(head + 1) % GRT_RUNQ]);
		const char *far = (const char *)grt_load_relaxed(&pp->runq[(head + 2) % GRT_RUNQ]);
		__builtin_prefetch(far, 1);
		__builtin_prefetch(far + GRT_CACHE_LINE, 1);
		if (grt__ctx_unborn(&next->ctx)) {
			grt__stack_prefetch_unborn(next);
			return;
		}
		__builtin_prefetch(next->ctx.sp, 1);
		__builtin_prefetch((const char *)next->ctx.sp + GRT_CACHE_LINE, 1);
		__builtin_prefetch(next->tls, 1);
	}
}

static struct g *runq_get_head(struct p *pp)
{
	for (;;) {
		uint32_t head = grt_load_acquire(&pp->runq_head);
		uint32_t tail = pp->runq_tail;
		if (head == tail)
			return NULL;
		struct g *gp = grt_load_relaxed(&pp->runq[head % GRT_RUNQ]);
		prefetch_next(pp, head, tail);
		if (alone()) {
			grt_store_relaxed(&pp->runq_head, head + 1);
			return gp;
		}
		if (grt_cas(&pp->runq_head, head, head + 1))
			return gp;
	}
}

static struct g *runq_get(struct p *pp)
{
	/* runnext first, but a pair of tasks that wake each other may not keep the queue waiting for ever. */
	if (grt_load_relaxed(&pp->runnext) && (pp->nexts < 32 || pp->runq_head == pp->runq_tail)) {
		struct g *gp = grt_load_relaxed(&pp->runnext);
		if (alone())
			grt_store_relaxed(&pp->runnext, NULL);
		else
			gp = grt_xchg_acqrel(&pp->runnext, NULL);
		if (gp) {
			pp->nexts++;
			return gp;
		}
	}
	pp->nexts = 0;
	return runq_get_head(pp);
}

bool grt__runq_empty(const struct p *pp)
{
	return grt_load_acquire(&pp->runq_head) == grt_load_acquire(&pp->runq_tail) && !grt_load_relaxed(&pp->runnext);
}

uint32_t grt__runq_size(const struct p *pp)
{
	uint32_t n = grt_load_acquire(&pp->runq_tail) - grt_load_acquire(&pp->runq_head);
	return (n > GRT_RUNQ ? 0 : n) + (grt_load_relaxed(&pp->runnext) != NULL);
}

struct g *grt__globq_get_locked(struct p *pp, uint32_t max)
{
	uint32_t n = sched.globq_size / sched.nprocs + 1;
	if (max && n > max)
		n = max;
	if (n > GRT_RUNQ / 2)
		n = GRT_RUNQ / 2;
	struct g *gp = globq_pop_locked();
	while (gp && --n > 0) {
		struct g *more;
		if (pp->runq_tail - grt_load_acquire(&pp->runq_head) >= GRT_RUNQ)
			break;
		if (!(more = globq_pop_locked()))
			break;
		runq_put_tail(pp, more);
	}
	return gp;
}

static struct g *globq_get(struct p *pp, uint32_t max)
{
	if (!grt_load_relaxed(&sched.globq_size))
		return NULL;
	grt_lock(&sched.lock);
	struct g *gp = grt__globq_get_locked(pp, max);
	grt_unlock(&sched.lock);
	return gp;
}

static struct g *urgq_get(void)
{
	grt_lock(&sched.lock);
	struct g *gp = urgq_pop_locked();
	grt_unlock(&sched.lock);
	return gp;
}

/* Takes half of victim's queue into pp's (empty) one; returns one of them. */
static struct g *steal_from(struct p *pp, struct p *victim, bool take_next)
{
	for (;;) {
		uint32_t head = grt_load_acquire(&victim->runq_head);
		uint32_t tail = grt_load_acquire(&victim->runq_tail);
		uint32_t n = tail - head;
		n -= n / 2;
		if (n == 0) {
			struct g *next = take_next ? grt_load_relaxed(&victim->runnext) : NULL;
			if (next && grt_cas(&victim->runnext, next, NULL))
				return next;
			return NULL;
		}
		if (n > GRT_RUNQ / 2) /* head and tail were read at different times */
			continue;
		uint32_t to = pp->runq_tail;
		for (uint32_t i = 0; i < n; i++)
			grt_store_relaxed(&pp->runq[(to + i) % GRT_RUNQ], grt_load_relaxed(&victim->runq[(head + i) % GRT_RUNQ]));
		if (!grt_cas(&victim->runq_head, head, head + n))
			continue;
		struct g *gp = pp->runq[(to + n - 1) % GRT_RUNQ];
		grt_store_release(&pp->runq_tail, to + n - 1);
		return gp;
	}
}

static uint32_t next_random(struct m *mp)
{
	mp->rand ^= mp->rand << 13;
	mp->rand ^= mp->rand >> 17;
	mp->rand ^= mp->rand << 5;
	return mp->rand;
}

/* A runnext that its P's M will reach by itself in a moment is left alone (never bounce a ping-ponging pair). */
static bool next_is_stuck(struct p *victim)
{
	return P_STATUS(grt_load_relaxed(&victim->word)) != P_RUNNING;
}

static struct g *steal(struct m *mp)
{
	struct p *pp = mp->p;
	for (int round = 0; round < 4; round++) {
		uint32_t n = grt_load_acquire(&sched.nallp); /* one that is leaving may have tasks and timers */
		uint32_t start = next_random(mp) % n;
		for (uint32_t i = 0; i < n; i++) {
			struct p *victim = sched.allp[(start + i) % n];
			if (victim == pp)
				continue;
			struct g *gp;
			if (round == 3 && grt_load_relaxed(&victim->timer0) != GRT_FOREVER) {
				grt__timers_run(victim, grt__nanotime());
				if ((gp = runq_get(pp))) /* its tasks became runnable on ours, which must be empty below */
					return gp;
			}
			gp = steal_from(pp, victim, mp->steal_next || (round == 3 && next_is_stuck(victim)));
			if (gp)
				return gp;
		}
	}
	return NULL;
}

bool grt__work_waits(void)
{
	if (grt_load_seqcst(&sched.globq_size))
		return true;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++)
		if (!grt__runq_empty(sched.allp[i]))
			return true;
	return false;
}

/* ---- picking ---- */

struct g *grt__pick_local(struct m *mp)
{
	struct p *pp = mp->p;
	struct g *gp;
	if (grt_unlikely(grt_load_relaxed(&pp->timer0) != GRT_FOREVER))
		grt__timers_run(pp, grt__nanotime());
	if (grt_unlikely(grt_load_relaxed(&sched.urgq_size)) && (pp->urgent_turn ^= 1) && (gp = urgq_get()))
		return gp;
	if (grt_unlikely(pp->schedtick % 61 == 0) && (gp = globq_get(pp, 1)))
		return gp;
	if ((gp = runq_get(pp)))
		return gp;
	return globq_get(pp, 0);
}

static void stop_spinning(struct m *mp)
{
	mp->spinning = 0;
	/* The last spinner that finds work wakes another: there may be more (Go's resetspinning). */
	if (grt_add_seqcst(&sched.nspinning, -1) == 0 && (grt_load_relaxed(&sched.globq_size) || grt__runq_size(mp->p) > 0))
		grt__wake_p(mp);
}

/* The runnext of another P. A waker that parks at once makes room for it (and a ping-ponging pair must not be torn apart), but
 * one that was there for NEXT_STUCK cycles without a switch waits behind a waker that goes on. */
struct watch {
	const struct p *pp; /* NULL: none to watch */
	const struct g *next;
	uint32_t tick;
	uint64_t since;
};

static void watch_start(struct watch *w, const struct p *pp)
{
	w->tick = grt_load_relaxed(&pp->schedtick);
	w->next = grt_load_relaxed(&pp->runnext);
	w->pp = w->next ? pp : NULL;
	w->since = grt__cycles();
}

static bool watch_same(const struct watch *w)
{
	return w->pp && grt_load_relaxed(&w->pp->runnext) == w->next && grt_load_relaxed(&w->pp->schedtick) == w->tick;
}

static bool watch_stuck(const struct watch *w)
{
	return P_STATUS(grt_load_relaxed(&w->pp->word)) != P_RUNNING || grt__cycles() - w->since >= NEXT_STUCK;
}

/* A short wait on the CPU before sleeping: waking a sleeping CPU costs more than this. */
static struct g *spin_a_little(struct m *mp)
{
	struct watch w = {0};
	uint64_t until = grt__cycles() + GRT_SPIN_CYCLES;
	do {
		for (int i = 0; i < 20; i++)
			grt__cpu_relax();
		struct g *ready;
		if (grt__net_waits() && grt__net_look(mp) && (ready = runq_get(mp->p)))
			return ready;
		if (!watch_same(&w))
			watch_start(&w, sched.allp[next_random(mp) % sched.nprocs]);
		else if (watch_stuck(&w))
			mp->steal_next = 1;
		struct g *gp = globq_get(mp->p, 0);
		if (gp || (gp = steal(mp)))
			return gp;
	} while (grt__cycles() < until);
	return NULL;
}

/* The second look of proc.h. A runnext counts when it is not consumed soon: the waker that put it there may have seen this M
 * spinning, and then woke nobody; one that is consumed needed nobody, and whoever puts the next sees that we stopped. */
static bool work_left(struct m *mp)
{
	if (grt_load_seqcst(&sched.globq_size))
		return true;
	uint32_t n = grt_load_relaxed(&sched.nprocs);
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.allp[i];
		if (grt_load_acquire(&pp->runq_head) != grt_load_acquire(&pp->runq_tail))
			return true;
		struct watch w;
		watch_start(&w, pp);
		while (watch_same(&w)) {
			if (watch_stuck(&w)) {
				mp->steal_next = 1;
				return true;
			}
			grt__cpu_relax();
		}
	}
	return false;
}

/* Gives the P up and sleeps until somebody hands one over. Returns with mp->p set, or after noticing new work. */
static void go_idle(struct m *mp)
{
	struct p *pp = mp->p;
	bool was_spinning = mp->spinning;

	grt_lock(&sched.lock);
	if (sched.globq_size && !pp->retire) {
		grt_unlock(&sched.lock);
		return;
	}
	grt__p_release(mp);
	grt__p_put_idle_locked(pp);
	grt_unlock(&sched.lock);
	if (was_spinning) {
		mp->spinning = 0;
		grt_add_seqcst(&sched.nspinning, -1);
	}
	grt_fence_seqcst(); /* the second look of proc.h */
	if (work_left(mp) && grt__acquire_idle_p(mp)) {
		mp->slept = 1; /* the P that was given up may be another one, with timers */
		mp->spinning = 1;
		grt_add_seqcst(&sched.nspinning, 1);
		return;
	}
	grt__m_sleep(mp);
}

struct g *grt__find_runnable(struct m *mp)
{
	for (;;) {
		struct g *gp;
		if (mp->p == &grt__no_p) {
			grt__m_sleep(mp);
			continue;
		}
		if (grt_unlikely(grt_load_relaxed(&mp->p->retire))) {
			go_idle(mp);
			continue;
		}
		gp = grt__pick_local(mp);
		if (!gp && grt__net_waits() && grt__net_look(mp))
			gp = runq_get(mp->p);
		if (!gp && sched.nallp > 1) {
			uint32_t busy = sched.nprocs - grt_load_relaxed(&sched.npidle);
			if (!mp->spinning && 2 * grt_load_relaxed(&sched.nspinning) < busy) {
				mp->spinning = 1;
				grt_add_seqcst(&sched.nspinning, 1);
			}
			gp = steal(mp);
			if (!gp && mp->spinning)
				gp = spin_a_little(mp);
		}
		mp->steal_next = 0;
		if (gp) {
			if (mp->spinning)
				stop_spinning(mp);
			grt__net_left();
			return gp;
		}
		go_idle(mp);
	}
}

/* ---- switching ---- */

/* The kernel's mask is not `to`'s. Signals that `to` blocks must be blocked from here on; those it takes are opened when it leaves
 * its critical section, or by its sigreturn: opened here, their handlers could only be put off again. */
static void fit_mask(struct m *mp, struct g *to)
{
	if (to->preempted || (to->sigmask & ~mp->kmask))
		grt__m_set_mask(mp, GRT_MASK_ALL);
	if (!to->preempted)
		to->tls->attention |= ATTN_SIGNAL;
}

/* All of a switch that is not the CPU's. */
static inline void prepare(struct m *mp, struct g *to)
{
	grt_invariant(to->tls->crit >= 1 && grt__self.crit >= 1);
	if (!to->is_g0) {
		mp->curg = to;
		to->m = mp;
		grt_store_relaxed(&to->status, G_RUNNING);
		mp->p->schedtick++;
		grt_barrier(); /* prod's membarrier makes this enough: it sets sigpending, then looks at curg */
		if (grt_unlikely(grt_load_relaxed(&to->sigpending)))
			to->tls->attention |= ATTN_SIGNAL;
		if (grt_unlikely(mp->p->timer0 < grt_load_relaxed(&sched.promised)) && !mp->p->is_own)
			grt__sysmon_promise(mp->p->timer0);
	} else {
		mp->curg = NULL;
		/* The task that leaves may die now, or block more elsewhere: what all block must not meet the mask that it leaves behind. */
		if (grt_unlikely(grt_load_relaxed(&sched.masks_used)))
			grt__m_set_mask(mp, GRT_MASK_ALL);
	}
	if (grt_unlikely(grt_load_relaxed(&grt__cputime_counts)))
		grt__cputime_switch(mp, to);
	to->tls->m = mp;
	to->tls->mcache = mp->p->mcache;
	grt_barrier();
	mp->cur = to->tls; /* both counts are at least 1 here: sysmon sees the M critical throughout */
	grt_barrier();
	/* A signal that is put off before this blocks everything, and is seen by the look; one after knows by cur whom to tell. */
	if (grt_unlikely(to->preempted || to->sigmask != mp->kmask) && !to->is_g0)
		fit_mask(mp, to);
}

void grt__switch(struct m *mp, struct g *from, struct g *to, grt_commit commit, void *arg)
{
	grt_invariant(from != to);
	prepare(mp, to);
	if (from)
		grt__ctx_switch(&from->ctx, &to->ctx, commit, arg);
	else
		grt__ctx_jump(&to->ctx, commit, arg);
}

/* The task to go on with from a task's own stack, or g0. */
static struct g *successor(struct m *mp, struct g *gp)
{
	if (grt_unlikely(mp->lockedg != NULL || grt_load_relaxed(&mp->p->retire)))
		return &mp->g0;
	struct g *next = grt__pick_local(mp);
	if (!next)
		return &mp->g0;
	if (grt_unlikely(next->lockedm != NULL)) {
		mp->picked = next;
		return &mp->g0;
	}
	(void)gp;
	return next;
}

void grt__schedule(struct m *mp, struct g *gp, grt_commit commit, void *arg)
{
	grt__switch(mp, gp, successor(mp, gp), commit, arg);
}

void grt__schedule_jump(struct m *mp, grt_commit commit, void *arg)
{
	grt__switch(mp, NULL, successor(mp, NULL), commit, arg);
	__builtin_unreachable();
}

const struct grt_ctx_last *grt__schedule_last(struct m *mp, struct g *to, grt_commit commit, void *arg)
{
	if (!to)
		to = successor(mp, NULL);
	prepare(mp, to);
	mp->last = (struct grt_ctx_last){&to->ctx, commit, arg};
	return &mp->last;
}

void grt__commit_globq(void *gp)
{
	grt__globq_put(gp);
	if (grt_load_relaxed(&sched.sysmon_asleep))
		grt__sysmon_wake();
}

void grt__commit_urgq(void *gp)
{
	grt__urgq_put(gp);
	if (grt_load_relaxed(&sched.sysmon_asleep))
		grt__sysmon_wake();
}

void grt__commit_runq(void *arg)
{
	struct g *gp = arg;
	runq_put_tail(grt__self.m->p, gp);
	grt_barrier(); /* sysmon's membarrier makes this enough */
	if (grt_unlikely(grt_load_relaxed(&sched.sysmon_asleep)))
		grt__sysmon_wake();
}

/* ---- making runnable ---- */

static void maybe_wake(struct m *mp, struct p *pp)
{
	if (grt_load_relaxed(&sched.npidle) == 0) {
		if (grt_unlikely(grt_load_relaxed(&sched.sysmon_asleep)))
			grt__sysmon_wake();
		return;
	}
	if (grt_load_relaxed(&sched.nspinning)) { /* the spinner leaves a runnext to its own M, which may not come to it */
		if (grt_unlikely(grt_load_relaxed(&sched.sysmon_asleep)))
			grt__sysmon_wake();
		return;
	}
	if (pp->runq_head == pp->runq_tail) { /* only runnext: its waker will likely make room */
		uint64_t now = grt__cycles();
		if (now - mp->last_wake < WAKE_PAUSE) {
			if (grt_unlikely(grt_load_relaxed(&sched.sysmon_asleep)))
				grt__sysmon_wake();
			return;
		}
		mp->last_wake = now;
	}
	grt__wake_p(mp);
}

/* A task with a P of its own: its M sleeps in the kernel, which puts it in its place among the others. False: it has none. */
static bool ready_own(struct g *gp)
{
	if (grt_likely(!gp->own_p))
		return false;
	struct m *lm = gp->lockedm;
	grt_store_release(&gp->status, G_RUNNABLE); /* pairs with the look of stop_own */
	grt__m_look_own(lm);
	return true;
}

void grt__ready(struct g *gp)
{
	if (ready_own(gp))
		return;
	grt_store_relaxed(&gp->status, G_RUNNABLE);
	if (grt__self.g && !grt__self.in_vfork && (grt__self.crit || !grt__self.g->is_g0)) {
		/* On g0, and on a task whose P is gone, there may be no P, or one that no other task may use: then the global queue. */
		if ((grt__self.g->is_g0 && grt__self.m->p == &grt__no_p) || grt__self.m->p->is_own)
			goto global;
		struct m *mp = grt__enter();
		grt__runq_put(mp->p, gp, true);
		maybe_wake(mp, mp->p);
		grt__leave();
		return;
	}
global:
	grt__globq_put(gp);
	grt__wake_p(NULL);
}

void grt__ready_sig(struct g *gp)
{
	if (ready_own(gp))
		return;
	grt_store_relaxed(&gp->status, G_RUNNABLE);
	grt__urgq_put(gp);
	grt__wake_p(NULL);
	if (grt_load_seqcst(&sched.sysmon_asleep))
		grt__sysmon_wake();
}

/* Newborns run in the order of their birth, as threads do that the kernel starts: a program may count on it without knowing. */
void grt__ready_new(struct m *mp, struct g *gp)
{
	if (grt_unlikely(mp->p->is_own)) {
		grt__ready(gp);
		return;
	}
	bool first = grt__runq_empty(mp->p);
	grt_store_relaxed(&gp->status, G_RUNNABLE);
	grt__runq_put(mp->p, gp, first);
	if (!first && !alone())
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* as the exchange of runnext: before maybe_wake reads nspinning */
	maybe_wake(mp, mp->p);
}

void grt__yield(void)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	if (grt_unlikely(gp->own_p)) {
		grt__leave();
		grt__sys0(SYS_sched_yield);
		return;
	}
	struct g *next = successor(mp, gp);
	if (next == &mp->g0 && !mp->picked && !mp->p->retire &&
	    !(mp->lockedg && grt__work_waits())) { /* nobody else here: let another kernel thread run if one waits */
		grt__leave();
		grt__sys0(SYS_sched_yield);
		return;
	}
	grt_store_relaxed(&gp->status, G_RUNNABLE);
	grt__switch(mp, gp, next, mp->lockedg ? grt__commit_globq : grt__commit_runq, gp);
	grt__leave();
}

/* Whoever puts a leaving P idle (gomaxprocs.c). */
void grt__p_retire_locked(struct p *pp)
{
	struct g *gp;
	grt_store_relaxed(&pp->retire, P_RETIRED);
	grt_store_relaxed(&sched.nleaving, sched.nleaving - 1);
	pp->nexts = 0;
	while ((gp = runq_get(pp)))
		globq_put_locked(gp);
	if (pp->timer0 != GRT_FOREVER)
		grt__sysmon_promise(pp->timer0);
}
