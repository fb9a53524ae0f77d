/*
 * Asynchronous preemption.
 *
 * The runtime's signal interrupts the M; the handler runs on gsignal. If the interrupted code is a task's own (not ours, not
 * the loader's), the kernel's frame is copied into a buffer of the task's and the M goes on with another task. The copy is resumed by sigreturn, on any
 * M: nothing is pushed on the task's stack, so it works on whatever stack SP was, however little of it was left.
 */
#include "arch/sigctx.h"
#include "elf/peek.h"
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/cancel.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <errno.h>
#include <link.h>

uint32_t grt__preempt_off, grt__preempt_stress;

struct text {
	uintptr_t lo, hi;
};
enum { RESUME_STACK = 2048, LIBC_TRIES = 8 };
static struct text ours;   /* libgrt */
static struct text libc;   /* a task may hold a lock of libc's here */
static struct text loader; /* here it may hold the one that making an M takes */

static bool within(const struct text *t, uintptr_t pc)
{
	return pc - t->lo < t->hi - t->lo;
}

/* Bounds of the exported functions' section, from the linker. */
extern const char __start_grt_user_text[] __attribute__((visibility("hidden")));
extern const char __stop_grt_user_text[] __attribute__((visibility("hidden")));

static bool is_runtime(uintptr_t pc)
{
	struct text user = {(uintptr_t)__start_grt_user_text, (uintptr_t)__stop_grt_user_text};
	return within(&ours, pc) && !within(&user, pc);
}

bool grt__pc_is_ours(uintptr_t pc)
{
	return within(&ours, pc);
}

static bool ends_with_part(const char *path, const char *part)
{
	const char *base = path;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			base = p + 1;
	while (*part && *base == *part)
		base++, part++;
	return *part == '\0';
}

static int note_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	struct text t = {UINTPTR_MAX, 0};
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
			continue;
		uintptr_t lo = info->dlpi_addr + ph->p_vaddr;
		if (lo < t.lo)
			t.lo = lo;
		if (lo + ph->p_memsz > t.hi)
			t.hi = lo + ph->p_memsz;
	}
	if (!t.hi)
		return 0;
	if (within(&t, (uintptr_t)grt__ctx_switch)) {
		ours = t;
		return 0;
	}
	const char *name = info->dlpi_name ? info->dlpi_name : "";
	if (ends_with_part(name, "libc.so."))
		libc = t;
	if (ends_with_part(name, "ld-linux"))
		loader = t;
	return 0;
}

void grt__preempt_kick(struct m *mp)
{
	if (mp->tid)
		grt__kick_tid(mp->tid);
}

void grt__preempt_ask(struct m *mp)
{
	grt_store_release(&mp->preempt, 1); /* pairs with the handler's exchange */
	grt__preempt_kick(mp);
}

void grt__kick_tid(int tid)
{
	if (grt__os_tgkill(grt__sched.pid, tid, GRT_SIGRT) == -EAGAIN && grt__signal_urgent_on())
		grt__os_tgkill(grt__sched.pid, tid, SIGURG);
}

/* On the buffer's small stack, critical, everything but the runtime's signal blocked. */
static const struct grt_ctx_last *resume(void *arg)
{
	struct g *gp = arg;
	struct m *mp = grt__self.m;
	ucontext_t *uc = (ucontext_t *)((char *)gp->frame_uc);
	uint64_t all = ~0ull;
	/* The runtime's signal too: one that comes after the looks below must meet the task, not this code, which would forget it. */
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	gp->preempted = 0;
	uc->uc_stack = (stack_t){.ss_sp = mp->gsignal, .ss_size = mp->gsignal_size};
	if (grt_unlikely(grt_load_seqcst(&gp->sigpending)))
		grt__signal_flush_queue(mp, gp, grt__uc_mask(uc));
	if (grt_unlikely(
			grt__cancel_due_at(grt__uc_pc(uc)))) /* the signal that acts on it comes with the first instruction */
		grt__preempt_kick(mp);
	/* What it was about to look at stays: signals put off, with everything blocked until it does. */
	grt__self.attention &= (uint8_t)~ATTN_PREEMPT;
	mp->kmask = grt__uc_mask(uc);
	grt_barrier();
	grt__self.crit = 0;
	grt_barrier();
	grt__sigreturn(grt__sigframe_of(uc));
}

