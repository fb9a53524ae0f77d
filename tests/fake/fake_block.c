/*
 * A stand-in for the scheduler under src/shim's blocking wrappers, so that they can be tried on real programs before, and
 * apart from, the scheduler: the main thread counts as a task, sections are counted and checked (no nesting, left by
 * the thread that entered). FAKE_TASK=0 in the environment leaves everything cold. FAKE_STATS=fd prints the counts
 * at exit to that descriptor. See build.sh.
 */
#include "shim/hooks.h"
#include "shim/shim.h"
#include "os/os.h"
#include "sync/futex.h"
#include <stdio.h>

GRT_TLS struct grt_tls grt__self;
int grt__state;
static struct g fake_g;
static struct {
	unsigned sections, lasting, sleeps, dlopens, broadcasts, forks;
} count;
static pid_t pid;

__attribute__((constructor)) static void start(void)
{
	const char *e = getenv("FAKE_TASK");

	grt__real_init();
	pid = getpid();
	if (e != NULL && *e == '0')
		return;
	grt__state = GRT_BOOTED;
	grt__self.g = &fake_g;
	fake_g.tls = &grt__self;
	fake_g.park.g = &fake_g;
}

__attribute__((destructor)) static void stop(void)
{
	const char *e = getenv("FAKE_STATS");

	if (e != NULL && getpid() == pid)
		dprintf(atoi(e), "fake: sections %u lasting %u sleeps %u dlopens %u broadcasts %u forks %u\n", count.sections,
		        count.lasting, count.sleeps, count.dlopens, count.broadcasts, count.forks);
}

void grt__block_enter(bool may_last)
{
	if (grt__self.in_block)
		grt__throw("nested blocking section");
	grt__self.in_block = 1;
	count.sections++;
	count.lasting += may_last;
}

void grt__block_exit(void)
{
	if (!grt__self.in_block)
		grt__throw("blocking section left twice");
	grt__self.in_block = 0;
	errno = 12345; /* the wrapper must put it back */
}

/* ---- parking: one timer, one sleeper ---- */

static struct grt_timer *armed;

struct parker *grt__parker(void)
{
	return &fake_g.park;
}

void grt__timer_start(struct grt_timer *t, int64_t when, void (*fire)(struct grt_timer *))
{
	t->when = when;
	t->fire = fire;
	armed = t;
}

bool grt__timer_stop(struct grt_timer *t)
{
	bool was = armed == t;

	armed = NULL;
	return was;
}

void grt__wake(struct parker *pk)
{
	pk->state = PARK_WOKEN;
}

bool grt__park(struct parker *pk, enum grt_wait why, int64_t deadline)
{
	struct grt_timer *t = armed;
	struct timespec ts = {.tv_sec = INT32_MAX};

	(void)pk, (void)why, (void)deadline;
	count.sleeps++;
	if (t != NULL)
		ts = (struct timespec){.tv_sec = t->when / 1000000000, .tv_nsec = t->when % 1000000000};
	if (grt__sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == -EINTR)
		return false;
	armed = NULL;
	t->fire(t);
	return true;
}

int64_t grt__nanotime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int64_t grt__deadline(clockid_t clock, const struct timespec *abstime, int *error)
{
	struct timespec t;

	(void)error;
	clock_gettime(clock, &t);
	return grt__nanotime() + (abstime->tv_sec - t.tv_sec) * INT64_C(1000000000) + abstime->tv_nsec - t.tv_nsec;
}

/* ---- the rest of what the shim asks for ---- */

void grt__dlopen_enter(void)
{
	count.dlopens++;
}

void grt__dlopen_leave(void)
{
	errno = 12345;
}

void grt__fork_child(void)
{
	count.forks++;
}

int grt__broadcast_syscall(long nr, long a, long b, long c)
{
	count.broadcasts++;
	return (int)grt__sys3(nr, a, b, c);
}

void grt__throw(const char *fmt, ...)
{
	dprintf(2, "fatal error: %s\n", fmt);
	abort();
}
