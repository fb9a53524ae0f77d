/*
 * Stacks of tasks in the format of Go's tracebacks:
 *
 *     goroutine 18 [sync.Cond.Wait, 3 minutes, locked to thread] [worker]:
 *     pthread_cond_wait(...)
 *     	/usr/lib/libgrt.so.0+0x5678 pc=0x7f12345678
 *     main_loop(...)
 *     	/usr/bin/program+0x1234 pc=0x55555555234
 *
 * A frame names the function and, instead of file and line, module and offset, as addr2line and gdb take them.
 * Registers come from: the switch's frame (parked), the signal frame (preempted), the ucontext (the thread that
 * reports), procfs (asleep in a system call on another M: pc and sp only, so the walk ends at the first function that
 * needs more, usually one built without optimisation). A task that runs on another M cannot be looked at.
 *
 * Nothing here allocates from the heap, takes a lock of the loader or libc, or faults. Stack need: 12 KiB.
 */
#ifndef GRT_OBSERVE_TRACEBACK_H
#define GRT_OBSERVE_TRACEBACK_H

#include "observe/print.h"
#include "observe/unwind.h"
#include "sched/sched.h"

enum traceback_detail {
	TRACEBACK_USER = 1,   /* frames of libgrt's internals are left out */
	TRACEBACK_SYSTEM = 2, /* all frames, the runtime's own tasks, g0 */
};

/* Boot, once: the clock that waits are measured by. */
void grt__traceback_init(void);

/*
 * Any context. A report: one at a time in the process. False if the calling thread is inside one already (it crashed
 * while reporting); waits for another thread's, which usually ends the process. Holds the module table between begin
 * and end.
 */
bool grt__report_begin_sig(void);
void grt__report_end_sig(void);
/* The child of fork. */
void grt__report_fork_child(void);

/* The report's output, flushed by end. */
extern struct grt_out grt__report_out;

/* All of these: between begin and end. */

/* One task: header and stack. regs: where it is, for the task of the calling thread; else NULL. */
void grt__traceback_sig(struct g *gp, const struct grt_regs *regs, enum traceback_detail detail);
/* The header alone. */
void grt__traceback_header_sig(struct g *gp);
/* Frames alone: the first 50 and the last 50 if there are more than 100. */
void grt__traceback_frames_sig(const struct grt_regs *regs, enum traceback_detail detail);
/* Frames that grt__callers found. */
void grt__traceback_calls_sig(const uintptr_t *pc, unsigned n);
/* Prints the name of the function that pc is in, or "?". */
void grt__traceback_name_sig(uintptr_t pc);

#endif
