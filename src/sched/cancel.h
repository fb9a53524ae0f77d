/*
 * Cancellation.
 *
 * A task has a real thread block, so everything that acts on a cancellation is libc's own and runs natively: the state and type,
 * pthread_testcancel, cleanup handlers, unwinding, and the cancellation points that are system calls (until glibc 2.40 it makes the
 * type asynchronous around each, and looks when it does; since 2.41 it looks, and a signal between the look and the end of the call
 * acts: cancel_call.h). What is ours is the request, and the waits that libc does not see.
 *
 *   request    pthread_cancel sets the bits in the target's block, as libc's does. Disabled, or the target is ending: no more is done, it
 *              looks by itself when that changes. Deferred: a parked target is interrupted, a running one is left alone: it looks
 *              before it parks. Asynchronous, or inside a system call of libc's: its M gets the runtime's signal. Libc's
 *              own signal 32 is never sent to a task: it would cancel whoever runs on that kernel thread by then.
 *   waits      Condition variables, semaphores, joins and sleeps look once more inside the critical section, right before they park
 *              (a request after that sets sigpending, which no one clears there), and after each interruption. They
 *              dequeue themselves, leave, and answer -ECANCELED; the shim then calls pthread_testcancel, so the unwinding
 *              starts where nothing of the runtime is on the stack. A waiter that a waker had unlinked already was woken:
 *              it returns normally, so that a cancelled waiter never eats a signal. A condition variable has its mutex again before.
 *   signal     The runtime's signal finds the task outside critical sections: its frame is moved to the task's stack like that of a
 *              handler of the program, with a handler that leaves the blocking section, restores the mask and calls
 *              pthread_testcancel: unwinders go on from there through the frame. Inside a critical section: the outermost leave
 *              does it (but not that of the waits above). A preempted task: its M signals itself when it is resumed.
 *
 * Unwinding out of a blocking section. Libc acts on a request that came before the call by itself, inside, so in_block is left
 * set while cleanup handlers run. P's word is SYSCALL meanwhile, so the next grt__enter takes its slow path, which leaves the
 * section. Nothing else of the runtime's state outlives a frame: wrappers have unwind tables, but nothing to clean.
 *
 * Cost where nobody is cancelled: a load and a branch at the entry of sem_wait and in waits that park.
 *
 * A foreign thread in one of our waits is not interrupted by a request: it looks before it sleeps and when it is woken.
 */
#ifndef GRT_SCHED_CANCEL_H
#define GRT_SCHED_CANCEL_H

#include "sched/cancel_call.h"
#include "sched/tcb.h"

/* Atomic: pthread_cancel was called in this process. */
extern uint32_t grt__cancel_used;

/* Any thread: a cancellation is requested, enabled, and not yet acted on. */
GRT_ALWAYS_INLINE bool grt__cancel_due(void)
{
	return grt_unlikely(grt_load_relaxed(&grt__cancel_used)) && grt__tcb_cancel_due(false);
}

/* The same, and the type is asynchronous. */
GRT_ALWAYS_INLINE bool grt__cancel_due_async(void)
{
	return grt_unlikely(grt_load_relaxed(&grt__cancel_used)) && grt__tcb_cancel_due(true);
}

/* The same, or the task was interrupted at pc, in a call of libc's that is to end. */
GRT_ALWAYS_INLINE bool grt__cancel_due_at(uintptr_t pc)
{
	return grt_unlikely(grt_load_relaxed(&grt__cancel_used)) &&
	       (grt__tcb_cancel_due(true) || (grt__cancel_call_at(pc) && grt__tcb_cancel_due(false)));
}

/* Task, outside critical sections, a cancellation is due: begins to unwind. Returns only if it is no longer due. */
void grt__cancel_act(void);

/* Any thread, normal context. What every pthread_cancel does first: the machinery of libc is made ready. */
void grt__cancel_prepare(void);

/* Any thread, after grt__cancel_prepare. Requests the cancellation of another task. */
void grt__cancel(struct g *gp);

#endif
