#include "sched/tidy.h"
#include "heap/cache.h"
#include "heap/scavenge.h"
#include "sched/proc.h"

#define sched grt__sched

enum { LAST_PAUSE_S = 64 };

static int64_t due;                     /* 0: as soon as anything is wanted */
static bool holding;                    /* a P's cache that has something was left as it is at the last look */
static int64_t interval = GRT_EPOCH_NS; /* until the next look for such a P's sake */
static uint32_t asked;                  /* atomic: by hook() */

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

/* Its cache goes to central and mheap. False: it is in use. */
static bool flush_p(struct p *pp)
{
	if (!grt__runq_empty(pp) || !take_p(pp))
		return false;
	grt__cache_flush(pp->mcache);
	grt__handoff_p(pp); /* to the idle ones, or to work that came meanwhile and found no idle P */
	return true;
}

static bool holds(const struct p *pp)
{
	const struct mcache *c = grt_load_acquire(&pp->mcache);
	return c && grt__cache_holds(c);
}

enum look { LOOK_DONE, LOOK_ACTIVE, LOOK_STUCK };

static enum look tidy_p(struct p *pp)
{
	if (!holds(pp))
		return LOOK_DONE;
	uint32_t ticks = grt_load_relaxed(&pp->schedtick) + grt_load_relaxed(&pp->syscalltick);
	if (ticks != pp->seen_tidy_ticks) {
		pp->seen_tidy_ticks = ticks;
		return LOOK_ACTIVE;
	}
	return flush_p(pp) ? LOOK_DONE : LOOK_STUCK;
}

void grt__tidy(int64_t now)
{
	if (grt_load_relaxed(&asked)) {
		grt_store_relaxed(&asked, 0);
		interval = GRT_EPOCH_NS;
		if (due > now + interval)
			due = now + interval;
		holding = true;
	}
	if (now < due || !(holding || grt__scavenge_wanted()))
		return;
	enum look found = LOOK_DONE;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		enum look l = tidy_p(sched.allp[i]);
		if (l != LOOK_DONE && found != LOOK_ACTIVE)
			found = l;
	}
	holding = found != LOOK_DONE;
	due = grt__scavenge(now);
	/* A task that computes for long, or sleeps in a call that nobody announced: less and less often. */
	if (found == LOOK_STUCK && due == GRT_FOREVER && interval < LAST_PAUSE_S * 1000000000ll)
		interval *= 2;
	else if (found == LOOK_ACTIVE)
		interval = GRT_EPOCH_NS;
	if (holding && due == GRT_FOREVER)
		due = now + interval;
	if (due == GRT_FOREVER)
		due = 0;
}

int64_t grt__tidy_due(int64_t now)
{
	if (!holding && !grt_load_relaxed(&asked) && !grt__scavenge_wanted())
		return GRT_FOREVER;
	return due > now ? due : now + GRT_EPOCH_NS;
}

void grt__tidy_trim(void)
{
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.allp[i];
		if (P_STATUS(grt_load_acquire(&pp->word)) == P_IDLE && holds(pp))
			flush_p(pp);
	}
}

static void hook(void)
{
	grt_store_relaxed(&asked, 1);
	if (grt_load_relaxed(&sched.sysmon_asleep) && grt_load_relaxed(&sched.sysmon_tid))
		grt__sysmon_wake();
}

void grt__tidy_init(void)
{
	grt_store_relaxed(&asked, 1); /* what was freed until now */
	grt__scavenge_hook = hook;
}

void grt__tidy_fork_child(void)
{
	grt__scavenge_hook = NULL;
	due = 0;
	holding = false;
	interval = GRT_EPOCH_NS;
}
