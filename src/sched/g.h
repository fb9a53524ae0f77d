/*
 * The structures of the scheduler, each field with its guard. Included by sched.h only.
 */
#ifndef GRT_SCHED_G_H
#define GRT_SCHED_G_H

/* One queued, thread-directed signal. */
struct g_signal {
	struct g_signal *next;
	siginfo_t info;
};

enum grt_robust {
	ROBUST_NONE,  /* libc's, in the thread block, is empty: nobody has to know it */
	ROBUST_BLOCK, /* that one */
	ROBUST_OWN    /* one of the program's, by set_robust_list */
};

/* In the order of use: a switch touches two cache lines, a birth and a death a third, the rest belongs to what is rarer. A thousand
 * new tasks are a thousand cold ones. */
struct g {
	struct grt_ctx ctx;    /* valid while not running; written by the switch, published by the commit */
	struct grt_tls *tls;   /* grt__self of this task; constant */
	struct g *sched_next;  /* link of global and other singly linked queues; whoever has the G */
	struct g *sched_ahead; /* of a list: some way down, to prefetch; only a hint */
	uint32_t status;       /* atomic: enum g_status; written by the owner M or the waker, read by tracers */
	uint8_t wait_why;      /* enum grt_wait; valid while G_WAITING */
	uint8_t preempted;     /* resumes through sigreturn of frame; owner M */
	uint8_t is_g0;
	uint8_t returns_int; /* fn is C11's: its result is an int, widened as one */
	struct parker park;

	/* ---- second line ---- */
	struct m *m;         /* the M it runs on, or NULL; owner M */
	uint64_t sigmask;    /* the task's own mask; owner task */
	uint32_t sigpending; /* atomic: sigqueue is not empty, or a process-directed signal waits for this task */
	int32_t tid;         /* what gettid says: getpid() for main, above the kernel's pid_max for others */
	uint64_t id;         /* goid: 1 is main */
	void *tcb;           /* glibc's struct pthread == pthread_t == thread pointer on x86-64 */
	struct m *lockedm;   /* LockOSThread, pin.c */
	struct g *born_next; /* whom its maker made next, to prefetch; only a hint */
	uint32_t join_state; /* atomic: enum join_state; see join protocol in task.c */
	uint32_t lock_count; /* one of them is pin.c's when pinned */

	/* ---- third line ---- */
	void *result;
	struct parker *joiner;      /* valid when join_state is JOIN_WAITED */
	struct grt_ctx_birth birth; /* stack_hi is valid for its whole life */
	uint32_t stack_class;       /* index of its pool */
	int32_t pinned_tid;         /* atomic: kernel tid of the M that the task keeps for its life; 0: not pinned */
	uint32_t pin_wanted;        /* atomic: another task asks this one to pin itself */
	uint8_t internal;
	uint8_t user_stack;
	uint8_t pinned; /* owner task, or its maker */
	uint8_t robust; /* enum grt_robust: the list that is registered for its M; owner task */

	/* ---- fourth line ---- */
	void *(*fn)(void *);
	void *arg;
	char name[16];         /* pthread_setname_np */
	uint8_t clears_tid;    /* clear_tid is the program's own; owner task */
	uint8_t slow_block[2]; /* by may_last: the last blocking section of that kind lost its P; predicts the next */
	uint8_t has_altstack;  /* altstack_size may not be 0: a birth need not look at its cold line */
	uint8_t own_p;     /* run by the kernel's scheduler, on its M's own P (pin.h); written by the task, or its maker */
	uint8_t has_queue; /* sigqueue may not be empty: as has_altstack; signal lock */
	uint8_t signal_stuck;   /* atomic: the kernel's queue was full when something was to be passed on; sysmon clears */
	uint8_t inherits;       /* shim/kstate.c: changes that its children must have; owner task */
	uint8_t rt_prio;        /* atomic: its kernel thread's real-time priority as of the last change, or 0 */
	uint64_t wait_since;    /* sched.coarse when it parked */
	uint64_t syscalls;      /* blocking sections entered; statistics */
	uint64_t dtv_static;    /* tcb.c: while its DTV is of this generation it has no dynamic TLS; DTV_ANY: unknown */
	int64_t cputime;        /* cputime.h; owner M */
	struct g *last_child;   /* its youngest; owner task */
	uint64_t block_start;   /* cycle counter when a section began by handing the P on; else 0 */
	uint32_t handlers_ran;  /* signal handlers that this task has run; owner task */
	uint32_t handlers_hard; /* those without SA_RESTART */
	uint8_t suspended;      /* in a call with a mask of its own: signal.c; owner task */
	uint8_t suspend_kick;   /* the runtime's signal came meanwhile */

