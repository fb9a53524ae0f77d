/*
 * <time.h>: timers whose signal is for one thread (SIGEV_THREAD_ID, timer_create and its number). The kernel can signal kernel threads
 * only, and a task's changes. So it signals sysmon, by the runtime's signal, with a record of who is meant; sysmon's handler
 * queues the signal on that task, as pthread_kill would. A task whose own CPU time is counted is pinned: the clock is its M's.
 */
#include "base/lock.h"
#include "os/os.h"
#include "sched/pin.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/task.h"
#include "shim/kstate.h"
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

struct record {
	struct record *next;
	struct g *gp;
	uint64_t id; /* gp's when the timer was made */
	int timer;   /* the kernel's; -1: free. A signal of a timer that is gone finds another's, or this */
	int sig;
	union sigval value;
};

static struct grt_lock lock = GRT_LOCK_INIT(GRT_RANK_NONE);
static struct record *records; /* lock; never unmapped: a signal may still be on its way */

/* On sysmon, in its handler. */
static void fire(const siginfo_t *info)
{
	const struct record *r = info->si_value.sival_ptr;
	siginfo_t copy = *info;
	int timer = grt_load_acquire(&r->timer);
	struct g *gp = r->gp;
	if (timer != info->si_timerid || gp->id != r->id || !grt__task_alive(gp))
		return;
	copy.si_value = r->value;
	grt__signal_send(gp, r->sig, &copy);
}

static struct record *record_get(void)
{
	struct record *r;
	bool task = grt__on_task();
	if (task)
		grt__enter();
	grt_lock(&lock);
	for (r = records; r && r->timer != -1; r = r->next)
		;
	if (!r && (r = grt__os_alloc(sizeof *r))) {
		r->next = records;
		records = r;
	}
	if (r)
		r->timer = -2; /* taken, of no timer yet */
	grt_unlock(&lock);
	if (task)
		grt__leave();
	return r;
}

static void record_put(int timer)
{
	bool task = grt__on_task();
	if (task)
		grt__enter();
	grt_lock(&lock);
	for (struct record *r = records; r; r = r->next)
		if (r->timer == timer)
			grt_store_release(&r->timer, -1);
	grt_unlock(&lock);
	if (task)
		grt__leave();
}

/* The clock of the calling thread. */
static bool own_cpu_time(clockid_t clock)
{
	return clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && (clock & 7) == 6 && ~(clock >> 3) == 0);
}

/* 0 or -errno; *timer is the kernel's number. */
static long make(clockid_t clock, const struct sigevent *ev, int *timer)
{
	struct g *gp = NULL;
	if (grt__on_task() && own_cpu_time(clock))
		grt__pin(grt__self.g);
	if (ev && ev->sigev_notify == SIGEV_THREAD_ID)
		gp = grt__g_of_tid(ev->_sigev_un._tid);
	if (!gp || ev->sigev_signo < 1 || ev->sigev_signo > 64)
		return grt__sys3(SYS_timer_create, clock, ev, timer);

	struct record *r = record_get();
	if (!r)
		return -EAGAIN;
	r->gp = gp;
	r->id = gp->id;
	r->sig = ev->sigev_signo;
	r->value = ev->sigev_value;
	struct sigevent to_sysmon = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = GRT_SIGRT, .sigev_value.sival_ptr = r};
	to_sysmon._sigev_un._tid = grt__sched.sysmon_tid;
	grt__signal_timer_hook = fire;
	long e = grt__sys3(SYS_timer_create, clock, &to_sysmon, timer);
	grt_store_release(&r->timer, e < 0 ? -1 : *timer);
	return e;
}

static inline bool booted(void)
{
	return grt_load_relaxed(&grt__state) == GRT_BOOTED && !grt__self.in_vfork && grt__sched.sysmon_tid;
}

GRT_EXPORT int timer_create(clockid_t clock, struct sigevent *ev, timer_t *timer)
{
	int kernels;
	if (!booted() || !((ev && ev->sigev_notify == SIGEV_THREAD_ID) || own_cpu_time(clock)))
		return REAL(timer_create)(clock, ev, timer);
	/* libc knows threads' CPU clocks by other numbers when it starts a thread itself. */
	if (!ev || ev->sigev_notify != SIGEV_THREAD_ID) {
		if (grt__on_task())
			grt__pin(grt__self.g);
		return REAL(timer_create)(clock, ev, timer);
	}
	int r = grt__shim_errno((int)make(clock, ev, &kernels));
	if (r == 0)
		*timer = (timer_t)(long)kernels; /* as libc's own for all but SIGEV_THREAD */
	return r;
}

GRT_EXPORT int timer_delete(timer_t timer)
{
	int r = REAL(timer_delete)(timer);
	if (r == 0 && records && (intptr_t)timer >= 0)
		record_put((int)(intptr_t)timer);
	return r;
}

long grt__timer_syscall(long nr, long a, long b, long c)
{
	if (!booted())
		return GRT_KSTATE_REAL;
	if (nr == SYS_timer_create)
		return make((clockid_t)a, (const struct sigevent *)b, (int *)c);
	long r = grt__sys1(SYS_timer_delete, a);
	if (r == 0)
		record_put((int)a);
	return r;
}
