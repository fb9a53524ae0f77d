#include "observe/crash.h"
#include "elf/peek.h"
#include "heap/modes.h"
#include "heap/sample.h"
#include "observe/callers.h"
#include "observe/heapprof.h"
#include "observe/knobs.h"
#include "observe/traceback.h"
#include "os/os.h"
#include "sched/signal.h"
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>

#define OUT (&grt__report_out)

static const struct {
	const char *name, *what;
} signals[] = {
	[SIGQUIT] = {"SIGQUIT", "quit"},
	[SIGILL] = {"SIGILL", "illegal instruction"},
	[SIGTRAP] = {"SIGTRAP", "trace trap"},
	[SIGABRT] = {"SIGABRT", "abort"},
	[SIGBUS] = {"SIGBUS", "bus error"},
	[SIGFPE] = {"SIGFPE", "floating-point exception"},
	[SIGSEGV] = {"SIGSEGV", "segmentation violation"},
	[SIGSYS] = {"SIGSYS", "bad system call"},
};

bool grt__crash_reports(int sig)
{
	return sig > 0 && sig < (int)GRT_COUNT(signals) && signals[sig].name;
}

/* ---- stack overflow ---- */

/* The end of main's stack but for a page: the kernel put the program's name there. */
static uintptr_t main_stack_hi;

struct stack {
	uintptr_t guard_lo, lo, hi;
};

/* Where gp's stack ends and what lies below; false if that is not ours to know. */
static bool stack_of(const struct g *gp, uintptr_t sp, struct stack *s)
{
	if (gp == &grt__main_g) {
		struct rlimit rl;
		if (grt__sys4(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &rl) < 0 || rl.rlim_cur >= main_stack_hi)
			return false;
		s->hi = main_stack_hi;
		s->lo = s->hi - rl.rlim_cur;
		s->guard_lo = s->lo - (1u << 20); /* the gap that the kernel keeps */
		return true;
	}
	if (!gp->map_lo)
		return false;
	s->guard_lo = gp->user_stack ? (uintptr_t)gp->stack_lo - grt__os.page_size : (uintptr_t)gp->map_lo;
	s->lo = (uintptr_t)gp->stack_lo;
	s->hi = (uintptr_t)gp->birth.stack_hi;
	/* What lies below the program's own stack is not ours to know: a guard, if the stack pointer went there too. */
	return !gp->user_stack || (sp > s->guard_lo - grt__os.page_size && sp < s->lo + grt__os.page_size);
}

static void report_overflow(const struct g *gp, const struct stack *s, const struct grt_regs *regs)
{
	grt__out(OUT, "runtime: goroutine stack exceeds %lu-byte limit\n", (unsigned long)(s->hi - s->lo));
	grt__out(OUT, "runtime: sp=0x%lx stack=[0x%lx, 0x%lx]\n", regs->r[GRT_REG_SP], s->lo, s->hi);
	grt__out(OUT, "fatal error: stack overflow\n\n");
	grt__out(OUT, "runtime: goroutine %lu", gp->id);
	if (gp->name[0])
		grt__out(OUT, " [%s]", gp->name);
	grt__out_str(OUT, " overflowed its stack in ");
	grt__traceback_name_sig(regs->r[GRT_REG_PC]);
	grt__out_str(OUT, "\n");
}

/* ---- the parts of a report ---- */

static bool is_fault(int sig, const siginfo_t *si)
{
	return si->si_code > 0 && (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP);
}

static void print_registers(const void *ucontext)
{
	const greg_t *g = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
	for (size_t i = 0; i < GRT_COUNT(grt__reg_dump); i++)
		grt__out(OUT, "%-7s0x%lx\n", grt__reg_dump[i].name, (unsigned long)g[grt__reg_dump[i].greg]);
}

static void print_instruction(uintptr_t pc)
{
	uint8_t bytes[16];
	size_t n = grt__peek_sig(pc, bytes, sizeof bytes);
	grt__out_str(OUT, "instruction bytes:");
	for (size_t i = 0; i < n; i++)
		grt__out(OUT, " 0x%x", bytes[i]);
	grt__out_str(OUT, "\n");
}

