#include "sync/sem.h"
#include <errno.h>
#include <limits.h>

_Static_assert(sizeof(sem_t) == 32, "glibc's sem_t");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the value is the first half");

#define WAITER (1ull << 32)

static uint32_t value_of(uint64_t data)
{
	return (uint32_t)data;
}

/* Takes `what` off if there is a value to take. */
static bool take(struct grt_sem *s, uint64_t what)
{
	uint64_t d = grt_load_relaxed(&s->data);
	while (value_of(d) != 0) {
		if (grt_cas(&s->data, d, d - what))
			return true;
		d = grt_load_relaxed(&s->data);
	}
	return false;
}

int grt__sem_trywait(sem_t *sem)
{
	return take((struct grt_sem *)sem, 1) ? 0 : -EAGAIN;
}

static GRT_NOINLINE int wait_slow(struct grt_sem *s, int64_t deadline)
{
	grt_add_seqcst(&s->data, WAITER);
	while (!take(s, WAITER + 1)) {
		int r =
			grt__futex_wait((uint32_t *)&s->data, 0, ~0u, deadline, FUTEX_INTERRUPTIBLE | FUTEX_CANCELABLE, WAIT_SEM);
		if (r == -ETIMEDOUT || r == -EINTR || r == -ECANCELED) {
			grt_add_seqcst(&s->data, -WAITER);
			return r;
		}
	}
	return 0;
}

int grt__sem_wait(sem_t *sem, clockid_t clock, const struct timespec *abstime)
{
	struct grt_sem *s = (struct grt_sem *)sem;
	int64_t deadline = GRT_FOREVER;
	int error = 0;

	if (abstime) {
		deadline = grt__deadline(clock, abstime, &error);
		if (error)
			return error;
	}
	if (take(s, 1))
		return 0;
	return wait_slow(s, deadline);
}

int grt__sem_post(sem_t *sem)
{
	struct grt_sem *s = (struct grt_sem *)sem;
	uint64_t d;

	do {
		d = grt_load_relaxed(&s->data);
		if (value_of(d) == SEM_VALUE_MAX)
			return -EOVERFLOW;
	} while (!grt_cas(&s->data, d, d + 1));
	if (d >= WAITER)
		grt__futex_wake(&s->data, 1, ~0u);
	return 0;
}
