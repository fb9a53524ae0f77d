/*
 * sysmon: one kernel thread without a P that does what nobody else can (Go's sysmon, but asleep when there is nothing to watch).
 *
 *   - takes Ps from Ms that sit in the kernel while work waits: announced (SYSCALL) and unannounced (HACKING.md, "Retaking");
 *   - preempts tasks that run longer than a slice while work waits;
 *   - wakes an M for a task stuck in runnext behind a waker that does not park;
 *   - makes Ms; keeps the promise to look at timers; is the bell for signals that nobody takes (signal.c).
 *
 * While work waits or tasks are being switched it looks every 20 us at first and backs off to 10 ms; otherwise it sleeps in ppoll
 * until a promise, a bell, or grt__sysmon_wake (the runtime's signal, unblocked only inside ppoll, so never lost).
 */
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/clock.h"
#include "sched/netpoll.h"
#include "sched/proc.h"
#include "sched/tidy.h"
#include "sched/signal.h"
#include "sched/stack.h"
#include "sched/tcb.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define sched grt__sched

/* A slice as short as the kernel's own: tasks that spin for each other in user code (redis's io-threads, OpenMP with more tasks
 * than Ps) lose a whole slice at each hand-over, and under the kernel that is 3 to 4 ms. Go's 10 ms made redis 4 times slower. */
enum { SLICE_NS = 4000000, URGENT_SLICE_NS = 1000000, PREEMPT_TRIES = 64, PREEMPT_AGAIN_NS = 100000 };
enum {
	TRIAL_STACK = 4096,
	FIRST_LOOK_NS = 20000,
	LAST_LOOK_NS = 4000000,
	URGENT_LOOK_NS = 500000,
	SYSMON_STACK = 128 << 10
};
/* Rounds without a change before sysmon goes to sleep, if tasks wait for descriptors: up to 5 ms, so that it need not be woken for each
 * of several events a second. */
enum { NET_QUIET = 8 };
enum { M_RETRY_NS = 100000000, NO_BELL_NS = 20000000 };

void (*grt__schedtrace_hook)(int64_t now);
int64_t grt__schedtrace_next = GRT_FOREVER; /* when the hook wants to run again */

static struct {
	uint32_t verdict; /* futex: 0 wait, 1 proved, 2 failed */
	const char *why;
	char *stack;
	int tid;
} birth;

static struct m sysmon_m; /* for the signal entry: FS base of this thread finds a g0 that is never scheduled */

void grt__sysmon_wake(void)
{
	/* Only the one that ends the sleep sends; the exchange pairs with the store in sleep_deep. */
	if (grt_load_relaxed(&sched.sysmon_asleep) && grt_xchg_seqcst(&sched.sysmon_asleep, 0) && sched.sysmon_tid)
		grt__kick_tid(sched.sysmon_tid);
}