/* Copies the frame and prepares gp to be resumed from it. False: no memory. */
static bool save_frame(struct g *gp, void *uc)
{
	size_t n = grt__sigframe_bytes(uc), need = RESUME_STACK + n + 2 * GRT_SIGFRAME_ALIGN;
	if (gp->frame_size < need) {
		if (gp->frame)
			grt__os_free(gp->frame, gp->frame_size);
		need = (need + 4095) & ~4095ul;
		gp->frame = grt__os_alloc(need);
		gp->frame_size = gp->frame ? need : 0;
		if (!gp->frame)
			return false;
	}
	uintptr_t src = (uintptr_t)grt__sigframe_of(uc);
	uintptr_t dst =
		((uintptr_t)gp->frame + RESUME_STACK + GRT_SIGFRAME_ALIGN - 1) & ~(uintptr_t)(GRT_SIGFRAME_ALIGN - 1);
	dst += src % GRT_SIGFRAME_ALIGN;
	gp->frame_uc = grt__sigframe_copy((char *)dst, uc);
	struct grt_ctx_birth *birth = (struct grt_ctx_birth *)((char *)gp->frame + RESUME_STACK) - 1;
	*birth = (struct grt_ctx_birth){.stack_hi = (char *)birth, .fn = resume, .arg = gp};
	grt__ctx_make(&gp->ctx, birth);
	return true;
}

/* On gsignal, everything blocked, crit == 1. Returns if there is nobody to make room for. */
static void preempt_now(struct m *mp, struct g *gp, void *uc)
{
	bool has_p = grt_load_relaxed(&mp->p->word) == mp->running_word;
	if (!has_p) {
		uint64_t word = grt_load_relaxed(&mp->p->word);
		if (mp->p != &grt__no_p && P_STATUS(word) == P_RETAKING && P_MID(word) == mp->id &&
		    P_SEQ(word) == P_SEQ(mp->running_word) && grt_cas(&mp->p->word, word, mp->running_word))
			return;
		mp->p = &grt__no_p;
		grt__self.mcache = NULL;
		grt__m_came_in(mp);
		if (grt__acquire_idle_p(mp))
			return;
	}
	if (!save_frame(gp, uc))
		return;
	gp->preempted = 1;
	grt_store_relaxed(&gp->status, G_RUNNABLE);
	mp->kmask = ~0ull; /* as the kernel set it for this handler */
	/* Inside libc it may hold a lock that others will sleep for in the kernel, each on an M of its own: it comes back soon. */
	grt_commit commit = within(&libc, grt__uc_pc(uc)) ? grt__commit_urgq : grt__commit_globq;
	if (has_p)
		grt__schedule_jump(mp, commit, gp);
	grt__switch(mp, NULL, &mp->g0, commit, gp);
}

/* Inside libc the task may hold a lock of libc's. Most come out soon: sysmon asks again in 100 us. */
static bool wait_for_libc(struct m *mp, uintptr_t pc)
{
	return within(&libc, pc) && mp->p != &grt__no_p && grt_load_relaxed(&mp->p->preempt_tries) < LIBC_TRIES &&
	       !(grt__preempt_stress && (grt__cycles() & 64));
}

/* A debugger's breakpoint is at the task's next instruction: it waits for this kernel thread to come there. It has seen the task arrive
 * and steps over it, or steps from line to line and goes on from where the signal came; on another thread the task would arrive
 * there once more, and the one who waits would never be back. Soon it is past it. */
static bool at_breakpoint(uintptr_t pc)
{
	uint8_t instruction[GRT_BREAKPOINT_SIZE];
	return !grt__os.filtered && grt__peek_sig(pc, instruction, sizeof instruction) == sizeof instruction &&
	       grt__is_breakpoint(instruction);
}

/* SIGCHLD and its like may be pending for the process although nobody wants them: main had them blocked when they came. */
static bool any_handled(uint64_t set)
{
	for (; set; set &= set - 1) {
		const struct grt_ksigaction *act = grt__signal_action_of(__builtin_ctzll(set) + 1);
		if (act->handler != SIG_DFL && act->handler != SIG_IGN)
			return true;
	}
	return false;
}

/* No handler of the program's is due, so the call that was interrupted goes on. Not one with a mask of its own: it ends, for what is
 * queued may be for just that mask. Nor if there was another kick before, whose signal has not begun its handler yet. */
void grt__signal_redo_call(const struct g *gp, void *uc)
{
	uint64_t pending = 0;
	if (gp->suspended || grt__cancel_due()) /* libc acts on the request when the call has ended */
		return;
	/* It is still where a handler returned to: that one ended the call. */
	if (gp->ended_pc == grt__uc_pc(uc) && gp->ended_sp == grt__uc_sp(uc) && gp->ended_calls == gp->syscalls)
		return;
	grt__sys2(SYS_rt_sigpending, &pending, sizeof pending);
	if (!any_handled(pending & ~grt__uc_mask(uc)))
		grt__sigframe_redo_call(uc, grt__cancel_call_number(grt__uc_pc(uc), grt__uc_sp(uc)));
}

