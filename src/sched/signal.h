/*
 * Signals on tasks.
 *
 * Every kernel-level handler is ours. It runs on the M's own alternate stack (gsignal), whatever stack was interrupted, and decides:
 *
 *   the runtime's signal (33)  preempt the task, deliver what is queued for it, or run a broadcast system call (cred);
 *   the program's handler      if the interrupted code is a task outside critical sections: leave the blocking section if it is in
 *                              one, copy the kernel's frame onto the stack where the kernel would have put it (the
 *                              task's, or its sigaltstack if the handler asked for that), and run the handler there, so that it
 *                              may block, migrate, longjmp or fault like any user code; the return goes through our
 *                              restorer, which repairs what belongs to the M (alternate stack, mask) and re-enters the section;
 *   otherwise (critical, g0)   put it off: keep the siginfo with the task (or for any task, when on g0), block everything until
 *                              the critical section ends, and send it again then, so that the kernel builds the frame.
 *
 * Masks. A task has a mask; the kernel's mask of an M is changed at a switch only when the two differ. Ms that run no task block
 * everything, and sysmon watches a signalfd that is never read (the bell): when a signal stays pending because every task that
 * would take it is parked, one of these is made to run and the kernel delivers to its M. A child of fork has no sysmon before it makes
 * a thread: its one M sleeps with its one task's mask, and the handler that comes then makes the task run.
 *
 * For the process. The kernel gives such a signal to the first thread if that takes it, and programs count on it: a sleep in main ends,
 * pause returns. Which task is on the first M is chance, so whichever M the kernel chose queues it on main as if it were directed
 * (belongs_to_main), and lets the call that it interrupted go on. If main blocks it, it runs where the kernel put it.
 *
 * Directed signals (pthread_kill) are queued on the G (sigqueue.c). A parked task is interrupted (grt__interrupt), a running one kicked;
 * whoever runs it delivers by queueing the signal to its own kernel thread. From then on the task must stay until it has met the
 * signal: one with a handler at a time (`passed`), no preemption before it has come, and the handler's begin looks for the next.
 * What the kernel has to report without a handler (sigwait, a signalfd) is pending on the M during the blocking section only (`lent`).
 */
#ifndef GRT_SCHED_SIGNAL_H
#define GRT_SCHED_SIGNAL_H

#include "os/os.h"
#include "sched/proc.h"

/* Boot: there is an alternate stack that was not set through libc, or a handler that returns without libc's help. Whoever makes these
 * system calls itself (Go's runtime) makes others too, and counts on each thread's being the kernel's: its alternate stack, its
 * id, its mask. */
extern bool grt__altstack_seen; /* sigaltstack was called before boot */
bool grt__signal_kernel_user(void);
/* Boot, main thread: takes over the dispositions that the program has set so far. */
void grt__signal_init(void);
/* Boot, afterwards: signals that wait for the main thread alone, in the kernel, are the main task's from now on. */
void grt__signal_adopt_pending(void);
/* sigaction on the program's view. 0 or -errno. Any thread. act and old are the kernel's layout with the program's handler. */
int grt__signal_action(int sig, const struct grt_ksigaction *act, struct grt_ksigaction *old);
/* sigprocmask of the calling task. */
int grt__signal_mask(int how, const uint64_t *set, uint64_t *old);
/* Queues a thread-directed signal. 0, -ESRCH, -EAGAIN, -EINVAL. Any thread. */
int grt__signal_send(struct g *gp, int sig, const siginfo_t *info);
/* Calling task: the signal has a handler of the program's, and is not blocked. */
bool grt__signal_handled_now(int sig);
/* The same in a handler of ours, everything blocked and crit set by hand: asks for no P. False: no memory. */
bool grt__signal_send_sig(struct g *gp, int sig, const siginfo_t *info);
/* In a handler of ours that may have interrupted a call of gp's, if no handler of the program's is due: the call goes on. */
void grt__signal_redo_call(const struct g *gp, void *uc);
/* On sysmon, from its handler of the runtime's signal: a timer's signal for a task (shim/timer.c). */
extern void (*grt__signal_timer_hook)(const siginfo_t *info);
/* Any thread. Makes another task look at what waits for it: at once if it is parked, and if it is running if `kick`, else before it
 * parks. */
void grt__signal_prod(struct g *gp, bool kick);
/* Runtime's signal handler, crit 0: on its return the task acts on its cancellation. */
void grt__signal_cancel(siginfo_t *info, void *uc) GRT_NORETURN;
/* Signals queued for gp (the calling task) that it blocks. */
uint64_t grt__signal_queued(struct g *gp);
/*
 * Signals that the kernel itself has to report: in a sigwait-like call, and in every blocking section of a task that blocks signals of a
 * signalfd, directed signals of sigwait_set are passed on to the task's M and stay pending there; the section's end takes those back
 * that nobody took. begin: takes a queued signal of the set (returns it, *info filled), or enters such a section and returns
 * 0. end leaves it; true: there was a kick, which is no reason for EINTR.
 */
