/*
 * Read-write locks: our own algorithm on one word, which is glibc's __readers with the same meaning of its bits wherever
 * nobody waits, so that a lock taken before boot is released after it.
 *
 *   bit 0    glibc's phase; of no meaning here, dropped at the first change
 *   bit 1    held for writing; __cur_writer is the tid of the holder
 *   bit 2    somebody may sleep: who makes the lock free must wake
 *   3 to 31  number of readers that hold it
 *
 * Readers and writers sleep on the same word and are told apart by the wake's bit set. A thread that has slept takes
 * the lock with bit 2 set, since others may still sleep; so who frees the lock clears bit 2, and need not know whether the
 * queue is empty. The word and nothing else is compared at enqueueing, so no wake-up is lost.
 *
 *   kind                      a reader must wait while          who frees it wakes
 *   PREFER_READER (default)   a writer has it                   writer: all readers, else one writer; last reader: a writer
 *   PREFER_WRITER             the same                          one writer, else all readers
 *   ..._NONRECURSIVE          or a writer waits                 the same
 *
 * That a writer waits is told by a counter in glibc's padding (__pad3), changed by writers in their slow path only. Where
 * it is not 0 and the lock is free, a writer is on its way to take it (it has been woken or has not slept yet): it finds bit 2
 * and wakes the readers when it unlocks, or, when it gives up at its deadline, clears bit 2 and wakes everybody.
 * A reader looks at the counter again after bit 2 is set, which closes the gap of a writer that came and went.
 *
 * As glibc: EDEADLK for the writing holder, EAGAIN for too many readers, abstime checked before anything else. Process-shared
 * locks are libc's. Functions return 0 or -errno; any thread.
 */
#ifndef GRT_SYNC_RWLOCK_H
#define GRT_SYNC_RWLOCK_H

#include "sync/mutex.h"

enum {
	RW_PHASE = 1,
	RW_WRITER = 2,
	RW_WAITERS = 4,
	RW_READER = 8,
};
#define RW_OVERFLOW 0x80000000u

GRT_ALWAYS_INLINE bool grt__rwlock_is_shared(const pthread_rwlock_t *l)
{
	return l->__data.__shared != 0;
}

int grt__rwlock_rdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime);
int grt__rwlock_wrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime);
int grt__rwlock_tryrdlock(pthread_rwlock_t *l);
int grt__rwlock_trywrlock(pthread_rwlock_t *l);
int grt__rwlock_unlock(pthread_rwlock_t *l);

/*
 * The common cases in line. False: look closer (process-shared, held, waited for). A lock without a writer is not held for writing
 * by the caller, so EDEADLK needs no look here.
 */
GRT_ALWAYS_INLINE bool grt__rwlock_rdlock_free(pthread_rwlock_t *l)
{
	uint32_t w = grt_load_relaxed(&l->__data.__readers);
	return !(w & RW_WRITER) && w < RW_OVERFLOW && !grt__rwlock_is_shared(l) &&
	       l->__data.__flags != PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP &&
	       grt_cas(&l->__data.__readers, w, (w & ~RW_PHASE) + RW_READER);
}

GRT_ALWAYS_INLINE bool grt__rwlock_wrlock_free(pthread_rwlock_t *l)
{
	uint32_t w = grt_load_relaxed(&l->__data.__readers);
	if ((w & ~RW_PHASE) != 0 || grt__rwlock_is_shared(l) || !grt_cas(&l->__data.__readers, w, RW_WRITER))
		return false;
	l->__data.__cur_writer = grt__sync_tid();
	return true;
}

GRT_ALWAYS_INLINE bool grt__rwlock_unlock_quiet(pthread_rwlock_t *l)
{
	uint32_t w = grt_load_relaxed(&l->__data.__readers);
	if (grt__rwlock_is_shared(l))
		return false;
	if (w == RW_WRITER) {
		l->__data.__cur_writer = 0;
		return grt_cas(&l->__data.__readers, w, 0);
	}
	return (w & (RW_READER - 1)) == 0 && w >= RW_READER && grt_cas(&l->__data.__readers, w, w - RW_READER);
}

#endif