struct others {
	const struct g *me;
	enum traceback_detail detail;
};

static void print_other(struct g *gp, void *arg)
{
	const struct others *o = arg;
	uint32_t status = grt_load_relaxed(&gp->status);
	if (gp == o->me || status == G_DEAD || status == G_IDLE || (gp->internal && o->detail < TRACEBACK_SYSTEM))
		return;
	grt__out_str(OUT, "\n");
	grt__traceback_sig(gp, NULL, o->detail);
}

static void print_stacks(struct g *gp, const struct grt_regs *regs, bool all, enum traceback_detail detail)
{
	struct others o = {.me = gp, .detail = detail};
	if (!gp) {
		grt__out(OUT, "thread %d [running, not a task]:\n", grt__sys_gettid());
		grt__traceback_frames_sig(regs, detail);
	} else if (gp->is_g0) {
		/* The scheduler, on behalf of a task or of nobody. */
		grt__traceback_sig(gp, regs, TRACEBACK_SYSTEM);
	} else {
		grt__traceback_sig(gp, regs, detail);
	}
	if (all)
		grt__allg_for_each_sig(print_other, &o);
}

/* Whose stacks, by GOTRACEBACK. False: nobody's. */
static bool level(bool all_by_default, bool *all, enum traceback_detail *detail)
{
	uint8_t t = grt__knobs.traceback;
	*all = all_by_default || t >= KNOB_TRACEBACK_ALL;
	*detail = t >= KNOB_TRACEBACK_SYSTEM ? TRACEBACK_SYSTEM : TRACEBACK_USER;
	return t != KNOB_TRACEBACK_NONE;
}

void grt__crash_report_sig(int sig, siginfo_t *si, void *ucontext)
{
	struct grt_regs regs;
	struct g *gp = grt__self.g;
	enum traceback_detail detail;
	bool all;
	if (!grt__crash_reports(sig))
		return;
	grt__regs_of_ucontext(&regs, ucontext);
	if (!grt__report_begin_sig()) {
		grt__print("[signal %s during traceback, pc=0x%lx]\n", signals[sig].name, regs.r[GRT_REG_PC]);
		return;
	}
	bool stacks = level(sig == SIGQUIT, &all, &detail);
	if (is_fault(sig, si)) {
		uintptr_t addr = (uintptr_t)si->si_addr;
		struct stack s;
		if ((sig == SIGSEGV || sig == SIGBUS) && gp && !gp->is_g0 && stack_of(gp, regs.r[GRT_REG_SP], &s) &&
		    addr >= s.guard_lo && addr < s.lo)
			report_overflow(gp, &s, &regs);
		grt__out(OUT, "[signal %s: %s code=0x%x addr=0x%lx pc=0x%lx]\n", signals[sig].name, signals[sig].what,
		         (unsigned)si->si_code, addr, regs.r[GRT_REG_PC]);
	} else {
		grt__out(OUT, "%s: %s\nPC=0x%lx m=%ld sigcode=%d\n", signals[sig].name, signals[sig].what, regs.r[GRT_REG_PC],
		         gp && grt__self.m ? (long)grt__self.m->id : -1, si->si_code);
	}
	if (sig == SIGILL || sig == SIGFPE)
		print_instruction(regs.r[GRT_REG_PC]);
	grt__out_str(OUT, "\n");
	if (stacks) {
		if (sig == SIGSEGV && is_fault(sig, si) && grt__heap_modes & HEAP_EFENCE)
			grt__heapprof_explain_sig(si->si_addr);
		print_stacks(gp, &regs, all, detail);
		grt__out_str(OUT, "\n");
		print_registers(ucontext);
	}
	grt__report_end_sig();
}

