/* See maker.h. */
#include "sched/maker.h"
#include "os/os.h"
#include "sched/broadcast.h"
#include "sched/proc.h"
#include "sched/signal.h"

#define sched grt__sched

enum { SLEEP, WORK, STOP };

static struct m *maker; /* memory kept for the next one; not among sched.allm: it never runs a task */
static int tid;         /* atomic */
static uint32_t word;   /* atomic, futex */

bool grt__maker_make(void)
{
	grt_store_seqcst(&sched.want_m, 0);
	if (!grt_load_seqcst(&sched.npidle)) {
		grt_store_seqcst(&sched.m_starting, 0);
		return true;
	}
	if (grt_load_relaxed(&sched.nmidle) || grt_load_relaxed(&sched.net_m)) {
		grt_store_seqcst(&sched.m_starting, 0);
		grt__wake_p(NULL);
		return true;
	}
	/* An M born while credentials change would keep its mother's old ones. */
	bool held = grt__broadcast_hold(), made = held && grt__m_new();
	if (held)
		grt__broadcast_release();
	if (made)
		return true;
	/* To be tried again by sysmon, whom work that waits keeps awake. */
	grt_store_seqcst(&sched.want_m, 1);
	grt_store_seqcst(&sched.m_failed, held ? M_REFUSED : M_HELD);
	grt_store_seqcst(&sched.m_starting, 0);
	return false;
}

void grt__maker_work(void)
{
	grt_store_seqcst(&word, WORK);
	grt__os_futex_wake(&word, 1);
}

void grt__maker_ask(void)
{
	grt_store_seqcst(&sched.want_m, 1);
	/* Work waits: whatever the new M leaves of it is sysmon's to see, who stays awake as long as any does. */
	grt__sysmon_wake();
	if (grt_unlikely(!grt_load_relaxed(&tid)) || grt_unlikely(grt_load_relaxed(&sched.m_failed) != M_MADE))
		return;
	/* Pairs with the newborn M, which ends m_starting and then looks at want_m. */
	if (!grt_xchg_seqcst(&sched.m_starting, 1))
		grt__maker_work();
}

static void maker_main(void *arg)
{
	uint64_t all = ~0ull;
	grt__m_come_to_life(arg);
	for (;;) {
		uint32_t what = grt_xchg_seqcst(&word, SLEEP);
		if (what == STOP)
			break;
		if (what == WORK) {
			grt__sys_sigprocmask(SIG_SETMASK, &all, NULL);
			if (!grt__maker_make())
				grt__sysmon_wake();
			/* Somebody may have asked while this one was under way to no M. */
			else if (!grt_load_seqcst(&sched.m_starting) && grt_load_seqcst(&sched.want_m))
				grt__maker_ask();
			continue;
		}
		uint64_t mask = GRT_MASK_ALL & ~grt__signal_urgent_bit();
		grt__sys_sigprocmask(SIG_SETMASK, &mask, NULL); /* broadcasts */
		grt__os_futex_wait(&word, SLEEP, GRT_FOREVER);
	}
	for (;;)
		grt__sys1(SYS_exit, 0);
}

bool grt__maker_start(void)
{
	word = SLEEP;
	if (!maker)
		maker = grt__m_outside_alloc();
	int t = maker ? grt__m_outside_start(maker, maker_main) : 0;
	grt_store_seqcst(&tid, t);
	return t != 0;
}

void grt__maker_stop(void)
{
	grt_store_seqcst(&word, STOP);
	grt__os_futex_wake(&word, 1);
	grt_store_seqcst(&tid, 0);
	grt__m_outside_await_end(maker);
}

int grt__maker_tid(void)
{
	return grt_load_relaxed(&tid);
}

void grt__maker_fork_child(void)
{
	tid = 0;
}
