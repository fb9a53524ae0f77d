/* See timer_api.h. */
#include "api/timer_api.h"
#include "api/boot.h"
#include "api/panic.h"
#include "grt.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sync/sema.h"
#include "sync/sleep.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct grt_timer_object {
	struct grt_timer timer;
	struct grt_lock ops, lock;
	uint32_t epoch; /* grt__chan_epoch, when it was made or first used after a fork */
	bool armed;     /* lock */
	int64_t period; /* lock; 0: fires once */
	bool ticker;
	void (*fn)(void *); /* or NULL: it has a channel */
	void *arg;
	struct grt_timer_object *next_due; /* whoever has the list */
	uint32_t due;                      /* atomic: it is in the runner's list */
	struct grt_chan *c;
};

/* ---- who keeps the time for whom ---- */

static struct p keeper;
static uint32_t keeper_word, keeper_runs; /* atomic */

static void keep(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t seen = grt_load_seqcst(&keeper_word);
		int64_t next = grt__timers_run(&keeper, grt__nanotime());
		grt__os_futex_wait(&keeper_word, seen, next);
	}
}

static void start_kept(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	if (!grt_load_acquire(&keeper_runs) && grt_cas(&keeper_runs, 0, 1)) {
		grt_lock_init(&keeper.timers_lock, GRT_RANK_TIMERS);
		grt_store_seqcst(&keeper.timer0, GRT_FOREVER);
		if (grt_go(keep, NULL) != 0)
			grt__fatal("no thread is to be had for timers", false);
		grt_store_release(&keeper_runs, 2);
	}
	for (unsigned i = 0; grt_load_acquire(&keeper_runs) != 2; i++)
		grt__os_pause(i);
	grt__timer_start_in(&keeper, t, deadline, fire);
	grt_add_seqcst(&keeper_word, 1);
	grt__os_futex_wake(&keeper_word, 1);
}

void grt__timer_start_any(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *))
{
	if (grt_likely(grt__self.g != NULL))
		grt__timer_start(t, deadline, fire);
	else if (grt_load_acquire(&grt__state) == GRT_BOOTED)
		grt__timer_start_foreign(t, deadline, fire);
	else
		start_kept(t, deadline, fire);
}

static inline void enter(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__enter();
}

static inline void leave(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__leave();
}

/* ---- the runner ---- */

static struct grt_timer_object *due_list; /* atomic: newest first */
static uint32_t due_sema, runner_state;

static void run_due(void *arg)
{
	(void)arg;
	for (;;) {
		grt__sema_acquire(&due_sema, false, WAIT_SLEEP, GRT_FOREVER);
		struct grt_timer_object *t, *list = grt_xchg_acqrel(&due_list, NULL), *in_order = NULL;
		while ((t = list)) {
			list = t->next_due;
			t->next_due = in_order;
			in_order = t;
		}
		while ((t = in_order)) {
			void (*fn)(void *) = t->fn;
			void *fn_arg = t->arg;
			in_order = t->next_due;
			grt_store_release(&t->due, 0); /* it may be gone after this */
			while (grt_go(fn, fn_arg) != 0)
				grt_sleep(10 * GRT_MILLISECOND);
		}
	}
}

static void *run_due_task(void *arg)
{
	run_due(arg);
	return NULL;
}

/* False: no memory, no thread. */
static bool runner_start(void)
{
	if (grt_load_acquire(&runner_state) == 2)
		return true;
	if (!grt_cas(&runner_state, 0, 1)) {
		for (unsigned i = 0; grt_load_acquire(&runner_state) == 1; i++)
			grt__os_pause(i);
		return grt_load_acquire(&runner_state) == 2;
	}
	uint64_t all = ~0ull;
	struct grt_spawn how = {
		.fn = run_due_task, .guard_size = SIZE_MAX, .detached = true, .internal = true, .sigmask = &all};
	int r = grt__boot();
	r = r == 0 ? grt__spawn(&how, NULL) : r == -ENOTSUP ? grt_go(run_due, NULL) : r;
	grt_store_release(&runner_state, r == 0 ? 2 : 0);
	return r == 0;
}

/* ---- firing ---- */

