#include "sched/signal.h"
#include "arch/sigctx.h"
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/clock.h"
#include "sched/cancel.h"
#include "sched/tcb.h"
#include <errno.h>

#define SA_RESTORER_FLAG 0x04000000ul
enum { NSIG_MAX = 64, VERSIONS = 4 };
/* si_code of a signal that was put off and sent again: the kernel lets any thread send it. The true code is in si_errno. */
enum { SI_PUT_OFF = -61, SI_PUT_OFF_DIRECTED = -62 };

void (*grt__signal_crash_hook)(int sig, siginfo_t *info, void *ucontext);
bool grt__signal_crash_on = true;
void (*grt__signal_timer_hook)(const siginfo_t *info);

/* The program's dispositions. Four versions each: a handler that reads one is not disturbed by the next writers. */
static struct {
	uint32_t current; /* atomic */
	struct grt_ksigaction version[VERSIONS];
} actions[NSIG_MAX + 1];

#define BIT(sig) GRT_SIGBIT(sig)
/* Their default action ends the process and deserves a report. */
#define CRASHES                                                                                                        \
	(BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSYS))

struct grt_ksigaction *grt__signal_action_of(int sig)
{
	return &actions[sig].version[grt_load_acquire(&actions[sig].current) % VERSIONS];
}

bool grt__signal_handled(uint64_t but)
{
	for (int sig = 1; sig <= NSIG_MAX; sig++) {
		void *handler = grt__signal_action_of(sig)->handler;
		if (handler != SIG_DFL && handler != SIG_IGN && !(but & BIT(sig)))
			return true;
	}
	return false;
}

static void sig_entry(int sig, siginfo_t *info, void *uc);
static void kernel_action(int sig, const struct grt_ksigaction *user, struct grt_ksigaction *k);

/* ---- SIGURG for the runtime's signal ---- */

static uint32_t urgent; /* atomic */

static bool urgent_free(void)
{
	void *handler = grt__signal_action_of(SIGURG)->handler;
	return handler == SIG_DFL || handler == SIG_IGN;
}

bool grt__signal_urgent_on(void)
{
	if (!urgent_free())
		return false;
	if (!grt_load_acquire(&urgent)) {
		struct grt_ksigaction k;
		grt_store_seqcst(&urgent, 1);
		kernel_action(SIGURG, grt__signal_action_of(SIGURG), &k);
		grt__sys_sigaction(SIGURG, &k, NULL);
	}
	return true;
}

uint64_t grt__signal_urgent_bit(void)
{
	return urgent_free() ? BIT(SIGURG) : 0;
}

/* ---- masks ---- */

void grt__m_set_mask(struct m *mp, uint64_t mask)
{
	if (mp->kmask == mask)
		return;
	mp->kmask = mask; /* before: a handler that runs on the way out of the call sees what is in force */
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}

int grt__signal_mask(int how, const uint64_t *set, uint64_t *old)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	uint64_t mask = gp->sigmask;
	if (old)
		*old = mask;
	if (set) {
		uint64_t s = *set & ~GRT_MASK_NEVER;
		if (how == SIG_BLOCK) {
			mask |= s;
		} else if (how == SIG_UNBLOCK) {
			mask &= ~s;
		} else if (how == SIG_SETMASK) {
			mask = s;
		} else {
			grt__leave();
			return -EINVAL;
		}
		bool opened = (gp->sigmask & ~mask) != 0;
		if (mask && !grt_load_relaxed(&grt__sched.masks_used))
			grt_store_relaxed(&grt__sched.masks_used, 1);
		gp->sigmask = mask;
		if (opened) {
			grt__signal_bell_all();
			if (grt__signal_queue_opened(gp) || grt_load_relaxed(&gp->sigpending))
				grt__self.attention |= ATTN_SIGNAL;
		}
		/* In the critical section: no handler may run between the note and the call, or its end would write the old mask back. A
		 * signal that becomes deliverable is put off, and runs its handler in the leave. */
		grt__m_set_mask(mp, mask);
	}
	grt__leave();
	return 0;
}

