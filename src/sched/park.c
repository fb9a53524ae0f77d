#include "os/os.h"
#include "sched/cancel.h"
#include "sched/proc.h"
#include "sched/signal.h"

const char *const grt__wait_reason_name[WAIT_LAST] = {
	[WAIT_NONE] = "",
	[WAIT_MUTEX] = "sync.Mutex.Lock",
	[WAIT_COND] = "sync.Cond.Wait",
	[WAIT_RWLOCK_R] = "sync.RWMutex.RLock",
	[WAIT_RWLOCK_W] = "sync.RWMutex.Lock",
	[WAIT_SEM] = "semacquire",
	[WAIT_BARRIER] = "barrier wait",
	[WAIT_ONCE] = "sync.Once.Do",
	[WAIT_JOIN] = "join",
	[WAIT_FUTEX] = "futex wait",
	[WAIT_SLEEP] = "sleep",
	[WAIT_SYSCALL] = "syscall",
	[WAIT_IO] = "IO wait",
	[WAIT_CHAN_SEND] = "chan send",
	[WAIT_CHAN_RECV] = "chan receive",
	[WAIT_CHAN_SEND_NIL] = "chan send (nil chan)",
	[WAIT_CHAN_RECV_NIL] = "chan receive (nil chan)",
	[WAIT_SELECT] = "select",
	[WAIT_SELECT_NONE] = "select (no cases)",
	[WAIT_WAITGROUP] = "sync.WaitGroup.Wait",
};

struct parker *grt__parker(void)
{
	return grt__self.g ? &grt__self.g->park : &grt__self.foreign;
}

/* On the successor's stack: the task is off its own and may run elsewhere from here on. */
static void commit_park(void *arg)
{
	struct g *gp = arg;
	/* A signal that came after grt__park had looked was put off to a leave that is not going to come soon. */
	if (grt_unlikely(gp->tls->attention & ATTN_SIGNAL)) {
		grt__ready(gp);
		return;
	}
	if (!__sync_bool_compare_and_swap(&gp->park.state, PARK_PREPARED,
	                                  PARK_PARKED)) { /* pairs with grt__wake's exchange */
		grt__ready(gp);
		return;
	}
	/* Pairs with grt__interrupt: it sets sigpending, then looks at the state; we set the state, then look at sigpending. G is
	 * type-stable, so a late look at a task that already went on is harmless. */
	if (grt_unlikely(grt_load_seqcst(&gp->sigpending)) && grt_cas(&gp->park.state, PARK_PARKED, PARK_PREPARED))
		grt__ready(gp);
}

static bool park_foreign(struct parker *pk, int64_t deadline)
{
	if (!grt_cas(&pk->state, PARK_PREPARED, PARK_PARKED)) {
		grt_store_relaxed(&pk->state, PARK_RUNNING);
		return true;
	}
	for (;;) {
		long r = grt__os_futex_wait(&pk->state, PARK_PARKED, deadline);
		if (grt_load_acquire(&pk->state) == PARK_WOKEN)
			break;
		if (r == 0 || r == -11 /* EAGAIN */)
			continue;
		/* A handler ran, or the deadline passed: back to prepared unless a wake came first. */
		if (grt_cas(&pk->state, PARK_PARKED, PARK_PREPARED))
			return false;
	}
	grt_store_relaxed(&pk->state, PARK_RUNNING);
	return true;
}

bool grt__park(struct parker *pk, enum grt_wait why, int64_t deadline)
{
	struct g *gp = pk->g;
	if (grt_unlikely(!gp))
		return park_foreign(pk, deadline);
	grt_assert(grt__self.crit);
	if (grt_load_acquire(&pk->state) != PARK_WOKEN) {
		if (grt_unlikely(grt__self.attention & ATTN_SIGNAL)) /* a handler is due now, not after the wait */
			return false;
		gp->wait_why = (uint8_t)why;
		gp->wait_since = grt_load_relaxed(&grt__sched.coarse);
		grt_store_relaxed(&gp->status, G_WAITING);
		grt__schedule(grt__self.m, gp, commit_park, gp);
		gp->wait_why = WAIT_NONE;
		if (grt_load_acquire(&pk->state) != PARK_WOKEN)
			return false;
	}
	grt_store_relaxed(&pk->state, PARK_RUNNING);
	return true;
}