int grt__sigwait_begin(uint64_t set, siginfo_t *info);
bool grt__sigwait_end(void);
/* Own M, critical, in or entering a section. */
void grt__signalfd_lend(struct g *gp);
/* Own M, critical, at the end of a section. */
void grt__sigwait_withdraw(struct g *gp);
/*
 * Task, around a system call that waits with a mask of its own (sigsuspend, ppoll). Directed signals that this mask lets through may be
 * queued on the task while its own mask blocks them. begin enters a blocking section with everything blocked, the runtime's signal
 * too, until the call itself opens its mask: so whoever queues one from then on ends the call by a kick. False, and no
 * section: one is queued already. end leaves the section; true: there was a kick, which is no reason for EINTR.
 */
bool grt__suspend_begin(uint64_t mask);
bool grt__suspend_end(void);
/* Own M, at the end of a section that a cancellation unwound. */
void grt__suspend_left(struct g *gp);
/* Task: handlers of what is queued and open run, as at the end of such a call. */
void grt__suspend_deliver(uint64_t mask);
/* A parked task runs again without having been woken. */
void grt__interrupt(struct g *gp);
/* libc is about to set the calling task's mask by itself (siglongjmp, setcontext): it is set before. */
void grt__signal_note_mask(uint64_t mask);
int grt__signal_altstack(const stack_t *ss, stack_t *old);
/* The bell is sysmon's: opened at its birth, polled by it. Whoever opens a mask says so, and sysmon, before it sleeps, lets all of it
 * ring again. */
void grt__signal_bell_open(void);
void grt__signal_bell_refresh(void);
void grt__signal_bell_all(void);
void grt__signal_bell_forget(void);
int grt__signal_bell_fd(void);
/* revents of 0: there is no bell, look anyway. */
void grt__signal_bell(short revents);
/* In a child of fork that has made no thread: what its M may block while the task is parked. */
uint64_t grt__signal_alone_mask(void);
void grt__signal_fork_child(struct m *mp);
/* The program has a handler for a signal that is not in `but`. */
bool grt__signal_handled(uint64_t but);
/* The default action's report (observe/), called before a fatal signal takes its default action. */
extern void (*grt__signal_crash_hook)(int sig, siginfo_t *info, void *ucontext);
extern bool grt__signal_crash_on; /* install our handler for fatal signals left at default */

/*
 * The kernel refuses a real-time signal, the runtime's too, when the user's processes together have as many queued as
 * RLIMIT_SIGPENDING allows. Then SIGURG stands in, which is never refused and which nobody minds: with the program's own default
 * action, or ignored, the kernel's handler for it is ours from then on, and means the same. False: the program has a handler for it. Any
 * thread.
 */
bool grt__signal_urgent_on(void);
/* To be opened where sysmon waits. */
uint64_t grt__signal_urgent_bit(void);

/* Sends gp's queued signals that `mask` lets through to its own kernel thread. All signals blocked, critical. Has one of them a
 * handler, and one without SA_RESTART? */
enum grt_flushed { FLUSHED_NOTHING, FLUSHED_SOFT, FLUSHED_HARD };
enum grt_flushed grt__signal_flush_queue(struct m *mp, struct g *gp, uint64_t mask);
/* The calling task, critical: if something queued may be delivered with the task's own mask, it is at the end of the section. */
void grt__signal_look_again(struct g *gp);
bool grt__pc_is_ours(uintptr_t pc);

/* ---- between signal.c (dispositions, handlers) and sigqueue.c (directed signals) ---- */

#define GRT_SIGBIT(sig) (1ull << ((sig)-1))
/* What a program can ask to block in vain. */
#define GRT_MASK_NEVER (GRT_MASK_LIBC | GRT_SIGBIT(SIGKILL) | GRT_SIGBIT(SIGSTOP))
extern struct grt_lock grt__signal_lock; /* rank SIGNAL */
/* The program's disposition. */
struct grt_ksigaction *grt__signal_action_of(int sig);
/* Owner task, after it has changed its mask: something queued may be delivered now. */
bool grt__signal_queue_opened(struct g *gp);
/* Owner task, signals blocked: the call with a mask of its own is over, or its handler begins. */
void grt__suspend_over(struct g *gp);
/* In a handler of ours, everything blocked: for any task that takes it, later if the user's queue of signals is full. */
void grt__signal_to_process(int sig, const siginfo_t *info);
/* sysmon: what was refused because that queue was full. True: there was something. */
bool grt__signal_try_again(void);
bool grt__signal_refused(void); /* there is */
/* A G that begins a new life. */
void grt__sigqueue_drop(struct g *gp);
void grt__sigqueue_fork_child(struct g *gp);

#endif
