#include "sync/spin.h"
#include "arch/arch.h"

enum { ROUNDS = GRT_SMALL(200, 10) };

void grt__spin_lock_slow(pthread_spinlock_t *l)
{
	do {
		int rounds = 0;
		while (grt_load_relaxed(l) != SPIN_FREE) {
			grt__cpu_relax();
			if (++rounds >= ROUNDS && grt__on_task()) {
				grt__yield();
				rounds = 0;
			}
		}
	} while (!grt__spin_trylock(l));
}