	/* stack.c */
	char *stack_lo; /* lowest usable address */
	char *map_lo;   /* whole region, guard included; NULL: the caller's stack or the kernel's */
	size_t map_size;
	size_t guard_size;

	/* preempt.c: small stack and copy of a preempted task's signal frame; kept for reuse */
	void *frame;
	size_t frame_size;
	void *frame_uc; /* the copy's ucontext */

	/* signal.c */
	struct g_signal *sigqueue; /* signal lock: directed signals not yet delivered, oldest first */
	uint64_t sigwait_set;      /* signal lock: what is pending on its M while it is in this section (signal.h) */
	uint8_t lent;              /* signal lock: something was passed on */
	uint8_t passed;            /* one with a handler that its M has pending and is about to take, or 0; owner M */
	uint64_t suspend_open;     /* signal lock: while suspended, what suspend_mask lets through */
	uint64_t suspend_mask;     /* owner task */
	void *altstack_sp;         /* sigaltstack of the task */
	size_t altstack_size;
	int altstack_flags;           /* as given; valid if altstack_size is not 0 */
	uintptr_t ended_pc, ended_sp; /* where the last handler of the program's returned to, ... */
	uint64_t ended_calls;         /* ... and syscalls then; owner task */

	void *clear_tid; /* set_tid_address; valid if clears_tid */

	void *task_local; /* api/ */
};

/* lockedg is dead: what happens to the M as soon as it is on g0. */
enum m_ending { M_GOES_ON, M_ENDS, M_SERVES_ALL };

struct m {
	struct grt_tls *cur; /* atomic: grt__self of whatever runs on this M now; pairs with sysmon's retake */
	struct p *p;         /* owner M; &grt__no_p when it has none */
	struct p *own;       /* P of the task that is pinned here (pin.h); made once; atomic: release, for those who sum */
	uint64_t running_word; /* what p->word is while this M runs it; owner M */
	struct g *curg;        /* task that it runs, or NULL on g0; owner M writes, others read as a hint */
	struct g g0;           /* the scheduler's own context */
	struct p *nextp;       /* P handed over while asleep; published by park_word */
	uint32_t park_word;    /* atomic: kernel futex, 1: notified */
	uint32_t own_word;     /* atomic: kernel futex, changed when the task of the own P has to be looked at */
	uint32_t in_poll;      /* atomic: asleep in the poller, or about to be: interrupt it instead (netpoll.h) */
	uint8_t spinning;      /* counted in sched.nspinning */
	uint8_t slept; /* since it woke it may be that nobody looks after the timers of idle Ps: pass them on; owner M */
	uint8_t steal_next; /* sysmon found a stuck runnext: take it; published by park_word */
	uint64_t kmask;     /* the kernel's signal mask of this thread; owner M */
	int32_t tid;        /* the kernel's */
	uint32_t id;
	struct g *lockedg;
	uint8_t
		ends_with_g; /* the kernel's state of this thread was changed for lockedg: nobody else may have it; owner M */
	uint8_t alone;   /* asleep with the only task's mask, no lock held (m.c); owner M */
	uint8_t ending;  /* atomic: enum m_ending; owner M, or the maker of a task that never ran */
	struct m *sched_next; /* idle list; sched lock */
	struct m *all_next;   /* all Ms, never unlinked */
	char *gsignal;        /* alternate stack on which every handler of ours starts */
	size_t gsignal_size;
	struct grt_held held;     /* lock ranks, debug builds */
	uint32_t rand;            /* xorshift for victims */
	uint64_t last_wake;       /* cycle counter of the last time it woke another M */
	struct grt_ctx_last last; /* where a task that ends goes on; owner M */
	struct g *picked;         /* handed from a task's pick to this M's g0: a task locked to another M */
	uint8_t
		preempt; /* atomic: the runtime's signal is for its task to make room; whoever sends it sets, owner M clears */
	uint8_t retaken;   /* atomic: sysmon took its P away and it may be in user code; sysmon sets, owner M clears */
	int64_t seen_cpu;  /* sysmon: thread CPU time at its last look */
	struct g *counted; /* cputime.h: whose time the thread's clock counts since counted_at, or NULL; owner M */
	int64_t counted_at;
	uint32_t broadcast_seen; /* atomic: last broadcast that this thread has run */
};

