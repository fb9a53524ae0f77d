/*
 * unistd.h: syscall(). Private futexes meet the task futex; numbers that can sleep get a blocking section; the tid is the
 * task's. Everything else, and everything in a vfork child, is libc's syscall() by a tail call.
 *
 * Whom a wake must reach: tasks and foreign threads that wait through syscall(), which are in our table, and
 * threads that wait by the instruction itself (libgomp, run-time systems in assembly), which are in the kernel.
 * So a wake goes to the table first and to the kernel for what is left of its count, always: where the
 * table had enough, the kernel is not called, and where it had nothing the call costs what it costs today. A wake by the
 * instruction does not reach our table; who inlines the wake inlines the wait.
 */
#include "api/boot.h"
#include "heap/scavenge.h"
#include "io/io.h"
#include "os/os.h"
#include "shim/fd.h"
#include "shim/kstate.h"
#include "shim/shim.h"
#include "shim/suspend.h"
#include "sync/futex.h"
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define RAW_FUTEX(...) REAL(syscall)(SYS_futex, __VA_ARGS__)

struct futex_call {
	uint32_t *addr;
	int op;
	int val;
	long timeout; /* or val2 */
	uint32_t *addr2;
	uint32_t val3;
};

static long real_futex(const struct futex_call *f)
{
	return RAW_FUTEX((long)f->addr, f->op, f->val, f->timeout, (long)f->addr2, f->val3);
}

/*
 * Can the word be read? The kernel says EFAULT if not; we would fault. It is asked once for a page (by a wait that has already
 * timed out) and its yes is remembered: a word in a page that was unmapped later is a fault then.
 */
static bool readable(const uint32_t *addr)
{
	static uintptr_t known[64]; /* atomic: pages, by their low bits */
	static const struct timespec past = {0, 1};
	uintptr_t page = (uintptr_t)addr >> 12;
	uintptr_t *slot = &known[page % GRT_COUNT(known)];

	if (grt_likely(grt_load_relaxed(slot) == page))
		return true;
	int saved = errno;
	bool fault = RAW_FUTEX((long)addr, FUTEX_WAIT_BITSET_PRIVATE, 0, (long)&past, 0, 1) < 0 && errno == EFAULT;
	errno = saved;
	if (!fault)
		grt_store_relaxed(slot, page);
	return !fault;
}

/* Relative for FUTEX_WAIT, absolute for FUTEX_WAIT_BITSET. */
static int64_t futex_deadline(const struct futex_call *f, int cmd, int *error)
{
	const struct timespec *t = (const struct timespec *)f->timeout;

	if (!t)
		return GRT_FOREVER;
	if (t->tv_sec < 0 || (unsigned long)t->tv_nsec >= 1000000000ul) {
		*error = -EINVAL;
		return 0;
	}
	if (cmd == FUTEX_WAIT_BITSET)
		return grt__deadline(f->op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, t, error);
	int64_t ns, sum;
	if (__builtin_mul_overflow(t->tv_sec, 1000000000, &ns) || __builtin_add_overflow(ns, t->tv_nsec, &ns) ||
	    __builtin_add_overflow(ns, grt__nanotime(), &sum))
		return GRT_FOREVER;
	return sum;
}

static long futex_wait(const struct futex_call *f, int cmd)
{
	uint32_t bitset = cmd == FUTEX_WAIT_BITSET ? f->val3 : FUTEX_BITSET_MATCH_ANY;
	int error = 0;

	if (!bitset)
		return -EINVAL;
	if (!readable(f->addr))
		return -EFAULT;
	int64_t deadline = futex_deadline(f, cmd, &error);
	if (error)
		return error;
	return grt__futex_wait(f->addr, (uint32_t)f->val, bitset, deadline, FUTEX_INTERRUPTIBLE, WAIT_FUTEX);
}

/* Both in the table and in the kernel. The kernel wakes one for a count below 1, so do we. `flag`: the call's private flag. */
static long futex_wake(uint32_t *addr, int n, uint32_t bitset, int flag)
{
	if (!bitset)
		return -EINVAL;
	if (n < 1)
		n = 1;
	int woken = grt__futex_wake(addr, n, bitset);
	if (woken >= n)
		return woken;
	int saved = errno;
	long r = RAW_FUTEX((long)addr, FUTEX_WAKE_BITSET | flag, n - woken, 0, 0, bitset);
	if (r < 0)
		r = woken ? 0 : -errno;
	errno = saved;
	return woken + r;
}

