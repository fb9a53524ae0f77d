/*
 * Scheduler state shared by the files of sched/ (proc.c run queues and picking, m.c kernel threads, sysmon.c, task.c, park.c).
 *
 * Waking another CPU is dear (2 us on metal, 30 us through a hypervisor), so grt__ready does it only when it pays: no M is spinning, a P is idle, and either
 * there is more than one task waiting here or this M has not woken anybody for WAKE_PAUSE cycles. A lone task in runnext usually
 * runs as soon as its waker parks; if the waker does not park, sysmon (awake whenever work may be stuck) finds the task and wakes
 * an M for it.
 *
 * Who looks at timers. Each P's heap is looked at when its M picks a task. An M that goes idle becomes the time keeper if the
 * earliest timer of all Ps is before sched.promised: it sleeps until then. If an M that stays busy sees a timer of its P earlier than
 * sched.promised, it tells sysmon, which promises that time. So at most one wake-up an expiry, none without timers.
 *
 * Going to sleep, the interleavings that matter:
 *   submitter: put on a queue (exchange of runnext: full barrier); read nspinning, npidle, sysmon_asleep
 *   M:         nspinning--, P on the idle list (lock: full barrier); look at all queues once more
 *   sysmon:    asleep = 1; membarrier; look at all queues once more
 * Whichever comes second sees the other.
 */
#ifndef GRT_SCHED_PROC_H
#define GRT_SCHED_PROC_H

#include "sched/sched.h"

/* With fewer than SPARE_MS (or a quarter) to sched.max_ms no task is born: a program that meets the limit step by step is told so, as by
 * the kernel's. */
enum { MAX_PROCS = 1024, MAX_MS = 10000, SPARE_MS = 256 };

/* The last attempt to make an M: no thread or memory was to be had, or credentials were changing. */
enum m_failed { M_MADE, M_REFUSED, M_HELD };

/* First in, first out, linked by sched_next. */
struct gqueue {
	struct g *head, *tail;
};

struct grt_sched {
	struct grt_lock lock; /* rank SCHED */
	struct p **allp;      /* MAX_PROCS slots, filled on growth, never freed */
	uint32_t nprocs;      /* atomic: GOMAXPROCS */
	uint32_t nallp;       /* atomic: Ps ever made: those at nprocs and above are retired or leaving (grt__gomaxprocs) */
	uint32_t nleaving;    /* atomic: of those, the ones that an M still has */

	/* sched lock; sizes also read without it */
	struct gqueue globq;
	uint32_t globq_size; /* atomic: both queues */
	struct gqueue urgq;  /* back from the kernel, where they lost their P: every other pick is one of these */
	uint32_t urgq_size;  /* atomic */
	struct p *pidle;
	uint32_t npidle; /* atomic */
	struct m *midle;
	struct m *mdead; /* their threads ended or are ending; stack and structure are used again */
	uint32_t nmidle;
	struct m *allm; /* atomic: push only */
	uint32_t nm;    /* Ms made */
	uint32_t nm_live;
	uint32_t max_ms;     /* atomic: one more is a fatal error (grt_set_max_threads) */
	uint32_t masks_used; /* atomic: some task has blocked signals since boot, or main before */
	uint32_t want_m;     /* atomic: an M is wanted (maker.h) */
	uint32_t m_starting; /* atomic: an M was made and has not looked for a P yet */
	uint32_t m_failed;   /* atomic: enum m_failed */
	uint32_t
		net_sleepers; /* atomic, sched lock adds: Ms that sleep in the poller, those that were chosen and have not left it too */
	struct m *net_m; /* atomic, sched lock writes: asleep in the poller, and in no list (netpoll.h) */

	GRT_ALIGNED(GRT_CACHE_LINE) uint32_t nspinning; /* atomic */
	uint32_t sysmon_asleep;                         /* atomic */
	uint64_t
		coarse; /* atomic: cycle counter, a slice old at most while anything runs; written by sysmon and by Ms that wake */
	uint32_t net_waiters; /* atomic: tasks that wait for descriptors */
	uint32_t net_busy;    /* atomic: somebody looks what is ready */
	uint32_t net_seat;    /* atomic: sysmon: the next M that goes idle shall sleep in the poller */
	int64_t net_looked;   /* atomic: when that was last */
	int64_t promised;     /* atomic: somebody looks at timers by then */
	uint32_t nretaken;    /* atomic: Ms whose P sysmon took while in user code */

