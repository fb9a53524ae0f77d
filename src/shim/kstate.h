/*
 * Per-thread state of the kernel, as the rest of the shim needs it (kstate.c).
 */
#ifndef GRT_SHIM_KSTATE_H
#define GRT_SHIM_KSTATE_H

#include "shim/shim.h"
#include <limits.h>
#include <pthread.h>

/* Make the real call, with the arguments as they are now. */
#define GRT_KSTATE_REAL LONG_MIN

/* On a task, a number of syscall() that does not sleep: the result or -errno, or GRT_KSTATE_REAL. */
long grt__kstate_syscall(long nr, long *a, long *b, const long *c);

/* signal.c, booted, any thread: a number about signals that is the runtime's; *r is the result or -errno. */
bool grt__signal_syscall(long nr, const long a[6], long *r);

/* tids.c, booted, any thread: a number that takes a thread's id for its process; the result or -errno, or GRT_KSTATE_REAL. */
long grt__tid_syscall(long nr, long a, long b, long c, long d, long e, long f);

/* timer.c: timer_create and timer_delete by number; likewise. */
long grt__timer_syscall(long nr, long a, long b, long c);

/* exit_words.c, on a task: results of the same kind. */
long grt__get_robust_list(pid_t tid, void **list, size_t *size);
long grt__set_robust_list(void *list, size_t size);
long grt__set_tid_address(void *word);
long grt__get_tid_address(void **word);

/* grt__spawn for pthread_create: a task whose affinity, scheduling or nice value (inherited or by attr, which may be NULL) is not
 * a clean M's gives itself that first; what attr asks for is in force, or refused, on return. A task with rights or namespaces of its
 * own makes one on a clone of its kernel thread, which has them too. */
int grt__kstate_spawn(struct grt_spawn *how, const pthread_attr_t *attr, pthread_t *thread);

#endif
