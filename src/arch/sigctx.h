/*
 * Signal frames: what the kernel pushes, as far as the runtime must know it to move a frame to another place.
 *
 * x86-64 struct rt_sigframe: return address (8 bytes), struct ucontext, siginfo; the extended floating-point state lies above, 64-byte
 * aligned, and ucontext points to it. sigreturn works from any address that keeps the alignment.
 */
#ifndef GRT_ARCH_SIGCTX_H
#define GRT_ARCH_SIGCTX_H

#include "arch/arch.h"
#include <signal.h>
#include <ucontext.h>

/* Known to gdb, which looks for a signal frame at an address without a name or with this one only. */
void grt__sigrestorer(void) __asm__("__restore_rt");
void grt__sigframe_call(void *frame, int sig, void *info, void *uc, void *handler, uint64_t mask, void *fn)
	__attribute__((noreturn));

#if defined(__x86_64__)
#define grt__uc_pc(uc) ((uintptr_t)((ucontext_t *)(uc))->uc_mcontext.gregs[REG_RIP])
#define grt__uc_sp(uc) ((uintptr_t)((ucontext_t *)(uc))->uc_mcontext.gregs[REG_RSP])
enum { GRT_RED_ZONE = 128, GRT_SIGFRAME_ALIGN = 64 };

static inline char *grt__sigframe_of(void *uc)
{
	return (char *)uc - 8;
}

static inline size_t grt__sigframe_bytes(void *vuc)
{
	ucontext_t *uc = vuc;
	char *fp = (char *)uc->uc_mcontext.fpregs;
	/* sw_reserved of the legacy area: magic, size of the whole state with its trailing magic */
	if (!fp)
		return sizeof *uc + 8 + sizeof(siginfo_t);
	uint32_t *sw = (uint32_t *)(fp + 464);
	return (size_t)(fp - grt__sigframe_of(uc)) + (sw[0] == 0x46505853 ? sw[1] : 512);
}

/* Copies a frame; dst must be congruent to the source modulo GRT_SIGFRAME_ALIGN. Returns the copy's ucontext. */
static inline ucontext_t *grt__sigframe_copy(char *dst, void *vuc)
{
	ucontext_t *uc = vuc;
	char *src = grt__sigframe_of(uc);
	size_t n = grt__sigframe_bytes(uc);
	for (size_t i = 0; i + 8 <= n; i += 8)
		*(uint64_t *)(dst + i) = *(uint64_t *)(src + i);
	for (size_t i = n & ~7ul; i < n; i++)
		dst[i] = src[i];
	ucontext_t *copy = (ucontext_t *)(dst + 8);
	if (uc->uc_mcontext.fpregs)
		copy->uc_mcontext.fpregs = (void *)(dst + ((char *)uc->uc_mcontext.fpregs - src));
	*(void (**)(void))dst = grt__sigrestorer;
	return copy;
}

/*
 * The interrupted code is at, or just behind, a system call instruction (`0f 05`), and the runtime's own signal has been seen
 * by the kernel as a handler with SA_RESTART. Two corrections, so that it was never there:
 */
/* The call will be restarted, but a handler of the program's without SA_RESTART is about to run: end it with EINTR. */
static inline void grt__sigframe_end_call(void *vuc)
{
	greg_t *r = ((ucontext_t *)vuc)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)r[REG_RIP];
	if (pc[0] == 0x0f && pc[1] == 0x05) {
		r[REG_RAX] = -4; /* -EINTR */
		r[REG_RIP] += 2;
	}
}

/* The call was ended with EINTR, but no handler of the program's ran: again, if its number is known: given, or from the instruction before
 * (`b8 imm32`: mov $nr, %eax; `31 c0`: xor %eax, %eax, which is read; `48 8b 44 24 imm8`: mov imm(%rsp), %rax). */
static inline void grt__sigframe_redo_call(void *vuc, long number)
{
	greg_t *r = ((ucontext_t *)vuc)->uc_mcontext.gregs;
	const unsigned char *pc = (const unsigned char *)r[REG_RIP];
	if (r[REG_RAX] != -4 || pc[-2] != 0x0f || pc[-1] != 0x05)
		return;
	if (number >= 0)
		r[REG_RAX] = number;
	else if (pc[-7] == 0xb8)
		r[REG_RAX] = pc[-6] | pc[-5] << 8 | pc[-4] << 16 | pc[-3] << 24;
	else if (pc[-7] == 0x48 && pc[-6] == 0x8b && pc[-5] == 0x44 && pc[-4] == 0x24)
		r[REG_RAX] = *(greg_t *)(r[REG_RSP] + pc[-3]);
	else if (pc[-4] == 0x31 && pc[-3] == 0xc0)
		r[REG_RAX] = 0;
	else
		return;
	r[REG_RIP] -= 2;
}

/* The siginfo inside a frame. */
static inline siginfo_t *grt__sigframe_info(char *frame, void *uc, siginfo_t *info)
{
	return (siginfo_t *)(frame + ((char *)info - grt__sigframe_of(uc)));
}
#endif

/* The kernel's 64-bit mask at the start of uc_sigmask. */
#define grt__uc_mask(uc) (*(uint64_t *)&((ucontext_t *)(uc))->uc_sigmask)

#endif