static void hand_to_runner(struct grt_timer_object *t)
{
	if (grt_xchg_acqrel(&t->due, 1)) /* the time before last has not been run yet */
		return;
	struct grt_timer_object *first = grt_load_relaxed(&due_list);
	do
		t->next_due = first;
	while (!__atomic_compare_exchange_n(&due_list, &first, t, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	grt__sema_release(&due_sema, false);
}

static void fire(struct grt_timer *timer)
{
	struct grt_timer_object *t = grt_container_of(timer, struct grt_timer_object, timer);
	int64_t now = grt__nanotime();
	grt_lock(&t->lock);
	if (t->armed) {
		if (t->period) {
			int64_t late = (now - t->timer.when) / t->period;
			grt__timer_again(timer, t->timer.when + (late + 1) * t->period);
		} else {
			t->armed = false;
		}
		if (t->fn)
			hand_to_runner(t);
		else
			grt__chan_try_send(t->c, &now);
	}
	grt_unlock(&t->lock);
}

static int64_t when(int64_t ns)
{
	int64_t now = grt__nanotime();
	return ns <= 0 ? now : ns < GRT_FOREVER - now ? now + ns : GRT_FOREVER - 1;
}

/* In a child of fork: the parent's locks and heaps are not ours. */
static void fresh(struct grt_timer_object *t)
{
	if (grt_likely(t->epoch == grt__chan_epoch))
		return;
	grt_lock_init(&t->ops, GRT_RANK_NONE);
	grt_lock_init(&t->lock, GRT_RANK_USER);
	memset(&t->timer, 0, sizeof t->timer);
	t->due = 0;
	t->epoch = grt__chan_epoch;
}

/* ops held, critical. */
static bool stop_locked(struct grt_timer_object *t)
{
	int64_t old;
	grt_lock(&t->lock);
	bool pending = t->armed;
	t->armed = false;
	grt_unlock(&t->lock);
	grt__timer_stop(&t->timer);
	if (t->c && grt__chan_try_recv(t->c, &old) == 1)
		pending = true;
	return pending;
}

static void arm_locked(struct grt_timer_object *t, int64_t ns)
{
	grt_lock(&t->lock);
	t->armed = true;
	if (t->ticker)
		t->period = ns;
	grt_unlock(&t->lock);
	grt__timer_start_any(&t->timer, when(ns), fire);
}

/* ---- grt.h ---- */

static struct grt_timer_object *make(int64_t ns, bool ticker, void (*fn)(void *), void *arg)
{
	grt__boot();
	struct grt_timer_object *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->epoch = grt__chan_epoch;
	if (!fn && !(t->c = grt_chan_make(sizeof(int64_t), 1))) {
		free(t);
		return NULL;
	}
	grt_lock_init(&t->ops, GRT_RANK_NONE);
	grt_lock_init(&t->lock, GRT_RANK_USER);
	t->ticker = ticker;
	t->fn = fn;
	t->arg = arg;
	if (t->c)
		t->c->hidden = 1;
	enter();
	arm_locked(t, ns);
	leave();
	return t;
}

GRT_EXPORT grt_timer *grt_timer_new(int64_t ns)
{
	return make(ns, false, NULL, NULL);
}

GRT_EXPORT grt_timer *grt_ticker_new(int64_t ns)
{
	if (ns <= 0)
		grt__panic("non-positive interval for NewTicker");
	return make(ns, true, NULL, NULL);
}

GRT_EXPORT grt_timer *grt_after_func(int64_t ns, void (*fn)(void *), void *arg)
{
	if (!runner_start()) {
		errno = ENOMEM;
		return NULL;
	}
	return make(ns, false, fn, arg);
}

GRT_EXPORT grt_chan *grt_timer_chan(grt_timer *t)
{
	return t->c;
}

GRT_EXPORT bool grt_timer_stop(grt_timer *t)
{
	fresh(t);
	enter();
	grt_lock(&t->ops);
	bool pending = stop_locked(t);
	grt_unlock(&t->ops);
	leave();
	return pending;
}

GRT_EXPORT bool grt_timer_reset(grt_timer *t, int64_t ns)
{
	if (t->ticker && ns <= 0)
		grt__panic("non-positive interval for Ticker.Reset");
	fresh(t);
	enter();
	grt_lock(&t->ops);
	bool pending = stop_locked(t);
	arm_locked(t, ns);
	grt_unlock(&t->ops);
	leave();
	return pending;
}

GRT_EXPORT void grt_timer_free(grt_timer *t)
{
	if (!t)
		return;
	grt_timer_stop(t);
	for (unsigned i = 0; grt_load_acquire(&t->due); i++) { /* the runner has it for a moment */
		if (grt__on_task())
			grt__yield();
		else
			grt__os_pause(i);
	}
	if (t->c) {
		t->c->owner = NULL;
		grt_chan_free(t->c);
	}
	free(t);
}

static grt_chan *channel_of(grt_timer *t)
{
	if (!t)
		return NULL;
	t->c->owner = t;
	return t->c;
}

GRT_EXPORT grt_chan *grt_after(int64_t ns)
{
	return channel_of(grt_timer_new(ns));
}

GRT_EXPORT grt_chan *grt_tick(int64_t ns)
{
	return channel_of(grt_ticker_new(ns));
}

void grt__timer_chan_free(struct grt_chan *c)
{
	grt_timer_free(c->owner);
}

GRT_EXPORT int64_t grt_now(void)
{
	return grt__nanotime();
}

GRT_EXPORT void grt_sleep(int64_t ns)
{
	int64_t deadline = when(ns), left;
	uint32_t word = 0;
	if (ns <= 0)
		return;
	grt__boot();
	if (grt__on_task()) {
		while (grt__sleep_until(deadline, &left) != 0) {
		}
		return;
	}
	while (grt__nanotime() < deadline)
		grt__os_futex_wait(&word, 0, deadline);
}

/* The child has the parent's timers as objects, but none is in a heap; it has neither runner nor keeper. */
void grt__timer_api_fork_child(void)
{
	runner_state = keeper_runs = 0;
	due_list = NULL;
	due_sema = 0;
}