/* A broken invariant: every stack, with the runtime's frames, unless the user wants none. */
static void on_throw(void)
{
	struct grt_regs regs;
	if (grt__knobs.traceback == KNOB_TRACEBACK_NONE || !grt__report_begin_sig())
		return;
	grt__regs_here(&regs);
	grt__out_str(OUT, "\n");
	if (grt__heap_bad)
		grt__heapprof_explain_sig(grt__heap_bad);
	print_stacks(grt__self.g, &regs, true, TRACEBACK_SYSTEM);
	grt__report_end_sig();
}

/* There are no tasks, and no table of modules before somebody makes it; the loader's lock may be taken, for there is nobody to wait for. */
static void on_early_throw(void)
{
	uintptr_t pc[64];
	unsigned n = grt__callers(pc, GRT_COUNT(pc));
	if (grt__knobs.traceback == KNOB_TRACEBACK_NONE)
		return;
	grt__modules_refresh();
	if (!grt__report_begin_sig())
		return;
	grt__out_str(OUT, "\n");
	if (grt__heap_bad)
		grt__heapprof_explain_sig(grt__heap_bad);
	grt__out(OUT, "thread %d [running]:\n", grt__sys_gettid());
	grt__traceback_calls_sig(pc, n);
	grt__report_end_sig();
}

void grt__crash_end(void (*head)(void *arg), void *arg, bool all)
{
	struct grt_regs regs;
	enum traceback_detail detail;
	bool everybody;
	bool stacks = level(all, &everybody, &detail);
	bool early = grt__throw_hook != on_throw;
	uintptr_t pc[64];
	unsigned n = early ? grt__callers(pc, GRT_COUNT(pc)) : 0;
	if (early)
		grt__modules_refresh();
	if (!grt__report_begin_sig()) /* by a handler, in the middle of another */
		grt__sys1(SYS_exit_group, 2);
	head(arg);
	if (stacks && early) {
		grt__out(OUT, "\nthread %d [running]:\n", grt__sys_gettid());
		grt__traceback_calls_sig(pc, n);
	} else if (stacks) {
		struct others o = {.me = grt__self.g, .detail = detail};
		grt__regs_here(&regs);
		if (o.me && o.me->is_g0) { /* the scheduler, about all of them */
			grt__allg_for_each_sig(print_other, &o);
		} else {
			grt__out_str(OUT, "\n");
			print_stacks(grt__self.g, &regs, everybody, detail);
		}
	}
	grt__report_end_sig();
	if (grt__knobs.traceback == KNOB_TRACEBACK_CRASH)
		grt__throw_silently();
	for (;;)
		grt__sys1(SYS_exit_group, 2);
}

size_t grt__crash_stacks(char *buf, size_t size, bool all)
{
	struct grt_regs regs;
	struct grt_out was;
	bool early = grt__throw_hook != on_throw;
	uintptr_t pc[64];
	unsigned n = early ? grt__callers(pc, GRT_COUNT(pc)) : 0;
	if (early)
		grt__modules_refresh();
	bool begun = grt__report_begin_sig();
	if (begun) {
		was = grt__report_out;
		grt__report_out = (struct grt_out){.buf = buf, .size = size - 1, .no_flush = true};
		if (early) {
			grt__out(OUT, "thread %d [running]:\n", grt__sys_gettid());
			grt__traceback_calls_sig(pc, n);
		} else {
			grt__regs_here(&regs);
			print_stacks(grt__self.g, &regs, all, TRACEBACK_USER);
		}
		size = grt__report_out.len;
		grt__report_out = was;
		grt__report_end_sig();
	}
	size = begun ? size : 0;
	buf[size] = '\0';
	return size;
}

void grt__crash_init_early(void)
{
	if (!grt__throw_hook)
		grt__throw_hook = on_early_throw;
}

void grt__crash_init(void)
{
	main_stack_hi = (getauxval(AT_EXECFN) + 4095) & ~4095ul;
	grt__traceback_init();
	grt__unwind_init(); /* without it stacks are walked by frame pointers */
	grt__throw_hook = on_throw;
	grt__signal_crash_hook = grt__crash_report_sig;
}
