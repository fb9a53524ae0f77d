#include "sched/task.h"
#include "os/os.h"
#include "sched/clock.h"
#include "sched/cputime.h"
#include "sched/pin.h"
#include "sched/cancel.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/stack.h"
#include "sched/tcb.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/prctl.h>

#define sched grt__sched

/* ---- table of all Gs ---- */

enum { ALLG_FIRST = 1024, ALLG_SEGMENTS = 32, ID_BATCH = 64 };

static struct grt_lock allg_lock = GRT_LOCK_INIT(GRT_RANK_ALLG);
static struct g **allg_segment[ALLG_SEGMENTS]; /* segment i holds ALLG_FIRST << i; atomic, never freed */
static uint32_t nallg;                         /* atomic: release after the slot was written */

static struct g **allg_slot(uint32_t i, bool make)
{
	uint32_t s = 31 - (uint32_t)__builtin_clz(i / ALLG_FIRST + 1);
	uint32_t first = ((1u << s) - 1) * ALLG_FIRST;
	struct g **seg = grt_load_acquire(&allg_segment[s]);
	if (grt_unlikely(!seg) && make) {
		seg = grt__os_alloc((sizeof(struct g *) * ALLG_FIRST) << s);
		grt_store_release(&allg_segment[s], seg);
	}
	return seg ? &seg[i - first] : NULL;
}

bool grt__allg_add(struct g *gp)
{
	grt__enter();
	grt_lock(&allg_lock);
	struct g **slot = allg_slot(nallg, true);
	if (slot) {
		*slot = gp;
		grt_store_release(&nallg, nallg + 1);
	}
	grt_unlock(&allg_lock);
	grt__leave();
	return slot != NULL;
}

void grt__allg_for_each_ever(void (*fn)(struct g *, void *), void *arg)
{
	uint32_t n = grt_load_acquire(&nallg);
	for (uint32_t i = 0; i < n; i++)
		fn(*allg_slot(i, false), arg);
}

void grt__allg_for_each(void (*fn)(struct g *, void *), void *arg)
{
	uint32_t n = grt_load_acquire(&nallg);
	fn(&grt__main_g, arg);
	for (uint32_t i = 0; i < n; i++) {
		struct g *gp = *allg_slot(i, false);
		uint32_t status = grt_load_relaxed(&gp->status);
		if (status != G_IDLE && status != G_DEAD)
			fn(gp, arg);
	}
}

/* ---- birth ---- */

static void new_id(struct m *mp, struct g *gp)
{
	struct p *pp = mp->p;
	if (pp->id_next == pp->id_end) {
		pp->id_end = grt_add_relaxed(&sched.next_id, ID_BATCH);
		pp->id_next = pp->id_end - ID_BATCH;
	}
	gp->id = ++pp->id_next;
	/* above the kernel's largest pid (2^22), below the futex's tid mask; unique until 2^29 tasks later */
	gp->tid = (int32_t)(GRT_TID_FIRST + (uint32_t)(gp->id % (1u << 29)));
}

static void run(struct g *gp, __pthread_unwind_buf_t *end)
{
	grt__tcb_set_unwind_end(gp, end);
	grt__libc.uselocale((void *)-1l); /* also sets the ctype tables */
	grt__leave(); /* the first handler may run here, and may end the task: what both need is there */
	void *result = gp->fn(gp->arg);
	if (gp->returns_int)
		result = (void *)(intptr_t)(int)(intptr_t)result;
	grt__tcb_set_result(gp, result);
}

static const struct grt_ctx_last *end_task(struct g *gp);

static const struct grt_ctx_last *task_main(void *arg)
{
	__pthread_unwind_buf_t end = {0};
	/* Unwinding (pthread_exit, cancellation) ends here, also out of a destructor: then the rest of them run. */
	if (sigsetjmp((struct __jmp_buf_tag *)end.__cancel_jmp_buf, 0) == 0)
		run(grt__self.g, &end);
	return end_task(grt__self.g);
}

