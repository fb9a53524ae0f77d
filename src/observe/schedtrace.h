/*
 * GODEBUG=schedtrace=MS[,scheddetail=1]: the state of the scheduler every MS milliseconds on standard error, in Go's
 * format, so that what is known about reading it, and the tools that do, hold:
 *
 *     SCHED 1004ms: gomaxprocs=2 idleprocs=1 threads=4 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 [0 0] pid=123
 *
 * The pid at the end is our addition: children inherit GODEBUG, and their lines mix. With scheddetail a line for each
 * P, M and G follows. The numbers are read without stopping anybody, so they need not add up.
 */
#ifndef GRT_OBSERVE_SCHEDTRACE_H
#define GRT_OBSERVE_SCHEDTRACE_H

#include "base/compiler.h"

/* Defined by sched/sysmon.c: called when now >= next, which sysmon also wakes up for. */
extern void (*grt__schedtrace_hook)(int64_t now);
extern int64_t grt__schedtrace_next;

/* Boot, after grt__knobs_parse: registers with sysmon if the knob is set. */
void grt__schedtrace_init(void);
/* Any thread, no locks. */
void grt__schedtrace_print(bool detail);

#endif
