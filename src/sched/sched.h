/*
 * The scheduler: G, M and P.
 *
 *   G  a task: one pthread of the program, or one grt_go. Owns a stack and a glibc thread block (tcb.h).
 *   M  a kernel thread that runs tasks. Has a g0: its own stack and thread block, used by the scheduler when
 *      there is nothing to switch to directly.
 *   P  the right to run, GOMAXPROCS of them. Owner of a run queue, a timer heap and a pool of dead tasks.
 *   Foreign thread: a kernel thread that libgrt did not create; grt__self.g is NULL on it.
 *
 * Switching. A task that parks or yields picks its successor itself and switches to it directly, FS base included,
 * without going through g0. Whatever must happen only after the old task is off its stack (publishing it as parked, putting it
 * on a queue, freeing it) is a commit function, run on the new stack before the new task goes on. Only when nothing is
 * runnable does the M go to g0, spin, and sleep.
 *
 * Critical sections. grt__enter() ... grt__leave() bracket every piece of runtime code that touches M or P. Inside, the task is
 * not preempted, its P is not retaken, user signal handlers are put off, and mp stays the same. The count lives in the
 * task's TLS, so entering is one instruction that no migration can tear.
 *
 * Retaking (HACKING.md has the steps). P's word is state | M id | sequence. A running M never writes it; sysmon may CAS it to RETAKING, issue
 * membarrier, and if the M's critical count is zero take the P away. grt__enter compares the word with the
 * M's own expectation; on a difference the slow path takes the word back, or gets another P, or queues the task. So
 * user code may run without a P for a short while, but runtime code never does.
 *
 * Blocking sections. grt__block_enter() ... grt__block_exit() around a system call that may sleep: P's word becomes SYSCALL and
 * anybody may take it; exit takes it back with one CAS if nobody did. User signal handlers run normally inside (the
 * signal entry leaves the section for the handler's duration).
 *
 * Parking. Every G and every foreign thread has a parker. Protocol, the only one in the tree:
 *     owner:  grt__enter(); grt__park_prepare(); enqueue yourself somewhere; grt__park(why); dequeue yourself if interrupted;
 *             grt__leave()
 *     waker:  dequeue; grt__wake(parker)
 * A wake between prepare and park is not lost: state goes PREPARED -> PARKED by the commit's CAS, which fails if the waker's
 * exchange to WOKEN came first. grt__park returns true when woken and false when interrupted by a signal: then the parker is
 * PREPARED again, the waiter still enqueued, and the handler has not run yet: it runs in the last grt__leave, when nothing refers
 * to the wait any more, so it may wait itself, or never return (siglongjmp).
 */
#ifndef GRT_SCHED_SCHED_H
#define GRT_SCHED_SCHED_H

#include "arch/arch.h"
#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/throw.h"
#include <signal.h>

#define GRT_FOREVER INT64_MAX /* "no deadline", in ns of CLOCK_MONOTONIC; for deadlines of CLOCK_REALTIME see clock.h */

struct g;
struct m;
struct p;
struct mcache;

enum g_status {
	G_IDLE,     /* in a pool, or being made */
	G_RUNNABLE, /* on a run queue */
	G_RUNNING,  /* on an M */
	G_SYSCALL,  /* on an M, in a blocking section */
	G_WAITING,  /* parked */
	G_DEAD
};

/* Why a G waits; the words are Go's where Go has one. Indexes grt__wait_reason_name. */
enum grt_wait {
	WAIT_NONE,
	WAIT_MUTEX,
	WAIT_COND,
	WAIT_RWLOCK_R,
	WAIT_RWLOCK_W,
	WAIT_SEM,
	WAIT_BARRIER,
	WAIT_ONCE,
	WAIT_JOIN,
	WAIT_FUTEX,
	WAIT_SLEEP,
	WAIT_SYSCALL,
	WAIT_IO,
	WAIT_CHAN_SEND,
	WAIT_CHAN_RECV,
	WAIT_CHAN_SEND_NIL,
	WAIT_CHAN_RECV_NIL,
	WAIT_SELECT,
	WAIT_SELECT_NONE,
	WAIT_WAITGROUP,
	WAIT_LAST
};
extern const char *const grt__wait_reason_name[WAIT_LAST];

enum park_state { PARK_RUNNING, PARK_PREPARED, PARK_PARKED, PARK_WOKEN };

/* Lives as long as its owner's thread block. A waker may touch it until its exchange to WOKEN, and for a foreign thread may
 * afterwards issue a futex wake on the (then perhaps unmapped) address, which is harmless. */