/*
 * An earlier kick has passed a signal on to this thread. The kernel takes the lower number first, so ours may come before it: the task
 * must stay to meet it, and nothing more may be passed on, for its handler may move the task. The handler's begin looks again. Gone, if
 * it is ignored by now.
 */
static bool still_coming(struct g *gp)
{
	uint64_t pending = 0;
	grt__sys2(SYS_rt_sigpending, &pending, sizeof pending);
	if (pending & GRT_SIGBIT(gp->passed))
		return true;
	gp->passed = 0;
	return false;
}

/* The runtime's signal, on gsignal (or, on a foreign thread or sysmon, wherever), everything blocked. */
void grt__preempt_signal(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	grt__broadcast_run();
	struct g *gp = grt__self.g;
	if (info->si_code == SI_TIMER && grt__signal_timer_hook) {
		grt__signal_timer_hook(info);
		return;
	}
	if (!gp || gp->is_g0)
		return;
	struct m *mp = grt__self.m;
	bool pending = grt_load_seqcst(&gp->sigpending);
	/* Most kicks are for signals, and one may come when its signal has been seen already: not for this does a task lose its place. */
	bool asked = grt_xchg_acqrel(&mp->preempt, 0);
	if (grt_unlikely(gp->passed) && !grt__self.crit && still_coming(gp))
		return;
	if (grt__self.crit) {
		pending |= grt__cancel_due_async();
		grt__self.attention |= (uint8_t)((asked ? ATTN_PREEMPT : 0) | (pending ? ATTN_SIGNAL : 0));
		return;
	}
	grt__self.crit = 1;
	grt_barrier();
	gp->suspend_kick = 1;
	enum grt_flushed sent = pending ? grt__signal_flush_queue(mp, gp, grt__uc_mask(uc)) : FLUSHED_NOTHING;
	/* A handler first: it may move the task, and the beginning of it asks again for the cancellation. */
	if (grt_unlikely(grt__cancel_due_at(grt__uc_pc(uc))) && !grt__self.in_vfork && sent == FLUSHED_NOTHING) {
		grt_barrier();
		grt__self.crit = 0;
		grt__signal_cancel(info, uc);
	}
	if (pending) { /* they are delivered when this handler returns */
		if (sent == FLUSHED_HARD && grt__self.in_block)
			grt__sigframe_end_call(uc);
		if (grt_unlikely(grt__uc_mask(uc) & ~gp->sigmask)) /* about to open its mask: it looks again then */
			grt__signal_look_again(gp);
		if (grt__self.in_block && sent == FLUSHED_NOTHING) {
			grt__signalfd_lend(gp);
			grt__signal_redo_call(gp, uc);
		}
	} else if (grt__self.in_block) {
		grt__signal_redo_call(gp, uc);
	}
	uintptr_t pc = grt__uc_pc(uc);
	/* What was just sent to this thread must meet this task. */
	if (!asked || pending || grt__self.in_block || grt__self.in_vfork || mp->p->is_own || grt__preempt_off ||
	    within(&loader, pc) || wait_for_libc(mp, pc))
		;
	else if (is_runtime(pc))
		grt__self.attention |= ATTN_PREEMPT;
	else if (!at_breakpoint(pc))
		preempt_now(mp, gp, uc);
	grt_barrier();
	grt__self.crit = 0;
}

static void listen_again(void)
{
	struct grt_ksigaction act = {
		.handler = (void *)grt__preempt_signal,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | 0x04000000 /* SA_RESTORER */,
		.restorer = (void *)grt__sigrestorer,
		.mask = ~0ull,
	};
	grt__sys_sigaction(GRT_SIGRT, &act, NULL);
}

void grt__preempt_init(void)
{
	dl_iterate_phdr(note_text, NULL);
	listen_again();
}

void grt__preempt_exec_begin(void)
{
	struct grt_ksigaction ignore = {.handler = (void *)SIG_IGN};
	grt__sys_sigaction(GRT_SIGRT, &ignore, NULL);
}

void grt__preempt_exec_failed(void)
{
	listen_again();
	/* Whatever was sent meanwhile: everybody looks. */
	for (struct m *mp = grt_load_acquire(&grt__sched.allm); mp; mp = mp->all_next)
		if (mp->tid)
			grt__preempt_kick(mp);
	if (grt__sched.sysmon_tid)
		grt__kick_tid(grt__sched.sysmon_tid);
}