void grt__sysmon_promise(int64_t when)
{
	int64_t old = grt_load_relaxed(&sched.promised);
	while (when < old)
		if (__atomic_compare_exchange_n(&sched.promised, &old, when, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
			grt__sysmon_wake();
			return;
		}
}

/* Work that a P, if it were free, would get. */
static bool work_or_timer_waits(int64_t now)
{
	return grt__work_waits() || grt__timers_earliest() <= now;
}

/* ---- Ms in the kernel ---- */

static struct m *m_by_id(uint32_t id)
{
	for (struct m *mp = grt_load_acquire(&sched.allm); mp; mp = mp->all_next)
		if (mp->id == id)
			return mp;
	return NULL;
}

/* The M of this word has been in the same place since the last look: asleep in a call that nobody announced? */
static bool asleep_in_user_code(struct m *mp)
{
	int64_t cpu = grt__os_thread_cputime(mp->tid);
	if (cpu != mp->seen_cpu) {
		mp->seen_cpu = cpu;
		return false;
	}
	return grt__os_thread_asleep(mp->tid);
}

/* HACKING.md, "Retaking": steps 3 to 6. True if the P is ours now. */
static bool retake_running(struct p *pp, struct m *mp, uint64_t word)
{
	uint64_t retaking = P_WORD(P_RETAKING, mp->id, P_SEQ(word));
	if (!grt_cas(&pp->word, word, retaking))
		return false;
	struct grt_tls *tls = grt_load_acquire(&mp->cur);
	grt_store_relaxed(&tls->mcache, NULL);
	grt__os_membarrier();
	/* Either the M entered before the barrier, then its count is visible; or it enters after, then it sees RETAKING, and malloc no cache. If
	 * it runs another task by now it was in the scheduler meanwhile. */
	if (grt_load_acquire(&mp->cur) != tls || grt_load_acquire(&tls->crit)) {
		grt_cas(&pp->word, retaking, word);
		return false;
	}
	if (!grt_xchg_acqrel(&mp->retaken, 1))
		grt_add_relaxed(&sched.nretaken, 1);
	if (grt_cas(&pp->word, retaking, P_WORD(P_IDLE, 0, P_SEQ(word) + 1)))
		return true;
	grt__m_came_in(mp);
	return false;
}

/* One P. True if something was done. */
static bool look_at_p(struct p *pp, int64_t now, bool waits, int64_t slice)
{
	uint64_t word = grt_load_acquire(&pp->word);
	uint32_t schedtick = grt_load_relaxed(&pp->schedtick), syscalltick = grt_load_relaxed(&pp->syscalltick);
	bool same_call = syscalltick == pp->seen_syscalltick;
	bool leaving = grt_load_relaxed(&pp->retire) == P_LEAVING;
	pp->seen_syscalltick = syscalltick;
	/* A slice is a task's, whatever short calls it makes meanwhile. */
	if (schedtick != pp->seen_schedtick || !pp->seen_when) {
		pp->seen_schedtick = schedtick;
		pp->seen_when = now;
		pp->preempt_tries = 0;
		if (!leaving)
			return false;
	}
	if (!waits && !leaving)
		return false;
	bool used_up = now - pp->seen_when >= slice;
	if (P_STATUS(word) == P_SYSCALL) {
		/* In the kernel since the last look; or in one short call after the other, each ended by a signal, and seen here only. */
		if ((!same_call && !used_up) || !grt_cas(&pp->word, word, P_WORD(P_IDLE, 0, P_SEQ(word) + 1)))
			return false;
		grt__handoff_p(pp);
		return true;
	}
	if (P_STATUS(word) != P_RUNNING)
		return false;
	struct m *mp = m_by_id(P_MID(word));
	if (!mp || !mp->curg)
		return false;
	if (asleep_in_user_code(mp)) {
		if (!retake_running(pp, mp, word))
			return false;
		grt__handoff_p(pp);
		return true;
	}
	if ((leaving || used_up) && !grt__preempt_off) {
		/* A task that was inside the loader or the runtime goes on: ask again soon. */
		if (pp->preempt_tries < PREEMPT_TRIES || now - pp->preempt_sent >= slice) {
			pp->preempt_tries++;
			pp->preempt_sent = now;
			grt__preempt_ask(mp);
			return true;
		}
	}
	return false;
}

/* Ms that went on in user code after their P was taken must come in. */
static void call_in_retaken(void)
{
	for (struct m *mp = grt_load_acquire(&sched.allm); mp; mp = mp->all_next) {
		if (!grt_load_relaxed(&mp->retaken) || !mp->tid)
			continue;
		int64_t cpu = grt__os_thread_cputime(mp->tid);
		if (cpu != mp->seen_cpu) {
			mp->seen_cpu = cpu;
			grt__preempt_ask(mp);
		}
	}
}

/* An idle P while a task waits in some queue: nobody was woken because its waker was expected to park. */
static bool rouse(int64_t now)
{
	if (!grt_load_relaxed(&sched.npidle) || grt_load_relaxed(&sched.nspinning))
		return false;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.allp[i];
		if (grt__runq_empty(pp) || grt_load_relaxed(&pp->schedtick) != pp->seen_schedtick)
			continue;
		grt__wake_p_stuck();
		return true;
	}
	/* A P that was just taken from an M in the kernel may be the only one that sees a timer that is due. */
	if (grt_load_relaxed(&sched.globq_size) || grt__timers_earliest() <= now) {
		grt__wake_p(NULL);
		return true;
	}
	return false;
}

