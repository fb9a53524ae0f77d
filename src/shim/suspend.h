/*
 * Calls that wait with a signal mask of their own: sigsuspend, ppoll and their kin.
 */
#ifndef GRT_SHIM_SUSPEND_H
#define GRT_SHIM_SUSPEND_H

#include "shim/shim.h"

/* What the libc function is given; the fields that it uses. */
struct grt_suspend {
	int (*call)(const struct grt_suspend *);
	uint64_t mask;
	sigset_t set;                   /* of mask, without the signals that are not the program's */
	const struct timespec *timeout; /* relative; NULL: none */
	struct timespec rest;           /* what is left of it when the call is made again */
	bool looks;                     /* it is about descriptors: with no timeout it finds those that are ready */
	int n, fd;
	void *p[3];
	size_t size;
	long nr; /* of syscall(): */
	const long *raw;
};

/* On a task: fills in mask and set, and makes the call. Its result and errno. */
int grt__suspend(struct grt_suspend *s, const sigset_t *mask);
/* When a relative timeout ends; 0: never, or the kernel will refuse it. */
int64_t grt__time_until(const struct timespec *timeout);
/* What is left of it; false: nothing. */
bool grt__time_left(struct timespec *ts, int64_t until);
/* On a task: one of these calls with a mask, by its number. False: it is not. */
bool grt__suspend_syscall(long nr, const long a[6], long *r);

#endif