/* Everything but the start. Critical, mp is the caller's. */
static void make_task(struct m *mp, struct g *gp, const struct grt_spawn *how)
{
	struct g *self = grt__self.g;
	new_id(mp, gp);
	if (grt_likely(!how->internal)) /* the runtime's own keep no process alive */
		mp->p->started++;
	grt__tcb_set_tid(gp, gp->tid);
	if (self->last_child)
		grt_store_relaxed(&self->last_child->born_next, gp); /* it may be another one by now: a hint all the same */
	self->last_child = gp;
	grt_store_relaxed(&gp->born_next, NULL);
	gp->fn = how->fn;
	gp->arg = how->arg;
	gp->result = NULL;
	gp->joiner = NULL;
	gp->join_state = how->detached ? JOIN_DETACHED : JOIN_RUNNING;
	gp->internal = how->internal;
	gp->returns_int = how->returns_int;
	gp->sigmask = how->sigmask ? *how->sigmask & ~GRT_MASK_LIBC : self->sigmask;
	if (grt_unlikely(how->sigmask != NULL) && gp->sigmask)
		grt_store_relaxed(&sched.masks_used, 1);
	gp->sigpending = 0;
	if (grt_unlikely(gp->has_altstack))
		gp->has_altstack = 0, gp->altstack_size = 0;
	if (grt_unlikely(gp->has_queue)) /* pending for the task that ended here */
		grt__sigqueue_drop(gp);
	memcpy(gp->name, self->name, sizeof gp->name);
	gp->lockedm = NULL;
	gp->lock_count = 0;
	gp->pinned_tid = 0;
	gp->pin_wanted = 0;
	gp->pinned = gp->inherits = gp->robust = gp->clears_tid = gp->own_p = gp->rt_prio = 0;
	gp->wait_why = WAIT_NONE;
	if (grt_unlikely(grt_load_relaxed(&grt__cputime_counts)))
		gp->cputime = 0;
	gp->slow_block[0] = gp->slow_block[1] = 1;
	gp->park.state = PARK_RUNNING;
	gp->birth.fn = task_main;
	grt__ctx_make(&gp->ctx, &gp->birth);
}

/* No kernel thread to be had: what libc would answer. With every M in the kernel the new task might never run. */
static bool no_more_ms(void)
{
	if (grt_load_relaxed(&sched.m_failed) == M_REFUSED && !grt_load_relaxed(&sched.nmidle))
		return true;
	return !grt__ms_are_few() && !grt_load_relaxed(&sched.nmidle);
}

/* ---- many births ---- */

enum { MANY_BIRTHS = 64, SHORT_LIFE = 6000 /* cycles: about 2 us */ };

/* The caller has made a task on pp. True at every MANY_BIRTHS-th that it makes without a switch. */
static bool many_births(struct p *pp)
{
	if (pp->births_tick != pp->schedtick) {
		pp->births_tick = pp->schedtick;
		pp->nbirths = 0;
	}
	return ++pp->nbirths % MANY_BIRTHS == 0;
}

/* Whoever makes many tasks that end soon lets them run while what their births wrote is in the caches; and the stacks of those that nobody
 * joins are had again, instead of more. Only if tasks ended so soon since the last look: else the maker would wait for their slices. */
static void let_them_run(void)
{
	struct m *mp = grt__enter();
	struct p *pp = mp->p;
	uint64_t now = grt__cycles(), took = now - pp->births_since, ended = pp->finished - pp->births_finished;
	bool now_then = ended >= MANY_BIRTHS / 4 && took < ended * SHORT_LIFE && !mp->lockedg && !grt__runq_empty(pp);
	pp->births_since = now;
	pp->births_finished = pp->finished;
	grt__leave();
	if (now_then)
		grt__yield();
}

int grt__spawn(const struct grt_spawn *how, unsigned long *pthread)
{
	struct g *gp;
	if (grt_unlikely(no_more_ms()))
		return -EAGAIN;
	int r = grt__stack_get(how->stack_size, how->guard_size, how->stack, &gp);
	if (r < 0)
		return r;
	struct m *mp = grt__enter();
	make_task(mp, gp, how);
	if (pthread)
		*pthread = (unsigned long)gp->tcb;
	grt__ready_new(mp, gp);
	bool many = many_births(mp->p);
	grt__leave();
	if (grt_unlikely(many))
		let_them_run();
	return 0;
}

