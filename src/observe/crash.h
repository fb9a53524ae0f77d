/*
 * What a process says before it dies of a signal that the program leaves at its default, or of a broken invariant of
 * ours:
 *
 *     [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x55d0c0a011b9]
 *
 *     goroutine 7 [running] [worker]:
 *     store(...)
 *     	/usr/bin/program+0x11b9 pc=0x55d0c0a011b9
 *     ...
 *     rax    0x0
 *     ...
 *
 * GOTRACEBACK says whose stacks (knobs.h). The report changes nothing: the caller raises the signal again with its
 * default action, so the exit status and the core are what they would have been.
 */
#ifndef GRT_OBSERVE_CRASH_H
#define GRT_OBSERVE_CRASH_H

#include "base/compiler.h"
#include <signal.h>

/* Boot: loads the unwinder, registers with grt__throw and sched/signal.c. Normal context; may allocate. After
 * grt__modules_refresh. */
void grt__crash_init(void);

/* Any context: until then grt__throw says what it can without an unwinder, also in programs that never start a thread. */
void grt__crash_init_early(void);

/* True for the signals whose default action gets a report. */
bool grt__crash_reports(int sig);

/* Signal handler, any thread, on the alternate stack (12 KiB are used). Returns; a second crash inside the report is
 * noted in one line and returns, so that the caller can die. */
void grt__crash_report_sig(int sig, siginfo_t *si, void *ucontext);

/*
 * The end of the program by its own mistake, as Go ends it: what head prints (to grt__report_out); the stack of the calling task, or of all
 * tasks, as GOTRACEBACK says; exit status 2, without exit handlers. GOTRACEBACK=crash: SIGABRT instead, with its core. Any thread.
 */
void grt__crash_end(void (*head)(void *arg), void *arg, bool all) GRT_NORETURN;

/* The stack of the calling thread, or those of all tasks, into buf; the length, without the NUL. Any thread, a task in a critical
 * section, not in a handler. */
size_t grt__crash_stacks(char *buf, size_t size, bool all);

#endif