static long futex_requeue(const struct futex_call *f, int cmd)
{
	int nwake = f->val, nmove = (int)f->timeout;

	if (nwake < 0 || nmove < 0)
		return -EINVAL;
	if (cmd == FUTEX_CMP_REQUEUE && !readable(f->addr))
		return -EFAULT;
	int done = grt__futex_requeue(f->addr, nwake, nmove, f->addr2, cmd == FUTEX_CMP_REQUEUE ? &f->val3 : NULL);
	if (done < 0)
		return done;
	int woken = done < nwake ? done : nwake;
	nwake -= woken;
	nmove -= done - woken;
	if (nwake == 0 && nmove == 0)
		return done;
	/* The comparison has been made: the kernel's waiters follow without one. */
	int saved = errno;
	long r = RAW_FUTEX((long)f->addr, FUTEX_REQUEUE | (f->op & FUTEX_PRIVATE_FLAG), nwake, nmove, (long)f->addr2, 0);
	if (r < 0)
		r = done ? 0 : -errno;
	errno = saved;
	return done + r;
}

/* The operation and comparison of FUTEX_WAKE_OP on the second word. True, false, or -ENOSYS. */
static int futex_op(uint32_t *word, uint32_t encoded)
{
	int op = encoded >> 28 & 7, cmp = encoded >> 24 & 15;
	int arg = (int)(encoded << 8) >> 20, cmparg = (int)(encoded << 20) >> 20;
	uint32_t old;

	if (encoded >> 31)
		arg = (int)(1u << (arg & 31));
	if (cmp > FUTEX_OP_CMP_GE)
		return -ENOSYS;
	switch (op) {
	case FUTEX_OP_SET:
		old = __atomic_exchange_n(word, (uint32_t)arg, __ATOMIC_SEQ_CST);
		break;
	case FUTEX_OP_ADD:
		old = __atomic_fetch_add(word, (uint32_t)arg, __ATOMIC_SEQ_CST);
		break;
	case FUTEX_OP_OR:
		old = __atomic_fetch_or(word, (uint32_t)arg, __ATOMIC_SEQ_CST);
		break;
	case FUTEX_OP_ANDN:
		old = __atomic_fetch_and(word, ~(uint32_t)arg, __ATOMIC_SEQ_CST);
		break;
	case FUTEX_OP_XOR:
		old = __atomic_fetch_xor(word, (uint32_t)arg, __ATOMIC_SEQ_CST);
		break;
	default:
		return -ENOSYS;
	}
	switch (cmp) {
	case FUTEX_OP_CMP_EQ:
		return (int)old == cmparg;
	case FUTEX_OP_CMP_NE:
		return (int)old != cmparg;
	case FUTEX_OP_CMP_LT:
		return (int)old < cmparg;
	case FUTEX_OP_CMP_LE:
		return (int)old <= cmparg;
	case FUTEX_OP_CMP_GT:
		return (int)old > cmparg;
	default:
		return (int)old >= cmparg;
	}
}

static long futex_wake_op(const struct futex_call *f)
{
	if (!readable(f->addr2))
		return -EFAULT;
	int second = futex_op(f->addr2, f->val3);
	if (second < 0)
		return second;
	long n = futex_wake(f->addr, f->val, FUTEX_BITSET_MATCH_ANY, f->op & FUTEX_PRIVATE_FLAG);
	if (n >= 0 && second) {
		long m = futex_wake(f->addr2, (int)f->timeout, FUTEX_BITSET_MATCH_ANY, f->op & FUTEX_PRIVATE_FLAG);
		n = m < 0 ? m : n + m;
	}
	return n;
}

/* Addresses that the kernel would refuse get its answer, not a fault: what cannot be mapped, and odd ones. */
static bool plausible(const uint32_t *addr)
{
	return (uintptr_t)addr >= 4096 && (uintptr_t)addr < 1ull << 56 && ((uintptr_t)addr & 3) == 0;
}

static bool is_ours(const struct futex_call *f, int cmd)
{
	bool two = cmd == FUTEX_REQUEUE || cmd == FUTEX_CMP_REQUEUE || cmd == FUTEX_WAKE_OP;

	if (!plausible(f->addr) || (two && !plausible(f->addr2)))
		return false;
	if (!(f->op & FUTEX_PRIVATE_FLAG)) {
		bool wait = cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET;
		if (wait || two ? !grt__os_page_is_private(f->addr) || (two && !grt__os_page_is_private(f->addr2))
		                : cmd != FUTEX_WAKE && cmd != FUTEX_WAKE_BITSET)
			return false;
	}
	/* The kernel's answer to the flag on other commands depends on its version. */
	return !(f->op & FUTEX_CLOCK_REALTIME) || cmd == FUTEX_WAIT_BITSET;
}

