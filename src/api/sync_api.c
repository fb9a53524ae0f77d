/*
 * Locks, wait groups, conditions, once and semaphores of grt.h: Go's algorithms (package sync), on the semaphores of sync/sema.h.
 */
#include "api/boot.h"
#include "api/panic.h"
#include "grt.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sync/mutex.h"
#include "sync/sema.h"

/* ---- mutex ----
 *
 * state: LOCKED, WOKEN (a waiter is up and will try: unlock need wake nobody), STARVING, and above them the number of waiters. In starving
 * mode unlock hands the mutex to the first waiter, LOCKED being off meanwhile, and nobody else may take it.
 */
enum { LOCKED = 1, WOKEN = 2, STARVING = 4, WAITER = 8 };
#define STARVING_NS 1000000
#define SPIN_ROUNDS 4
#define SPIN_PAUSES 30

/* Somebody else may unlock it meanwhile: another P runs, and ours has nothing better to do. */
static bool may_spin(int round)
{
	if (round >= SPIN_ROUNDS || !grt_load_relaxed(&grt__sync_spin) || !grt__on_task())
		return false;
	return grt_load_relaxed(&grt__sched.npidle) + grt_load_relaxed(&grt__sched.nspinning) + 1 <
	       grt_load_relaxed(&grt__sched.nprocs);
}

static bool queue_empty(void)
{
	const struct m *mp = grt__enter();
	bool empty = grt__runq_empty(mp->p);
	grt__leave();
	return empty;
}

/* old was LOCKED: true after some pauses. */
static bool spin(grt_mutex *m, uint32_t old, int round, bool *awoke)
{
	if ((old & (LOCKED | STARVING)) != LOCKED || !may_spin(round) || !queue_empty())
		return false;
	if (!*awoke && !(old & WOKEN) && old >= WAITER && grt_cas(&m->state, old, old | WOKEN))
		*awoke = true;
	for (int i = 0; i < SPIN_PAUSES; i++)
		grt__cpu_relax();
	return true;
}

/* A starving waiter was handed the mutex. */
static void take_over(grt_mutex *m, uint32_t old, bool starving)
{
	if (old & (LOCKED | WOKEN) || old < WAITER)
		grt__throw("sync: inconsistent mutex state");
	uint32_t delta = LOCKED - (uint32_t)WAITER;
	if (!starving || old / WAITER == 1)
		delta -= STARVING;
	grt_add_seqcst(&m->state, delta);
}

static GRT_NOINLINE void lock_slow(grt_mutex *m)
{
	int64_t since = 0;
	bool starving = false, awoke = false;
	int round = 0;
	uint32_t old = grt_load_relaxed(&m->state);
	for (;;) {
		if (spin(m, old, round, &awoke)) {
			round++;
			old = grt_load_relaxed(&m->state);
			continue;
		}
		uint32_t new = old;
		if (!(old & STARVING))
			new |= LOCKED;
		if (old & (LOCKED | STARVING))
			new += WAITER;
		if (starving && old & LOCKED)
			new |= STARVING;
		if (awoke)
			new &= ~(uint32_t)WOKEN;
		if (!grt_cas(&m->state, old, new)) {
			old = grt_load_relaxed(&m->state);
			continue;
		}
		if (!(old & (LOCKED | STARVING)))
			return;
		bool waited = since != 0;
		if (!waited)
			since = grt__nanotime();
		grt__sema_acquire(&m->sema, waited, WAIT_MUTEX, GRT_FOREVER);
		starving = starving || grt__nanotime() - since > STARVING_NS;
		old = grt_load_relaxed(&m->state);
		if (old & STARVING) {
			take_over(m, old, starving);
			return;
		}
		awoke = true;
		round = 0;
	}
}

GRT_EXPORT void grt_mutex_lock(grt_mutex *m)
{
	if (grt_unlikely(!grt_cas(&m->state, 0, LOCKED)))
		lock_slow(m);
}

GRT_EXPORT bool grt_mutex_try_lock(grt_mutex *m)
{
	uint32_t old = grt_load_relaxed(&m->state);
	return !(old & (LOCKED | STARVING)) && grt_cas(&m->state, old, old | LOCKED);
}

