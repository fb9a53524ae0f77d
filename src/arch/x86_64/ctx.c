#include "arch/arch.h"

uint8_t grt__have_fsgsbase;

void grt__ctx_make(struct grt_ctx *ctx, void *stack_hi, uintptr_t fs, const struct grt_ctx_last *(*fn)(void *),
                   void *arg)
{
	uintptr_t *sp = (uintptr_t *)((uintptr_t)stack_hi & ~(uintptr_t)15);
	uint32_t mxcsr;
	uint16_t fcw, fsw;

	__asm__("stmxcsr %0" : "=m"(mxcsr));
	__asm__("fnstcw %0" : "=m"(fcw));
	__asm__("fnstsw %0" : "=m"(fsw));
	*--sp = 0; /* the unwinder's end: a return address of NULL ... */
	*--sp = 0; /* ... and alignment: the entry sees rsp = 0 mod 16 and calls */
	*--sp = (uintptr_t)grt__ctx_entry;
	*--sp = 0;              /* rbp */
	*--sp = 0;              /* rbx */
	*--sp = (uintptr_t)fn;  /* r12 */
	*--sp = (uintptr_t)arg; /* r13 */
	*--sp = 0;              /* r14 */
	*--sp = 0;              /* r15 */
	*--sp = 0;
	*--sp = (uintptr_t)mxcsr | (uintptr_t)fcw << 32 | (uintptr_t)(fsw & 0x3f) << 48;
	ctx->sp = sp;
	ctx->fs = fs;
}