struct parker {
	uint32_t state; /* atomic: enum park_state; for a foreign thread also the kernel futex word */
	struct g *g;    /* NULL for a foreign thread */
};

/* The runtime's part of every thread's static TLS. Zero on a foreign thread. */
struct grt_tls {
	struct g *g;             /* constant for the life of a task; &mp->g0 on an M's own stack; NULL: foreign */
	struct m *m;             /* stored at each switch-in; stable only while crit != 0 */
	struct mcache *mcache;   /* that of m's P, or NULL: ask (shim/malloc.c); of a foreign thread its own */
	uint32_t crit;           /* critical count; written by its own thread only, read by sysmon after membarrier */
	uint8_t attention;       /* enum grt_attention bits: something waits for the end of the critical section */
	uint8_t in_block;        /* in a blocking section */
	uint8_t was_blocked;     /* leaving a blocking section without a P: queue before those that only compute */
	uint8_t in_vfork;        /* a vfork child borrows this thread block: every wrapper takes the real function */
	uint8_t heap_ended;      /* foreign thread: it has given its cache back, and ends */
	uint32_t broadcast_seen; /* foreign thread: last broadcast that it has run */
	struct parker foreign;   /* parker of a foreign thread */
};
extern GRT_TLS struct grt_tls grt__self;

enum grt_attention { ATTN_PREEMPT = 1, ATTN_SIGNAL = 2 };

/* Runs on the new stack after a switch; must not park, yield or call out. */
typedef void (*grt_commit)(void *arg);

#include "sched/g.h"

/* ---- state of the process ---- */

/* See api/boot.h. COLD: no thread was ever made; every wrapper takes the real function. ONE_TO_ONE: for good (reason in
 * grt__one_to_one_reason). */
enum grt_state { GRT_COLD, GRT_BOOTED, GRT_ONE_TO_ONE };
extern int grt__state; /* atomic, release by boot; wrappers read it relaxed, threads are made only after */

/* True when the caller is a task whose calls the runtime handles; false when cold, 1:1, foreign or in a vfork child. */
GRT_ALWAYS_INLINE bool grt__on_task(void)
{
	return grt__self.g != NULL && grt_likely(!grt__self.in_vfork);
}

/* ---- critical sections ---- */

struct m *grt__enter_slow(struct m *mp);
void grt__leave_slow(bool act);

/* Caller: a task (not foreign). Returns the M, which holds a P until grt__leave. Nests. */
GRT_ALWAYS_INLINE struct m *grt__enter(void)
{
	grt__self.crit++;
	grt_barrier(); /* pairs with sysmon's membarrier: crit is visible before the word is read */
	struct m *mp = grt__self.m;
	if (grt_unlikely(grt_load_relaxed(&mp->p->word) != mp->running_word))
		return grt__enter_slow(mp);
	return mp;
}

GRT_ALWAYS_INLINE void grt__leave_acting(bool act)
{
	grt_barrier();
	grt__self.crit--;
	grt_barrier(); /* what comes before the count falls is seen here, what comes after acts at once */
	if (grt_unlikely(grt__self.attention) && !grt__self.crit)
		grt__leave_slow(act);
}

/* The outermost leave delivers what was put off: deferred signals, preemption. The task may migrate here. */
GRT_ALWAYS_INLINE void grt__leave(void)
{
	grt__leave_acting(true);
}

/* The same for a wait that is a cancellation point: an asynchronous cancellation is left to the caller. */
GRT_ALWAYS_INLINE void grt__leave_wait(void)
{
	grt__leave_acting(false);
}

/* ---- parking ---- */

/* Any thread. The calling thread's parker. */
struct parker *grt__parker(void);

/* Any thread. Must come before the waiter is visible to wakers. */
static inline void grt__park_prepare(struct parker *pk)
{
	grt_store_relaxed(&pk->state, PARK_PREPARED); /* published by the lock that makes the waiter visible */
}

/* A task inside a critical section, or a foreign thread; no locks. Sleeps until woken (true), interrupted by a signal (false; see
 * above; on a foreign thread the handler has run), or, on a foreign thread only, `deadline` passed (false). Tasks use a
 * timer for deadlines. */
bool grt__park(struct parker *pk, enum grt_wait why, int64_t deadline);

/* The owner, after an interruption, when it finds that a waker has dequeued it already: the wake is moments away. */
void grt__park_await(struct parker *pk);

/* Any thread, any context, locks up to BUCKET and TIMERS held. Makes the owner runnable. Exactly one wake per prepare. */
void grt__wake(struct parker *pk);