static GRT_NOINLINE void unlock_slow(grt_mutex *m, uint32_t old)
{
	if (!((old + LOCKED) & LOCKED))
		grt__fatal("sync: unlock of unlocked mutex", false);
	if (old & STARVING) {
		grt__sema_release(&m->sema, true);
		return;
	}
	for (;;) {
		if (old < WAITER || old & (LOCKED | WOKEN | STARVING))
			return;
		if (grt_cas(&m->state, old, (old - WAITER) | WOKEN)) {
			grt__sema_release(&m->sema, false);
			return;
		}
		old = grt_load_relaxed(&m->state);
	}
}

GRT_EXPORT void grt_mutex_unlock(grt_mutex *m)
{
	uint32_t now = grt_add_seqcst(&m->state, -LOCKED);
	if (grt_unlikely(now != 0))
		unlock_slow(m, now);
}

/* ---- readers and a writer ----
 *
 * readers counts those who have it or wait for the writer, less MAX while a writer is there; reader_wait those whom that writer waits for.
 */
#define MAX_READERS (1 << 30)

GRT_EXPORT void grt_rwmutex_rlock(grt_rwmutex *rw)
{
	if (grt_unlikely(grt_add_seqcst(&rw->readers, 1) < 0))
		grt__sema_acquire(&rw->reader_sema, false, WAIT_RWLOCK_R, GRT_FOREVER);
}

GRT_EXPORT bool grt_rwmutex_try_rlock(grt_rwmutex *rw)
{
	for (;;) {
		int32_t n = grt_load_seqcst(&rw->readers);
		if (n < 0)
			return false;
		if (grt_cas(&rw->readers, n, n + 1))
			return true;
	}
}

static GRT_NOINLINE void runlock_slow(grt_rwmutex *rw, int32_t n)
{
	if (n + 1 == 0 || n + 1 == -MAX_READERS)
		grt__fatal("sync: RUnlock of unlocked RWMutex", false);
	if (grt_add_seqcst(&rw->reader_wait, -1) == 0)
		grt__sema_release(&rw->writer_sema, false);
}

GRT_EXPORT void grt_rwmutex_runlock(grt_rwmutex *rw)
{
	int32_t n = grt_add_seqcst(&rw->readers, -1);
	if (grt_unlikely(n < 0))
		runlock_slow(rw, n);
}

GRT_EXPORT void grt_rwmutex_lock(grt_rwmutex *rw)
{
	grt_mutex_lock(&rw->w);
	int32_t n = grt_add_seqcst(&rw->readers, -MAX_READERS) + MAX_READERS;
	if (n != 0 && grt_add_seqcst(&rw->reader_wait, n) != 0)
		grt__sema_acquire(&rw->writer_sema, false, WAIT_RWLOCK_W, GRT_FOREVER);
}

GRT_EXPORT bool grt_rwmutex_try_lock(grt_rwmutex *rw)
{
	if (!grt_mutex_try_lock(&rw->w))
		return false;
	if (grt_cas(&rw->readers, 0, -MAX_READERS))
		return true;
	grt_mutex_unlock(&rw->w);
	return false;
}

GRT_EXPORT void grt_rwmutex_unlock(grt_rwmutex *rw)
{
	int32_t n = grt_add_seqcst(&rw->readers, MAX_READERS);
	if (n >= MAX_READERS)
		grt__fatal("sync: Unlock of unlocked RWMutex", false);
	for (int32_t i = 0; i < n; i++)
		grt__sema_release(&rw->reader_sema, false);
	grt_mutex_unlock(&rw->w);
}

/* ---- wait group: the count in the upper half of state, who waits in the lower ---- */

GRT_EXPORT void grt_wait_group_add(grt_wait_group *wg, int delta)
{
	uint64_t state = grt_add_seqcst(&wg->state, (uint64_t)(int64_t)delta << 32);
	int32_t count = (int32_t)(state >> 32);
	uint32_t waiters = (uint32_t)state;
	if (grt_unlikely(count < 0))
		grt__panic("sync: negative WaitGroup counter");
	if (grt_unlikely(waiters != 0 && delta > 0 && count == delta))
		grt__panic("sync: WaitGroup misuse: Add called concurrently with Wait");
	if (grt_likely(count > 0 || waiters == 0))
		return;
	if (grt_load_seqcst(&wg->state) != state)
		grt__panic("sync: WaitGroup misuse: Add called concurrently with Wait");
	grt_store_seqcst(&wg->state, 0);
	for (; waiters != 0; waiters--)
		grt__sema_release(&wg->sema, false);
}

