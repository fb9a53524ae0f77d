/*
 * Pinning: state that the kernel keeps for each of its threads (affinity, scheduling class, nice value, robust futexes, security).
 *
 * A call that changes such state makes its task a 1:1 thread: the task is pinned to its M for the rest of its life, the call is
 * the kernel's own with the M's tid, and the M, which nobody else may inherit, ends with the task. So a call never
 * meets the wrong kernel thread, and its errors are the kernel's. A task that was never pinned has the state of a clean M;
 * all clean Ms have the same, and sysmon is one that is always there to ask.
 *
 * A pinned task is run by the kernel's scheduler, which alone knows what its priority, its nice value and its CPUs mean beside those
 * of other threads: its M has a P of its own, not one of the GOMAXPROCS, and gives the one that it had to the others. Nobody takes
 * that P away (it is in no list), nothing is queued on it, and its task is not preempted. When the task parks, its M sleeps until
 * the task is runnable again (grt__ready tells it) or the first of the P's timers, which are the task's own. Rejected: to
 * let it compete for a P as the others do. Real-time tasks then ran in the order of our queues, one with a high nice value kept
 * others from running while the kernel did not let it run, and each switch from or to a pinned task woke a kernel thread.
 *
 * A task that is born with such state, by inheritance or by its attributes, has a kernel thread that its maker has cloned from its
 * own and set up, as under glibc (grt__spawn_pinned): so it need not be run by anybody to be made.
 *
 * Another task is pinned by asking it: pin_wanted and sigpending are set, and wherever it would deliver its directed
 * signals next (signal.c: leaving a critical section, the runtime's signal, the end of a wait that we interrupt) it pins itself
 * first. The asker waits for that, so a change of another thread's state is in force when the call returns, as under glibc.
 *
 * Robust futexes. The thread block's robust list is registered for the M at the first lock that needs it. At the task's end we walk
 * the list as the kernel does at a thread's end, before anybody can join it; the kernel still does it when the process is killed.
 */
#ifndef GRT_SCHED_PIN_H
#define GRT_SCHED_PIN_H

#include "sched/sched.h"

/* Any thread; if gp is another task the caller waits, so no locks and no critical section. The kernel tid that gp keeps from now on,
 * or -ESRCH: it ended. The M ends with it. */
int grt__pin(struct g *gp);
/* The calling task: pins it, and registers its robust list. The kernel tid. */
int grt__pin_robust(void);
/* Any thread: the kernel tid of a pinned task, 0 if it is not pinned. */
int grt__pinned_tid(struct g *gp);
/* Task: another task is pinned to the process's first kernel thread, and has its id in libc's mutexes. */
bool grt__pin_has_first_thread(struct g *self);
/* A kernel thread whose state nobody changed; 0: the calling one. */
int grt__pin_clean_tid(void);

/* ---- for signal.c, task.c ---- */

/* Own M, critical, signals blocked: does what grt__pin asked for. */
void grt__pin_asked(struct m *mp, struct g *gp);
/* A dying task, critical. True: its M must end. */
bool grt__pin_end(struct m *mp, struct g *gp);
/* A dying task, critical, with a robust list or a tid address of the program's own (shim/exit_words.c): does what the kernel does
 * with them at a thread's end. */
extern void (*grt__pin_end_hook)(struct g *gp);
void grt__pin_fork_child(struct m *mp, struct g *gp);

#endif
