/* See deadlock.h. */
#include "api/deadlock.h"
#include "api/panic.h"
#include "os/os.h"
#include "sched/maker.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <fcntl.h>
#include <sys/stat.h>

/* Sent by the task's own mistake, not from outside. */
#define OWN_SIGNALS                                                                                                    \
	(GRT_SIGBIT(SIGSEGV) | GRT_SIGBIT(SIGBUS) | GRT_SIGBIT(SIGFPE) | GRT_SIGBIT(SIGILL) | GRT_SIGBIT(SIGTRAP) |        \
	 GRT_SIGBIT(SIGABRT) | GRT_SIGBIT(SIGSYS) | GRT_SIGBIT(SIGPIPE))

struct look {
	uint32_t tasks, awake;
};

static void look_at(struct g *gp, void *arg)
{
	struct look *l = arg;
	uint32_t status = grt_load_acquire(&gp->status);
	if (gp->is_g0 || gp->internal || status == G_DEAD || status == G_IDLE)
		return;
	l->tasks++;
	if (status != G_WAITING || grt_load_acquire(&gp->park.state) != PARK_PARKED || gp->wait_why == WAIT_SYSCALL ||
	    gp->wait_why == WAIT_IO)
		l->awake++;
}

/* Threads in this process, or 0. */
static uint32_t threads(void)
{
	struct stat st;
	if (grt__sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) < 0 || st.st_nlink < 3)
		return 0;
	return (uint32_t)st.st_nlink - 2;
}

static bool all_idle(void)
{
	if (grt_load_seqcst(&grt__sched.npidle) != grt_load_seqcst(&grt__sched.nprocs) || grt__work_waits() ||
	    grt_load_seqcst(&grt__sched.nspinning) || grt_load_seqcst(&grt__sched.nleaving))
		return false;
	if (grt__timers_earliest() != GRT_FOREVER)
		return false;
	for (struct m *mp = grt_load_acquire(&grt__sched.allm); mp; mp = mp->all_next) {
		const struct p *own = grt_load_acquire(&mp->own);
		if (own && grt_load_relaxed(&own->timer0) != GRT_FOREVER)
			return false;
	}
	return true;
}

static bool is_deadlock(void)
{
	struct look l = {0, 0};
	if (!all_idle() || grt__signal_handled(OWN_SIGNALS))
		return false;
	grt__allg_for_each(look_at, &l);
	if (!l.tasks || l.awake || !all_idle())
		return false;
	uint32_t n = threads();
	if (n == 0)
		return false;
	if (n != grt_load_relaxed(&grt__sched.nm_live) + (grt__sched.sysmon_tid != 0) + (grt__maker_tid() != 0))
		return true;
	grt__fatal("all tasks are asleep - deadlock!", true);
}

void grt__deadlock_init(void)
{
	grt__deadlock_hook = is_deadlock;
}
