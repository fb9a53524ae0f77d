/*
 * A stand-in for sched/: every thread is a foreign one and sleeps on a kernel futex; boot is at the first pthread_create.
 * With sync/, the futex table and the wrappers it makes a preload that puts plain programs on our synchronisation without
 * tasks, so that a fault is known to be of sync/ or of sched/:
 *
 *     tests/fake/build_sync.sh /tmp/libfake.so && LD_PRELOAD=/tmp/libfake.so program
 */
#include "os/os.h"
#include "sched/sched.h"
#include "sync/mutex.h"
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

GRT_TLS struct grt_tls grt__self;
int grt__state;
uint8_t grt__have_fsgsbase; /* arch/ */
uint32_t grt__tcb_tid_offset;

struct m *grt__enter_slow(struct m *mp)
{
	grt__throw("fake_sched: there are no tasks");
}

void grt__leave_slow(void)
{
	grt__throw("fake_sched: there are no tasks");
}

void grt__yield(void)
{
	sched_yield();
}

void grt__block_enter(bool may_last)
{
}

void grt__block_exit(void)
{
}

void grt__lock_os_thread(void)
{
}

void grt__unlock_os_thread(void)
{
}

void grt__timer_start(struct grt_timer *t, int64_t when, void (*fire)(struct grt_timer *))
{
	grt__throw("fake_sched: there are no tasks");
}

bool grt__timer_stop(struct grt_timer *t)
{
	return true;
}

struct parker *grt__parker(void)
{
	return &grt__self.foreign;
}

bool grt__park(struct parker *pk, enum grt_wait why, int64_t deadline)
{
	if (!grt_cas(&pk->state, PARK_PREPARED, PARK_PARKED))
		goto woken;
	for (;;) {
		long r = grt__os_futex_wait(&pk->state, PARK_PARKED, deadline);
		if (grt_load_acquire(&pk->state) == PARK_WOKEN)
			goto woken;
		if ((r == -EINTR || r == -ETIMEDOUT) && grt_cas(&pk->state, PARK_PARKED, PARK_PREPARED))
			return false;
	}
woken:
	grt_store_relaxed(&pk->state, PARK_RUNNING);
	return true;
}

void grt__wake(struct parker *pk)
{
	if (grt_xchg_seqcst(&pk->state, PARK_WOKEN) == PARK_PARKED)
		grt__os_futex_wake(&pk->state, 1);
}

/* The tid is the only int behind the header of the main thread's block that is its tid. */
static void boot(void)
{
	const char *block = __builtin_thread_pointer();
	for (uint32_t off = 64; off < 1200 && !grt__tcb_tid_offset; off += 4) {
		if (*(const int *)(block + off) == getpid())
			grt__tcb_tid_offset = off;
	}
	if (!grt__tcb_tid_offset)
		grt__throw("fake_sched: no tid in the thread block");
	grt__os_clock_init();
	grt__sync_spin = GRT_SYNC_SPIN;
	grt_store_release(&grt__state, GRT_BOOTED);
}

GRT_EXPORT int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (!real)
		real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
	if (grt__state == GRT_COLD)
		boot();
	return real(t, attr, fn, arg);
}
