/*
 * The runtime's own lock, and the order in which locks may be taken.
 *
 * A spin lock: one atomic operation to take, a plain store to release. Critical sections are a few dozen instructions,
 * never sleep, never call out, and are never preempted by libgrt (the holder's critical count is not zero or it is on
 * g0 or a foreign thread). The kernel may still deschedule a holder, so a waiter spins briefly, then yields, then sleeps
 * with a growing pause: that also resolves real-time priority inversion.
 *
 * Ranks: a thread may take a lock only of a rank higher than every lock it holds (GRT_DEBUG >= 1 checks it; the table
 * of held ranks belongs to the kernel thread, found through grt__lock_held_hook, because a lock may be
 * released on another stack than the one that took it).
 */
#ifndef GRT_BASE_LOCK_H
#define GRT_BASE_LOCK_H

#include "base/atomic.h"

/* In the order in which they may be taken. HACKING.md says what each guards. */
enum grt_rank {
	GRT_RANK_NONE,
	GRT_RANK_DLOPEN,  /* tcb.c: splicing blocks into glibc's list around dlopen */
	GRT_RANK_USER,    /* api/: one timer or the tree of contexts of grt.h */
	GRT_RANK_CHAN,    /* sync/chan.c: one channel (a select: several, by address) */
	GRT_RANK_BUCKET,  /* sync/futex.c: one bucket of the wait table (two: by address) */
	GRT_RANK_NETPOLL, /* io/netpoll.c: the instance is being made */
	GRT_RANK_FD,      /* io/: one descriptor's waiters (two: a closed one's move) */
	GRT_RANK_TIMERS,  /* sched/timer.c: one P's timers */
	GRT_RANK_SCHED,   /* sched/: global queue, idle Ps and Ms */
	GRT_RANK_ALLG,    /* sched/: table of all Gs */
	GRT_RANK_POOL,    /* sched/stack.c: pool of dead stacks and stack chunks */
	GRT_RANK_SIGNAL,  /* sched/signal.c: signal dispositions and per-G pending queues */
	GRT_RANK_CACHE,   /* heap/: the queues of one cache */
	GRT_RANK_CENTRAL, /* heap/: spans of one class that no cache has */
	GRT_RANK_HEAP,    /* heap/: free runs of pages, arenas, what a span is */
	GRT_RANK_MODULES, /* elf/: module table */
	GRT_RANK_PRINT,   /* observe/: one traceback at a time */
	GRT_RANK_LAST
};

struct grt_lock {
	uint32_t word; /* atomic: 0 free, 1 held */
#if GRT_DEBUG >= 1
	uint32_t rank;
#endif
};

#if GRT_DEBUG >= 1
#define GRT_LOCK_INIT(r)                                                                                               \
	{                                                                                                                  \
		0, (r)                                                                                                         \
	}
#else
#define GRT_LOCK_INIT(r)                                                                                               \
	{                                                                                                                  \
		0                                                                                                              \
	}
#endif

/* Ranks held by one kernel thread (a bit each). */
struct grt_held {
	uint32_t ranks;
};
/* Returns the calling kernel thread's table, or NULL for "do not check". Registered by sched/. */
extern struct grt_held *(*grt__lock_held_hook)(void);

void grt__lock_slow(struct grt_lock *l);
void grt__lock_rank_check(struct grt_lock *l, bool take);

static inline void grt_lock_init(struct grt_lock *l, enum grt_rank rank)
{
	l->word = 0;
	(void)rank;
#if GRT_DEBUG >= 1
	l->rank = rank;
#endif
}

GRT_ALWAYS_INLINE void grt_lock(struct grt_lock *l)
{
#if GRT_DEBUG >= 1
	grt__lock_rank_check(l, true);
#endif
	if (grt_unlikely(!grt_cas(&l->word, 0, 1)))
		grt__lock_slow(l);
}

GRT_ALWAYS_INLINE bool grt_trylock(struct grt_lock *l)
{
	if (grt_load_relaxed(&l->word) || !grt_cas(&l->word, 0, 1))
		return false;
#if GRT_DEBUG >= 1
	grt__lock_rank_check(l, true);
#endif
	return true;
}

GRT_ALWAYS_INLINE void grt_unlock(struct grt_lock *l)
{
#if GRT_DEBUG >= 1
	grt__lock_rank_check(l, false);
#endif
	grt_store_release(&l->word, 0);
}

#endif