void grt__park_await(struct parker *pk)
{
	for (unsigned i = 0; grt_load_acquire(&pk->state) != PARK_WOKEN; i++)
		grt__os_pause(i);
	grt_store_relaxed(&pk->state, PARK_RUNNING);
}

struct g *grt__wake_take(struct parker *pk)
{
	struct g *gp = pk->g;
	uint32_t old = grt_xchg_seqcst(&pk->state, PARK_WOKEN); /* pairs with commit_park and park_foreign */
	grt_assert(old == PARK_PREPARED || old == PARK_PARKED);
	if (old != PARK_PARKED)
		return NULL;
	if (!gp)
		grt__os_futex_wake(&pk->state, 1);
	return gp;
}

void grt__wake(struct parker *pk)
{
	struct g *gp = grt__wake_take(pk);
	if (gp)
		grt__ready(gp);
}

/* ---- critical sections, slow paths ---- */

/* The end of a blocking section: the P that it began with, if nobody took it. */
static bool take_back(struct m *mp, struct g *gp)
{
	bool may_last = grt__self.in_block == 2;
	if (grt_unlikely(gp->sigwait_set)) /* here, where the M is still the one that holds them */
		grt__sigwait_withdraw(gp);
	if (grt_unlikely(gp->suspended)) /* a cancellation unwound out of it */
		grt__suspend_left(gp);
	grt__self.in_block = 0;
	grt_store_relaxed(&gp->status, G_RUNNING);
	uint64_t word = P_WORD(P_SYSCALL, mp->id, P_SEQ(mp->running_word));
	if (grt_likely(grt_cas(&mp->p->word, word, mp->running_word))) {
		gp->slow_block[may_last] = 0;
		grt__self.mcache = mp->p->mcache;
		return true;
	}
	/* sysmon takes no P in less than that; one that was handed on may not have been worth it */
	gp->slow_block[may_last] = !gp->block_start || grt__cycles() - gp->block_start > GRT_BLOCK_CYCLES;
	mp->p = &grt__no_p; /* and grt__self.mcache is NULL */
	return false;
}

struct m *grt__enter_slow(struct m *mp)
{
	/* A cancellation unwound out of a blocking section (cancel.h). */
	if (grt_unlikely(grt__self.in_block) && take_back(mp, grt__self.g))
		return mp;
	for (;;) {
		struct p *pp = mp->p;
		uint64_t word = grt_load_acquire(&pp->word);
		if (pp != &grt__no_p) {
			if (word == mp->running_word)
				return mp;
			/* sysmon is about to take it: we are back first (HACKING.md, "Retaking": its step 6 fails) */
			uint64_t mine = mp->running_word;
			if (P_STATUS(word) == P_RETAKING && P_MID(word) == mp->id && P_SEQ(word) == P_SEQ(mine)) {
				if (grt_cas(&pp->word, word, mine))
					return mp;
				continue;
			}
			mp->p = &grt__no_p;
			grt__self.mcache = NULL;
		}
		grt__m_came_in(mp);
		struct g *gp = grt__self.g;
		if (gp->is_g0) /* the scheduler itself runs without a P for short whiles */
			return mp;
		if (grt__acquire_idle_p(mp))
			return mp;
		grt_store_relaxed(&gp->status, G_RUNNABLE);
		grt__switch(mp, gp, &mp->g0, grt__self.was_blocked ? grt__commit_urgq : grt__commit_globq, gp);
		return grt__self.m;
	}
}