static GRT_NOINLINE long call_futex(const struct futex_call *f)
{
	int cmd = f->op & FUTEX_CMD_MASK;
	long r;

	if (!is_ours(f, cmd)) {
		if (cmd == FUTEX_WAKE || cmd == FUTEX_WAKE_BITSET || cmd == FUTEX_WAKE_OP || cmd == FUTEX_REQUEUE ||
		    cmd == FUTEX_CMP_REQUEUE || cmd == FUTEX_UNLOCK_PI)
			return real_futex(f); /* these never sleep: a section would only hand the P away */
		return GRT_BLOCKING(long, true, real_futex(f));
	}
	switch (cmd) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		r = futex_wait(f, cmd);
		break;
	case FUTEX_WAKE:
		r = futex_wake(f->addr, f->val, FUTEX_BITSET_MATCH_ANY, f->op & FUTEX_PRIVATE_FLAG);
		break;
	case FUTEX_WAKE_BITSET:
		r = futex_wake(f->addr, f->val, f->val3, f->op & FUTEX_PRIVATE_FLAG);
		break;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		r = futex_requeue(f, cmd);
		break;
	case FUTEX_WAKE_OP:
		r = futex_wake_op(f);
		break;
	default:
		return GRT_BLOCKING(long, true, real_futex(f));
	}
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

enum blocks { NEVER, MAY, USUALLY };

/* Calls that can sleep without bound. Those that wait for a disk only are found by sysmon. */
static enum blocks blocks(long nr)
{
	switch (nr) {
#ifdef SYS_poll
	case SYS_poll:
	case SYS_select:
	case SYS_epoll_wait:
	case SYS_pause:
	case SYS_open:
	case SYS_creat:
#endif
	case SYS_ppoll:
	case SYS_pselect6:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_accept:
	case SYS_accept4:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_futex_waitv:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_mq_timedreceive:
		return USUALLY;
	case SYS_read:
	case SYS_readv:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_connect:
	case SYS_openat:
	case SYS_openat2:
	case SYS_close:
	case SYS_close_range:
	case SYS_fcntl:
	case SYS_flock:
	case SYS_ioctl:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_sync:
	case SYS_syncfs:
	case SYS_sync_file_range:
	case SYS_msync:
	case SYS_msgsnd:
	case SYS_mq_timedsend:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_tee:
	case SYS_vmsplice:
	case SYS_copy_file_range:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	case SYS_getrandom:
		return MAY;
	default:
		return NEVER;
	}
}

/* Makes a process that goes on here, with memory of its own. */
static bool is_fork(long nr, long a)
{
#ifdef SYS_fork
	if (nr == SYS_fork)
		return true;
#endif
	if (nr == SYS_clone3)
		return a && !(*(const uint64_t *)a & CLONE_VM);
	return nr == SYS_clone && !(a & CLONE_VM);
}

/* libc's is variadic; all six arguments are passed on whether given or not, as its assembly does. */
GRT_EXPORT long grt__syscall(long nr, long a, long b, long c, long d, long e, long f) __asm__("syscall");
long grt__syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (grt_load_relaxed(&grt__state) != GRT_BOOTED || grt_unlikely(grt__self.in_vfork))
		return REAL(syscall)(nr, a, b, c, d, e, f);
	if (nr == SYS_futex) {
		struct futex_call call = {(uint32_t *)a, (int)b, (int)c, d, (uint32_t *)e, (uint32_t)f};
		return call_futex(&call);
	}
	if (is_fork(nr, a)) { /* no handlers of atfork run */
		grt__fork_prepare();
		long pid = REAL(syscall)(nr, a, b, c, d, e, f);
		if (pid == 0)
			grt__fork_child();
		else
			grt__fork_parent();
		return pid;
	}
	if (nr == SYS_seccomp || (nr == SYS_prctl && a == PR_SET_SECCOMP)) {
		grt__heap_limit_learn();
		grt__os_filter_comes();
		grt__io_filter_comes();
	}
	long args[] = {a, b, c, d, e, f}, r;
	if (grt__fd_syscall(nr, args, &r) || grt__signal_syscall(nr, args, &r))
		return r < 0 ? grt__shim_errno((int)r) : r;
	long done = grt__tid_syscall(nr, a, b, c, d, e, f);
	if (grt_unlikely(done != GRT_KSTATE_REAL))
		return (done < 0 && done > -4096) ? grt__shim_errno((int)done) : done;
	if (grt__on_task()) {
		if (grt__suspend_syscall(nr, args, &r))
			return r < 0 ? grt__shim_errno((int)r) : r;
		if (nr == SYS_gettid)
			return grt__self.g->tid;
		if (nr == SYS_sched_yield) {
			grt__yield();
			return 0;
		}
		enum blocks how = blocks(nr);
		if (how != NEVER)
			return GRT_BLOCKING(long, how == USUALLY, REAL(syscall)(nr, a, b, c, d, e, f));
		r = grt__kstate_syscall(nr, &a, &b, &c);
		if (r != GRT_KSTATE_REAL)
			return grt__shim_errno((int)r);
	}
	return REAL(syscall)(nr, a, b, c, d, e, f);
}