	GRT_ALIGNED(GRT_CACHE_LINE) uint64_t next_id; /* atomic: goid - 1, handed to Ps in batches */
	uint32_t main_exited;                         /* atomic: main called pthread_exit; the last task ends the process */
	int sysmon_tid;
	int pid;
	bool own_files; /* sysmon has a descriptor table of its own; set at its birth */
};
extern struct grt_sched grt__sched;

static inline bool grt__ms_are_few(void)
{
	uint32_t max = grt_load_relaxed(&grt__sched.max_ms), spare = max / 4 < SPARE_MS ? max / 4 : SPARE_MS;
	return grt_load_relaxed(&grt__sched.nm_live) < max - spare;
}
extern struct p grt__no_p;
extern struct g grt__main_g;

#define GRT_SPIN_CYCLES 25000u   /* about 10 us */
#define NEXT_STUCK 10000u        /* cycles, about 4 us: longer than a hop between two tasks */
#define GRT_BLOCK_CYCLES 125000u /* about 50 us: a call that lasts longer is worth a hand-off */
#define WAKE_PAUSE 125000u       /* cycles, about 50 us */

/* ---- proc.c ---- */
bool grt__proc_init(int nprocs);   /* false: no memory; may be called again then */
struct p *grt__p_new(uint32_t id); /* NULL: no memory */
/* Owner P, critical. */
void grt__runq_put(struct p *pp, struct g *gp, bool next);
bool grt__runq_empty(const struct p *pp);
uint32_t grt__runq_size(const struct p *pp);
void grt__globq_put(struct g *gp);
/* Whoever has the queue. */
void grt__gqueue_put(struct gqueue *q, struct g *gp);
struct g *grt__gqueue_pop(struct gqueue *q);
void grt__urgq_put(struct g *gp);
struct g *grt__globq_get_locked(struct p *pp, uint32_t max);
/* Something waits on any queue, or a timer is due. */
bool grt__work_waits(void);
/* Owner P, critical: the next task from timers, global queue (every 61st), local queue, global queue; NULL: none. Never
 * steals. */
struct g *grt__pick_local(struct m *mp);
/* g0: everything, until there is a task. */
struct g *grt__find_runnable(struct m *mp);
/* Critical. Suspends the current context (gp: task or g0) and continues `to`. */
void grt__switch(struct m *mp, struct g *from, struct g *to, grt_commit commit, void *arg);
/* Critical. Suspends task gp and runs whatever is next. Returns on whichever M continues gp. */
void grt__schedule(struct m *mp, struct g *gp, grt_commit commit, void *arg);
/* Critical, gsignal stack or dying task: the same, without saving. */
void grt__schedule_jump(struct m *mp, grt_commit commit, void *arg) GRT_NORETURN;
/* The same for a task that ends: the caller returns this to the bottom of its stack, where the jump is made. `to`: NULL: pick one. */
const struct grt_ctx_last *grt__schedule_last(struct m *mp, struct g *to, grt_commit commit, void *arg);
/* commit functions */
void grt__commit_globq(void *gp);
void grt__commit_urgq(void *gp);
void grt__commit_runq(void *gp);

/* Sched lock held, the caller owns pp: its queue moves to the global one. */
void grt__p_retire_locked(struct p *pp);

/* ---- m.c ---- */
bool grt__m_boot_prepare(void); /* the memory that grt__m_boot_main wants; false: there is none */
void grt__m_boot_main(void);
struct m *grt__m_new(void);     /* maker.c; NULL: no memory, or no thread is to be had */
void grt__m_wake(struct m *mp); /* after nextp was set */
/* g0, no P: sleeps until somebody hands a P over; returns with one, or without after a timer expired and no P was free. */
void grt__m_sleep(struct m *mp);
/* Takes mp's P off it; the caller then owns the P. Critical. */
struct p *grt__p_release(struct m *mp);
void grt__m_loop(struct m *mp) GRT_NORETURN; /* g0 */
/* g0, an idle M, registered by api/: is that a deadlock? Does not return then. True: it may be one, ask again soon. NULL: who cares. */
extern bool (*grt__deadlock_hook)(void);
/* Sched lock not held. An M for this P (owned by the caller): idle M or a new one. */
void grt__start_m(struct p *pp, bool spinning);
void grt__handoff_p(struct p *pp);
void grt__wake_p(struct m *mp);
void grt__wake_p_stuck(void); /* the M woken may take another P's runnext */
void grt__m_rank_checks_on(void);
void grt__m_fork_child(struct m *mp);
/* sysmon took mp's P away, or nearly; it is back in the runtime. */
static inline void grt__m_came_in(struct m *mp)
{
	if (grt_load_relaxed(&mp->retaken) && grt_xchg_acqrel(&mp->retaken, 0))
		grt_add_relaxed(&grt__sched.nretaken, -1);
}
/* Critical, on mp: its task is run by the kernel from here on, on mp's own P. False: no memory. */
bool grt__m_take_own_p(struct m *mp);
/* Any thread: mp's own P has a timer less or more, its task is runnable, or its maker gave it up. */
void grt__m_look_own(struct m *mp);
/* Task, not critical: an M for gp alone, which never ran and is not queued: asleep, a clone of the caller's kernel thread. gp is
 * pinned to it. 0 or -EAGAIN. */
