/*
 * Short names for the compiler's atomics. The order is always in the name; each use says which access it pairs with.
 */
#ifndef GRT_BASE_ATOMIC_H
#define GRT_BASE_ATOMIC_H

#include "base/compiler.h"

#define grt_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define grt_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define grt_load_seqcst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define grt_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define grt_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define grt_store_seqcst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define grt_xchg_acqrel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define grt_xchg_seqcst(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define grt_add_relaxed(p, v) __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
#define grt_add_seqcst(p, v) __atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define grt_fence_seqcst() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* True when *p was `old` and is now `new`. Acquire-release on success, relaxed on failure. */
#define grt_cas(p, old, new)                                                                                           \
	({                                                                                                                 \
		__typeof__(*(p)) grt_cas_old = (old);                                                                          \
		__atomic_compare_exchange_n((p), &grt_cas_old, (new), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);              \
	})

#endif
