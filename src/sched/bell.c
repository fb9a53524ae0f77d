/* The bell (signal.h): a signalfd that is never read, which sysmon polls. */
#include "os/os.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <fcntl.h>

static int bell_fd = -1;
static uint64_t bell_mask = GRT_MASK_ALL; /* atomic: what the signalfd reports; sysmon writes */
static uint32_t all_wanted;               /* atomic: a mask has opened since */

int grt__signal_bell_fd(void)
{
	return bell_fd;
}

static long report(int fd, uint64_t mask)
{
	return grt__sys4(SYS_signalfd4, fd, &mask, 8, O_CLOEXEC | O_NONBLOCK);
}

void grt__signal_bell_open(void)
{
	long fd = report(-1, bell_mask);
	bell_fd = fd < 0 ? -1 : grt__sched.own_files ? (int)fd : grt__os_high_fd((int)fd);
}

/* Not a file that the program has put at its number. */
static bool still_ours(void)
{
	return report(bell_fd, bell_mask) >= 0;
}

/* Child of fork. The number may be sysmon's own, which the child did not inherit. */
void grt__signal_bell_forget(void)
{
	if (bell_fd >= 0 && !grt__sched.own_files && still_ours())
		grt__sys_close(bell_fd);
	bell_fd = -1;
	bell_mask = GRT_MASK_ALL;
	all_wanted = 0;
}

void grt__signal_bell_all(void)
{
	if (grt_load_seqcst(&bell_mask) == GRT_MASK_ALL)
		return;
	grt_store_seqcst(&all_wanted, 1);
	if (grt__sched.sysmon_tid)
		grt__kick_tid(grt__sched.sysmon_tid); /* out of ppoll, or before it */
}

void grt__signal_bell_refresh(void)
{
	if (grt_likely(!grt_load_relaxed(&all_wanted)) || !grt_xchg_seqcst(&all_wanted, 0) || bell_fd < 0)
		return;
	grt_store_seqcst(&bell_mask, GRT_MASK_ALL);
	report(bell_fd, GRT_MASK_ALL);
}

struct taker {
	uint64_t pending;
	struct g *gp;
	uint64_t takes; /* union of what anybody would take */
};

static void find_taker(struct g *gp, void *arg)
{
	struct taker *t = arg;
	if (gp->internal)
		return;
	uint64_t takes = t->pending & ~gp->sigmask;
	t->takes |= takes;
	if (takes && !t->gp) /* main comes first in the table, as the kernel prefers it */
		t->gp = gp;
}

/* sysmon: something is pending that no running kernel thread takes. */
void grt__signal_bell(short revents)
{
	struct taker t = {0};
	if (bell_fd >= 0 && !(revents & 1 /* POLLIN */)) {
		grt__signal_bell_open(); /* the program closed it: process-directed signals wait for a task to run */
		return;
	}
	grt__sys2(SYS_rt_sigpending, &t.pending, 8);
	t.pending &= bell_fd < 0 ? GRT_MASK_ALL : bell_mask;
	if (!t.pending) {
		if (bell_fd >= 0 && !still_ours())
			grt__signal_bell_open();
		return;
	}
	grt__allg_for_each(find_taker, &t);
	if (t.gp && grt_load_acquire(&t.gp->status) == G_WAITING)
		grt__signal_prod(t.gp, true);
	if (bell_fd < 0)
		return;
	if (t.takes != t.pending) { /* nobody wants these now: look again when a mask opens */
		uint64_t mask = bell_mask & ~(t.pending & ~t.takes);
		grt_store_seqcst(&bell_mask, mask);
		report(bell_fd, mask);
	} else {
		struct timespec pause = {0, 200000};
		grt__sys2(SYS_nanosleep, &pause, NULL); /* its taker is on the way */
	}
}