/* The same, but a task that has to be made runnable is returned instead, for its caller to do; else NULL. */
struct g *grt__wake_take(struct parker *pk);

/* Any thread. Puts a G that is not on any queue and not running onto a run queue and wakes an M if that pays. */
void grt__ready(struct g *gp);
/* In a handler of ours, everything blocked and crit set by hand: whatever P there is, it is not asked for. */
void grt__ready_sig(struct g *gp);
/* The same for a task that was never run. Critical. */
void grt__ready_new(struct m *mp, struct g *gp);

/* Task. Goes to the back of the queue (Gosched). */
void grt__yield(void);

/* ---- blocking sections ---- */

extern uint64_t grt__signalfd_mask; /* atomic: signals of all signalfds ever made; signal.h says what it is for */

/* Task. The calls between must be async-signal-safe with respect to the runtime: the bare system call or libc's wrapper
 * of it, nothing of ours. `may_last`: true for calls that usually sleep (accept, wait, sigwait): the P is handed on at
 * once if work waits. Does not nest. */
void grt__block_enter(bool may_last);
void grt__block_exit(void);

/* ---- tasks ---- */

struct grt_spawn {
	void *(*fn)(void *);
	void *arg;
	size_t stack_size;       /* 0: the default */
	size_t guard_size;       /* SIZE_MAX: the default */
	void *stack;             /* lowest address of the caller's own stack, or NULL */
	const uint64_t *sigmask; /* NULL: the caller's */
	bool detached;
	bool returns_int; /* fn returns int (thrd_start_t) */
	bool internal;    /* a runtime task (finalizers, ...): not counted, hidden from traces below "system" */
};

/* Task. Makes a task and puts it on the run queue. *pthread, if not NULL, is its thread block (its pthread_t) before it can run.
 * 0 or -EAGAIN (nothing leaked). */
int grt__spawn(const struct grt_spawn *how, unsigned long *pthread);

/* The same for a task that is pinned from birth (pin.h), to a clone of the caller's kernel thread. setup, which is called in between,
 * may change that thread's state; 0 or -errno, with which nothing is made. */
int grt__spawn_pinned(const struct grt_spawn *how, int (*setup)(struct g *gp, void *arg), void *arg,
                      unsigned long *pthread);

/* Task. Pins the task to its M, and the M to the task, until as many unlocks. */
void grt__lock_os_thread(void);
void grt__unlock_os_thread(void);

/* Task or foreign. The G of a pthread_t (address of a thread block), or NULL: not one of ours. */
struct g *grt__g_of_pthread(void *pthread);
/* Any thread. The living task that gettid calls so, or NULL. Linear in the number of tasks ever alive. */
#define GRT_TID_FIRST (1 << 22) /* above the kernel's largest pid */
struct g *grt__g_of_tid(int32_t tid);

/* ---- timers (timer.c) ---- */

/* A heap for each P, under its timers lock. Embedded in the waiter, links included; zero before first use. */
struct grt_timer {
	int64_t when; /* ns of CLOCK_MONOTONIC; owner P's timers lock */
	int64_t real; /* the deadline of CLOCK_REALTIME (clock.h), or 0 */
	/* called without the timers lock on an M, inside a critical section; must not park */
	void (*fire)(struct grt_timer *self);
	struct p *pp;                        /* whose heap, atomic */
	struct grt_timer *left, *right, *up; /* timers lock */
	uint32_t rank;                       /* 0: not in the heap; timers lock */
	uint32_t firing;                     /* atomic: fire is being called */
};

/* Task. */
void grt__timer_start(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *));
/* Foreign thread, CLOCK_MONOTONIC. */
void grt__timer_start_foreign(struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *));
/* Any thread that holds a critical section, or fires the timers of pp alone. */
void grt__timer_start_in(struct p *pp, struct grt_timer *t, int64_t deadline, void (*fire)(struct grt_timer *));
/* In t's fire: it shall fire again. */
void grt__timer_again(struct grt_timer *t, int64_t when);
/* Any thread. On return fire is not running and will not run. True if it was stopped before it fired. */
bool grt__timer_stop(struct grt_timer *t);

/* ns of CLOCK_MONOTONIC through the vDSO. Any thread. */
int64_t grt__nanotime(void);

/* ---- GOMAXPROCS ---- */

int grt__gomaxprocs(int n); /* n <= 0 only reads. Task. Returns the value before. */
int grt__num_tasks(void);
/* The calling task is the only one. */
bool grt__task_alone(void);

#endif