#define GRT_RUNQ GRT_SMALL(256u, 4u)

enum p_status { P_IDLE, P_RUNNING, P_SYSCALL, P_RETAKING, P_DEAD };
/* GOMAXPROCS was lowered below this P: its M gives it up at the next switch. */
enum p_retire { P_STAYS, P_LEAVING, P_RETIRED };
/* p->word = status | M id << 8 | sequence << 32 */
#define P_WORD(status, mid, seq) ((uint64_t)(status) | (uint64_t)(mid) << 8 | (uint64_t)(uint32_t)(seq) << 32)
#define P_STATUS(word) ((enum p_status)((word)&0xff))
#define P_MID(word) ((uint32_t)((word) >> 8 & 0xffffff))
#define P_SEQ(word) ((uint32_t)((word) >> 32))

struct p {
	uint64_t word; /* atomic; see sched.h, "Retaking" */
	uint32_t id;
	uint32_t schedtick;   /* incremented at each switch; owner M, read by sysmon */
	uint32_t syscalltick; /* incremented at each blocking section; likewise */
	uint32_t nexts;       /* consecutive picks from runnext; owner M */
	uint32_t runq_head;   /* atomic: acquire/release by stealers */
	uint32_t runq_tail;   /* atomic: release by the owner, acquire by stealers */
	struct g *runq[GRT_RUNQ];
	struct mcache *mcache; /* made at the first malloc; owner M */
	uint8_t urgent_turn;   /* owner M: the last pick was not from the urgent queue */
	struct g *runnext;     /* atomic: exchanged by the owner, taken by CAS by others */
	struct m *m;           /* back link; valid while running or in a system call */
	struct p *idle_next;   /* sched lock */
	uint8_t retire;        /* atomic: enum p_retire; sched lock writes */
	uint8_t is_own;        /* some M's own: in no list, never taken, no tasks queued; constant */

	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock timers_lock;
	struct grt_timer *timers; /* timers lock: the first; a heap (timer.c) */
	uint32_t ntimers;         /* timers lock */
	int64_t timer0;           /* atomic: when of the first, or GRT_FOREVER; written under timers lock */

	struct g *free_g;           /* dead tasks of the default stack size, ready for reuse; owner M */
	struct g *spare_g;          /* a full chain of them, or NULL; owner M */
	uint32_t nfree_g;           /* in free_g; owner M */
	uint64_t id_next, id_end;   /* goids reserved for this P; owner M */
	uint64_t started, finished; /* tasks; owner M writes, others sum */
	uint32_t births_tick;       /* task.c, "many births": schedtick when nbirths began; owner M, as the next three */
	uint32_t nbirths;
	uint64_t births_since, births_finished; /* the last look: cycle counter, and finished then */

	/* sysmon's own notes */
	uint32_t seen_schedtick, seen_syscalltick;
	uint32_t seen_mid;        /* whose P it was */
	uint32_t seen_tidy_ticks; /* their sum, at tidy.c's last look */
	int64_t seen_when;        /* since when the ticks stand still */
	int64_t preempt_sent;
	uint32_t preempt_tries;
};

#endif