/* ---- sleeping ---- */

/* ppoll is refused (seccomp): short sleeps with the runtime's signal let through, and a look at the descriptors after each. A signal
 * that comes before the sleep ends none, so it costs a sleep. */
static long wait_without_ppoll(struct pollfd *fds, long n, int64_t deadline, uint64_t mask)
{
	int64_t left = deadline - grt__nanotime();
	struct timespec ts = {0, left < LAST_LOOK_NS ? left < 0 ? 0 : (long)left : LAST_LOOK_NS};
	uint64_t all = ~0ull;
	grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	grt__sys2(SYS_nanosleep, &ts, NULL);
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	return grt__sys3(SYS_poll, fds, n, 0);
}

static bool net_rang; /* the poller's descriptor ended the last sleep */

/* net_fd: the poller's, if it has to be watched too, or -1. */
static void wait_until(int64_t deadline, int net_fd)
{
	uint64_t mask = ~(1ull << (GRT_SIGRT - 1) | grt__signal_urgent_bit()), all = ~0ull;
	struct timespec ts, *tsp = NULL;
	/* negative ones are left out */
	struct pollfd fds[] = {{.fd = grt__signal_bell_fd(), .events = POLLIN},
	                       {.fd = grt__clock_fd(), .events = POLLIN},
	                       {.fd = net_fd, .events = POLLIN}};
	bool no_bell = fds[0].fd < 0; /* no descriptor to be had: look for signals from time to time */
	if (no_bell && deadline == GRT_FOREVER)
		deadline = grt__nanotime() + NO_BELL_NS;
	if (deadline != GRT_FOREVER) {
		int64_t left = deadline - grt__nanotime();
		if (left <= 0)
			return;
		ts.tv_sec = left / 1000000000;
		ts.tv_nsec = left % 1000000000;
		tsp = &ts;
	}
	long r = grt__sys5(SYS_ppoll, fds, GRT_COUNT(fds), tsp, &mask, 8);
	if (grt_unlikely(r == -EPERM || r == -ENOSYS))
		r = wait_without_ppoll(fds, GRT_COUNT(fds), deadline, mask);
	/* The program's handler for SIGURG may have come meanwhile, and its signal been put off, which leaves a mask behind. */
	if (r == -EINTR && mask != ~(1ull << (GRT_SIGRT - 1)))
		grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	if (no_bell)
		grt__signal_bell(0);
	if (r <= 0)
		return;
	if (fds[0].revents)
		grt__signal_bell(fds[0].revents);
	if (fds[1].revents)
		grt__clock_event(fds[1].revents);
	net_rang = fds[2].revents;
}

static bool anything_moved(void)
{
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		struct p *pp = sched.allp[i];
		if (pp->seen_schedtick != grt_load_relaxed(&pp->schedtick))
			return true;
	}
	return false;
}

/* No M was to be had (RLIMIT_NPROC, a limit of the cgroup's, memory): when sysmon tries again, and how long it waits then. */
static int64_t m_retry, m_pause;

static void sleep_deep(void)
{
	grt_store_seqcst(&sched.sysmon_asleep, 1);
	grt__os_membarrier(); /* pairs with the compiler barrier of those who queue work without an atomic exchange */
	int64_t now = grt__nanotime(), promise = grt_load_seqcst(&sched.promised);
	bool m_wanted = grt_load_seqcst(&sched.want_m);
	if (grt__work_waits() || (m_wanted && m_retry <= now) || promise <= now) {
		grt_store_seqcst(&sched.sysmon_asleep, 0);
		return;
	}
	if (m_wanted && m_retry < promise)
		promise = m_retry;
	int64_t tidy = grt__tidy_due(now);
	if (tidy < promise)
		promise = tidy;
	wait_until(promise < grt__schedtrace_next ? promise : grt__schedtrace_next, grt__net_sysmon_fd());
	grt_store_seqcst(&sched.sysmon_asleep, 0);
}

