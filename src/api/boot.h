/*
 * The life of the runtime in a process.
 *
 *   COLD        a program that never makes a thread stays here: every wrapper takes libc's function, no thread, no table.
 *   BOOTED      from the first pthread_create or grt_ call of the main thread on. Main becomes task 1 where it stands.
 *   ONE_TO_ONE  this libc or kernel cannot carry tasks (the reason is said once and by grt doctor): threads stay libc's.
 *
 * fork. libc's child keeps only the calling task; an atfork child handler, registered by our constructor before anybody else's and so run
 * first in the child, starts the runtime afresh around it: one M (the surviving kernel thread), its P, no sysmon until the child makes
 * a thread. Nothing of the parent's queues, pools and tables is looked at, so it does not matter in which state fork found them.
 * HACKING.md says why no lock is taken before, but for the heap's.
 */
#ifndef GRT_API_BOOT_H
#define GRT_API_BOOT_H

#include "sched/sched.h"

extern const char *grt__one_to_one_reason;

/* Makes sure tasks can be made. 0: BOOTED and sysmon runs. -EAGAIN: not now, there is no memory. -ENOTSUP: threads are libc's; so on a
 * foreign thread. */
int grt__boot(void);
/* When a time-out of grt.h ends: a deadline (INT64_MIN: it is over; GRT_FOREVER: never). */
int64_t grt__api_deadline(int64_t timeout);

/* Around fork: before it, and after it in the parent. The forking thread holds the heap's locks in between. */
void grt__fork_prepare(void);
void grt__fork_parent(void);
/* The child of fork, vfork excepted; also called by the _Fork wrapper. Idempotent. */
void grt__fork_child(void);

#endif
