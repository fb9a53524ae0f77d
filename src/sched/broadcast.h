/*
 * A system call on every thread of the process: credentials are the process's for POSIX, a thread's for the kernel, and libc's own
 * broadcast knows its threads only.
 *
 * The caller makes the call, publishes it, and sends the runtime's signal to every thread in /proc/self/task; each runs it once, in its
 * handler, and counts itself. An M that is born meanwhile would inherit its maker's old state, so none is.
 */
#ifndef GRT_SCHED_BROADCAST_H
#define GRT_SCHED_BROADCAST_H

#include "sched/sched.h"

/* Any thread. The result of the calling thread's own call, or -errno. */
int grt__broadcast_syscall(long nr, long a, long b, long c);
/* The runtime's signal handler: the broadcast that this thread has not run yet. */
void grt__broadcast_run(void);
/* sysmon, around the birth of an M. False: a broadcast is going on. */
bool grt__broadcast_hold(void);
void grt__broadcast_release(void);
void grt__broadcast_fork_child(void);

#endif