/* The kernel's mask as well: the task may move before libc's own call. */
void grt__signal_note_mask(uint64_t mask)
{
	if (grt__self.g && !grt__self.in_vfork)
		grt__signal_mask(SIG_SETMASK, &mask, NULL);
}

/* crit == 1 with something put off: ends with everything delivered that may be; the caller then drops the count. */
void grt__signal_deliver(struct m *mp, struct g *gp)
{
	uint64_t all = GRT_MASK_ALL, mask = gp->sigmask;
	if (mp->kmask != all) {
		mp->kmask = all;
		grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	}
	if (grt_load_seqcst(&gp->sigpending))
		grt__signal_flush_queue(mp, gp, mask);
	mp->kmask = mask;
	grt_barrier();
	grt__self.crit = 0;
	grt_barrier();
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL); /* handlers run here */
	grt__enter();
}

static struct g *survivor; /* of fork: the child's only task, as long as there is no sysmon */

uint64_t grt__signal_alone_mask(void)
{
	if (!survivor || grt_load_relaxed(&survivor->status) != G_WAITING)
		return GRT_MASK_ALL;
	return survivor->sigmask;
}

/* ---- the program's handlers ---- */

/* A kick that met a critical section which ends without grt__leave comes again. */
static void kick_again(struct m *mp)
{
	if (grt__self.attention & ATTN_SIGNAL) {
		grt__self.attention &= (uint8_t)~ATTN_SIGNAL;
		grt__preempt_kick(mp);
	}
}

#define AUTODISARM ((int)(1u << 31))

static bool on_altstack(const struct g *gp, uintptr_t sp)
{
	return gp->altstack_size && !(gp->altstack_flags & AUTODISARM) &&
	       sp - (uintptr_t)gp->altstack_sp < gp->altstack_size;
}

static int set_altstack(struct g *gp, const stack_t *ss, uintptr_t sp)
{
	int mode = ss->ss_flags & ~AUTODISARM;
	if (on_altstack(gp, sp))
		return -EPERM;
	if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (mode != SS_DISABLE && ss->ss_size < 2048)
		return -ENOMEM;
	gp->altstack_sp = mode == SS_DISABLE ? NULL : ss->ss_sp;
	gp->altstack_size = mode == SS_DISABLE ? 0 : ss->ss_size;
	gp->altstack_flags = ss->ss_flags;
	gp->has_altstack = 1;
	return 0;
}

/* On the stack where the kernel would have run the handler, in the task's context, as if called by the kernel: our return
 * address is the frame's restorer. */
static void run_handler(int sig, siginfo_t *info, ucontext_t *uc, void (*handler)(int, siginfo_t *, void *),
                        uint64_t mask)
{
	struct g *gp = grt__self.g;
	uint8_t in_block = grt__self.in_block;
	gp->sigmask = mask; /* in force wherever the task goes on from here */
	if (in_block)
		grt__block_exit();
	struct m *mp = grt__enter();
	uint64_t all = ~0ull;
	/* On another M than the kernel chose: as there, nothing may come before the mask is set, or its end would write back what it found. */
	if (grt_unlikely(mp->kmask != all))
		grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	mp->kmask = mask;
	grt__signal_look_again(gp);
	grt_barrier();
	grt__self.crit = 0;
	grt_barrier();
	kick_again(mp);
	if (grt_unlikely(grt__cancel_due_async()) && sig != GRT_SIGRT) /* the kick for it brought this signal instead */
		grt__preempt_kick(mp);
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	handler(sig, info, uc);
	if (in_block)
		grt__block_enter(in_block == 2);
	else
		grt__enter();
	/* The runtime's too: from here on it comes with the frame's mask. */
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	mp = grt__self.m;
	grt__uc_mask(uc) &= ~GRT_MASK_LIBC;
	bool opened = (gp->sigmask & ~grt__uc_mask(uc)) != 0;
	gp->sigmask = mp->kmask = grt__uc_mask(uc);
	if (opened)
		grt__signal_bell_all();
	grt__signal_look_again(gp); /* what came while the handler had it blocked */
	kick_again(mp);
	if (grt_unlikely(
			grt__cancel_due_at(grt__uc_pc(uc)))) /* asked for while the handler ran: met with the next instruction */
		grt__preempt_kick(mp);
	set_altstack(gp, &uc->uc_stack,
	             (uintptr_t)uc); /* what the handler did to it ends with the handler, as sigreturn has it */
	uc->uc_stack = (stack_t){.ss_sp = mp->gsignal, .ss_size = mp->gsignal_size};
	gp->ended_pc = grt__uc_pc(uc);
	gp->ended_sp = grt__uc_sp(uc);
	gp->ended_calls = gp->syscalls;
	if (!in_block)
		grt__self.crit--;
}

