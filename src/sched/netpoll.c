#include "sched/netpoll.h"
#include "os/os.h"

#define sched grt__sched

const struct grt_netpoll *grt__netpoll;
static int kept[2] = {-1, -1}; /* sysmon's */

void grt__net_sysmon_keep(int fds[2])
{
	kept[0] = kept[1] = -1;
	if (grt__netpoll)
		grt__netpoll->keep(kept);
	fds[0] = kept[0];
	fds[1] = kept[1];
}

void grt__net_inject(struct m *mp, struct gqueue *ready)
{
	uint32_t n = 0;
	struct g *gp;
	bool mine = mp && mp->p != &grt__no_p;
	while ((gp = grt__gqueue_pop(ready))) {
		if (grt_unlikely(gp->own_p)) { /* pinned while it waited */
			grt__ready(gp);
			continue;
		}
		grt_store_relaxed(&gp->status, G_RUNNABLE);
		if (mine)
			grt__runq_put(mp->p, gp, false);
		else
			grt__globq_put(gp);
		n++;
	}
	/* One is run by this M itself. Waking another for few more would cost more than running them (proc.h). */
	if (n > mine && (!mine || grt__cycles() - mp->last_wake >= WAKE_PAUSE)) {
		if (mine)
			mp->last_wake = grt__cycles();
		grt__wake_p(mp);
	}
}

/* At most one at a time: a second would find nothing, and the kernel's lock. */
static bool look(struct gqueue *ready, bool by_sysmon)
{
	const struct grt_netpoll *net = grt_load_acquire(&grt__netpoll);
	if (grt_load_relaxed(&sched.net_busy) || !grt_cas(&sched.net_busy, 0, 1))
		return false;
	if (!by_sysmon)
		net->poll(ready, 0);
	else if (kept[0] >= 0)
		net->poll_by(ready, kept[0]);
	grt_store_relaxed(&sched.net_looked, grt__nanotime());
	grt_store_release(&sched.net_busy, 0);
	return ready->head != NULL;
}

bool grt__net_look(struct m *mp)
{
	struct gqueue ready = {0};
	if (!look(&ready, false))
		return false;
	grt__net_inject(mp, &ready);
	return true;
}

static bool nobody_polls(void)
{
	return grt__net_waits() && !grt_load_seqcst(&sched.net_m);
}

void grt__net_look_sysmon(int64_t now, bool rang)
{
	struct gqueue ready = {0};
	int64_t since = now - grt_load_relaxed(&sched.net_looked);
	if (!nobody_polls() || (!rang && since < NET_SEAT_NS))
		return;
	bool seat = grt_load_relaxed(&sched.npidle) && grt_load_relaxed(&sched.nmidle);
	if (!rang && !seat && since < NET_LOOK_NS)
		return;
	if (look(&ready, true)) {
		grt__net_inject(NULL, &ready);
	} else if (rang) { /* nothing: an interruption that its sleeper did not need any more */
		grt_lock(&sched.lock);
		if (!grt_load_acquire(&sched.net_sleepers))
			grt_load_acquire(&grt__netpoll)->forget_by(kept[1]);
		grt_unlock(&sched.lock);
	} else if (seat && !grt_load_relaxed(&sched.nspinning)) {
		grt_store_relaxed(&sched.net_seat, 1);
		grt__wake_p(NULL);
	}
}

/* One sleeper at a time, one that was chosen and has not left included: else the other might take its interruption. */
bool grt__net_take_seat_locked(void)
{
	if (sched.net_m || grt_load_relaxed(&sched.net_sleepers) ||
	    (sched.npidle < sched.nprocs && !grt_load_relaxed(&sched.net_seat)))
		return false;
	grt_store_relaxed(&sched.net_seat, 0);
	grt_add_relaxed(&sched.net_sleepers, 1);
	return true;
}

int grt__net_sysmon_fd(void)
{
	return nobody_polls() ? kept[0] : -1;
}

void grt__net_left(void)
{
	if (nobody_polls() && grt_load_relaxed(&sched.sysmon_asleep))
		grt__sysmon_wake();
}

static bool sleep_until(struct m *mp, struct gqueue *ready, int64_t deadline)
{
	for (;;) {
		grt_store_seqcst(&mp->in_poll, 1); /* pairs with grt__m_wake: it sets park_word, then looks here */
		bool notified = grt_xchg_seqcst(&mp->park_word, 0);
		if (!notified)
			grt_load_acquire(&grt__netpoll)->poll(ready, deadline);
		grt_store_seqcst(&mp->in_poll, 0);
		if (notified || grt_xchg_seqcst(&mp->park_word, 0))
			return true;
		if (ready->head || (deadline != GRT_FOREVER && deadline <= grt__nanotime()))
			return false;
	}
}

bool grt__net_sleep(struct m *mp, struct gqueue *ready, int64_t deadline)
{
	bool notified = sleep_until(mp, ready, deadline);
	grt_add_seqcst(&sched.net_sleepers, -1); /* in_poll is 0: an interruption from here on is for nobody */
	return notified;
}
