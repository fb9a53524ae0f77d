/* See sleep.h. */
#include "sync/sleep.h"
#include "sched/cancel.h"
#include "sched/clock.h"
#include <errno.h>

static GRT_TLS struct sleeper {
	struct grt_timer timer;
	struct parker *pk;
	bool armed;     /* owner task: the timer may be in a heap */
	uint32_t fired; /* atomic: release by fire, before its wake */
} sleeper;

static void fire(struct grt_timer *t)
{
	struct sleeper *s = grt_container_of(t, struct sleeper, timer);

	grt_store_release(&s->fired, 1);
	grt__wake(s->pk);
}

void grt__sleep_abandon(void)
{
	if (sleeper.armed) {
		grt__timer_stop(&sleeper.timer);
		sleeper.armed = false;
	}
}

int grt__sleep_until(int64_t deadline, int64_t *left)
{
	struct sleeper *s = &sleeper;
	struct parker *pk = grt__parker();
	uint32_t handlers = pk->g->handlers_ran;

	do {
		grt__enter();
		s->pk = pk;
		grt__park_prepare(pk);
		grt_store_relaxed(&s->fired, 0); /* nobody else sees it until timer_start */
		if (deadline != GRT_FOREVER) {
			s->armed = true;
			grt__timer_start(&s->timer, deadline, fire);
		}
		bool woken = !grt__cancel_due() && grt__park(pk, WAIT_SLEEP, GRT_FOREVER);
		grt__sleep_abandon(); /* from here on fire does not run */
		bool fired = grt_load_relaxed(&s->fired);
		if (!woken && fired) /* interrupted at the same moment: its wake has come or is on the way */
			grt__park_await(pk);
		else if (!woken)
			pk->state = PARK_RUNNING;
		grt__leave_wait(); /* the handler runs here */
		if (fired)
			return 0;
		/* Interrupted, but not for us: a signal that is ignored now, a request that something else acts on. */
	} while (pk->g->handlers_ran == handlers && !grt__cancel_due());
	/* As the kernel: a handler that ran while the time ran out does not make it an interruption. */
	*left = grt__deadline_left(deadline);
	return *left > 0 ? -EINTR : 0;
}

int64_t grt__sleep_deadline(const struct timespec *t)
{
	int64_t now = grt__nanotime();

	if (t->tv_sec >= (GRT_FOREVER - now) / 1000000000 - 1)
		return GRT_FOREVER;
	return now + t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
}
