/* <ucontext.h>: contexts carry a mask, which libc would put in force behind the runtime's back. */
#include "sched/signal.h"
#include "shim/shim.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static uint64_t mask_of(const sigset_t *set)
{
	uint64_t m;
	memcpy(&m, set, sizeof m);
	return m;
}

GRT_EXPORT int setcontext(const ucontext_t *ucp)
{
	if (grt__on_task())
		grt__signal_note_mask(mask_of(&ucp->uc_sigmask));
	return REAL(setcontext)(ucp);
}

/* For context.S: libc's function, or NULL if the mask is going to change. */
void *grt__swapcontext_real(const ucontext_t *ucp);
void *grt__swapcontext_real(const ucontext_t *ucp)
{
	uint64_t now = 0, next = mask_of(&ucp->uc_sigmask);
	if (!grt__on_task() || (grt__signal_mask(SIG_BLOCK, NULL, &now), now == next))
		return (void *)REAL(swapcontext);
	return NULL;
}

/* oucp was saved in context.S, whose caller's return address is at sp. */
int grt__swapcontext(ucontext_t *oucp, const ucontext_t *ucp, greg_t *sp);
int grt__swapcontext(ucontext_t *oucp, const ucontext_t *ucp, greg_t *sp)
{
	oucp->uc_mcontext.gregs[REG_RIP] = *sp;
	oucp->uc_mcontext.gregs[REG_RSP] = (greg_t)(sp + 1);
	return setcontext(ucp);
}

void grt__context_return(void) GRT_NORETURN; /* context.S */

/* Where the function of makecontext returns to. The process ends where there is no context to go on with, as libc has it. */
void grt__context_ended(const ucontext_t *link) GRT_NORETURN;
void grt__context_ended(const ucontext_t *link)
{
	exit(link ? setcontext(link) : 0);
}

/*
 * libc's, but for the return address: libc's code there would set the mask of uc_link by itself. Stack, from the top: uc_link, the
 * arguments that have no register, the return address; rbx leads grt__context_return to uc_link.
 */
GRT_EXPORT void makecontext(ucontext_t *ucp, void (*fn)(void), int argc, ...)
{
	static const int in_register[] = {REG_RDI, REG_RSI, REG_RDX, REG_RCX, REG_R8, REG_R9};
	greg_t *regs = ucp->uc_mcontext.gregs;
	int in_memory = argc > 6 ? argc - 6 : 0;
	uintptr_t top = (uintptr_t)ucp->uc_stack.ss_sp + ucp->uc_stack.ss_size;
	long *sp = (long *)((top - (size_t)(in_memory + 1) * sizeof *sp) & ~15ul) - 1;
	va_list ap;

	sp[0] = (long)(uintptr_t)grt__context_return;
	sp[1 + in_memory] = (long)(uintptr_t)ucp->uc_link;
	regs[REG_RIP] = (greg_t)(uintptr_t)fn;
	regs[REG_RSP] = (greg_t)(uintptr_t)sp;
	regs[REG_RBX] = (greg_t)(uintptr_t)&sp[1 + in_memory];
	va_start(ap, argc);
	for (int i = 0; i < argc; i++) {
		long arg = va_arg(ap, long);
		if (i < 6)
			regs[in_register[i]] = arg;
		else
			sp[1 + i - 6] = arg;
	}
	va_end(ap);
}