/* Where the kernel would put the frame. */
static uintptr_t handler_sp(const struct g *gp, void *uc, const struct grt_ksigaction *act)
{
	uintptr_t sp = grt__uc_sp(uc);
	if (act->flags & SA_ONSTACK && gp->altstack_size && !on_altstack(gp, sp))
		return (uintptr_t)gp->altstack_sp + gp->altstack_size;
	return sp - GRT_RED_ZONE;
}

GRT_NORETURN static void dispatch(int sig, siginfo_t *info, void *vuc, const struct grt_ksigaction *act, uint64_t mask)
{
	struct g *gp = grt__self.g;
	ucontext_t *uc = vuc;
	if (gp->suspended) { /* the handler runs with the call's mask, and goes back to the task's */
		grt__suspend_over(gp);
		mask = gp->suspend_mask;
		grt__uc_mask(uc) = gp->sigmask;
	}
	mask |= act->mask;
	if (!(act->flags & SA_NODEFER))
		mask |= BIT(sig);
	mask &= ~GRT_MASK_NEVER;
	/* The program sees its own alternate stack in the context. */
	uc->uc_stack = (stack_t){.ss_sp = gp->altstack_sp,
	                         .ss_size = gp->altstack_size,
	                         .ss_flags = gp->altstack_size ? gp->altstack_flags : SS_DISABLE};
	uintptr_t src = (uintptr_t)grt__sigframe_of(uc);
	uintptr_t dst = (handler_sp(gp, uc, act) - grt__sigframe_bytes(uc)) & ~(uintptr_t)(GRT_SIGFRAME_ALIGN - 1);
	dst -= GRT_SIGFRAME_ALIGN - src % GRT_SIGFRAME_ALIGN;
	ucontext_t *copy = grt__sigframe_copy((char *)dst, uc);
	if (gp->altstack_size && gp->altstack_flags & AUTODISARM)
		gp->altstack_size = 0;
	gp->handlers_ran++;
	if (!(act->flags & SA_RESTART))
		gp->handlers_hard++;
	grt__self.m->kmask = ~0ull; /* as the kernel set it for this entry; what follows is libgrt's own code */
	grt__sigframe_call((char *)dst, sig, grt__sigframe_info((char *)dst, uc, info), copy, act->handler, mask,
	                   (void *)run_handler);
}

/* ---- what happens to a signal ---- */

static bool synchronous(int sig, const siginfo_t *info)
{
	return info->si_code > 0 && info->si_code != SI_KERNEL && (BIT(sig) & (CRASHES & ~BIT(SIGQUIT) & ~BIT(SIGABRT)));
}

/* Default action of a signal we caught only to report: again, without us, with the very context and siginfo of the first time, so
 * that the core shows them. A fault comes again when its instruction is executed again. What was sent waits, blocked as everything is
 * here, until the return from this handler opens the mask for it. */
