#include "sched/pin.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/task.h"
#include "sched/tcb.h"
#include <errno.h>

void (*grt__pin_end_hook)(struct g *gp);
/* Atomic: the task, not the one that gettid says is the process, that is pinned to the process's first kernel thread. */
static struct g *first_owner;

static void pin_here(struct m *mp, struct g *gp)
{
	if (!gp->pinned) {
		gp->pinned = 1;
		gp->lock_count++;
		gp->lockedm = mp;
		mp->lockedg = gp;
		gp->own_p = grt__m_take_own_p(mp);
	}
	if (mp->tid == grt__sched.pid && gp->tid != mp->tid)
		grt_store_release(&first_owner, gp);
	grt_store_release(&gp->pinned_tid, mp->tid);
}

void grt__pin_asked(struct m *mp, struct g *gp)
{
	if (!grt_load_relaxed(&gp->pin_wanted))
		return;
	grt_store_relaxed(&gp->pin_wanted, 0);
	mp->ends_with_g = 1;
	pin_here(mp, gp);
}

static void pause_a_little(unsigned round)
{
	struct timespec ts = {0, 50000};
	bool task = grt__self.g != NULL;
	if (task && round < 20) {
		grt__yield();
		return;
	}
	if (task)
		grt__block_enter(false);
	grt__sys2(SYS_nanosleep, &ts, NULL);
	if (task)
		grt__block_exit();
}

static int pin_other(struct g *gp)
{
	uint64_t id = gp->id;
	for (unsigned i = 0;; i++) {
		int tid = grt__pinned_tid(gp);
		struct m *mp = grt_load_relaxed(&gp->lockedm); /* NULL when it is about to end */
		if (grt_load_relaxed(&gp->id) != id || !grt__task_alive(gp))
			return -ESRCH;
		if (tid && mp && mp->ends_with_g)
			return tid;
		if (i % 64 == 0) { /* again from time to time: it may have been between two places that look */
			grt_store_seqcst(&gp->pin_wanted, 1);
			grt__signal_prod(gp, true);
		}
		pause_a_little(i);
	}
}

int grt__pin(struct g *gp)
{
	if (gp != grt__self.g)
		return pin_other(gp);
	struct m *mp = grt__enter();
	mp->ends_with_g = 1;
	pin_here(mp, gp);
	grt__leave();
	return mp->tid;
}

int grt__pin_robust(void)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	pin_here(mp, gp);
	if (gp->robust == ROBUST_NONE) {
		gp->robust = ROBUST_BLOCK;
		grt__tcb_robust_register(gp->tcb);
	}
	grt__leave();
	return mp->tid;
}

int grt__pinned_tid(struct g *gp)
{
	return grt_load_acquire(&gp->pinned_tid);
}

bool grt__pin_has_first_thread(struct g *self)
{
	struct g *gp = grt_load_acquire(&first_owner);
	return gp && gp != self;
}

int grt__pin_clean_tid(void)
{
	return grt__sched.sysmon_tid;
}

bool grt__pin_end(struct m *mp, struct g *gp)
{
	if (grt_unlikely(gp->robust == ROBUST_OWN || gp->clears_tid))
		grt__pin_end_hook(gp);
	if (gp->robust) {
		gp->robust = ROBUST_NONE;
		/* Waiters of a priority-inheriting one are the kernel's to hand over: at the end of the thread. */
		if (grt__tcb_robust_end(gp, mp->tid))
			mp->ends_with_g = 1;
		grt__tcb_robust_register(mp->g0.tcb);
	}
	grt_store_release(&gp->pinned_tid, 0);
	if (grt_load_relaxed(&first_owner) == gp)
		grt_store_release(&first_owner, NULL);
	return mp->lockedg == gp && mp->ends_with_g;
}

void grt__pin_fork_child(struct m *mp, struct g *gp)
{
	if (gp->own_p)
		grt__p_bind(mp, mp->own);
	gp->robust = ROBUST_NONE; /* what the parent holds is the parent's */
	gp->clears_tid = 0;
	gp->pin_wanted = 0;
	first_owner = NULL;
	if (gp->pinned)
		gp->pinned_tid = mp->tid;
}