/* Timers came due while no M was asleep to see it: find one that can fire them. */
static void keep_promise(int64_t now)
{
	int64_t promise = grt_load_relaxed(&sched.promised);
	if (promise > now)
		return;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = grt_load_relaxed(&sched.nprocs); i < n; i++) /* retired Ps have nobody else */
		grt__timers_run(sched.allp[i], now);
	int64_t next = grt__timers_earliest();
	/* due ones are seen by their own M at its next pick, by an M woken here, or by preemption below */
	__atomic_compare_exchange_n(&sched.promised, &promise, next > now ? next : GRT_FOREVER, false, __ATOMIC_SEQ_CST,
	                            __ATOMIC_RELAXED);
	if (next <= now && grt_load_relaxed(&sched.npidle))
		grt__wake_p(NULL);
}

/* An M was wanted when none was idle. One at a time: the last one may not have reached its P yet. */
static void make_m(int64_t now)
{
	if (grt_load_acquire(&sched.m_starting) || now < m_retry)
		return;
	grt_store_seqcst(&sched.want_m, 0);
	grt_store_relaxed(&sched.m_refused, 0);
	if (!grt_load_seqcst(&sched.npidle))
		return;
	if (grt_load_relaxed(&sched.nmidle) || grt_load_relaxed(&sched.net_m)) {
		grt__wake_p(NULL);
		return;
	}
	/* An M born while credentials change would keep its maker's old ones. */
	bool held = grt__broadcast_hold();
	grt_store_seqcst(&sched.m_starting, 1);
	if (held && grt__m_new()) {
		m_retry = m_pause = 0;
	} else {
		grt_store_seqcst(&sched.m_starting, 0);
		grt_store_seqcst(&sched.want_m, 1);
		if (held) { /* no memory or no thread to be had: the tasks go on with the Ms there are */
			m_pause = m_pause ? m_pause * 2 < M_RETRY_NS ? m_pause * 2 : M_RETRY_NS : LAST_LOOK_NS / 4;
			m_retry = now + m_pause;
			grt_store_relaxed(&sched.m_refused, 1);
		}
	}
	if (held)
		grt__broadcast_release();
}

/* GODEBUG=preemptstress=1: every running task is interrupted again and again, whether somebody waits or not. */
static bool stress(void)
{
	bool running = false;
	uint32_t n = grt_load_acquire(&sched.nallp);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = grt_load_acquire(&sched.allp[i]->word);
		struct m *mp = P_STATUS(word) == P_RUNNING ? m_by_id(P_MID(word)) : NULL;
		if (mp && mp->curg) {
			running = true;
			grt__preempt_ask(mp);
		}
	}
	return running;
}

static void loop(void)
{
	int64_t pause = FIRST_LOOK_NS;
	unsigned quiet = 0;
	for (;;) {
		if (quiet >= (grt__net_waits() ? NET_QUIET : 2)) {
			sleep_deep();
			quiet = 0;
			pause = FIRST_LOOK_NS;
		}
		int64_t now = grt__nanotime();
		grt_store_relaxed(&sched.coarse, grt__cycles());
		if (now >= grt__schedtrace_next && grt__schedtrace_hook)
			grt__schedtrace_hook(now);
		if (grt_load_relaxed(&sched.want_m))
			make_m(now);
		keep_promise(now);
		grt__net_look_sysmon(now, net_rang);
		net_rang = false;
		grt__tidy(now);
		bool moved = anything_moved();
		bool waits = work_or_timer_waits(now), acted = waits && rouse(now);
		/* A task that comes back from the kernel or from a timer has used little of its share: it need not wait a slice. */
		bool urgent = grt_load_relaxed(&sched.urgq_size) || grt__timers_earliest() <= now;
		uint32_t n = grt_load_acquire(&sched.nallp);
		for (uint32_t i = 0; i < n; i++)
			acted |= look_at_p(sched.allp[i], now, waits, urgent ? URGENT_SLICE_NS : SLICE_NS);
		bool retaken = grt_load_relaxed(&sched.nretaken) != 0;
		if (retaken && waits)
			call_in_retaken();
		quiet = waits || moved || retaken || grt_load_relaxed(&sched.nleaving) ? 0 : quiet + 1;
		if (acted)
			pause = pause < PREEMPT_AGAIN_NS ? pause : PREEMPT_AGAIN_NS;
		if (grt_unlikely(grt__preempt_stress) && stress()) {
			pause = PREEMPT_AGAIN_NS / 2 + (int64_t)(grt__cycles() % PREEMPT_AGAIN_NS);
			quiet = 0;
		}
		wait_until(now + (urgent && pause > URGENT_LOOK_NS ? URGENT_LOOK_NS : pause), -1);
		if (!acted && pause < LAST_LOOK_NS)
			pause = pause * 2 < LAST_LOOK_NS ? pause * 2 : LAST_LOOK_NS;
	}
}

