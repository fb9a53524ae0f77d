/*
 * <signal.h>: what changes the mask, the dispositions or the alternate stack under an old name. libc's own
 * would do it by internal names, behind the runtime's back.
 */
#include "sched/signal.h"
#include "shim/shim.h"
#include <string.h>

static int change_one(int how, int sig, sigset_t *old)
{
	sigset_t set;
	sigemptyset(&set);
	return sigaddset(&set, sig) < 0 ? -1 : sigprocmask(how, &set, old);
}

GRT_EXPORT int sighold(int sig)
{
	return change_one(SIG_BLOCK, sig, NULL);
}

GRT_EXPORT int sigrelse(int sig)
{
	return change_one(SIG_UNBLOCK, sig, NULL);
}

/* The result is SIG_HOLD if the signal was blocked before, else the disposition it had. */
GRT_EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	struct sigaction act = {.sa_handler = handler}, was;
	bool hold = handler == SIG_HOLD;
	sigset_t mask;
	if (handler == SIG_ERR || sig < 1 || sig >= NSIG) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (sigaction(sig, hold ? NULL : &act, &was) < 0 || change_one(hold ? SIG_BLOCK : SIG_UNBLOCK, sig, &mask) < 0)
		return SIG_ERR;
	return sigismember(&mask, sig) ? SIG_HOLD : was.sa_handler;
}

/* BSD: masks of the first 32 signals; the functions are marked as obsolete where they are declared. */
static int bsd_mask(int how, unsigned mask)
{
	sigset_t set, old;
	sigemptyset(&set);
	memcpy(&set, &mask, sizeof mask);
	if (sigprocmask(how, &set, &old) < 0)
		return -1;
	int was;
	memcpy(&was, &old, sizeof was);
	return was;
}

int grt__sigblock(int mask) __asm__("sigblock");
GRT_EXPORT int grt__sigblock(int mask)
{
	return bsd_mask(SIG_BLOCK, (unsigned)mask);
}

int grt__sigsetmask(int mask) __asm__("sigsetmask");
GRT_EXPORT int grt__sigsetmask(int mask)
{
	return bsd_mask(SIG_SETMASK, (unsigned)mask);
}

int grt__siggetmask(void) __asm__("siggetmask");
GRT_EXPORT int grt__siggetmask(void)
{
	return bsd_mask(SIG_BLOCK, 0);
}

GRT_EXPORT int gsignal(int sig)
{
	return raise(sig);
}

/* It gives the top of a stack whose size nobody knows: all below it, which is the address space. */
struct old_stack {
	char *sp;
	int on;
};

int grt__sigstack(const struct old_stack *ss, struct old_stack *old) __asm__("sigstack");
GRT_EXPORT int grt__sigstack(const struct old_stack *ss, struct old_stack *old)
{
	stack_t set, was;
	if (ss) {
		set.ss_size = ~(size_t)0;
		set.ss_sp = ss->sp - set.ss_size;
		set.ss_flags = 0;
	}
	if (sigaltstack(ss ? &set : NULL, old ? &was : NULL) < 0)
		return -1;
	if (old) {
		old->sp = (char *)was.ss_sp + was.ss_size;
		old->on = was.ss_flags & SS_ONSTACK;
	}
	return 0;
}