static void die(int sig, siginfo_t *info, void *uc)
{
	struct grt_ksigaction dfl = {.flags = SA_RESTORER_FLAG, .restorer = (void *)grt__sigrestorer};
	if (grt__signal_crash_hook)
		grt__signal_crash_hook(sig, info, uc);
	if (grt__self.g && !grt__self.g->is_g0 && !grt__self.in_vfork)
		grt__tcb_enter_core_sig(grt__self.g);
	grt__sys_sigaction(sig, &dfl, NULL);
	if (synchronous(sig, info))
		return;
	int pid = grt__sys_getpid(), tid = grt__sys_gettid();
	/* To itself a thread may send any si_code. */
	if (grt__sys_tgsigqueue(pid, tid, sig, info) < 0)
		grt__os_tgkill(pid, tid, sig);
	grt__uc_mask(uc) &= ~BIT(sig);
}

/* No handler may run here: the signal waits for the process, this M takes no other until its critical section ends. */
static void put_off(int sig, siginfo_t *info, void *uc, bool directed)
{
	struct m *mp = grt__self.m;
	siginfo_t again = *info;
	again.si_errno = info->si_code;
	again.si_code = directed ? SI_PUT_OFF_DIRECTED : SI_PUT_OFF;
	grt__signal_to_process(sig, &again);
	grt__uc_mask(uc) = GRT_MASK_ALL;
	mp->kmask = GRT_MASK_ALL;
	if (!mp->cur->g->is_g0) /* in the middle of a switch it is the next task that must open the mask again */
		mp->cur->attention |= ATTN_SIGNAL;
	if (!grt__self.g->is_g0)
		grt__self.attention |= ATTN_SIGNAL;
	else if (mp->alone)
		grt__signal_prod(survivor, true);
}

/* A kernel thread that is not ours: the program's handler directly, on its own stack. */
static void run_foreign(int sig, siginfo_t *info, void *uc, const struct grt_ksigaction *act)
{
	uint64_t mask = grt__uc_mask(uc) | act->mask | (act->flags & SA_NODEFER ? 0 : BIT(sig));
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	((void (*)(int, siginfo_t *, void *))act->handler)(sig, info, uc);
}

/* SA_RESETHAND. False: another signal was first, for this one the action is the default. Everything blocked. */
static bool reset_hand(int sig, const struct grt_ksigaction *act)
{
	struct grt_ksigaction next = *act, k;
	bool task = grt__self.g != NULL;
	if (task)
		grt__self.crit++;
	grt_lock(&grt__signal_lock);
	bool first = grt__signal_action_of(sig)->handler != SIG_DFL;
	if (first && grt__signal_action_of(sig)->handler == act->handler) {
		next.handler = SIG_DFL;
		actions[sig].version[(actions[sig].current + 1) % VERSIONS] = next;
		grt_store_release(&actions[sig].current, actions[sig].current + 1);
		kernel_action(sig, &next, &k);
		grt__sys_sigaction(sig, &k, NULL);
	}
	grt_unlock(&grt__signal_lock);
	grt_barrier();
	if (task)
		grt__self.crit--;
	return first;
}

/*
 * A signal for the process, which the kernel gave to this thread: its handler belongs on main, whose kernel thread the kernel prefers,
 * if main takes it. Who waits in main for a handler to end a sleep, or counts on it that no other thread is interrupted, cannot
 * tell us apart. False: it runs here. Not for main are:
 *   - what was sent to one thread, and what a thread's own call brings about;
 *   - what tells of the thread that runs: CPU-time timers (profilers), and timers of timer_create, with which the kernel prefers it
 *     to the first thread (Linux 6.4).
 */
static bool belongs_to_main(int sig, const siginfo_t *info)
{
	const uint64_t of_thread = BIT(SIGPROF) | BIT(SIGVTALRM) | BIT(SIGXCPU);
	const uint64_t traps = BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGSYS);
	struct g *main = &grt__main_g;
	if (grt__self.g == main || info->si_code == SI_TKILL || info->si_code == SI_TIMER || BIT(sig) & of_thread)
		return false;
	if (BIT(sig) & traps && info->si_code > 0) /* SI_KERNEL too: int3, a general protection fault */
		return false;
	if ((sig == SIGPIPE || sig == SIGXFSZ) && info->si_code == SI_USER && info->si_pid == grt__sched.pid)
		return false;
	uint32_t status = grt_load_relaxed(&main->status);
	if (status == G_DEAD || status == G_IDLE || grt_load_relaxed(&grt__sched.main_exited))
		return false;
	return main->suspended ? (grt_load_relaxed(&main->suspend_open) & BIT(sig)) != 0 : !(main->sigmask & BIT(sig));
}