int grt__spawn_pinned(const struct grt_spawn *how, int (*setup)(struct g *gp, void *arg), void *arg,
                      unsigned long *pthread)
{
	struct g *gp;
	int r = grt__stack_get(how->stack_size, how->guard_size, how->stack, &gp);
	if (r < 0)
		return r;
	struct m *mp = grt__enter();
	make_task(mp, gp, how);
	grt__leave();
	if ((r = grt__m_new_for(gp)) == 0 && (r = setup(gp, arg)) < 0)
		grt__m_discard(gp);
	mp = grt__enter();
	if (r == 0) {
		if (pthread)
			*pthread = (unsigned long)gp->tcb;
		grt__ready(gp);
	} else {
		gp->lockedm = NULL;
		gp->own_p = 0;
		gp->status = G_DEAD;
		mp->p->finished++;
		grt__stack_put(mp->p, gp);
	}
	grt__leave();
	return r;
}

void grt__task_init_main(struct g *gp)
{
	gp->id = 1;
	gp->tid = grt__sys_getpid();
	grt__sys2(SYS_prctl, PR_GET_NAME, gp->name);
	gp->tcb = grt__thread_pointer();
	gp->ctx.fs = (uintptr_t)gp->tcb;
	gp->tls = &grt__self;
	gp->dtv_static = DTV_ANY;
	gp->park.g = gp;
	gp->slow_block[0] = gp->slow_block[1] = 1;
	sched.allp[0]->started = 1;
}

/* ---- death ---- */

static uint64_t tasks_alive(void)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < sched.nallp; i++)
		n += grt_load_relaxed(&sched.allp[i]->started) - grt_load_relaxed(&sched.allp[i]->finished);
	for (struct m *mp = grt_load_acquire(&sched.allm); mp; mp = mp->all_next) {
		const struct p *pp = grt_load_acquire(&mp->own);
		if (pp)
			n += grt_load_relaxed(&pp->started) - grt_load_relaxed(&pp->finished);
	}
	return n;
}

bool grt__task_alone(void)
{
	return tasks_alive() <= 1;
}

int grt__num_tasks(void)
{
	return (int)tasks_alive();
}

