#include "sched/tidy.h"
#include "heap/cache.h"
#include "heap/scavenge.h"
#include "sched/proc.h"

#define sched grt__sched

static int64_t due; /* 0: as soon as anything is wanted */

/* P pp, if nobody runs on it, for us alone. */
static bool take_p(struct p *pp)
{
	uint64_t word = grt_load_acquire(&pp->word);
	bool taken = false;
	if (P_STATUS(word) == P_SYSCALL)
		return grt_cas(&pp->word, word, P_WORD(P_IDLE, 0, P_SEQ(word) + 1));
	if (P_STATUS(word) != P_IDLE)
		return false;
	grt_lock(&sched.lock);
	for (struct p **at = &sched.pidle; *at && !taken; at = &(*at)->idle_next)
		if (*at == pp) {
			*at = pp->idle_next;
			grt_store_relaxed(&sched.npidle, sched.npidle - 1);
			taken = true;
			break;
		}
	grt_unlock(&sched.lock);
	return taken;
}

/* True if it has to be looked at again. */
static bool tidy_p(struct p *pp)
{
	struct mcache *c = grt_load_acquire(&pp->mcache);
	if (!c || !grt__cache_holds(c))
		return false;
	uint32_t ticks = grt_load_relaxed(&pp->schedtick) + grt_load_relaxed(&pp->syscalltick);
	if (ticks != pp->seen_tidy_ticks) {
		pp->seen_tidy_ticks = ticks;
		return true;
	}
	if (!grt__runq_empty(pp) || !take_p(pp))
		return true;
	grt__cache_flush(c);
	grt__handoff_p(pp); /* to the idle ones, or to work that came meanwhile and found no idle P */
	return false;
}

void grt__tidy(int64_t now)
{
	if (now < due || !grt__scavenge_wanted())
		return;
	bool again = false;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++)
		again |= tidy_p(sched.allp[i]);
	due = grt__scavenge(now);
	if (again && due == GRT_FOREVER)
		due = now + GRT_EPOCH_NS;
	if (due == GRT_FOREVER)
		due = 0;
}

int64_t grt__tidy_due(int64_t now)
{
	if (!grt__scavenge_wanted())
		return GRT_FOREVER;
	return due > now ? due : now + GRT_EPOCH_NS;
}

static void hook(void)
{
	if (grt_load_relaxed(&sched.sysmon_asleep) && grt_load_relaxed(&sched.sysmon_tid))
		grt__sysmon_wake();
}

void grt__tidy_init(void)
{
	grt__scavenge_hook = hook;
}

void grt__tidy_fork_child(void)
{
	grt__scavenge_hook = NULL;
}
