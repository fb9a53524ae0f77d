#include "base/lock.h"
#include "arch/arch.h"
#include "base/throw.h"
#include <time.h>

struct grt_held *(*grt__lock_held_hook)(void);

void grt__lock_slow(struct grt_lock *l)
{
	for (unsigned round = 0;; round++) {
		for (int i = 0; i < 64; i++) {
			if (!grt_load_relaxed(&l->word) && grt_cas(&l->word, 0, 1))
				return;
			grt__cpu_relax();
		}
		if (round < 16) {
			grt__sys0(SYS_sched_yield);
		} else {
			struct timespec pause = {0, round < 64 ? 50000 : 1000000};
			grt__sys2(SYS_nanosleep, &pause, NULL);
		}
	}
}

void grt__lock_rank_check(struct grt_lock *l, bool take)
{
#if GRT_DEBUG >= 1
	struct grt_held *held = grt__lock_held_hook ? grt__lock_held_hook() : NULL;
	if (!held || !l->rank)
		return;
	uint32_t bit = 1u << l->rank;
	if (!take) {
		held->ranks &= ~bit;
		return;
	}
	if (held->ranks >= bit) {
		uint32_t ranks = held->ranks;
		held->ranks = 0;
		grt__throw("lock order: rank %u taken while ranks %x are held", l->rank, ranks);
	}
	held->ranks |= bit;
#else
	(void)l;
	(void)take;
#endif
}
