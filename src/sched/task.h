/*
 * Birth, join and death of tasks.
 *
 * join_state says who owns a task's remains:
 *   JOIN_RUNNING   nobody waits yet
 *   JOIN_WAITED    joiner is set; the dying task wakes it
 *   JOIN_DYING     as WAITED, and the joiner can no longer time out
 *   JOIN_DETACHED  the dying task's successor frees it
 *   JOIN_DONE      dead and off its stack: whoever joins frees it
 *   JOIN_TAKEN     a joiner is freeing it
 * A dying task cannot publish its own death: its successor does, in the commit, on another stack. If the joiner is parked
 * the dying task switches straight to it.
 */
#ifndef GRT_SCHED_TASK_H
#define GRT_SCHED_TASK_H

#include "sched/sched.h"

enum join_state { JOIN_RUNNING, JOIN_WAITED, JOIN_DYING, JOIN_DETACHED, JOIN_DONE, JOIN_TAKEN };

/* 0 and the result; -ESRCH no such task, -EINVAL detached or another joiner, -EDEADLK self, -ETIMEDOUT, -ECANCELED; deadline
 * INT64_MIN: only try (-EBUSY). Any thread. */
int grt__task_join(struct g *gp, int64_t deadline, void **result);
/* 0, -EINVAL already detached, -ESRCH already joined. */
int grt__task_detach(struct g *gp);
/* pthread_exit on main: what follows its unwinding. libc jumps here, as it would into the middle of a function: no return address is below
 * the stack pointer, which is therefore aligned as for no function. */
void grt__task_main_landing(void) GRT_NORETURN GRT_ENTERED_BY_JUMP;
/* For __libc-side code that must know whether a task is still there (pthread_kill, names): false after its end. */
bool grt__task_alive(struct g *gp);

#endif