/* A task's last critical section has just ended and something is due. */
void grt__leave_slow(bool act)
{
	do {
		grt__enter();
		struct g *gp = grt__self.g;
		uint8_t due = __atomic_exchange_n(&grt__self.attention, 0, __ATOMIC_RELAXED);
		if (due & ATTN_PREEMPT && !gp->own_p) {
			struct m *mp = grt__self.m;
			if (mp->p == &grt__no_p)
				mp = grt__enter_slow(mp);
			grt_store_relaxed(&gp->status, G_RUNNABLE);
			grt__schedule(mp, gp, grt__commit_globq, gp);
		}
		if (due & ATTN_SIGNAL || grt_load_relaxed(&gp->sigpending))
			grt__signal_deliver(grt__self.m, gp);
		grt__self.crit = 0;
		grt_barrier();
		if (act && (due & ATTN_SIGNAL) && grt__cancel_due_async())
			grt__cancel_act();
	} while (grt_unlikely(grt__self.attention)); /* something came in between */
}

/* ---- blocking sections ---- */

/* The section has begun: if work waits, the P is handed on at once when the last call of this kind lasted, else sysmon takes it if
 * this one does. */
static void hand_off_or_watch(struct g *gp, struct p *pp, uint64_t syscall_word, bool now)
{
	gp->block_start = 0;
	if (grt_unlikely(pp->is_own))
		return;
	if (grt__runq_empty(pp) && !grt_load_relaxed(&grt__sched.globq_size))
		return;
	if (now) {
		gp->block_start = grt__cycles();
		if (grt_cas(&pp->word, syscall_word, P_WORD(P_IDLE, 0, P_SEQ(syscall_word) + 1)))
			grt__handoff_p(pp);
	} else if (grt_load_relaxed(&grt__sched.sysmon_asleep)) {
		grt__sysmon_wake();
	}
}

void grt__block_enter(bool may_last)
{
	for (;;) {
		struct m *mp = grt__enter();
		struct g *gp = grt__self.g;
		struct p *pp = mp->p;
		uint64_t word = P_WORD(P_SYSCALL, mp->id, P_SEQ(mp->running_word));
		gp->wait_since = grt_load_relaxed(&grt__sched.coarse);
		grt_store_relaxed(&gp->status, G_SYSCALL);
		gp->syscalls++;
		pp->syscalltick++;
		grt__self.in_block = (uint8_t)(1 + may_last);
		grt__self.mcache = NULL; /* the P may be another's at any moment from here */
		/* Not a plain store: sysmon may have made it RETAKING since grt__enter looked. Nobody else writes it now. */
		if (!grt_cas(&pp->word, mp->running_word, word))
			grt_store_seqcst(&pp->word, word);
		hand_off_or_watch(gp, pp, word, gp->slow_block[may_last]);
		if (grt_unlikely(grt_load_relaxed(&grt__signalfd_mask) & gp->sigmask))
			grt__signalfd_lend(gp);
		grt__self.crit--;
		grt_barrier();
		/* A signal put off until now must run its handler before the call sleeps, not after. */
		if (grt_likely(!(grt__self.attention & ATTN_SIGNAL)))
			return;
		grt__block_exit();
	}
}

void grt__block_exit(void)
{
	grt__self.crit++;
	grt_barrier();
	struct m *mp = grt__self.m;
	if (grt_unlikely(!take_back(mp, grt__self.g))) {
		grt__self.was_blocked = 1;
		grt__enter_slow(mp);
		grt__self.was_blocked = 0;
	}
	grt__leave();
}

/* ---- LockOSThread ---- */

void grt__lock_os_thread(void)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	gp->lock_count++;
	gp->lockedm = mp;
	mp->lockedg = gp;
	grt__leave();
}

void grt__unlock_os_thread(void)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	if (gp->lock_count > gp->pinned && --gp->lock_count == 0) {
		gp->lockedm = NULL;
		mp->lockedg = NULL;
	}
	grt__leave();
}
