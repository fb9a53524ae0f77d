/*
 * What this part of the shim asks of sched/ (until sched's own headers declare it).
 */
#ifndef GRT_SHIM_HOOKS_H
#define GRT_SHIM_HOOKS_H

#include "sched/sched.h"

/* sched/fork.h. The child of a fork, on the task (or foreign thread) that forked: it alone is left. */
void grt__fork_child(void);

/* sched/tcb.h. Any thread, booted. Around dlopen, dlmopen and dlclose; nests (constructors and destructors run inside, and may
 * load too) and may be entered by several tasks at once. Enter makes every live task's block known to glibc, so that the
 * static TLS of new libraries is initialised in it; leave takes them out again and renews the module tables. Neither calls
 * libdl: the caller's dlerror state must survive. */
void grt__dlopen_enter(void);
void grt__dlopen_leave(void);

/* sched/. Any thread, booted. Makes the system call on this thread and, if it succeeded, on every other one of the process.
 * 0 or -errno. */
int grt__broadcast_syscall(long nr, long a, long b, long c);

#endif
