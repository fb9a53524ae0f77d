/* Directed signals: queued on the task, and passed on to the kernel thread that runs it (signal.h). */
#include "os/os.h"
#include "sched/pin.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct grt_lock grt__signal_lock = GRT_LOCK_INIT(GRT_RANK_SIGNAL);
static struct g_signal *free_nodes; /* signal lock */

#define BIT(sig) GRT_SIGBIT(sig)

uint64_t grt__signalfd_mask;

/* Owner task, after it has changed its mask: has it something queued that the mask lets through now? The sender queues, then looks at
 * the mask; one of the two sees the other. */
bool grt__signal_queue_opened(struct g *gp)
{
	bool any = false;
	grt_fence_seqcst();
	if (grt_likely(!grt_load_relaxed(&gp->sigqueue)))
		return false;
	grt_lock(&grt__signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		any |= !(gp->sigmask & BIT(n->info.si_signo));
	if (any)
		grt_store_seqcst(&gp->sigpending, 1);
	grt_unlock(&grt__signal_lock);
	return any;
}

void grt__signal_look_again(struct g *gp)
{
	if (grt__signal_queue_opened(gp))
		grt__self.attention |= ATTN_SIGNAL;
}

/*
 * The kernel refuses a real-time signal while the user's processes together have as many queued as RLIMIT_SIGPENDING allows. What is on
 * its way through us must not be lost for that: it stays where it is, or in one of these, and sysmon has it tried again.
 */
static struct {
	uint32_t state; /* atomic */
	siginfo_t info;
} refused[64];
enum { FREE, FILLING, FULL };
static uint32_t queue_full; /* atomic: something waits */

static void queue_is_full(void)
{
	grt_store_seqcst(&queue_full, 1);
	grt__sysmon_wake();
}

void grt__signal_to_process(int sig, const siginfo_t *info)
{
	if (grt_likely(grt__sys3(SYS_rt_sigqueueinfo, grt__sys_getpid(), sig, info) != -EAGAIN))
		return;
	for (size_t i = 0; i < GRT_COUNT(refused); i++)
		if (grt_cas(&refused[i].state, FREE, FILLING)) {
			refused[i].info = *info;
			grt_store_release(&refused[i].state, FULL);
			break;
		}
	queue_is_full();
}

static void find_stuck(struct g *gp, void *found)
{
	if (!*(struct g **)found && grt_load_relaxed(&gp->signal_stuck))
		*(struct g **)found = gp;
}

bool grt__signal_refused(void)
{
	return grt_load_seqcst(&queue_full) != 0;
}

bool grt__signal_try_again(void)
{
	if (grt_likely(!grt_load_relaxed(&queue_full)) || !grt_xchg_seqcst(&queue_full, 0))
		return false;
	for (size_t i = 0; i < GRT_COUNT(refused); i++) {
		siginfo_t *info = &refused[i].info;
		if (grt_load_acquire(&refused[i].state) != FULL)
			continue;
		if (grt__sys3(SYS_rt_sigqueueinfo, grt__sched.pid, info->si_signo, info) == -EAGAIN)
			grt_store_seqcst(&queue_full, 1);
		else
			grt_store_release(&refused[i].state, FREE);
	}
	for (;;) {
		struct g *gp = NULL;
		grt__allg_for_each(find_stuck, &gp);
		if (!gp)
			return true;
		grt_store_relaxed(&gp->signal_stuck, 0);
		grt__signal_prod(gp, true);
	}
}

/* Only the thread whose id is the process's may queue a siginfo with a code that the kernel uses itself; tgkill makes the same
 * SI_TKILL from any. */
static long send_to_thread(int tid, siginfo_t *info)
{
	if (info->si_code == SI_TKILL)
		return grt__os_tgkill(grt__sched.pid, tid, info->si_signo);
	return grt__sys_tgsigqueue(grt__sched.pid, tid, info->si_signo, info);
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

static void node_put_locked(struct g_signal *n)
{
	n->next = free_nodes;
	free_nodes = n;
}

void grt__interrupt(struct g *gp)
{
	if (grt_cas(&gp->park.state, PARK_PARKED, PARK_PREPARED))
		grt__ready(gp);
}

static void kick_runner(struct g *gp)
{
	struct m *mp;
	grt__os_membarrier(); /* pairs with grt__switch */
	if ((mp = grt_load_acquire(&gp->m)) && grt_load_relaxed(&mp->curg) == gp)
		grt__preempt_kick(mp);
}

/* The task has something to deliver: make it look. sigpending is set. */
static void prod(struct g *gp)
{
	if (grt_load_seqcst(&gp->park.state) == PARK_PARKED) {
		grt__interrupt(gp);
		return;
	}
	if (gp == grt__self.g)
		return;
	/* Running, or on its way into or out of parking: its M's signal makes it look. If it is on no M, or moves on now, then the switch
	 * that brings it back, or the park's commit, sees sigpending. */
	kick_runner(gp);
}

void grt__signal_prod(struct g *gp, bool kick)
{
	grt_store_seqcst(&gp->sigpending, 1);
	if (kick)
		prod(gp);
	else
		grt__interrupt(gp);
}

/* Signal lock held. It waits in the kernel, on its M, for just this, or may look at a signalfd there. False: it must be queued. */
static bool send_lent_locked(struct g *gp, int sig, const siginfo_t *info, long *r)
{
	if (!(gp->sigwait_set & BIT(sig)))
		return false;
	siginfo_t copy = *info;
	copy.si_signo = sig;
	*r = send_to_thread(gp->m->tid, &copy);
	if (*r < 0 && *r != -EAGAIN)
		return false;
	gp->lent = 1;
	return true;
}

static bool queue_locked(struct g *gp, int sig, const siginfo_t *info)
{
	struct g_signal **tail = &gp->sigqueue, *n;
	for (; (n = *tail); tail = &n->next)
		if (n->info.si_signo == sig && sig < 34)
			return true; /* a standard signal is pending once */
	if (!(n = node_get_locked()))
		return false;
	n->info = *info;
	n->info.si_signo = sig;
	n->next = NULL;
	*tail = n;
	gp->has_queue = 1;
	return true;
}

/* Signal lock held. Queued, or with the kernel already: *look says whether the task must be made to look. 0 or -errno. */
static long give_locked(struct g *gp, int sig, const siginfo_t *info, bool *look)
{
	long r;
	*look = false;
	if (send_lent_locked(gp, sig, info, &r))
		return r;
	r = queue_locked(gp, sig, info) ? 0 : -EAGAIN;
	grt_store_seqcst(&gp->sigpending, 1);
	*look = r == 0 && (!(gp->sigmask & BIT(sig)) || (gp->suspend_open & BIT(sig)) || (gp->sigwait_set & BIT(sig)) ||
	                   (grt_load_relaxed(&grt__signalfd_mask) & BIT(sig) && grt_load_seqcst(&gp->status) == G_SYSCALL));
	return r;
}

bool grt__signal_send_sig(struct g *gp, int sig, const siginfo_t *info)
{
	bool look;
	grt_lock(&grt__signal_lock);
	long r = give_locked(gp, sig, info, &look);
	grt_unlock(&grt__signal_lock);
	if (look && grt_cas(&gp->park.state, PARK_PARKED, PARK_PREPARED))
		grt__ready_sig(gp);
	else if (look)
		kick_runner(gp);
	return r == 0;
}

int grt__signal_send(struct g *gp, int sig, const siginfo_t *info)
{
	if (sig < 0 || sig > 64 || sig == 32 || sig == GRT_SIGRT)
		return -EINVAL;
	if (sig == 0)
		return 0;
	bool task = grt__self.g && !grt__self.g->is_g0; /* sysmon sends the signals of timers */
	if (task)
		grt__enter();
	grt_lock(&grt__signal_lock);
	bool look;
	long r = give_locked(gp, sig, info, &look);
	grt_unlock(&grt__signal_lock);
	if (look)
		prod(gp);
	if (r == 0 && gp == grt__self.g && task)
		grt__self.attention |= ATTN_SIGNAL;
	if (task)
		grt__leave();
	return (int)r;
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

enum grt_flushed grt__signal_flush_queue(struct m *mp, struct g *gp, uint64_t mask)
{
	bool handled = false, hard = false;
	struct g_signal *n;
	grt__pin_asked(mp, gp);
	/* With crit set and signals blocked here, and the lock's other holders running elsewhere, this wait is short. */
	grt_lock(&grt__signal_lock);
	/* One with a handler at a time: the handler may move the task to another M, where the next, sent to this one, would miss it.
	 * run_handler sends it. */
	while (!handled && (n = take_first_locked(gp, mask))) {
		const struct grt_ksigaction *act = grt__signal_action_of(n->info.si_signo);
		handled = act->handler != SIG_DFL && act->handler != SIG_IGN;
		hard = handled && !(act->flags & SA_RESTART);
		if (handled)
			gp->passed = (uint8_t)n->info.si_signo;
		if (grt_unlikely(send_to_thread(grt__sys_gettid(), &n->info) == -EAGAIN)) {
			n->next = gp->sigqueue; /* still the oldest of its number */
			gp->sigqueue = n;
			gp->passed = 0;
			handled = false;
			grt_store_relaxed(&gp->signal_stuck, 1);
			queue_is_full();
			break;
		}
		node_put_locked(n);
	}
	grt_store_seqcst(&gp->sigpending, 0); /* what stays is looked at when the handler begins, or when the mask opens */
	grt_unlock(&grt__signal_lock);
	return hard ? FLUSHED_HARD : handled ? FLUSHED_SOFT : FLUSHED_NOTHING;
}

uint64_t grt__signal_queued(struct g *gp)
{
	uint64_t set = 0;
	grt__enter();
	grt_lock(&grt__signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		set |= BIT(n->info.si_signo);
	grt_unlock(&grt__signal_lock);
	grt__leave();
	return set;
}

/* ---- signals that the task's kernel thread holds for it ---- */

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

/* Takes one that is pending for the calling kernel thread alone and in `set`; the kernel looks at those first. 0: none. */
static int take_from_thread(uint64_t set, siginfo_t *info)
{
	struct timespec now = {0, 0};
	uint64_t any = 0, one;
	grt__sys2(SYS_rt_sigpending, &any, sizeof any);
	if (!(any & set) || !(one = thread_pending() & set))
		return 0;
	one &= -one;
	long sig = grt__sys4(SYS_rt_sigtimedwait, &one, info, &now, sizeof one);
	return sig > 0 ? (int)sig : 0;
}

void grt__signal_adopt_pending(void)
{
	siginfo_t info;
	int sig;
	while ((sig = take_from_thread(~GRT_MASK_LIBC, &info)))
		grt__signal_send(&grt__main_g, sig, &info);
}

/* Own M, critical. */
static void lend(struct g *gp, uint64_t set)
{
	struct g_signal **link = &gp->sigqueue, *n;
	grt_lock(&grt__signal_lock);
	gp->sigwait_set |= set;
	while ((n = *link)) {
		if (!(set & BIT(n->info.si_signo)) || send_to_thread(grt__sys_gettid(), &n->info) < 0) {
			link = &n->next;
			continue;
		}
		gp->lent = 1;
		*link = n->next;
		node_put_locked(n);
	}
	grt_unlock(&grt__signal_lock);
}

void grt__signalfd_lend(struct g *gp)
{
	uint64_t set = grt_load_relaxed(&grt__signalfd_mask) & gp->sigmask;
	if (set | gp->sigwait_set)
		lend(gp, set | gp->sigwait_set);
}

void grt__sigwait_withdraw(struct g *gp)
{
	struct g_signal *back = NULL, **tail = &back, *n;
	siginfo_t info;
	grt_lock(&grt__signal_lock);
	uint64_t set = gp->sigwait_set;
	bool lent = gp->lent;
	gp->sigwait_set = 0;
	gp->lent = 0;
	grt_unlock(&grt__signal_lock);
	while (lent && take_from_thread(set, &info)) {
		grt_lock(&grt__signal_lock);
		if ((n = node_get_locked())) {
			n->info = info;
			n->next = NULL;
			*tail = n;
			tail = &n->next;
		}
		grt_unlock(&grt__signal_lock);
	}
	if (!back)
		return;
	/* Before what was queued meanwhile; a standard signal is pending once. */
	grt_lock(&grt__signal_lock);
	uint64_t seen = 0;
	for (n = back; n; n = n->next)
		seen |= BIT(n->info.si_signo);
	*tail = gp->sigqueue;
	gp->sigqueue = back;
	for (struct g_signal **link = tail; (n = *link);) {
		if (n->info.si_signo >= 34 || !(seen & BIT(n->info.si_signo))) {
			link = &n->next;
			continue;
		}
		*link = n->next;
		node_put_locked(n);
	}
	gp->has_queue = 1;
	grt_unlock(&grt__signal_lock);
}

int grt__sigwait_begin(uint64_t set, siginfo_t *info)
{
	struct g *gp = grt__self.g;
	int sig = 0;
	grt__enter();
	grt_lock(&grt__signal_lock);
	struct g_signal *n = take_first_locked(gp, ~set);
	if (n) {
		*info = n->info;
		sig = info->si_signo;
		node_put_locked(n);
	}
	grt_unlock(&grt__signal_lock);
	grt__leave();
	while (!sig) {
		grt__block_enter(true);
		grt__self.crit++;
		grt_barrier();
		gp->suspend_kick = 0;
		lend(gp, set);
		grt_barrier();
		grt__self.crit--;
		grt_barrier();
		if (grt_likely(!(grt__self.attention & ATTN_SIGNAL))) /* else: as grt__block_enter */
			break;
		grt__block_exit();
	}
	return sig;
}

bool grt__sigwait_end(void)
{
	struct g *gp = grt__self.g;
	grt__block_exit();
	return gp->suspend_kick;
}

/* ---- waits with a mask of their own ---- */

bool grt__suspend_begin(uint64_t mask)
{
	struct g *gp = grt__self.g;
	uint64_t all = ~0ull;
	bool due = false;
	mask &= ~GRT_MASK_NEVER;
	grt__block_enter(true);
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL); /* for this section only: M's kmask stays */
	grt_lock(&grt__signal_lock);
	for (struct g_signal *n = gp->sigqueue; n; n = n->next)
		due |= !(mask & BIT(n->info.si_signo));
	if (!due) {
		gp->suspend_open = ~mask;
		gp->suspend_mask = mask;
		gp->suspended = 1;
		gp->suspend_kick = 0;
	}
	grt_unlock(&grt__signal_lock);
	if (due) {
		grt__sys_sigprocmask(SIG_SETMASK, &gp->sigmask, NULL);
		grt__block_exit();
	}
	return !due;
}

/* Signals blocked. */
void grt__suspend_over(struct g *gp)
{
	gp->suspended = 0;
	grt_store_relaxed(&gp->suspend_open, 0); /* who saw it still only kicks once too often */
}

void grt__suspend_left(struct g *gp)
{
	grt__suspend_over(gp);
	grt__sys_sigprocmask(SIG_SETMASK, &gp->sigmask, NULL);
}

bool grt__suspend_end(void)
{
	struct g *gp = grt__self.g;
	if (gp->suspended) /* else a handler ran, and its end has set the mask */
		grt__suspend_left(gp);
	/* The kick left them queued, for the call's mask did not matter to it. */
	if (grt_load_relaxed(&gp->sigqueue)) {
		grt_store_seqcst(&gp->sigpending, 1);
		grt__self.attention |= ATTN_SIGNAL;
	}
	grt__block_exit();
	return gp->suspend_kick;
}

void grt__suspend_deliver(uint64_t mask)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	mask &= ~GRT_MASK_NEVER;
	grt__m_set_mask(mp, GRT_MASK_ALL);
	gp->suspend_mask = mask;
	gp->suspended = 1;
	grt__signal_flush_queue(mp, gp, mask);
	mp->kmask = mask;
	grt_barrier();
	grt__self.crit = 0;
	grt_barrier();
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL); /* handlers run here, and go back to the task's own mask */
	mp = grt__enter();
	if (gp->suspended)
		grt__suspend_over(gp);
	grt__m_set_mask(mp, gp->sigmask);
	grt__signal_look_again(gp);
	grt__leave();
}

void grt__sigqueue_drop(struct g *gp)
{
	struct g_signal *n;
	grt_lock(&grt__signal_lock);
	while ((n = gp->sigqueue)) {
		gp->sigqueue = n->next;
		node_put_locked(n);
	}
	gp->has_queue = 0;
	grt_unlock(&grt__signal_lock);
}

void grt__sigqueue_fork_child(struct g *gp)
{
	grt_lock_init(&grt__signal_lock, GRT_RANK_SIGNAL);
	free_nodes = NULL;
	for (size_t i = 0; i < GRT_COUNT(refused); i++)
		refused[i].state = FREE; /* what was on its way was the parent's */
	queue_full = gp->signal_stuck = 0;
	gp->sigqueue = NULL;
	gp->sigpending = 0;
}
