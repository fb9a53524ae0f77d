#include "sync/once.h"
#include <limits.h>

struct running {
	pthread_once_t *once;
	struct running *outer;
};

static uint32_t generation;
static GRT_TLS struct running *innermost;

/* The unwinder's interface (Itanium C++ ABI, level 1): what a personality routine is told and may answer. */
enum { UA_CLEANUP_PHASE = 2, URC_CONTINUE_UNWIND = 8 };
int grt__once_personality(int version, int actions, uint64_t exception_class, void *exception, void *context);

static void finish(pthread_once_t *once, int state)
{
	grt_store_seqcst(once, state);
	grt__futex_wake(once, INT_MAX, ~0u);
}

/* Called by the unwinder for the frame of run() below. */
int grt__once_personality(int version, int actions, uint64_t exception_class, void *exception, void *context)
{
	struct running *r = innermost;
	if ((actions & UA_CLEANUP_PHASE) && r) {
		innermost = r->outer;
		finish(r->once, 0);
	}
	return URC_CONTINUE_UNWIND;
}

/* Names the personality of its own frame; the encoding is DW_EH_PE_pcrel | DW_EH_PE_sdata4. */
static GRT_NOINLINE __attribute__((noclone)) void run(void (*routine)(void))
{
	__asm__ volatile(".cfi_personality 0x1b, grt__once_personality");
	routine();
	__asm__ volatile("" ::: "memory"); /* not a tail call: the frame must be there */
}

void grt__once_slow(pthread_once_t *once, void (*routine)(void))
{
	for (;;) {
		int seen = grt_load_acquire(once);
		if (seen == ONCE_DONE)
			return;
		int mine = (int)grt_load_relaxed(&generation) | ONCE_IN_PROGRESS;
		if (seen == mine) {
			grt__futex_wait((uint32_t *)once, (uint32_t)seen, ~0u, GRT_FOREVER, 0, WAIT_ONCE);
			continue;
		}
		if (!grt_cas(once, seen, mine))
			continue;
		struct running here = {once, innermost};
		innermost = &here;
		run(routine);
		innermost = here.outer;
		finish(once, ONCE_DONE);
		return;
	}
}

void grt__once_fork_child(void)
{
	generation += ONCE_GENERATION;
}
