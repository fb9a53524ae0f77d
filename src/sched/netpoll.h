/*
 * The network poller, as the scheduler sees it. io/netpoll.c registers itself when the first task is about to wait for a descriptor; until
 * then, and in programs that never do, all of this costs one load.
 *
 * Who polls, in this order:
 *   - an M that has nothing else to run looks (no sleep) before it steals, and while it spins;
 *   - the last M that goes idle sleeps in the poller instead of on its futex (sched.net_m). start_m takes it when there is no other.
 *     While another M runs tasks none does: each event would wake a CPU (30 us) for what the running M finds itself in a moment, and
 *     tasks that wake each other through a pipe would bounce between Ps;
 *   - sysmon, when nobody has looked for NET_SEAT_NS while tasks run: gets an idle M to sleep in the poller, if there is a P for it, else
 *     looks itself after NET_LOOK_NS; and has the poller's descriptor among those it sleeps on while no M does.
 *
 * No wake-up is lost: whoever lets sched.net_m go, or finds something to run while nobody polls, wakes sysmon if that sleeps without
 * the descriptor; sysmon decides whether to sleep on it after it has said that it sleeps.
 */
#ifndef GRT_SCHED_NETPOLL_H
#define GRT_SCHED_NETPOLL_H

#include "sched/proc.h"

struct grt_netpoll {
	/*
	 * Appends the tasks that wait for what has become ready. until: 0 looks only, else sleeps until something is ready, interrupt was
	 * called, or that time (ns of CLOCK_MONOTONIC, or GRT_FOREVER). Any thread of the runtime, no locks, not on a task's stack.
	 */
	void (*poll)(struct gqueue *ready, int64_t until);
	/* Any thread: whoever sleeps in poll returns. */
	void (*interrupt)(void);
	/*
	 * sysmon, whose table of descriptors is its own: keeps these two, as they were at its birth; polls without sleeping by the first;
	 * and, when nobody sleeps in poll nor begins to, forgets by the second an interruption that came too late.
	 */
	void (*keep)(int fds[2]);
	void (*poll_by)(struct gqueue *ready, int fd);
	void (*forget_by)(int fd);
};
extern const struct grt_netpoll *grt__netpoll; /* atomic: release; NULL: nobody has ever waited */

#define NET_LOOK_NS 1000000
#define NET_SEAT_NS 50000

/* Some task waits for a descriptor. */
static inline bool grt__net_waits(void)
{
	return grt_unlikely(grt_load_relaxed(&grt__sched.net_waiters) != 0);
}

/* g0 of an M with a P. True: tasks were put on its queue. */
bool grt__net_look(struct m *mp);
/* sysmon. rang: the descriptor that it slept on is readable. */
void grt__net_look_sysmon(int64_t now, bool rang);
/* sysmon, at its birth: which descriptors it has to keep; -1: none. */
void grt__net_sysmon_keep(int fds[2]);
/* The descriptor for sysmon to sleep on; -1: somebody polls, or nobody waits. */
int grt__net_sysmon_fd(void);
/* g0: something is run from here on; if nobody polls meanwhile, sysmon has to know. */
void grt__net_left(void);
/* Sched lock, an M that goes idle: whether it is the one to sleep in the poller. */
bool grt__net_take_seat_locked(void);
/* An M without P, on sched.net_m: sleeps until it is notified (park_word), something is ready or the deadline passed. */
bool grt__net_sleep(struct m *mp, struct gqueue *ready, int64_t deadline);
/* Tasks that poll found, for mp's P, or for anybody if it has none. */
void grt__net_inject(struct m *mp, struct gqueue *ready);

#endif