/* Everything blocked. False: no memory, so it must run here. */
static bool pass_to_main(int sig, const siginfo_t *info, void *uc)
{
	struct g *gp = grt__self.g;
	grt__self.crit = 1;
	grt_barrier();
	gp->suspend_kick = 1; /* a call with a mask of its own begins again: shim/suspend.c */
	bool ok = grt__signal_send_sig(&grt__main_g, sig, info);
	if (ok)
		grt__signal_redo_call(gp, uc);
	grt_barrier();
	grt__self.crit = 0;
	return ok;
}

static void sig_entry(int sig, siginfo_t *info, void *uc)
{
	bool directed = info->si_code == SI_PUT_OFF_DIRECTED;
	if (info->si_code == SI_PUT_OFF || directed) {
		info->si_code = info->si_errno;
		info->si_errno = 0;
	}
	struct grt_ksigaction act = *grt__signal_action_of(sig);
	struct g *gp = grt__self.g;
	bool sync = synchronous(sig, info);
	if (gp && gp->passed == sig) {
		gp->passed = 0;
		directed = true;
	}
	if (sig == SIGURG && (act.handler == SIG_DFL || act.handler == SIG_IGN)) {
		grt__preempt_signal(sig, info, uc);
		return;
	}
	if (act.handler == SIG_IGN && !sync)
		return;
	if (act.handler == SIG_DFL || act.handler == SIG_IGN) {
		die(sig, info, uc);
		return;
	}
	if (!gp || grt__self.in_vfork) {
		if (act.flags & SA_RESETHAND && !grt__self.in_vfork)
			reset_hand(sig, &act);
		run_foreign(sig, info, uc, &act);
		return;
	}
	if (gp->is_g0 || grt__self.crit) {
		if (sync) {
			die(sig, info, uc); /* a fault of ours */
			return;
		}
		put_off(sig, info, uc, directed);
		return;
	}
	if (!sync && !directed && belongs_to_main(sig, info) && pass_to_main(sig, info, uc))
		return;
	if (act.flags & SA_RESETHAND && !reset_hand(sig, &act)) {
		die(sig, info, uc);
		return;
	}
	dispatch(sig, info, uc, &act, grt__uc_mask(uc));
}

static void cancel_now(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)info;
	(void)uc;
	grt__cancel_act();
}

void grt__signal_cancel(siginfo_t *info, void *uc)
{
	const struct grt_ksigaction act = {.handler = (void *)cancel_now, .flags = SA_RESTART | SA_NODEFER};
	dispatch(GRT_SIGRT, info, uc, &act, grt__self.g->sigmask);
}

/* What the kernel is told for the program's wish. */
static void kernel_action(int sig, const struct grt_ksigaction *user, struct grt_ksigaction *k)
{
	bool own = user->handler != SIG_DFL && user->handler != SIG_IGN;
	bool report = user->handler == SIG_DFL && grt__signal_crash_on && (CRASHES & BIT(sig));
	*k = *user;
	k->flags |= SA_RESTORER_FLAG;
	k->restorer = (void *)grt__sigrestorer;
	if (!own && sig == SIGURG && grt_load_acquire(&urgent)) {
		own = true;
		k->flags = SA_RESTORER_FLAG | SA_RESTART;
	}
	if (!own && !report)
		return;
	k->handler = (void *)sig_entry;
	/* put off, it comes again: SA_RESETHAND is for us to do, too */
	k->flags = (k->flags & ~(unsigned long)(SA_NODEFER | SA_RESETHAND)) | SA_SIGINFO | SA_ONSTACK;
	k->mask = ~0ull;
}