/* ---- birth ---- */

static void exit_at_once(void *arg)
{
	(void)arg;
	for (;;)
		grt__sys1(SYS_exit, 0);
}

/* Natively the first pthread_create needs one kernel thread, tasks need sysmon and later an M: if only one was to be had, a task could
 * wait for ever. So one more is made for a moment, on the far end of sysmon's stack. */
static bool room_for_an_m(void)
{
	static int32_t tid, gone;
	return grt__clone_thread(birth.stack + TRIAL_STACK, (uintptr_t)grt__thread_pointer(), &tid, exit_at_once, NULL,
	                         &gone) > 0;
}

static void *sysmon_main(void *arg)
{
	/* The runtime's signal too: outside of ppoll it stays pending, so that a wake-up between the last look and the sleep is not lost. */
	uint64_t all = ~0ull;
	struct m *mp = &sysmon_m;
	grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
	birth.tid = grt__sys_gettid();
	birth.why = grt__tcb_prove(birth.stack, SYSMON_STACK, (void *)sysmon_main);
	if (!birth.why && !room_for_an_m())
		birth.why = "no further kernel thread is to be had";
	if (!birth.why) {
		mp->held.ranks = 0; /* in a child of fork: what the parent's held just then */
		mp->p = &grt__no_p;
		mp->g0.is_g0 = 1;
		mp->g0.m = mp;
		mp->g0.tls = &grt__self;
		mp->cur = &grt__self;
		grt__self.m = mp;
		grt__self.crit = 1;
		grt__self.g = &mp->g0;
		sched.sysmon_tid = mp->tid = birth.tid;
	}
	grt_store_seqcst(&birth.verdict, birth.why ? 2 : 1);
	grt__os_futex_wake(&birth.verdict, 1);
	if (birth.why)
		return NULL;
	loop();
	return arg;
}

int grt__sysmon_start(const char **why)
{
	pthread_attr_t attr;
	unsigned long thread;
	birth.verdict = 0;
	birth.stack = grt__stack_plain(SYSMON_STACK);
	*why = "signals to threads are refused";
	if (!birth.stack)
		return -EAGAIN;
	sched.pid = grt__sys_getpid();
	sched.sysmon_tid = 0;
	int r = -ENOTSUP;
	if (grt__os_tgkill(sched.pid, sched.pid, 0) != 0)
		goto no_thread;
	grt__libc.pthread_attr_init(&attr);
	grt__libc.pthread_attr_setstack(&attr, birth.stack, SYSMON_STACK);
	grt__libc.pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = grt__libc.pthread_create(&thread, &attr, sysmon_main, NULL) == 0 ? 0 : -EAGAIN;
	grt__libc.pthread_attr_destroy(&attr);
	if (r != 0)
		goto no_thread;
	while (grt_load_acquire(&birth.verdict) == 0)
		grt__os_futex_wait(&birth.verdict, 0, INT64_MAX);
	*why = birth.why;
	if (!birth.why) {
		grt__tidy_init();
		return 0;
	}
	/* What counts threads shall have forgotten this one when libc makes the program's; its stack is left to it. */
	while (grt__os_tgkill(sched.pid, birth.tid, 0) == 0)
		grt__sys0(SYS_sched_yield);
	return -ENOTSUP;
no_thread:
	grt__stack_plain_free(birth.stack, SYSMON_STACK);
	return r;
}

void grt__sysmon_fork_child(void)
{
	grt__tidy_fork_child();
	sched.sysmon_tid = 0; /* made again by the child's first thread */
	sched.sysmon_asleep = 1;
	sched.pid = grt__sys_getpid();
}
