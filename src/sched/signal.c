#include "sched/signal.h"
#include "arch/sigctx.h"
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/clock.h"
#include "sched/pin.h"
#include "sched/cancel.h"
#include "sched/tcb.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SA_RESTORER_FLAG 0x04000000ul
enum { NSIG_MAX = 64, VERSIONS = 4 };
/* si_code of a signal that was put off and sent again: the kernel lets any thread send it. The true code is in si_errno. */
enum { SI_PUT_OFF = -61 };

void (*grt__signal_crash_hook)(int sig, siginfo_t *info, void *ucontext);
bool grt__signal_crash_on = true;
void (*grt__signal_timer_hook)(const siginfo_t *info);

/* The program's dispositions. Four versions each: a handler that reads one is not disturbed by the next writers. */
static struct {
	uint32_t current; /* atomic */
	struct grt_ksigaction version[VERSIONS];
} actions[NSIG_MAX + 1];

static struct grt_lock signal_lock = GRT_LOCK_INIT(GRT_RANK_SIGNAL);
static struct g_signal *free_nodes; /* signal lock */

#define BIT(sig) (1ull << ((sig)-1))
/* Their default action ends the process and deserves a report. */
#define CRASHES                                                                                                        \
	(BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSYS))

static struct grt_ksigaction *action_of(int sig)
{
	return &actions[sig].version[grt_load_acquire(&actions[sig].current) % VERSIONS];
}

static void sig_entry(int sig, siginfo_t *info, void *uc);
static void kernel_action(int sig, const struct grt_ksigaction *user, struct grt_ksigaction *k);

/* ---- SIGURG for the runtime's signal ---- */

static uint32_t urgent; /* atomic */

static bool urgent_free(void)
{
	void *handler = action_of(SIGURG)->handler;
	return handler == SIG_DFL || handler == SIG_IGN;
}