int grt__m_new_for(struct g *gp);
/* The same gp, which shall not run after all; it may be freed. */
void grt__m_discard(struct g *gp);
/* A thread of the runtime's that never runs a task, and is not among the Ms: memory, kept by the caller for its next life; its start with
 * the caller's mask (0: none to be had, else its tid); what it calls first; and the end of its life. */
struct m *grt__m_outside_alloc(void);
int grt__m_outside_start(struct m *mp, void (*fn)(void *));
void grt__m_come_to_life(struct m *mp);
void grt__m_outside_await_end(struct m *mp);
/* Takes an idle P for mp. */
bool grt__acquire_idle_p(struct m *mp);
void grt__p_bind(struct m *mp, struct p *pp);
void grt__p_put_idle_locked(struct p *pp);
struct p *grt__p_get_idle_locked(void);

/* ---- sysmon.c ---- */
/* 0; -EAGAIN: no memory or no thread is to be had now; -ENOTSUP: never, and why. */
int grt__sysmon_start(const char **why);
void grt__sysmon_wake(void);
/* Somebody must look at timers by `when`; nobody promised to yet. */
void grt__sysmon_promise(int64_t when);
void grt__sysmon_fork_child(void);

/* ---- preempt.c ---- */
void grt__preempt_init(void);
/*
 * Task. Around exec: what is pending for the calling thread stays so, but the new program has no handler for it, and would end. So the
 * runtime's signal is ignored from here on, which also throws away what is pending. The new program finds it ignored.
 */
void grt__preempt_exec_begin(void);
void grt__preempt_exec_failed(void);
void grt__preempt_kick(struct m *mp);                         /* sends the runtime's signal: look at signals */
void grt__preempt_ask(struct m *mp);                          /* and make room for another task */
void grt__kick_tid(int tid);                                  /* the same, to a thread of ours */
void grt__preempt_signal(int sig, siginfo_t *info, void *uc); /* its handler */
extern uint32_t grt__preempt_stress;                          /* GODEBUG=preemptstress=1 */
extern uint32_t grt__preempt_off;                             /* GODEBUG=asyncpreemptoff=1 */
#define GRT_SIGRT 33 /* the signal number that libc keeps for itself: no program can block or see it */

/* ---- timer.c ---- */
/* Owner M, critical, no locks: fires what is due. Returns the time of the next or GRT_FOREVER. */
int64_t grt__timers_run(struct p *pp, int64_t now);
int64_t grt__timers_earliest(void);
void grt__timers_fork_child(struct p *pp);

/* ---- task.c ---- */
/* Every G region ever laid out, dead ones included, is in a table that only grows; these visit the living. Any context. */
bool grt__allg_add(struct g *gp); /* false: no memory */
/* Dead ones and g0s of regions too; one that lies cold is all zero but map_lo. */
void grt__allg_for_each_ever(void (*fn)(struct g *, void *), void *arg);
void grt__allg_for_each(void (*fn)(struct g *, void *), void *arg);
#define grt__allg_for_each_sig grt__allg_for_each
void grt__task_fork_child(struct g *self);
void grt__task_init_main(struct g *gp);

/* ---- signal.c ---- */
/* Everything but the runtime's own signal. */
#define GRT_MASK_ALL (~(1ull << (GRT_SIGRT - 1)))
/* Bits no program may set: libc's two signals. */
#define GRT_MASK_LIBC (3ull << 31)
/* Critical. Sets the kernel's mask of this M. */
void grt__m_set_mask(struct m *mp, uint64_t mask);
/* crit == 1, on a task: delivers what was put off or queued. */
void grt__signal_deliver(struct m *mp, struct g *gp);

#endif
