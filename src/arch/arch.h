/*
 * What the runtime asks of a CPU. One folder per CPU implements it: switch.S, cpu.h (inline parts), sigctx.h (signal frames).
 *
 * The saved frame of a context, from its sp upwards (x86-64): mxcsr (4 bytes), x87 control word (2), x87 exception flags (2), 8 unused; r15 r14 r13
 * r12 rbx rbp; resume address. A context that has not run yet has no frame: its sp is the address of its struct grt_ctx_birth plus
 * one, so that making it does not touch its stack.
 */
#ifndef GRT_ARCH_ARCH_H
#define GRT_ARCH_ARCH_H

#include "base/compiler.h"

/* Saved registers of a context that is not running: everything else is on its stack. */
struct grt_ctx {
	void *sp;
	uintptr_t fs; /* thread pointer; constant for a task */
};

struct grt_ctx_last;

/* How a context begins. */
struct grt_ctx_birth {
	char *stack_hi; /* first address above its stack */
	const struct grt_ctx_last *(*fn)(void *);
	void *arg;
	uint64_t fp_control; /* as the first 8 bytes of a frame */
};

/* Of a context that has not run yet; else NULL. */
static inline struct grt_ctx_birth *grt__ctx_unborn(const struct grt_ctx *ctx)
{
	uintptr_t sp = (uintptr_t)ctx->sp;
	return sp & 1 ? (struct grt_ctx_birth *)(sp - 1) : NULL;
}

#if defined(__x86_64__)
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/syscall.h"
#else
#error "libgrt: this CPU has no folder under src/arch"
#endif

/*
 * Saves the caller's callee-saved registers and floating-point control state in `from`, installs `to`'s thread pointer and
 * stack, calls commit(arg) there if commit is not NULL, and continues `to`.
 */
void grt__ctx_switch(struct grt_ctx *from, const struct grt_ctx *to, void (*commit)(void *), void *arg);

/* The same without saving anything: the caller's context is dead or saved elsewhere. */
void grt__ctx_jump(const struct grt_ctx *to, void (*commit)(void *), void *arg) __attribute__((noreturn));

/* What grt__ctx_jump takes. */
struct grt_ctx_last {
	const struct grt_ctx *to;
	void (*commit)(void *);
	void *arg;
};

/* First instructions of a context made by grt__ctx_make: calls fn(arg) with an end-of-stack frame above, then jumps where it says. */
void grt__ctx_entry(void);

/*
 * Makes ctx one that will call birth->fn(birth->arg) on the stack ending at birth->stack_hi, with the thread pointer that ctx has; birth
 * must stay until then. Inherits the caller's floating-point control state, as a new kernel thread does. fn returns where to go on
 * when the context ends, or never: a jump from the bottom of the stack, with all calls returned, keeps the return predictor in step
 * with whom the context was entered from.
 */
void grt__ctx_make(struct grt_ctx *ctx, struct grt_ctx_birth *birth);

/* Makes a kernel thread of this process with the given thread pointer, which calls fn(arg) on the stack ending at stack_hi; fn must
 * not return. Its id is stored in *tid before it runs; the kernel clears *child_tid when the thread is gone, its stack no longer in
 * use. The id or -errno. */
long grt__clone_thread(void *stack_hi, uintptr_t tp, int32_t *tid, void (*fn)(void *), void *arg, int32_t *child_tid);

/* Returns to the context saved in a signal frame (address of its struct rt_sigframe), on whatever kernel thread this is. */
void grt__sigreturn(void *frame) __attribute__((noreturn));

#endif
