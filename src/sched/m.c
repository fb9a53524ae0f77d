#include "heap/cache.h"
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/cputime.h"
#include "sched/maker.h"
#include "sched/netpoll.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/stack.h"
#include "sched/tcb.h"
#include <errno.h>

enum { LINGER_NS = 50000000 }; /* an idle M too many waits that long for work, then ends */
enum { M_STACK = 128 << 10, GSIGNAL_STACK = 64 << 10 };

#define sched grt__sched

static struct m *m0; /* of the process's first thread; NULL before boot */

/* ---- P ownership ---- */

void grt__p_put_idle_locked(struct p *pp)
{
	grt_invariant(P_STATUS(pp->word) == P_IDLE);
	if (grt_unlikely(pp->retire)) {
		grt__p_retire_locked(pp);
		return;
	}
	pp->idle_next = sched.pidle;
	sched.pidle = pp;
	grt_store_seqcst(&sched.npidle, sched.npidle + 1);
}

struct p *grt__p_get_idle_locked(void)
{
	struct p *pp = sched.pidle;
	if (pp) {
		sched.pidle = pp->idle_next;
		grt_store_relaxed(&sched.npidle, sched.npidle - 1);
	}
	return pp;
}

void grt__p_bind(struct m *mp, struct p *pp)
{
	uint64_t word = P_WORD(P_RUNNING, mp->id, P_SEQ(pp->word) + 1);
	mp->running_word = word;
	mp->p = pp;
	pp->m = mp;
	grt__self.mcache = NULL; /* another P's, perhaps; the next malloc asks */
	grt_store_release(&pp->word, word);
}

struct p *grt__p_release(struct m *mp)
{
	struct p *pp = mp->p;
	uint64_t word;
	/* RUNNING, or RETAKING by a sysmon that will find us critical */
	do
		word = grt_load_relaxed(&pp->word);
	while (!grt_cas(&pp->word, word, P_WORD(P_IDLE, 0, P_SEQ(word) + 1)));
	mp->p = &grt__no_p;
	grt__self.mcache = NULL;
	return pp;
}

bool grt__acquire_idle_p(struct m *mp)
{
	if (!grt_load_seqcst(&sched.npidle))
		return false;
	grt_lock(&sched.lock);
	struct p *pp = grt__p_get_idle_locked();
	grt_unlock(&sched.lock);
	if (!pp)
		return false;
	grt__p_bind(mp, pp);
	return true;
}

/* ---- sleeping and waking ---- */

void grt__m_wake(struct m *mp)
{
	grt_store_seqcst(&mp->park_word, 1);
	if (grt_load_seqcst(&mp->in_poll))
		grt_load_acquire(&grt__netpoll)->interrupt();
	else
		grt__os_futex_wake(&mp->park_word, 1);
}

/* A child of fork that has made no thread: one task, one M, and no sysmon to ring the bell. The task's signals come to the M while
 * it sleeps, and its handler of them (signal.c) makes the task look. */
static bool without_sysmon(void)
{
	return grt_unlikely(!grt_load_relaxed(&sched.sysmon_tid));
}

static long sleep_alone(struct m *mp, uint32_t *word, uint32_t expected, int64_t deadline)
{
	mp->alone = 1;
	grt_barrier();
	grt__m_set_mask(mp, grt__signal_alone_mask());
	long r = grt__os_futex_wait(word, expected, deadline);
	grt__m_set_mask(mp, GRT_MASK_ALL);
	grt_barrier();
	mp->alone = 0;
	return r;
}

static long sleep_on(struct m *mp, uint32_t *word, uint32_t expected, int64_t deadline)
{
	return without_sysmon() ? sleep_alone(mp, word, expected, deadline) : grt__os_futex_wait(word, expected, deadline);
}

/* False: the deadline passed. */
static bool wait_note(struct m *mp, int64_t deadline)
{
	while (grt_xchg_seqcst(&mp->park_word, 0) == 0) {
		long r = sleep_on(mp, &mp->park_word, 0, deadline);
		if (r == -ETIMEDOUT && !grt_load_acquire(&mp->park_word))
			return false;
	}
	return true;
}