/* On the successor's stack. */
static void commit_dead(void *arg)
{
	struct g *gp = arg;
	struct p *pp = grt__self.m->p;
	struct parker *joiner = NULL;
	grt_store_relaxed(&gp->status, G_DEAD);
	uint32_t s = grt_load_acquire(&gp->join_state);
	for (;;) {
		if (s == JOIN_DETACHED) {
			if (gp != &grt__main_g)
				grt__stack_put(pp, gp);
			return;
		}
		if (s == JOIN_WAITED || s == JOIN_DYING)
			joiner = gp->joiner; /* read before DONE: after it the joiner may free gp */
		if (__atomic_compare_exchange_n(&gp->join_state, &s, JOIN_DONE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			break;
		joiner = NULL;
	}
	if (joiner)
		grt__wake(joiner);
}

/* The joiner was taken as the direct successor: it only has to be told. */
static void commit_dead_joined(void *arg)
{
	struct g *gp = arg;
	grt_store_relaxed(&gp->status, G_DEAD);
	grt_store_release(&gp->join_state, JOIN_DONE);
}

static void end_if_last(void)
{
	grt_fence_seqcst(); /* the last two tasks count themselves out, then look: one of them sees nobody */
	if (grt_load_seqcst(&sched.main_exited) && tasks_alive() == 0 && grt_cas(&sched.main_exited, 1, 2))
		grt__libc.exit(0);
}

/* A joiner that is parked and may run here at once, now claimed; or NULL. */
static struct g *claim_joiner(struct m *mp, struct g *gp)
{
	if (grt_load_acquire(&gp->join_state) != JOIN_WAITED || !grt_cas(&gp->join_state, JOIN_WAITED, JOIN_DYING))
		return NULL;
	struct g *jg = gp->joiner->g;
	if (!jg || jg->lockedm || mp->lockedg || !grt_cas(&jg->park.state, PARK_PARKED, PARK_WOKEN))
		return NULL;
	return jg;
}

/* Critical, everything paid. */
static const struct grt_ctx_last *last_switch(struct m *mp, struct g *gp)
{
	if (mp->lockedg) {
		/* In the first two cases it keeps its lockedg until it is on g0: nobody is switched to directly. */
		if (grt__pin_end(mp, gp))
			mp->ending = M_ENDS;
		else if (gp->own_p)
			mp->ending = M_SERVES_ALL;
		else
			mp->lockedg = NULL;
		gp->own_p = 0;
		gp->lockedm = NULL;
	}
	struct g *jg = claim_joiner(mp, gp);
	return grt__schedule_last(mp, jg, jg ? commit_dead_joined : commit_dead, gp);
}

static const struct grt_ctx_last *end_task(struct g *gp)
{
	grt__tcb_run_destructors(gp);
	gp->result = grt__tcb_result(gp);
	grt__stack_trim(gp);
	struct m *mp = grt__enter();
	if (grt_likely(!gp->internal))
		mp->p->finished++;
	if (grt_unlikely(grt_load_relaxed(&sched.main_exited))) {
		grt__leave();
		end_if_last();
		mp = grt__enter();
	}
	return last_switch(mp, gp);
}

void grt__task_main_landing(void)
{
	struct g *gp = &grt__main_g;
	gp->result = grt__tcb_result(gp);
	grt__tcb_run_destructors(gp);
	grt_store_seqcst(&sched.main_exited, 1);
	struct m *mp = grt__enter();
	mp->p->finished++;
	grt__leave();
	end_if_last();
	mp = grt__enter();
	const struct grt_ctx_last *last = last_switch(mp, gp);
	grt__ctx_jump(last->to, last->commit, last->arg);
}

/* ---- join ---- */

static int reap(struct g *gp, void **result)
{
	grt__stack_prefetch_join(
		grt_load_relaxed(&gp->born_next)); /* threads are mostly joined in the order of their birth */
	if (!grt_cas(&gp->join_state, JOIN_DONE, JOIN_TAKEN))
		return -ESRCH; /* somebody else joined it meanwhile */
	if (result)
		*result = gp->result;
	if (gp == &grt__main_g)
		return 0;
	if (grt__self.g) {
		struct m *mp = grt__enter();
		grt__stack_put(mp->p, gp);
		grt__leave();
	} else {
		grt__stack_put(NULL, gp);
	}
	return 0;
}

struct join_timer {
	struct grt_timer timer;
	struct g *target;
	struct parker *waiter;
	bool expired;
};

static void join_expired(struct grt_timer *t)
{
	struct join_timer *jt = grt_container_of(t, struct join_timer, timer);
	/* Whoever moves the state away from WAITED wakes the joiner. */
	if (grt_cas(&jt->target->join_state, JOIN_WAITED, JOIN_RUNNING)) {
		jt->expired = true;
		grt__wake(jt->waiter);
	}
}

/* The task died, or is about to: its successor publishes that in a moment. */
static void await_done(struct g *gp)
{
	for (unsigned i = 0; grt_load_acquire(&gp->join_state) != JOIN_DONE; i++)
		grt__os_pause(i);
}

/* Waits until gp is about to die. 0, -ETIMEDOUT, -EINTR (interrupted: look again), -EAGAIN (its state changed first). */
static int wait_for_death(struct g *gp, struct parker *pk, int64_t deadline)
{
	struct join_timer jt = {.target = gp, .waiter = pk};
	bool task = pk->g != NULL, timed = deadline != GRT_FOREVER;
	grt__park_prepare(pk);
	gp->joiner = pk;
	if (!grt_cas(&gp->join_state, JOIN_RUNNING, JOIN_WAITED)) { /* publishes joiner */
		pk->state = PARK_RUNNING;
		return -EAGAIN;
	}
	int r = 0;
	if (task && timed)
		grt__timer_start(&jt.timer, deadline, join_expired);
	if (!grt__park(pk, WAIT_JOIN, deadline)) {
		r = !task && timed && grt__deadline_left(deadline) <= 0 ? -ETIMEDOUT : -EINTR;
		/* Whoever moves the state away from WAITED ends the wait. */
		if (grt_cas(&gp->join_state, JOIN_WAITED, JOIN_RUNNING)) {
			pk->state = PARK_RUNNING;
		} else {
			grt__park_await(pk);
			r = 0;
		}
	}
	if (task && timed)
		grt__timer_stop(&jt.timer);
	return jt.expired ? -ETIMEDOUT : r;
}

int grt__task_join(struct g *gp, int64_t deadline, void **result)
{
	struct parker *pk = grt__parker();
	struct g *self = grt__self.g;
	if (gp == self)
		return -EDEADLK;
	for (;;) {
		uint32_t s = grt_load_acquire(&gp->join_state);
		if (s == JOIN_DONE)
			return reap(gp, result);
		if (s == JOIN_TAKEN)
			return -ESRCH;
		if (deadline == INT64_MIN)
			return -EBUSY; /* of a detached task too, as glibc */
		if (s != JOIN_RUNNING)
			return -EINVAL;
		if (self && grt_load_acquire(&self->join_state) == JOIN_WAITED && self->joiner == &gp->park)
			return -EDEADLK; /* it is joining us */
		if (self)
			grt__enter();
		if (grt__cancel_due()) {
			if (self)
				grt__leave_wait();
			return -ECANCELED;
		}
		int r = wait_for_death(gp, pk, deadline);
		if (self)
			grt__leave_wait(); /* signal handlers run here; pthread_join goes on waiting */
		if (r == -ETIMEDOUT)
			return r;
		if (r == 0) {
			await_done(gp);
			return reap(gp, result);
		}
	}
}

int grt__task_detach(struct g *gp)
{
	if (grt_cas(&gp->join_state, JOIN_RUNNING, JOIN_DETACHED))
		return 0;
	if (grt_load_acquire(&gp->join_state) == JOIN_DONE)
		return reap(gp, NULL);
	return grt_load_relaxed(&gp->join_state) == JOIN_TAKEN ? -ESRCH : -EINVAL;
}

bool grt__task_alive(struct g *gp)
{
	uint32_t status = grt_load_relaxed(&gp->status);
	return status != G_DEAD && status != G_IDLE;
}

void grt__task_fork_child(struct g *self)
{
	grt_lock_init(&allg_lock, GRT_RANK_ALLG);
	nallg = 0;
	if (self != &grt__main_g) {
		*allg_slot(0, false) = self; /* the parent's table serves on */
		nallg = 1;
		grt__main_g.status = G_DEAD;
	}
	self->m->p->started = 1;
	sched.main_exited = self != &grt__main_g; /* main is gone: the last task ends the process */
}

struct by_tid {
	int32_t tid;
	struct g *gp;
};

static void match_tid(struct g *gp, void *arg)
{
	struct by_tid *b = arg;
	if (gp->tid == b->tid && !gp->is_g0)
		b->gp = gp;
}

struct g *grt__g_of_tid(int32_t tid)
{
	struct by_tid b = {.tid = tid};
	if (tid != grt__main_g.tid && tid < GRT_TID_FIRST)
		return NULL;
	grt__allg_for_each(match_tid, &b);
	return b.gp;
}

struct g *grt__g_of_pthread(void *pthread)
{
	if (!pthread)
		return NULL;
	struct grt_tls *tls = (struct grt_tls *)((char *)pthread + ((char *)&grt__self - (char *)grt__thread_pointer()));
	struct g *gp = tls->g;
	return gp && !gp->is_g0 && gp->tcb == pthread ? gp : NULL;
}