GRT_EXPORT void grt_wait_group_done(grt_wait_group *wg)
{
	grt_wait_group_add(wg, -1);
}

GRT_EXPORT void grt_wait_group_wait(grt_wait_group *wg)
{
	for (;;) {
		uint64_t state = grt_load_seqcst(&wg->state);
		if (state >> 32 == 0)
			return;
		if (!grt_cas(&wg->state, state, state + 1))
			continue;
		grt__sema_acquire(&wg->sema, false, WAIT_WAITGROUP, GRT_FOREVER);
		if (grt_load_seqcst(&wg->state) != 0)
			grt__panic("sync: WaitGroup is reused before previous Wait has returned");
		return;
	}
}

/* ---- condition ---- */

_Static_assert(sizeof(grt_cond) == sizeof(struct grt_notify), "the same fields");

GRT_EXPORT void grt_cond_wait(grt_cond *c, grt_mutex *m)
{
	struct grt_notify *l = (struct grt_notify *)c;
	uint32_t number = grt__notify_add(l);
	grt_mutex_unlock(m);
	grt__notify_wait(l, number, WAIT_COND);
	grt_mutex_lock(m);
}

GRT_EXPORT void grt_cond_signal(grt_cond *c)
{
	grt__notify_one((struct grt_notify *)c);
}

GRT_EXPORT void grt_cond_broadcast(grt_cond *c)
{
	grt__notify_all((struct grt_notify *)c);
}

/* ---- once ---- */

static void once_over(void *arg)
{
	grt_once *o = arg;
	grt_store_release(&o->done, 1);
	grt_mutex_unlock(&o->m);
}

static GRT_NOINLINE void once_slow(grt_once *o, void (*fn)(void *), void *arg)
{
	struct grt_defer over;
	grt_mutex_lock(&o->m);
	if (o->done) {
		grt_mutex_unlock(&o->m);
		return;
	}
	grt_defer_push(&over, once_over, o);
	fn(arg);
	grt_defer_pop(&over);
}

GRT_EXPORT void grt_once_do(grt_once *o, void (*fn)(void *), void *arg)
{
	if (grt_unlikely(!grt_load_acquire(&o->done)))
		once_slow(o, fn, arg);
}

enum { ONCE_RUNNING, ONCE_VALUE, ONCE_PANICKED };

struct compute {
	grt_once_value *o;
	void *(*fn)(void *);
	void *arg;
};

/* The same panic goes on for the first caller; the text is kept for the others. */
static void note_panic(void *arg)
{
	grt_once_value *o = arg;
	if (o->state != ONCE_RUNNING)
		return;
	o->state = ONCE_PANICKED;
	o->value = (void *)grt__panic_now(&o->text);
}

static void compute(void *arg)
{
	struct compute *c = arg;
	struct grt_defer over;
	grt_defer_push(&over, note_panic, c->o);
	void *value = c->fn(c->arg);
	c->o->value = value;
	c->o->state = ONCE_VALUE;
	grt_defer_pop(&over);
}

GRT_EXPORT void *grt_once_value_get(grt_once_value *o, void *(*fn)(void *), void *arg)
{
	struct compute c = {o, fn, arg};
	grt_once_do(&o->once, compute, &c);
	if (grt_unlikely(o->state == ONCE_PANICKED))
		grt_panic_value(o->value, o->text);
	return o->value;
}

/* ---- semaphore ---- */

GRT_EXPORT void grt_sem_acquire(grt_sem *s)
{
	grt__sema_acquire(&s->count, false, WAIT_SEM, GRT_FOREVER);
}

GRT_EXPORT bool grt_sem_try_acquire(grt_sem *s)
{
	return grt__sema_try(&s->count);
}

GRT_EXPORT bool grt_sem_acquire_timed(grt_sem *s, int64_t timeout)
{
	if (timeout <= 0)
		return grt__sema_try(&s->count);
	return grt__sema_acquire(&s->count, false, WAIT_SEM, grt__api_deadline(timeout));
}

/* Handed over: nobody who comes later may be quicker. */
GRT_EXPORT void grt_sem_release(grt_sem *s)
{
	grt__sema_release(&s->count, true);
}
