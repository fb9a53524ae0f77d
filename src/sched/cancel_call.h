/*
 * Since glibc 2.41 the type of cancellation stays deferred around a system call that is a cancellation point. All of them go through one
 * function, which looks, then calls the kernel, and a signal that finds a thread between the look and the call's end cancels it. The
 * function is not exported. It is written in assembly, so its bytes are known; where it lies, and where its caller keeps the number of
 * the call, two calls show that fail at once, by what they leave below the stack. Before glibc 2.41 there is no such thing.
 */
#ifndef GRT_SCHED_CANCEL_CALL_H
#define GRT_SCHED_CANCEL_CALL_H

#include "base/compiler.h"

/* Boot: finds the two calls. On the booting thread: it may have the loader's lock. */
void grt__cancel_call_init(void);
/* Boot, on sysmon, which nobody cancels and no signal meets. cancelhandling: of its thread block. */
void grt__cancel_call_find(const char *cancelhandling);
/* This libc has such a function, and it was found. */
bool grt__cancel_call_known(void);
/* Says so, if it has one that was not found. */
void grt__cancel_call_complain(void);
/* Code at pc is in it, after its look. Any context. */
bool grt__cancel_call_at(uintptr_t pc);
/* The number of the call that has just ended at pc, there, with its stack at sp; -1: it is another. */
long grt__cancel_call_number(uintptr_t pc, uintptr_t sp);

#endif
