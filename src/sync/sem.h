/*
 * Unnamed semaphores in glibc's 64-bit layout: the value in the low half of one word, the number of waiters in the high half, so that
 * post learns in one atomic operation whether it must wake, and need not touch the semaphore afterwards: the
 * waiter may destroy it. sem_init, sem_destroy and sem_getvalue are glibc's. Waiters sleep on the low half.
 *
 * Named and process-shared semaphores (glibc's `private` field is not 0 for both) are libc's.
 *
 * post is async-signal-safe. Functions return 0 or -errno: -EINTR when a handler ran, -EINVAL for a bad abstime before
 * anything else, -EOVERFLOW, -EAGAIN, -ECANCELED.
 */
#ifndef GRT_SYNC_SEM_H
#define GRT_SYNC_SEM_H

#include "sync/futex.h"
#include <semaphore.h>

struct grt_sem {
	uint64_t data; /* atomic: value | waiters << 32 */
	int32_t shared;
	int32_t pad;
};

GRT_ALWAYS_INLINE bool grt__sem_is_shared(const sem_t *sem)
{
	return ((const struct grt_sem *)sem)->shared != 0;
}

int grt__sem_wait(sem_t *sem, clockid_t clock, const struct timespec *abstime);
int grt__sem_trywait(sem_t *sem);
int grt__sem_post(sem_t *sem);

#endif