static void take_handed_p(struct m *mp)
{
	struct p *pp = mp->nextp;
	mp->nextp = NULL;
	if (pp)
		grt__p_bind(mp, pp);
}

static bool unlink_idle_locked(struct m *mp)
{
	if (sched.net_m == mp) {
		grt_store_relaxed(&sched.net_m, NULL);
		return true;
	}
	for (struct m **pm = &sched.midle; *pm; pm = &(*pm)->sched_next)
		if (*pm == mp) {
			*pm = mp->sched_next;
			sched.nmidle--;
			return true;
		}
	return false;
}

/* g0. The pinned task has ended. */
static void leave_own(struct m *mp)
{
	struct p *pp = mp->p;
	mp->p = &grt__no_p;
	if (pp->is_own && pp->mcache) {
		grt__cache_put(pp->mcache);
		pp->mcache = NULL;
	}
}

/* One idle M too many, or the state that the kernel keeps for this thread was a dead task's. */
GRT_NORETURN static void end(struct m *mp)
{
	if (mp->p->is_own)
		leave_own(mp);
	else if (mp->p != &grt__no_p)
		grt__handoff_p(grt__p_release(mp));
	grt__m_set_mask(mp, GRT_MASK_ALL);
	mp->lockedg = NULL;
	mp->ending = M_GOES_ON;
	mp->ends_with_g = 0;
	while (mp == m0) /* its end would be the process's */
		wait_note(mp, GRT_FOREVER);
	mp->tid = 0;
	grt_lock(&sched.lock);
	sched.nm_live--;
	mp->sched_next = sched.mdead;
	sched.mdead = mp;
	grt_unlock(&sched.lock);
	for (;;)
		grt__sys1(SYS_exit, 0);
}

/* An M that slept goes to work: it kept the time, or was woken by the one who did. Timers of Ps that nobody runs are sysmon's now. */
static void pass_timers_on(const struct p *mine)
{
	int64_t first = GRT_FOREVER;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++)
		if (sched.allp[i] != mine && grt_load_relaxed(&sched.allp[i]->timer0) < first)
			first = grt_load_relaxed(&sched.allp[i]->timer0);
	if (first != GRT_FOREVER)
		grt__sysmon_promise(first);
}

/* Takes a sleeper off the idle list after its time-out; false if somebody has chosen it. */
static bool leave_idle_list(struct m *mp, struct p **pp)
{
	grt_lock(&sched.lock);
	bool still_idle = unlink_idle_locked(mp);
	*pp = still_idle ? grt__p_get_idle_locked() : NULL;
	grt_unlock(&sched.lock);
	return still_idle;
}

/* Nobody wanted this M for a while. Ends it if there are more idle Ms than Ps to run and one to hand a P to. */
static void end_if_spare(struct m *mp)
{
	grt_lock(&sched.lock);
	bool spare = sched.nmidle > sched.npidle + 1 && mp != m0 && unlink_idle_locked(mp);
	grt_unlock(&sched.lock);
	if (spare)
		end(mp);
}

bool (*grt__deadlock_hook)(void);

/* Nobody has wanted this M for a while, the last one to go idle. Kernel threads that are ending may cloud the picture for some time. True:
 * notified meanwhile. */
static bool look_for_deadlock(struct m *mp)
{
	for (int i = 0; i < 20 && grt__deadlock_hook(); i++)
		if (wait_note(mp, grt__nanotime() + LINGER_NS))
			return true;
	return false;
}

