/*
 * The interposed names. One file per header domain; a wrapper is a few lines and holds no policy: not booted, in a vfork
 * child or on a foreign thread -> the real function; else one call into a lower layer; then errno.
 */
#ifndef GRT_SHIM_SHIM_H
#define GRT_SHIM_SHIM_H

#include "io/io.h"
#include "sched/cancel.h"
#include "sched/sched.h"
#include "shim/malloc.h"
#include <errno.h>
#include <pthread.h>

/*
 * REAL(name) is libc's own function. The table is filled by name at the first use of any entry (also before our
 * constructor has run), in the order of shim/real.def.
 *     REAL(read)(fd, buf, n)
 */
#define GRT_REAL(ret, name, ...) extern ret (*grt__real_##name)(__VA_ARGS__);
#include "shim/real.def"
#undef GRT_REAL
extern int grt__real_ready;
void grt__real_init(void);

#define REAL(name) (grt_likely(grt__real_ready) ? (void)0 : grt__real_init(), grt__real_##name)

/* Sets errno from a 0-or-negative result of a lower layer and returns the POSIX 0 or -1. */
static inline int grt__shim_errno(int r)
{
	if (grt_likely(r >= 0))
		return r;
	errno = -r;
	return -1;
}

static inline long grt__shim_errno_long(long r)
{
	if (grt_likely(r >= 0))
		return r;
	errno = (int)-r;
	return -1;
}

/* Outside critical sections: a cancellation that is due takes place. */
static inline void grt__shim_testcancel(void)
{
	if (grt_unlikely(grt__cancel_due()))
		pthread_testcancel();
}

/* The other way: what a wrapper returned, as a lower layer says it. */
static inline long grt__shim_result(long r)
{
	return r == -1 ? -errno : r;
}

/*
 * A blocking section around a libc function, with its result and errno kept:
 *     GRT_BLOCKING(ssize_t, false, REAL(read)(fd, buf, n))
 */
#define GRT_BLOCKING(type, may_last, call)                                                                             \
	({                                                                                                                 \
		type grt_result;                                                                                               \
		if (grt__on_task()) {                                                                                          \
			grt__block_enter(may_last);                                                                                \
			grt_result = (call);                                                                                       \
			int grt_errno = errno;                                                                                     \
			grt__block_exit();                                                                                         \
			errno = grt_errno;                                                                                         \
		} else {                                                                                                       \
			if (may_last)                                                                                              \
				grt__malloc_before_sleep();                                                                            \
			grt_result = (call);                                                                                       \
		}                                                                                                              \
		grt_result;                                                                                                    \
	})

/*
 * The same if the call can sleep at all; straight to libc if it cannot (zero timeout, WNOHANG, MSG_DONTWAIT, ...), unless
 * it may look at a signalfd (sched/signal.h).
 *
 * What may be inside a section: libc functions that make system calls and use libc's internal names only. Never one that
 * calls the program or an interposed name (malloc and free included): getaddrinfo, popen, pclose, lio_listio, fopencookie
 * streams, dlopen. Those stay unannotated; when one of them sleeps, sysmon finds it (HACKING.md, "Retaking").
 */
#define GRT_BLOCKING_IF(cond, type, may_last, call)                                                                    \
	((cond) || grt_unlikely(grt_load_relaxed(&grt__signalfd_mask)) ? GRT_BLOCKING(type, may_last, call) : (call))

/*
 * A call that may wait for a descriptor. `parked` is io/'s way (io.h), where the task parks; `plain`, libc's function in a blocking section
 * or without, is the kernel's. A cancellation point, as libc's is: a request that came before is acted on first.
 *     GRT_PARKING(ssize_t, grt__io_read(fd, buf, n), GRT_BLOCKING(ssize_t, false, REAL(read)(fd, buf, n)))
 */
#define GRT_PARKING(type, parked, plain)                                                                               \
	({                                                                                                                 \
		long grt_r = GRT_IO_PLAIN;                                                                                     \
		if (grt__io_parks()) {                                                                                         \
			do                                                                                                         \
				grt__shim_testcancel();                                                                                \
			while ((grt_r = (parked)) == GRT_IO_CANCEL);                                                               \
		}                                                                                                              \
		grt_r == GRT_IO_PLAIN ? (plain) : (type)grt__shim_errno_long(grt_r);                                           \
	})

/* Exports `other`, libc's second name of the function `name`, as the same wrapper. */
#define GRT_ALIAS(other, name)                                                                                         \
	extern __typeof__(name) other __attribute__((alias(#name), copy(name), visibility("default")))

#endif
