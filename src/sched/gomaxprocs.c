/* The number of Ps, changed while tasks run. */
#include "sched/proc.h"

#define sched grt__sched

/*
 * Shrinking marks the Ps at and above the new number as leaving. Idle ones, and ones of Ms in announced system calls, retire at
 * once; an M that runs one is kicked, and gives it up at its next switch: successor() goes to g0 for a leaving P, find_runnable
 * puts it idle, and putting a leaving P idle retires it, whoever does it. sysmon kicks again until all have left.
 *
 * A retired P has no tasks. Its timers stay in its heap (grt__timer_stop finds a timer by its P) and sysmon fires them. Growing
 * takes Ps back in whatever state they are, so that no order of calls makes more Ps than the largest number asked for.
 */
static void shrink_locked(uint32_t n)
{
	struct p *idle = NULL, *pp;
	for (uint32_t i = n; i < sched.nprocs; i++) {
		sched.allp[i]->retire = P_LEAVING;
		sched.nleaving++;
	}
	grt_store_seqcst(&sched.nprocs, n);
	while ((pp = grt__p_get_idle_locked())) {
		if (pp->retire) {
			grt__p_retire_locked(pp);
		} else {
			pp->idle_next = idle;
			idle = pp;
		}
	}
	while ((pp = idle)) {
		idle = pp->idle_next;
		grt__p_put_idle_locked(pp);
	}
	for (uint32_t i = n; i < sched.nallp; i++) {
		pp = sched.allp[i];
		uint64_t word = grt_load_acquire(&pp->word);
		if (pp->retire != P_LEAVING)
			continue;
		if (P_STATUS(word) == P_SYSCALL && grt_cas(&pp->word, word, P_WORD(P_IDLE, 0, P_SEQ(word) + 1)))
			grt__p_retire_locked(pp);
	}
}

static void grow_locked(uint32_t n)
{
	for (uint32_t i = sched.nprocs; i < n; i++) {
		struct p *pp = sched.allp[i];
		uint8_t was = P_RETIRED;
		if (!pp) {
			if (!(pp = grt__p_new(i)))
				return; /* no memory: as many as there are */
			sched.allp[i] = pp;
			grt_store_release(&sched.nallp, i + 1);
		} else {
			was = pp->retire;
		}
		grt_store_relaxed(&pp->retire, P_STAYS);
		grt_store_release(&sched.nprocs, i + 1);
		if (was == P_RETIRED)
			grt__p_put_idle_locked(pp);
		else
			sched.nleaving--;
	}
}

int grt__gomaxprocs(int n)
{
	if (n <= 0)
		return (int)grt_load_relaxed(&sched.nprocs);
	struct m *mp = grt__enter();
	grt_lock(&sched.lock);
	int old = (int)sched.nprocs;
	if (n > MAX_PROCS)
		n = MAX_PROCS;
	if (n < old)
		shrink_locked((uint32_t)n);
	else
		grow_locked((uint32_t)n);
	grt_unlock(&sched.lock);
	for (int i = n; i < old; i++) {
		struct p *pp = sched.allp[i];
		if (grt_load_relaxed(&pp->retire) == P_LEAVING && P_STATUS(grt_load_acquire(&pp->word)) == P_RUNNING &&
		    pp != mp->p && !grt__preempt_off)
			grt__preempt_ask(pp->m);
	}
	if (mp->p->retire)
		grt__self.attention |= ATTN_PREEMPT;
	if (grt_load_relaxed(&sched.nleaving))
		grt__sysmon_wake();
	if (grt__work_waits())
		grt__wake_p(NULL);
	grt__leave();
	return old;
}