bool grt__signal_urgent_on(void)
{
	if (!urgent_free())
		return false;
	if (!grt_load_acquire(&urgent)) {
		struct grt_ksigaction k;
		grt_store_seqcst(&urgent, 1);
		kernel_action(SIGURG, action_of(SIGURG), &k);
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

/* Owner task, after it has changed its mask: has it something queued that the mask lets through now? The sender queues, then looks at
 * the mask; one of the two sees the other. */
static bool queue_opened(struct g *gp)
{
	bool any = false;
	grt_fence_seqcst();
	if (grt_likely(!grt_load_relaxed(&gp->sigqueue)))
		return false;
	grt_lock(&signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		any |= !(gp->sigmask & BIT(n->info.si_signo));
	if (any)
		grt_store_seqcst(&gp->sigpending, 1);
	grt_unlock(&signal_lock);
	return any;
}

void grt__signal_look_again(struct g *gp)
{
	if (queue_opened(gp))
		grt__self.attention |= ATTN_SIGNAL;
}

int grt__signal_mask(int how, const uint64_t *set, uint64_t *old)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	uint64_t mask = gp->sigmask;
	if (old)
		*old = mask;
	if (set) {
		uint64_t s = *set & ~(GRT_MASK_LIBC | BIT(SIGKILL) | BIT(SIGSTOP));
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
			if (queue_opened(gp) || grt_load_relaxed(&gp->sigpending))
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

/* ---- directed signals ---- */

/* Only the thread whose id is the process's may queue a siginfo with a code that the kernel uses itself; tgkill makes the same
 * SI_TKILL from any. */
static void send_to_thread(int tid, siginfo_t *info)
{
	if (info->si_code == SI_TKILL)
		grt__sys_tgkill(grt__sched.pid, tid, info->si_signo);
	else
		grt__sys_tgsigqueue(grt__sched.pid, tid, info->si_signo, info);
}

static struct g_signal *node_get_locked(void)
{
	if (!free_nodes) {
		enum { SLAB = 64 };
		struct g_signal *slab = grt__os_alloc(SLAB * sizeof *slab);
		for (int i = 0; slab && i < SLAB; i++) {
			slab[i].next = free_nodes;
			free_nodes = &slab[i];
		}
	}
	struct g_signal *n = free_nodes;
	if (n)
		free_nodes = n->next;
	return n;
}

void grt__interrupt(struct g *gp)
{
	if (grt_cas(&gp->park.state, PARK_PARKED, PARK_PREPARED))
		grt__ready(gp);
}

/* The task has something to deliver: make it look. sigpending is set. */
static void prod(struct g *gp)
{
	struct m *mp;
	if (grt_load_seqcst(&gp->park.state) == PARK_PARKED) {
		grt__interrupt(gp);
		return;
	}
	if (gp == grt__self.g)
		return;
	/* Running, or on its way into or out of parking: its M's signal makes it look. If it is on no M, or moves on now, then the switch
	 * that brings it back, or the park's commit, sees sigpending. */
	grt__os_membarrier(); /* pairs with grt__switch */
	if ((mp = grt_load_acquire(&gp->m)) && grt_load_relaxed(&mp->curg) == gp)
		grt__preempt_kick(mp);
}

void grt__signal_prod(struct g *gp, bool kick)
{
	grt_store_seqcst(&gp->sigpending, 1);
	if (kick)
		prod(gp);
	else
		grt__interrupt(gp);
}

int grt__signal_send(struct g *gp, int sig, const siginfo_t *info)
{
	if (sig < 0 || sig > NSIG_MAX || sig == 32 || sig == GRT_SIGRT)
		return -EINVAL;
	if (sig == 0)
		return 0;
	bool task = grt__self.g && !grt__self.g->is_g0; /* sysmon sends the signals of timers */
	if (task)
		grt__enter();
	grt_lock(&signal_lock);
	struct g_signal **tail = &gp->sigqueue, *n;
	if (gp->sigwait_set & BIT(sig)) { /* it sits in the kernel, on its M, waiting for just this */
		siginfo_t copy = *info;
		copy.si_signo = sig;
		send_to_thread(gp->m->tid, &copy);
		grt_unlock(&signal_lock);
		if (task)
			grt__leave();
		return 0;
	}
	for (; (n = *tail); tail = &n->next)
		if (n->info.si_signo == sig && sig < 34)
			break; /* a standard signal is pending once */
	if (!n && (n = node_get_locked())) {
		n->info = *info;
		n->info.si_signo = sig;
		n->next = NULL;
		*tail = n;
		gp->was_queued_for = 1;
	}
	grt_store_seqcst(&gp->sigpending, 1);
	bool open = (gp->suspend_open & BIT(sig)) != 0;
	grt_unlock(&signal_lock);
	if (n && (!(gp->sigmask & BIT(sig)) || open))
		prod(gp);
	if (n && gp == grt__self.g && task)
		grt__self.attention |= ATTN_SIGNAL;
	if (task)
		grt__leave();
	return n ? 0 : -EAGAIN;
}

void grt__signal_drop_queue(struct g *gp)
{
	grt_lock(&signal_lock);
	for (struct g_signal *n; (n = gp->sigqueue);) {
		gp->sigqueue = n->next;
		n->next = free_nodes;
		free_nodes = n;
	}
	gp->was_queued_for = 0;
	grt_unlock(&signal_lock);
}

/* Takes the one that the kernel would deliver first off the queue: the lowest number, then the oldest. */
static struct g_signal *take_first_locked(struct g *gp, uint64_t mask)
{
	struct g_signal **first = NULL, *n;
	for (struct g_signal **link = &gp->sigqueue; (n = *link); link = &n->next)
		if (!(mask & BIT(n->info.si_signo)) && (!first || n->info.si_signo < (*first)->info.si_signo))
			first = link;
	if (!first)
		return NULL;
	n = *first;
	*first = n->next;
	return n;
}

bool grt__signal_flush_queue(struct m *mp, struct g *gp, uint64_t mask)
{
	bool handled = false, hard = false;
	struct g_signal *n;
	grt__pin_asked(mp, gp);
	/* With crit set and signals blocked here, and the lock's other holders running elsewhere, this wait is short. */
	grt_lock(&signal_lock);
	/* One with a handler at a time: the handler may move the task to another M, where the next, sent to this one, would miss it.
	 * run_handler sends it. */
	while (!handled && (n = take_first_locked(gp, mask))) {
		const struct grt_ksigaction *act = action_of(n->info.si_signo);
		handled = act->handler != SIG_DFL && act->handler != SIG_IGN;
		hard = handled && !(act->flags & SA_RESTART);
		send_to_thread(grt__sys_gettid(), &n->info);
		n->next = free_nodes;
		free_nodes = n;
	}
	grt_store_seqcst(&gp->sigpending, 0); /* what stays is looked at when the handler begins, or when the mask opens */
	grt_unlock(&signal_lock);
	return hard;
}

uint64_t grt__signal_queued(struct g *gp)
{
	uint64_t set = 0;
	grt__enter();
	grt_lock(&signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		set |= BIT(n->info.si_signo);
	grt_unlock(&signal_lock);
	grt__leave();
	return set;
}

int grt__sigwait_begin(uint64_t set, siginfo_t *info)
{
	struct g *gp = grt__self.g;
	struct g_signal **best = NULL;
	int sig = 0;
	grt__enter();
	grt_lock(&signal_lock);
	for (struct g_signal **link = &gp->sigqueue; *link; link = &(*link)->next)
		if (set & BIT((*link)->info.si_signo) && (!best || (*link)->info.si_signo < (*best)->info.si_signo))
			best = link;
	if (best) {
		struct g_signal *n = *best;
		*info = n->info;
		sig = info->si_signo;
		*best = n->next;
		n->next = free_nodes;
		free_nodes = n;
	} else {
		gp->sigwait_set = set;
	}
	grt_unlock(&signal_lock);
	grt__leave();
	return sig;
}

void grt__sigwait_end(void)
{
	grt__enter();
	grt_lock(&signal_lock);
	grt__self.g->sigwait_set = 0;
	grt_unlock(&signal_lock);
	grt__leave();
}

bool grt__suspend_begin(uint64_t mask)
{
	struct g *gp = grt__self.g;
	uint64_t all = ~0ull;
	bool due = false;
	mask &= ~(GRT_MASK_LIBC | BIT(SIGKILL) | BIT(SIGSTOP));
	grt__block_enter(true);
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL); /* for this section only: M's kmask stays */
	grt_lock(&signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		due |= !(mask & BIT(n->info.si_signo));
	if (!due) {
		gp->suspend_open = ~mask;
		gp->suspend_mask = mask;
		gp->suspended = 1;
		gp->suspend_kick = 0;
	}
	grt_unlock(&signal_lock);
	if (due) {
		grt__sys_sigprocmask(SIG_SETMASK, &gp->sigmask, NULL);
		grt__block_exit();
	}
	return !due;
}

/* Signals blocked. */
static void end_suspend(struct g *gp)
{
	gp->suspended = 0;
	grt_store_relaxed(&gp->suspend_open, 0); /* who saw it still only kicks once too often */
}

bool grt__suspend_end(void)
{
	struct g *gp = grt__self.g;
	if (gp->suspended) { /* else a handler ran, and its end has set the mask */
		end_suspend(gp);
		grt__sys_sigprocmask(SIG_SETMASK, &gp->sigmask, NULL);
	}
	/* The kick left them queued, for the call's mask did not matter to it. */
	if (grt_load_relaxed(&gp->sigqueue)) {
		grt_store_seqcst(&gp->sigpending, 1);
		grt__self.attention |= ATTN_SIGNAL;
	}
	grt__block_exit();
	return gp->suspend_kick;
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
	uc->uc_stack = (stack_t){.ss_sp = mp->gsignal, .ss_size = mp->gsignal_size};
	if (!in_block)
		grt__self.crit--;
}

/* Where the kernel would put the frame. */
static uintptr_t handler_sp(const struct g *gp, void *uc, const struct grt_ksigaction *act)
{
	uintptr_t sp = grt__uc_sp(uc);
	if (act->flags & SA_ONSTACK && gp->altstack_size && sp - (uintptr_t)gp->altstack_sp >= gp->altstack_size)
		return (uintptr_t)gp->altstack_sp + gp->altstack_size;
	return sp - GRT_RED_ZONE;
}

GRT_NORETURN static void dispatch(int sig, siginfo_t *info, void *vuc, const struct grt_ksigaction *act, uint64_t mask)
{
	struct g *gp = grt__self.g;
	ucontext_t *uc = vuc;
	if (gp->suspended) { /* the handler runs with the call's mask, and goes back to the task's */
		end_suspend(gp);
		mask = gp->suspend_mask;
		grt__uc_mask(uc) = gp->sigmask;
	}
	mask |= act->mask;
	if (!(act->flags & SA_NODEFER))
		mask |= BIT(sig);
	mask &= ~(GRT_MASK_LIBC | BIT(SIGKILL) | BIT(SIGSTOP));
	/* The program sees its own alternate stack in the context. */
	uc->uc_stack = (stack_t){
		.ss_sp = gp->altstack_sp, .ss_size = gp->altstack_size, .ss_flags = gp->altstack_size ? 0 : SS_DISABLE};
	uintptr_t src = (uintptr_t)grt__sigframe_of(uc);
	uintptr_t dst = (handler_sp(gp, uc, act) - grt__sigframe_bytes(uc)) & ~(uintptr_t)(GRT_SIGFRAME_ALIGN - 1);
	dst -= GRT_SIGFRAME_ALIGN - src % GRT_SIGFRAME_ALIGN;
	ucontext_t *copy = grt__sigframe_copy((char *)dst, uc);
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

/* Default action of a signal we caught only to report: again, without us. */
static void die(int sig, siginfo_t *info, void *uc)
{
	struct grt_ksigaction dfl = {.flags = SA_RESTORER_FLAG, .restorer = (void *)grt__sigrestorer};
	if (grt__signal_crash_hook)
		grt__signal_crash_hook(sig, info, uc);
	grt__sys_sigaction(sig, &dfl, NULL);
	if (!synchronous(sig, info)) {
		uint64_t only = BIT(sig);
		grt__sys_tgkill(grt__sys_getpid(), grt__sys_gettid(), sig);
		grt__sys_sigprocmask(SIG_UNBLOCK, &only, NULL);
	}
	/* a fault comes again when the instruction is executed again, with the right context for the core */
}

/* No handler may run here: the signal waits for the process, this M takes no other until its critical section ends. */
static void put_off(int sig, siginfo_t *info, void *uc)
{
	struct m *mp = grt__self.m;
	siginfo_t again = *info;
	again.si_errno = info->si_code;
	again.si_code = SI_PUT_OFF;
	grt__sys3(SYS_rt_sigqueueinfo, grt__sys_getpid(), sig, &again);
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

static void sig_entry(int sig, siginfo_t *info, void *uc)
{
	if (info->si_code == SI_PUT_OFF) {
		info->si_code = info->si_errno;
		info->si_errno = 0;
	}
	struct grt_ksigaction act = *action_of(sig);
	struct g *gp = grt__self.g;
	bool sync = synchronous(sig, info);
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
		run_foreign(sig, info, uc, &act);
		return;
	}
	if (gp->is_g0 || grt__self.crit) {
		if (sync) {
			die(sig, info, uc); /* a fault of ours */
			return;
		}
		put_off(sig, info, uc);
		return;
	}
	if (act.flags & SA_RESETHAND)
		action_of(sig)->handler = SIG_DFL;
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
	k->flags = (k->flags & ~(unsigned long)(SA_NODEFER)) | SA_SIGINFO | SA_ONSTACK;
	k->mask = ~0ull;
}

int grt__signal_action(int sig, const struct grt_ksigaction *act, struct grt_ksigaction *old)
{
	if (sig < 1 || sig > NSIG_MAX || sig == 32 || sig == GRT_SIGRT || (act && (sig == SIGKILL || sig == SIGSTOP)))
		return -EINVAL;
	bool task = grt__self.g != NULL;
	if (task)
		grt__enter();
	grt_lock(&signal_lock);
	struct grt_ksigaction *now = action_of(sig);
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
	grt_unlock(&signal_lock);
	if (task)
		grt__leave();
	return (int)r;
}

int grt__signal_altstack(const stack_t *ss, stack_t *old)
{
	struct g *gp = grt__self.g;
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	bool on = gp->altstack_size && sp - (uintptr_t)gp->altstack_sp < gp->altstack_size;
	if (old) {
		old->ss_sp = gp->altstack_sp;
		old->ss_size = gp->altstack_size;
		old->ss_flags = on ? SS_ONSTACK : gp->altstack_size ? 0 : SS_DISABLE;
	}
	if (!ss)
		return 0;
	if (on)
		return -EPERM;
	if (ss->ss_flags & ~(int)(SS_DISABLE | SS_ONSTACK | (1u << 31) /* SS_AUTODISARM */))
		return -EINVAL;
	if (ss->ss_flags & SS_DISABLE) {
		gp->altstack_sp = NULL;
		gp->altstack_size = 0;
	} else if (ss->ss_size < 2048) {
		return -ENOMEM;
	} else {
		gp->altstack_sp = ss->ss_sp;
		gp->altstack_size = ss->ss_size;
		gp->has_altstack = 1;
	}
	return 0;
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

/* What is pending for the calling kernel thread alone; sigpending does not tell it from what any thread may take. */
static uint64_t thread_pending(void)
{
	char text[2048];
	uint64_t set = 0;
	long fd = grt__sys_open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	long n = grt__sys_read((int)fd, text, sizeof text - 1);
	grt__sys_close((int)fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	const char *p = strstr(text, "\nSigPnd:\t");
	if (!p)
		return 0;
	for (p += 9; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
		set = set << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return set;
}

void grt__signal_adopt_pending(void)
{
	uint64_t any = 0, mine;
	grt__sys2(SYS_rt_sigpending, &any, sizeof any);
	while ((any & ~GRT_MASK_LIBC) && (mine = thread_pending() & ~GRT_MASK_LIBC) != 0) {
		struct timespec now = {0, 0};
		siginfo_t info;
		uint64_t one = mine & -mine;
		long sig = grt__sys4(SYS_rt_sigtimedwait, &one, &info, &now, sizeof one);
		if (sig <= 0)
			return;
		grt__signal_send(&grt__main_g, (int)sig, &info);
	}
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

/* ---- the bell ---- */

static int bell_fd = -1;
static uint64_t bell_mask = GRT_MASK_ALL; /* what the signalfd reports */
enum { BELL_FD_AT = 900 };

int grt__signal_bell_fd(void)
{
	return bell_fd;
}

int grt__signal_high_fd(int fd)
{
	long high = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, BELL_FD_AT);
	if (high < 0)
		return fd;
	grt__sys_close(fd);
	return (int)high;
}

void grt__signal_bell_open(void)
{
	long fd = grt__sys4(SYS_signalfd4, -1, &bell_mask, 8, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	bell_fd = grt__signal_high_fd((int)fd);
}

void grt__signal_bell_close(void)
{
	if (bell_fd >= 0)
		grt__sys_close(bell_fd);
	bell_fd = -1;
}

void grt__signal_bell_all(void)
{
	uint64_t all = GRT_MASK_ALL;
	if (grt_load_relaxed(&bell_mask) == all || bell_fd < 0)
		return;
	grt_store_relaxed(&bell_mask, all);
	grt__sys4(SYS_signalfd4, bell_fd, &all, 8, 0);
}

struct taker {
	uint64_t pending;
	struct g *gp;
	uint64_t takes; /* union of what anybody would take */
};

static void find_taker(struct g *gp, void *arg)
{
	struct taker *t = arg;
	if (gp->internal)
		return;
	uint64_t takes = t->pending & ~gp->sigmask;
	t->takes |= takes;
	if (takes && !t->gp) /* main comes first in the table, as the kernel prefers it */
		t->gp = gp;
}

/* sysmon: something is pending that no running kernel thread takes. */
void grt__signal_bell(short revents)
{
	struct taker t = {0};
	if (!(revents & 1 /* POLLIN */)) {
		bell_fd = -1; /* the program closed it: process-directed signals wait for a task to run */
		grt__signal_bell_open();
		return;
	}
	grt__sys2(SYS_rt_sigpending, &t.pending, 8);
	t.pending &= bell_mask;
	grt__allg_for_each(find_taker, &t);
	if (t.gp && grt_load_acquire(&t.gp->status) == G_WAITING) {
		grt_store_seqcst(&t.gp->sigpending, 1);
		prod(t.gp);
	}
	if (t.takes != t.pending) { /* nobody wants these now: look again when a mask opens */
		uint64_t mask = bell_mask & ~(t.pending & ~t.takes);
		grt_store_relaxed(&bell_mask, mask);
		grt__sys4(SYS_signalfd4, bell_fd, &mask, 8, 0);
	} else {
		struct timespec pause = {0, 200000};
		grt__sys2(SYS_nanosleep, &pause, NULL); /* its taker is on the way */
	}
}

void grt__signal_fork_child(struct m *mp)
{
	grt_lock_init(&signal_lock, GRT_RANK_SIGNAL);
	grt__broadcast_fork_child();
	free_nodes = NULL;
	survivor = grt__self.g;
	survivor->sigqueue = NULL;
	survivor->sigpending = 0;
	grt__clock_fork_child();
	grt__signal_bell_close(); /* a signalfd reports for the process that polls it, but its wait queue is the parent's */
	(void)mp;
}
