/*
 * Rules of unwinding, read in place: how the caller's frame is found from one at pc.
 *
 * For whoever walks his own stack and can wait for nothing (observe/callers.h); libunwind, which does more, is for others' stacks and
 * for those that may be damaged. Of all registers only those are followed by which the frames of compiled code are found: stack pointer,
 * frame pointer and rbx. What a row cannot say (a CFA by another register, an expression other than "what is stored beside the frame
 * pointer") ends a walk; between calls compilers make no such rows but in functions that realign their stack, and those are known.
 *
 * A row takes 0.3 us or more to find, most of it cold tables: callers keep rows. No lock, no system call, no allocation.
 */
#ifndef GRT_ELF_CFI_H
#define GRT_ELF_CFI_H

#include "base/compiler.h"

enum grt_cfi_base { GRT_CFI_SP, GRT_CFI_FP, GRT_CFI_BX, GRT_CFI_NO_BASE };
enum grt_cfi_flags {
	GRT_CFI_DEREF = 1,    /* the CFA is what is stored at base + cfa */
	GRT_CFI_FP_SAVED = 2, /* at fp from the CFA */
	GRT_CFI_FP_BY_FP = 4, /* at fp from the frame pointer */
	GRT_CFI_BX_SAVED = 8, /* likewise */
	GRT_CFI_BX_BY_FP = 16,
	GRT_CFI_SIGNAL = 32, /* the frame that the kernel made for a handler: its ucontext is at the stack pointer */
	GRT_CFI_BOTTOM = 64, /* has no caller */
	GRT_CFI_NONE = 128,  /* nothing known */
};

struct grt_cfi {
	int32_t cfa, fp, bx;
	uint8_t base;  /* enum grt_cfi_base */
	uint8_t flags; /* enum grt_cfi_flags; neither SAVED nor BY_FP: as in the callee */
	uint16_t zero;
};
_Static_assert(sizeof(struct grt_cfi) == 16, "two words");

/* Any context. eh_hdr: the PT_GNU_EH_FRAME of the module that pc is in. The module stays. */
struct grt_cfi grt__cfi_find(uintptr_t eh_hdr, uintptr_t pc);

#endif
