/*
 * Barriers. pthread_barrier_init is glibc's (it checks and writes the count and whether it is process-shared), after which we clear
 * the 12 bytes that glibc's 20 leave of the 32 and keep our state there; so an initialised barrier serves either algorithm,
 * whichever state the process is in when it is first waited on.
 *
 *   round    goes up when the last thread of a round arrives; the others sleep on it
 *   arrived  in this round; reset by the last, before the round goes up
 *   inside   threads between entry and their last access, of this round and of the one before; bit 31: destroy waits
 *
 * glibc lets a thread destroy the barrier as soon as its own wait has returned, so destroy waits until nobody is inside. A
 * woken thread must look at the round again, because a wake may be a late one for an object that lived at this address before.
 * Returns 0, PTHREAD_BARRIER_SERIAL_THREAD to one thread of each round. Process-shared barriers are libc's.
 */
#ifndef GRT_SYNC_BARRIER_H
#define GRT_SYNC_BARRIER_H

#include "sync/futex.h"
#include <pthread.h>

struct grt_barrier {
	/* glibc's; written by pthread_barrier_init */
	uint32_t in;
	uint32_t current_round;
	uint32_t count;
	int32_t shared;
	uint32_t out;
	/* ours */
	uint32_t round;   /* atomic; a futex */
	uint32_t arrived; /* atomic */
	uint32_t inside;  /* atomic; a futex */
};

GRT_ALWAYS_INLINE bool grt__barrier_is_shared(const pthread_barrier_t *b)
{
	return ((const struct grt_barrier *)b)->shared != 0;
}

/* After glibc's init has succeeded. */
void grt__barrier_init(pthread_barrier_t *b);
int grt__barrier_wait(pthread_barrier_t *b);
void grt__barrier_destroy(pthread_barrier_t *b);

#endif
