#include "arch/arch.h"

uint8_t grt__have_fsgsbase;

void grt__ctx_make(struct grt_ctx *ctx, struct grt_ctx_birth *birth)
{
	uint32_t mxcsr;
	uint16_t fcw, fsw;

	__asm__("stmxcsr %0" : "=m"(mxcsr));
	__asm__("fnstcw %0" : "=m"(fcw));
	__asm__("fnstsw %0" : "=m"(fsw));
	birth->fp_control = (uint64_t)mxcsr | (uint64_t)fcw << 32 | (uint64_t)(fsw & 0x3f) << 48;
	ctx->sp = (char *)birth + 1;
}