int grt__signal_action(int sig, const struct grt_ksigaction *act, struct grt_ksigaction *old)
{
	if (sig < 1 || sig > NSIG_MAX || sig == 32 || sig == GRT_SIGRT || (act && (sig == SIGKILL || sig == SIGSTOP)))
		return -EINVAL;
	bool task = grt__self.g != NULL;
	if (task)
		grt__enter();
	grt_lock(&grt__signal_lock);
	struct grt_ksigaction *now = grt__signal_action_of(sig);
	long r = 0;
	if (old)
		*old = *now;
	if (act) {
		struct grt_ksigaction k;
		uint32_t next = actions[sig].current + 1;
		actions[sig].version[next % VERSIONS] = *act;
		grt_store_release(&actions[sig].current, next);
		kernel_action(sig, act, &k);
		r = grt__sys_sigaction(sig, &k, NULL);
	}
	grt_unlock(&grt__signal_lock);
	if (task)
		grt__leave();
	return (int)r;
}

bool grt__signal_handled_now(int sig)
{
	if (sig < 1 || sig > NSIG_MAX || grt__self.g->sigmask & BIT(sig))
		return false;
	const struct grt_ksigaction *act = grt__signal_action_of(sig);
	return act->handler != SIG_DFL && act->handler != SIG_IGN;
}

int grt__signal_altstack(const stack_t *ss, stack_t *old)
{
	struct g *gp = grt__self.g;
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	bool on = on_altstack(gp, sp);
	if (old) {
		old->ss_sp = gp->altstack_sp;
		old->ss_size = gp->altstack_size;
		old->ss_flags = on ? SS_ONSTACK : gp->altstack_size ? gp->altstack_flags & AUTODISARM : SS_DISABLE;
	}
	return ss ? set_altstack(gp, ss, sp) : 0;
}

bool grt__altstack_seen;

bool grt__signal_kernel_user(void)
{
	stack_t alt;
	if (!grt__altstack_seen && grt__sys2(SYS_sigaltstack, NULL, &alt) == 0 && !(alt.ss_flags & SS_DISABLE))
		return true;
	struct grt_ksigaction saved, now;
	uintptr_t libcs = 0;
	/* libc's return path, as its own sigaction sets it for a signal that nobody sends. */
	if (grt__sys_sigaction(SIGSTKFLT, NULL, &saved) < 0 || !grt__libc.sigaction)
		return false;
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	if (grt__libc.sigaction(SIGSTKFLT, &ignore, NULL) < 0)
		return false;
	if (grt__sys_sigaction(SIGSTKFLT, NULL, &now) == 0)
		libcs = (uintptr_t)now.restorer;
	grt__sys_sigaction(SIGSTKFLT, &saved, NULL);
	for (int sig = 1; sig <= NSIG_MAX; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		if (sig == SIGSTKFLT)
			now = saved;
		else if (grt__sys_sigaction(sig, NULL, &now) < 0)
			continue;
		if (now.handler != SIG_DFL && now.handler != SIG_IGN && (uintptr_t)now.restorer != libcs)
			return true;
	}
	return false;
}

void grt__signal_init(void)
{
	for (int sig = 1; sig <= NSIG_MAX; sig++) {
		struct grt_ksigaction now, k;
		if (sig == 32 || sig == GRT_SIGRT || sig == SIGKILL || sig == SIGSTOP ||
		    grt__sys_sigaction(sig, NULL, &now) < 0)
			continue;
		actions[sig].version[0] = now;
		kernel_action(sig, &now, &k);
		if (k.handler != now.handler)
			grt__sys_sigaction(sig, &k, NULL);
	}
}

void grt__signal_fork_child(struct m *mp)
{
	grt__broadcast_fork_child();
	survivor = grt__self.g;
	grt__sigqueue_fork_child(survivor);
	grt__clock_fork_child();
	grt__signal_bell_forget(); /* a signalfd reports for the process that polls it, but its wait queue is the parent's */
	(void)mp;
}
