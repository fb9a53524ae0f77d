/* A blocking section around a call that waits under another signal mask. */
#ifndef GRT_SHIM_MASKWAIT_H
#define GRT_SHIM_MASKWAIT_H

#include "sched/signal.h"
#include "shim/shim.h"
#include <string.h>

static inline uint64_t grt__mask_bits(const sigset_t *set)
{
	uint64_t bits;
	memcpy(&bits, set, sizeof bits);
	return bits;
}

/* As GRT_BLOCKING, with the 64 bits of the mask. Where a signal came while it waited and libc's code cannot be made to repeat the
 * call (arch/sigctx.h), it is repeated here, with the signal pending. */
#define GRT_BLOCKING_UNDER(mask, type, may_last, call)                                                                 \
	({                                                                                                                 \
		type under_r;                                                                                                  \
		if (grt__on_task()) {                                                                                          \
			struct grt_maskwait under_w;                                                                               \
			uint64_t under_mask = (mask);                                                                              \
			int under_errno;                                                                                           \
			do {                                                                                                       \
				grt__block_enter(may_last);                                                                            \
				grt__maskwait_begin(&under_w, under_mask);                                                             \
				under_r = (call);                                                                                      \
				under_errno = errno;                                                                                   \
				grt__maskwait_end(&under_w);                                                                           \
				grt__block_exit();                                                                                     \
				grt__maskwait_requeue(&under_w);                                                                       \
			} while (under_r == -1 && under_errno == EINTR && under_w.nleft > 0);                                      \
			errno = under_errno;                                                                                       \
		} else {                                                                                                       \
			under_r = (call);                                                                                          \
		}                                                                                                              \
		under_r;                                                                                                       \
	})

#endif
