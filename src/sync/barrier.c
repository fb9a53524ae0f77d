#include "sync/barrier.h"
#include <limits.h>

_Static_assert(sizeof(pthread_barrier_t) == sizeof(struct grt_barrier), "glibc's pthread_barrier_t");

#define DESTROYER 0x80000000u

void grt__barrier_init(pthread_barrier_t *barrier)
{
	struct grt_barrier *b = (struct grt_barrier *)barrier;
	b->round = b->arrived = b->inside = 0;
}

int grt__barrier_wait(pthread_barrier_t *barrier)
{
	struct grt_barrier *b = (struct grt_barrier *)barrier;
	int result = 0;

	grt_add_seqcst(&b->inside, 1);
	uint32_t round = grt_load_acquire(&b->round);
	if (grt_add_seqcst(&b->arrived, 1) == b->count) {
		grt_store_relaxed(&b->arrived, 0);
		grt_store_seqcst(&b->round, round + 1);
		grt__futex_wake(&b->round, INT_MAX, ~0u);
		result = PTHREAD_BARRIER_SERIAL_THREAD;
	} else {
		while (grt_load_acquire(&b->round) == round)
			grt__futex_wait(&b->round, round, ~0u, GRT_FOREVER, 0, WAIT_BARRIER);
	}
	if (grt_add_seqcst(&b->inside, -1u) == DESTROYER)
		grt__futex_wake(&b->inside, INT_MAX, ~0u);
	return result;
}

void grt__barrier_destroy(pthread_barrier_t *barrier)
{
	struct grt_barrier *b = (struct grt_barrier *)barrier;

	uint32_t v = grt_load_acquire(&b->inside);
	while ((v & ~DESTROYER) != 0) {
		if (!(v & DESTROYER) && !grt_cas(&b->inside, v, v | DESTROYER)) {
			v = grt_load_acquire(&b->inside);
			continue;
		}
		grt__futex_wait(&b->inside, v | DESTROYER, ~0u, GRT_FOREVER, 0, WAIT_BARRIER);
		v = grt_load_acquire(&b->inside);
	}
}
