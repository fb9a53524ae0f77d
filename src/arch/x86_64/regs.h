/*
 * The register set of a context that is looked at from outside: where an unwinder starts. Filled from what a switch, a
 * signal or the kernel's procfs left.
 */
#ifndef GRT_ARCH_X86_64_REGS_H
#define GRT_ARCH_X86_64_REGS_H

#include "base/compiler.h"
#include <ucontext.h>

/* DWARF's and libunwind's numbers. */
enum {
	GRT_REG_RAX,
	GRT_REG_RDX,
	GRT_REG_RCX,
	GRT_REG_RBX,
	GRT_REG_RSI,
	GRT_REG_RDI,
	GRT_REG_RBP,
	GRT_REG_RSP,
	GRT_REG_R8,
	GRT_REG_R12 = 12,
	GRT_REG_R13,
	GRT_REG_R14,
	GRT_REG_R15,
	GRT_REG_RIP,
	GRT_NREGS,
	GRT_REG_PC = GRT_REG_RIP, /* and the column of the return address */
	GRT_REG_SP = GRT_REG_RSP,
	GRT_REG_FP = GRT_REG_RBP
};

struct grt_regs {
	uintptr_t r[GRT_NREGS];
	uint32_t known; /* bit per register */
};

static inline void grt__regs_set(struct grt_regs *regs, int reg, uintptr_t value)
{
	regs->r[reg] = value;
	regs->known |= 1u << reg;
}

/* Words of the frame that grt__ctx_switch leaves at ctx.sp (arch/arch.h). */
#define GRT_CTX_WORDS 9
static inline void grt__regs_of_ctx(struct grt_regs *regs, const uintptr_t w[GRT_CTX_WORDS], uintptr_t sp)
{
	static const uint8_t at[] = {GRT_REG_R15, GRT_REG_R14, GRT_REG_R13, GRT_REG_R12,
	                             GRT_REG_RBX, GRT_REG_RBP, GRT_REG_RIP};
	regs->known = 0;
	for (size_t i = 0; i < sizeof at; i++)
		grt__regs_set(regs, at[i], w[2 + i]);
	grt__regs_set(regs, GRT_REG_RSP, sp + GRT_CTX_WORDS * sizeof *w);
}

static inline void grt__regs_of_greg(struct grt_regs *regs, const greg_t *g)
{
	static const uint8_t from[GRT_NREGS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
	                                        REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
	                                        REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	for (int i = 0; i < GRT_NREGS; i++)
		regs->r[i] = (uintptr_t)g[from[i]];
	regs->known = (1u << GRT_NREGS) - 1;
}

static inline void grt__regs_of_ucontext(struct grt_regs *regs, const void *uc)
{
	grt__regs_of_greg(regs, ((const ucontext_t *)uc)->uc_mcontext.gregs);
}

/* As Go dumps them. */
static const struct {
	const char *name;
	uint8_t greg;
} grt__reg_dump[] = {{"rax", REG_RAX}, {"rbx", REG_RBX}, {"rcx", REG_RCX},   {"rdx", REG_RDX}, {"rdi", REG_RDI},
                     {"rsi", REG_RSI}, {"rbp", REG_RBP}, {"rsp", REG_RSP},   {"r8", REG_R8},   {"r9", REG_R9},
                     {"r10", REG_R10}, {"r11", REG_R11}, {"r12", REG_R12},   {"r13", REG_R13}, {"r14", REG_R14},
                     {"r15", REG_R15}, {"rip", REG_RIP}, {"rflags", REG_EFL}};

/* The caller's own registers, here and now. */
GRT_ALWAYS_INLINE void grt__regs_here(struct grt_regs *regs)
{
	uintptr_t *r = regs->r;
	__asm__ volatile("movq %%rbx, 24(%0)\n\t"
	                 "movq %%rbp, 48(%0)\n\t"
	                 "movq %%rsp, 56(%0)\n\t"
	                 "movq %%r12, 96(%0)\n\t"
	                 "movq %%r13, 104(%0)\n\t"
	                 "movq %%r14, 112(%0)\n\t"
	                 "movq %%r15, 120(%0)\n\t"
	                 "leaq 0(%%rip), %%rax\n\t"
	                 "movq %%rax, 128(%0)"
	                 :
	                 : "r"(r)
	                 : "rax", "memory");
	regs->known = 1u << GRT_REG_RBX | 1u << GRT_REG_RBP | 1u << GRT_REG_RSP | 0xfu << GRT_REG_R12 | 1u << GRT_REG_RIP;
}

#endif