void grt__m_sleep(struct m *mp)
{
	mp->slept = 1;
	grt__m_set_mask(mp, GRT_MASK_ALL);
	grt_lock(&sched.lock);
	bool polls = grt__net_waits() && !without_sysmon() && grt__net_take_seat_locked();
	if (polls) {
		grt_store_seqcst(&sched.net_m, mp);
	} else {
		mp->sched_next = sched.midle;
		sched.midle = mp;
		sched.nmidle++;
	}
	bool many = !polls && sched.nmidle > sched.npidle + 1;
	int64_t deadline = grt__timers_earliest(), overdue = GRT_FOREVER;
	if (deadline >= sched.promised) {
		deadline = GRT_FOREVER;
	} else if (!sched.npidle && deadline <= grt__nanotime()) {
		overdue = deadline; /* no P to fire it with: sysmon gets one, there is nothing to keep time for */
		deadline = GRT_FOREVER;
	} else {
		grt_store_relaxed(&sched.promised, deadline); /* this M is the time keeper */
	}
	grt_unlock(&sched.lock);
	if (overdue != GRT_FOREVER)
		grt__sysmon_promise(overdue);

	struct gqueue ready = {0};
	bool last = !polls && grt_unlikely(grt__deadlock_hook != NULL) && !grt__net_waits() &&
	            sched.npidle == grt_load_relaxed(&sched.nprocs);
	bool notified = deadline == GRT_FOREVER && (many || last) && wait_note(mp, grt__nanotime() + LINGER_NS);
	if (polls) {
		notified = grt__net_sleep(mp, &ready, deadline);
	} else if (!notified) {
		if (deadline == GRT_FOREVER && last)
			notified = look_for_deadlock(mp);
		if (!notified && deadline == GRT_FOREVER && many)
			end_if_spare(mp);
		if (!notified)
			notified = wait_note(mp, deadline);
	}
	grt_store_relaxed(&sched.coarse, grt__cycles());
	if (deadline != GRT_FOREVER) {
		int64_t mine = deadline;
		__atomic_compare_exchange_n(&sched.promised, &mine, GRT_FOREVER, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	if (!notified) {
		/* Timers are due: go and fire them, if a P is to be had. */
		struct p *pp = NULL;
		if (leave_idle_list(mp, &pp)) {
			if (pp)
				grt__p_bind(mp, pp);
			else if (deadline != GRT_FOREVER)
				grt__sysmon_promise(deadline); /* every P is busy: sysmon preempts for timers */
			grt__net_inject(mp, &ready);
			return;
		}
		wait_note(mp, GRT_FOREVER); /* somebody chose this M in between: its note is on the way */
	}
	take_handed_p(mp);
	grt__net_inject(mp, &ready);
}

static void start_m(struct p *pp, bool spinning, bool steal_next)
{
	grt_lock(&sched.lock);
	struct m *mp = sched.midle;
	if (mp) {
		sched.midle = mp->sched_next;
		sched.nmidle--;
	} else if ((mp = sched.net_m)) {
		grt_store_relaxed(&sched.net_m, NULL);
	} else {
		/* No M to be had: the new one takes an idle P itself. */
		grt__p_put_idle_locked(pp);
		grt_unlock(&sched.lock);
		if (spinning)
			grt_add_seqcst(&sched.nspinning, -1);
		grt__maker_ask();
		return;
	}
	grt_unlock(&sched.lock);
	mp->spinning = spinning;
	mp->steal_next = steal_next;
	mp->nextp = pp;
	grt__m_wake(mp);
}

void grt__start_m(struct p *pp, bool spinning)
{
	start_m(pp, spinning, false);
}

static void wake_p(bool steal_next)
{
	if (!grt_load_seqcst(&sched.npidle)) {
		if (grt_load_relaxed(&sched.sysmon_asleep))
			grt__sysmon_wake();
		return;
	}
	if (grt_load_relaxed(&sched.nspinning) || !grt_cas(&sched.nspinning, 0, 1))
		return;
	grt_lock(&sched.lock);
	struct p *pp = grt__p_get_idle_locked();
	grt_unlock(&sched.lock);
	if (pp)
		start_m(pp, true, steal_next);
	else
		grt_add_seqcst(&sched.nspinning, -1);
}

void grt__wake_p(struct m *mp)
{
	(void)mp;
	wake_p(false);
}

void grt__wake_p_stuck(void)
{
	wake_p(true);
}

void grt__handoff_p(struct p *pp)
{
	int64_t timer = grt_load_relaxed(&pp->timer0);
	if (!grt_load_relaxed(&pp->retire) && (!grt__runq_empty(pp) || grt_load_relaxed(&sched.globq_size) ||
	                                       (timer != GRT_FOREVER && timer <= grt__nanotime()))) {
		grt__start_m(pp, false);
		return;
	}
	grt_lock(&sched.lock);
	grt__p_put_idle_locked(pp);
	grt_unlock(&sched.lock);
	if (grt__work_waits())
		grt__wake_p(NULL);
	if (timer < grt_load_relaxed(&sched.promised)) /* its M looked after them; nobody does now */
		grt__sysmon_promise(timer);
}

/* ---- an M's own P ---- */

static struct p *own_p(struct m *mp)
{
	if (!mp->own) {
		struct p *pp = grt__p_new(UINT32_MAX);
		if (!pp)
			return NULL;
		pp->is_own = 1;
		grt_store_release(&mp->own, pp);
	}
	return mp->own;
}

/* mp's P goes to the others: it runs a task, or is in a blocking section (then a handler asks); or sysmon has the P already. */
static void give_up_p(struct m *mp)
{
	struct p *pp = mp->p;
	uint64_t word;
	mp->p = &grt__no_p;
	grt__self.mcache = NULL;
	grt__m_came_in(mp);
	if (pp == &grt__no_p)
		return;
	do {
		word = grt_load_relaxed(&pp->word);
		if (P_STATUS(word) == P_IDLE || P_MID(word) != mp->id || P_SEQ(word) != P_SEQ(mp->running_word))
			return;
	} while (!grt_cas(&pp->word, word, P_WORD(P_IDLE, 0, P_SEQ(word) + 1)));
	grt__handoff_p(pp);
}

bool grt__m_take_own_p(struct m *mp)
{
	struct p *pp = own_p(mp);
	if (!pp)
		return false;
	give_up_p(mp);
	grt__p_bind(mp, pp);
	if (grt__self.in_block)
		grt_store_release(&pp->word, P_WORD(P_SYSCALL, mp->id, P_SEQ(mp->running_word)));
	return true;
}

void grt__m_look_own(struct m *mp)
{
	grt_add_seqcst(&mp->own_word, 1);
	grt__os_futex_wake(&mp->own_word, 1);
}

/* The task of the own P parks: what makes it runnable is whoever wakes it, or one of its own timers. Not a note at park_word: one
 * that came when its reason was seen already would be taken for another later, when the M serves all. */
static void stop_own(struct m *mp)
{
	struct g *gp = mp->lockedg;
	bool slept = false;
	grt__m_set_mask(mp, GRT_MASK_ALL);
	for (;;) {
		uint32_t seen = grt_load_acquire(&mp->own_word); /* before the looks: pairs with the add of grt__m_look_own */
		int64_t next = grt_load_relaxed(&mp->p->timer0);
		if (next != GRT_FOREVER && grt_load_acquire(&gp->status) != G_RUNNABLE) {
			next = grt__timers_run(mp->p, grt__nanotime());
			/* A time-out that is over at once lets others run, as the kernel's sleep does: one may hold what it waits for. */
			if (!slept && grt_load_acquire(&gp->status) == G_RUNNABLE)
				grt__sys0(SYS_sched_yield);
		}
		if (grt_load_acquire(&gp->status) == G_RUNNABLE || grt_load_acquire(&mp->ending))
			return;
		sleep_on(mp, &mp->own_word, seen, next);
		slept = true;
	}
}

/* Its pinned task has ended, and left nothing behind in the kernel. */
static void serve_all(struct m *mp)
{
	mp->ending = M_GOES_ON;
	mp->lockedg = NULL;
	leave_own(mp);
	grt__acquire_idle_p(mp);
}

/* ---- the loop on g0 ---- */

/* The M is pinned to a task that is not running: wait until another M hands over a P for it. */
static void stop_locked(struct m *mp)
{
	if (mp->p->is_own) {
		stop_own(mp);
		return;
	}
	if (mp->p != &grt__no_p)
		grt__handoff_p(grt__p_release(mp));
	grt__m_set_mask(mp, GRT_MASK_ALL);
	wait_note(mp, GRT_FOREVER);
	take_handed_p(mp);
	grt_assert(mp->lockedg->lockedm == mp);
}

/* gp is pinned to another M: that one gets our P. */
static void start_locked(struct m *mp, struct g *gp)
{
	struct m *lm = gp->lockedm;
	lm->nextp = grt__p_release(mp);
	grt__m_wake(lm);
}

void grt__m_loop(struct m *mp)
{
	for (;;) {
		struct g *gp;
		if (grt_load_acquire(&mp->ending) == M_ENDS)
			end(mp);
		if (mp->ending == M_SERVES_ALL)
			serve_all(mp);
		if (mp->lockedg &&
		    (mp->p->is_own || !without_sysmon())) { /* alone there is no other M to keep time and hand over a P */
			grt_assert(!mp->picked);
			stop_locked(mp);
			if (grt_load_acquire(&mp->ending))
				continue;
			gp = mp->lockedg;
		} else {
			gp = mp->picked;
			mp->picked = NULL;
			if (!gp)
				gp = grt__find_runnable(mp);
			if (grt_unlikely(mp->slept)) { /* it has fired what was due; now it has something else to do */
				mp->slept = 0;
				pass_timers_on(mp->p);
			}
			if (gp->lockedm && gp->lockedm != mp) {
				start_locked(mp, gp);
				continue;
			}
		}
		grt__switch(mp, &mp->g0, gp, NULL, NULL);
	}
}

static const struct grt_ctx_last *m_loop_entry(void *arg)
{
	grt__m_loop(arg);
}

/* ---- birth ---- */

static void set_gsignal(struct m *mp)
{
	stack_t ss = {.ss_sp = mp->gsignal, .ss_size = mp->gsignal_size};
	grt__sys2(SYS_sigaltstack, &ss, NULL);
}

static void m_init(struct m *mp)
{
	mp->p = &grt__no_p;
	mp->g0.is_g0 = 1;
	mp->g0.m = mp;
	mp->rand = (uint32_t)grt__cycles() | 1;
	grt_lock(&sched.lock);
	mp->id = ++sched.nm;
	sched.nm_live++;
	mp->all_next = sched.allm;
	grt_store_release(&sched.allm, mp);
	grt_unlock(&sched.lock);
}

static int32_t *tid_in_block(const struct m *mp)
{
	return (int32_t *)((char *)mp->g0.tcb + grt__tcb_tid_offset);
}

void grt__m_come_to_life(struct m *mp)
{
	/* Not before: whoever looks for it (m_reuse) looks at Ms that have ended. The kernel clears it when the thread is gone. */
	*tid_in_block(mp) = mp->tid;
	mp->kmask = 0;
	grt__m_set_mask(mp, GRT_MASK_ALL);
	set_gsignal(mp);
}

static void m_main(void *arg)
{
	struct m *mp = arg;
	grt__m_come_to_life(mp);
	if (mp->lockedg) {
		grt__p_bind(mp, mp->own);
	} else {
		grt__acquire_idle_p(mp);
		grt_store_seqcst(&sched.m_starting, 0);
		if (grt_load_seqcst(&sched.want_m))
			grt__maker_ask();
	}
	grt__m_loop(mp);
}

/* An M whose thread has ended, block and all, to be used again; or NULL. */
static struct m *m_reuse(void)
{
	struct m *mp;
	grt_lock(&sched.lock);
	/* The kernel clears the tid in the block last. */
	struct m **link = &sched.mdead;
	while ((mp = *link) && mp->g0.tcb && *tid_in_block(mp) != 0)
		link = &mp->sched_next;
	if (mp) {
		*link = mp->sched_next;
		sched.nm_live++;
	}
	grt_unlock(&sched.lock);
	return mp;
}

enum { DTV_BYTES = 16384 };

/* The thread block, for a first or a later life. */
static void m_make_block(struct m *mp)
{
	struct g *g0 = &mp->g0;
	grt__tcb_make_bare(g0, g0->birth.stack_hi, DTV_BYTES);
	g0->tls->m = mp;
	mp->cur = g0->tls;
}

/* One mapping for everything an M needs: [guard | gsignal | stack | DTV | struct m, static TLS, struct pthread]. */
static struct m *m_alloc(void)
{
	size_t align = grt__tcb_align(), tls = grt__tcb_size() + align, m_size = (sizeof(struct m) + 63) & ~63ul;
	size_t top = (tls + m_size + 4095) & ~4095ul;
	char *lo = grt__stack_plain(GSIGNAL_STACK + M_STACK + DTV_BYTES + top);
	if (!lo)
		return NULL;
	char *dtv = lo + GSIGNAL_STACK + M_STACK, *end = dtv + DTV_BYTES + top;
	struct m *mp = (struct m *)(dtv + DTV_BYTES);
	struct g *g0 = &mp->g0;
	mp->gsignal = lo;
	mp->gsignal_size = GSIGNAL_STACK;
	g0->is_g0 = 1;
	g0->stack_lo = lo + GSIGNAL_STACK;
	g0->birth.stack_hi = dtv;
	g0->tcb = (void *)((uintptr_t)(end - grt__tcb_pthread_size()) & ~(align - 1));
	g0->ctx.fs = (uintptr_t)g0->tcb;
	m_make_block(mp);
	return mp;
}

/* Memory and thread block for one more M; NULL: none to be had. */
static struct m *m_prepare(void)
{
	struct m *mp = m_reuse();
	if (mp)
		m_make_block(mp);
	else if ((mp = m_alloc()))
		m_init(mp);
	return mp;
}

/* stays in allm with tid 0: everybody skips it */
static void m_unmake(struct m *mp)
{
	grt_lock(&sched.lock);
	sched.nm_live--;
	mp->sched_next = sched.mdead;
	sched.mdead = mp;
	grt_unlock(&sched.lock);
}

/* All signals blocked. */
static bool start(struct m *mp, void (*fn)(void *))
{
	if (grt__clone_thread(mp->g0.birth.stack_hi, mp->g0.ctx.fs, &mp->tid, fn, mp, tid_in_block(mp)) >= 0)
		return true;
	*tid_in_block(mp) = 0;
	return false;
}

/* Critical, all signals blocked. */
static bool m_start(struct m *mp)
{
	if (start(mp, m_main))
		return true;
	m_unmake(mp);
	return false;
}

struct m *grt__m_outside_alloc(void)
{
	struct m *mp = m_alloc();
	if (mp)
		mp->p = &grt__no_p;
	return mp;
}

int grt__m_outside_start(struct m *mp, void (*fn)(void *))
{
	m_make_block(mp);
	mp->g0.m = mp;
	mp->held.ranks = 0;
	return start(mp, fn) ? mp->tid : 0;
}

void grt__m_outside_await_end(struct m *mp)
{
	while (__atomic_load_n(tid_in_block(mp), __ATOMIC_ACQUIRE))
		grt__sys0(SYS_sched_yield);
}

struct m *grt__m_new(void)
{
	/* All of them wait in the kernel, perhaps for what a task without one would do: fatal, as in Go. */
	if (grt_load_relaxed(&sched.nm_live) >= grt_load_relaxed(&sched.max_ms))
		grt__throw("thread exhaustion: the process needs more than %u kernel threads", grt_load_relaxed(&sched.max_ms));
	struct m *mp = m_prepare();
	return mp && m_start(mp) ? mp : NULL;
}

/* An M born while credentials change would keep its maker's old ones. Returns critical. */
static void hold_broadcasts(void)
{
	for (;;) {
		struct timespec pause = {0, 20000};
		grt__enter();
		if (grt__broadcast_hold())
			return;
		grt__leave(); /* the one that changes them waits for us to do it too */
		grt__sys2(SYS_nanosleep, &pause, NULL);
	}
}

int grt__m_new_for(struct g *gp)
{
	uint64_t all = ~0ull, was;
	if (!grt__ms_are_few())
		return -EAGAIN;
	grt__enter();
	struct m *mp = m_prepare();
	if (mp && !own_p(mp)) {
		m_unmake(mp);
		mp = NULL;
	}
	grt__leave();
	if (!mp)
		return -EAGAIN;
	mp->lockedg = gp;
	mp->ends_with_g = 1;
	gp->lockedm = mp;
	gp->lock_count = gp->pinned = gp->own_p = 1;
	gp->status = G_IDLE;
	hold_broadcasts();
	grt__sys_sigprocmask(SIG_SETMASK, &all, &was);
	bool ok = m_start(mp);
	grt__sys_sigprocmask(SIG_SETMASK, &was, NULL);
	grt__broadcast_release();
	grt__leave();
	if (!ok)
		return -EAGAIN;
	grt_store_release(&gp->pinned_tid, mp->tid);
	return 0;
}

void grt__m_discard(struct g *gp)
{
	struct m *mp = gp->lockedm;
	grt_store_release(&mp->ending, M_ENDS);
	grt__m_look_own(mp);
}

bool grt__m_boot_prepare(void)
{
	if (m0)
		m_make_block(m0); /* libraries may have come since */
	else
		m0 = m_alloc();
	return m0 != NULL;
}

void grt__m_boot_main(void)
{
	struct m *mp = m0;
	struct g *gp = &grt__main_g;
	m_init(mp);
	grt__task_init_main(gp);
	mp->tid = grt__sys_getpid();
	mp->curg = gp;
	gp->m = mp;
	gp->status = G_RUNNING;
	grt__sys_sigprocmask(SIG_BLOCK, NULL, &mp->kmask);
	gp->sigmask = mp->kmask;
	sched.masks_used = gp->sigmask != 0;
	mp->cur = &grt__self;
	if ((sched.allp[0]->mcache = grt__self.mcache)) /* what main had before becomes the first P's */
		grt__self.mcache->foreign = 0;
	grt__p_bind(mp, sched.allp[0]);
	for (uint32_t i = sched.nprocs; i-- > 1;)
		grt__p_put_idle_locked(sched.allp[i]);
	grt__self.m = mp;
	grt__self.crit = 0;
	grt_barrier();
	grt__self.g = gp;

	mp->g0.birth.fn = m_loop_entry; /* the other Ms are on g0 from their birth on */
	mp->g0.birth.arg = mp;
	grt__ctx_make(&mp->g0.ctx, &mp->g0.birth);
	stack_t ss;
	if (grt__sys2(SYS_sigaltstack, NULL, &ss) == 0 && !(ss.ss_flags & SS_DISABLE)) {
		gp->altstack_sp = ss.ss_sp;
		gp->altstack_size = ss.ss_size;
		gp->has_altstack = 1;
	}
	set_gsignal(mp);
}

static struct grt_held *held_ranks(void)
{
	return grt__self.g ? &grt__self.m->held : NULL;
}

void grt__m_rank_checks_on(void)
{
	grt__lock_held_hook = held_ranks;
}

void grt__m_fork_child(struct m *mp)
{
	grt_lock_init(&sched.lock, GRT_RANK_SCHED);
	sched.allm = mp;
	mp->all_next = NULL;
	sched.nm_live = 1;
	sched.midle = NULL;
	sched.mdead = NULL;
	sched.nmidle = 0;
	sched.net_m = NULL;
	sched.net_waiters = sched.net_busy = sched.net_sleepers = 0;
	sched.globq = sched.urgq = (struct gqueue){0};
	sched.globq_size = sched.urgq_size = 0;
	sched.pidle = NULL;
	sched.npidle = 0;
	sched.nspinning = sched.nretaken = sched.want_m = sched.m_starting = 0;
	sched.m_failed = M_MADE;
	sched.promised = GRT_FOREVER;
	sched.nleaving = 0;
	mp->ending = M_GOES_ON;
	if (mp->own) {
		mp->own->started = mp->own->finished = 0;
		grt__timers_fork_child(mp->own);
	}
	mp->tid = grt__sys_gettid();
	mp->held.ranks = 0;
	grt__cputime_fork_child(mp);
	if (mp->p->retire) { /* it was leaving: it takes the place of one that stays */
		struct p *pp = mp->p, *other = sched.allp[0];
		sched.allp[pp->id] = other;
		other->id = pp->id;
		sched.allp[0] = pp;
		pp->id = 0;
	}
	for (uint32_t i = 0; i < sched.nallp; i++) {
		struct p *pp = sched.allp[i];
		pp->runq_head = pp->runq_tail = 0;
		pp->runnext = NULL;
		pp->free_g = pp->spare_g = NULL;
		pp->nfree_g = 0;
		pp->started = pp->finished = 0;
		grt__timers_fork_child(pp);
		pp->retire = i < sched.nprocs ? P_STAYS : P_RETIRED;
		if (pp == mp->p)
			continue;
		pp->word = P_WORD(P_IDLE, 0, P_SEQ(pp->word) + 1);
		if (!pp->retire)
			grt__p_put_idle_locked(pp);
	}
}
