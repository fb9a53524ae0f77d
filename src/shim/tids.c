/*
 * Functions, and numbers of syscall(), that name a thread by its id or make one, other than those of kstate.c: a task's id is
 * above all of the kernel's. <signal.h>, <sys/resource.h>, <sys/uio.h>, <time.h>, <sched.h>, <aio.h>.
 */
#include "shim/tids.h"
#include "api/boot.h"
#include "os/os.h"
#include "sched/pin.h"
#include "sched/signal.h"
#include "sched/tcb.h"
#include "shim/shim.h"
#include <aio.h>
#include <linux/sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static inline bool booted(void)
{
	return grt_load_relaxed(&grt__state) == GRT_BOOTED && !grt__self.in_vfork;
}

/* Where the kernel takes the id of any thread for its process. */
static pid_t process_of(pid_t pid)
{
	return pid >= GRT_TID_FIRST && booted() && grt__g_of_tid(pid) ? getpid() : pid;
}

/* ---- signals ---- */

/* 0 or -errno, or GRT_TID_REAL: not a task. */
static long direct(pid_t tgid, pid_t tid, int sig, int code, const siginfo_t *given)
{
	siginfo_t info;
	struct g *gp = tid > 0 ? grt__g_of_tid(tid) : NULL;
	if (!gp)
		return GRT_TID_REAL;
	if (tgid != getpid())
		return tgid <= 0 ? -EINVAL : -ESRCH;
	if (given) {
		memcpy(&info, given, sizeof info);
	} else {
		memset(&info, 0, sizeof info);
		info.si_code = code;
		info.si_pid = getpid();
		info.si_uid = getuid();
	}
	info.si_signo = sig;
	return grt__signal_send(gp, sig, &info);
}

GRT_EXPORT int tgkill(pid_t tgid, pid_t tid, int sig)
{
	long r = booted() ? direct(tgid, tid, sig, SI_TKILL, NULL) : GRT_TID_REAL;
	return r == GRT_TID_REAL ? REAL(tgkill)(tgid, tid, sig) : grt__shim_errno((int)r);
}

GRT_EXPORT int kill(pid_t pid, int sig)
{
	return REAL(kill)(process_of(pid), sig);
}

GRT_EXPORT int sigqueue(pid_t pid, int sig, const union sigval value)
{
	return REAL(sigqueue)(process_of(pid), sig, value);
}

/* ---- processes, by the id of one of their threads ---- */

GRT_EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *set, struct rlimit *old)
{
	return REAL(prlimit)(process_of(pid), resource, set, old);
}

GRT_EXPORT int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *set, struct rlimit64 *old)
{
	return REAL(prlimit64)(process_of(pid), resource, set, old);
}

GRT_EXPORT pid_t getpgid(pid_t pid)
{
	return REAL(getpgid)(process_of(pid));
}
GRT_ALIAS(__getpgid, getpgid);

GRT_EXPORT pid_t getsid(pid_t pid)
{
	return REAL(getsid)(process_of(pid));
}

GRT_EXPORT ssize_t process_vm_readv(pid_t pid, const struct iovec *to, unsigned long nto, const struct iovec *from,
                                    unsigned long nfrom, unsigned long flags)
{
	return REAL(process_vm_readv)(process_of(pid), to, nto, from, nfrom, flags);
}

GRT_EXPORT ssize_t process_vm_writev(pid_t pid, const struct iovec *from, unsigned long nfrom, const struct iovec *to,
                                     unsigned long nto, unsigned long flags)
{
	return REAL(process_vm_writev)(process_of(pid), from, nfrom, to, nto, flags);
}

struct cap_header {
	uint32_t version;
	int pid;
};

extern int capget(void *header, void *data); /* of no header of libc's */

GRT_EXPORT int capget(void *header, void *data)
{
	struct cap_header *h = header;
	int pid = h ? h->pid : 0;
	if (!h || !booted() || pid < GRT_TID_FIRST)
		return REAL(capget)(header, data);
	struct g *gp = grt__g_of_tid(pid);
	if (!gp)
		return grt__shim_errno(-ESRCH);
	int tid = grt__pinned_tid(gp);
	h->pid = tid ? tid : grt__pin_clean_tid();
	int r = REAL(capget)(header, data);
	h->pid = pid;
	return r;
}

/* ---- timers that signal one thread ---- */

/* The kernel's timer knows the kernel thread: the task stays on it. */
static int timer_target(struct sigevent *ev)
{
	struct g *gp = ev->sigev_notify == SIGEV_THREAD_ID ? grt__g_of_tid(ev->_sigev_un._tid) : NULL;
	if (!gp)
		return 0;
	int tid = grt__pin(gp);
	if (tid < 0)
		return -EINVAL;
	ev->_sigev_un._tid = tid;
	return 0;
}

GRT_EXPORT int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
	struct sigevent mine;
	if (!event || !booted() || event->sigev_notify != SIGEV_THREAD_ID)
		return REAL(timer_create)(clock, event, timer);
	memcpy(&mine, event, sizeof mine);
	int r = timer_target(&mine);
	return r < 0 ? grt__shim_errno(r) : REAL(timer_create)(clock, &mine, timer);
}

/* ---- clone ---- */

struct start {
	int (*fn)(void *);
	void *arg;
};

/* In a copy of the process, on its only thread. */
static int start_copy(void *arg)
{
	struct start s = *(struct start *)arg;
	grt__fork_child();
	return s.fn(s.arg);
}

/* A copy is a fork; a child that borrows our memory while we wait is a vfork. One that runs beside us in our memory is left to
 * the program: it has to bring its own thread block, and is a foreign thread then. */
GRT_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	void *ptid = va_arg(ap, void *), *tls = va_arg(ap, void *), *ctid = va_arg(ap, void *);
	va_end(ap);
	if (!booted() || !grt__on_task() || !fn || !stack)
		return REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
	if (!(flags & CLONE_VM)) {
		struct start s = {fn, arg};
		return REAL(clone)(start_copy, stack, flags, &s, ptid, tls, ctid);
	}
	if ((flags & (CLONE_VFORK | CLONE_SETTLS)) != CLONE_VFORK)
		return REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
	grt__block_enter(true);
	grt__self.in_vfork = 1;
	int r = REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
	int saved_errno = errno;
	grt__self.in_vfork = 0;
	grt__block_exit();
	errno = saved_errno;
	return r;
}
GRT_ALIAS(__clone, clone);

/* ---- aio: libc asks for the scheduling class of the caller's tid ---- */

/* It asks once and keeps the answer in the thread block; so it is asked here, with a kernel thread's id in the block. */
static void aio_prepare(void)
{
	if (!booted() || !grt__on_task())
		return;
	int saved_errno = errno, policy;
	struct sched_param param;
	struct m *mp = grt__enter();
	int32_t *tid = (int32_t *)((char *)grt__self.g->tcb + grt__tcb_tid_offset), was = *tid;
	*tid = mp->tid;
	REAL(pthread_getschedparam)(pthread_self(), &policy, &param);
	*tid = was;
	grt__leave();
	errno = saved_errno;
}

#define AIO(name, cb_type)                                                                                             \
	GRT_EXPORT int name(cb_type *cb)                                                                                   \
	{                                                                                                                  \
		aio_prepare();                                                                                                 \
		return REAL(name)(cb);                                                                                         \
	}
AIO(aio_read, struct aiocb)
AIO(aio_read64, struct aiocb64)
AIO(aio_write, struct aiocb)
AIO(aio_write64, struct aiocb64)

GRT_EXPORT int aio_fsync(int op, struct aiocb *cb)
{
	aio_prepare();
	return REAL(aio_fsync)(op, cb);
}

GRT_EXPORT int aio_fsync64(int op, struct aiocb64 *cb)
{
	aio_prepare();
	return REAL(aio_fsync64)(op, cb);
}

GRT_EXPORT int lio_listio(int mode, struct aiocb *const list[], int n, struct sigevent *event)
{
	aio_prepare();
	return REAL(lio_listio)(mode, list, n, event);
}

GRT_EXPORT int lio_listio64(int mode, struct aiocb64 *const list[], int n, struct sigevent *event)
{
	aio_prepare();
	return REAL(lio_listio64)(mode, list, n, event);
}

/* ---- syscall() ---- */

static long raw_mask(long how, const uint64_t *set, uint64_t *old, long size)
{
	uint64_t s = 0, was;
	if (size != sizeof s)
		return -EINVAL;
	if (set)
		s = *set;
	long r = grt__signal_mask((int)how, set ? &s : NULL, &was);
	if (r == 0 && old)
		*old = was;
	return r;
}

static long raw_timer(long clock, const struct sigevent *event, void *timer)
{
	struct sigevent mine;
	if (!event)
		return GRT_TID_REAL;
	memcpy(&mine, event, sizeof mine);
	int r = timer_target(&mine);
	return r < 0 ? r : grt__sys3(SYS_timer_create, clock, &mine, timer);
}

/* A fork by its number, which runs no handlers: as _Fork. */
static long copied(long pid)
{
	if (pid == 0)
		grt__fork_child();
	return pid;
}

long grt__tid_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	bool task = grt__on_task();
	switch (nr) {
	case SYS_tgkill:
		return direct((pid_t)a, (pid_t)b, (int)c, SI_TKILL, NULL);
	case SYS_tkill:
		return direct(getpid(), (pid_t)a, (int)b, SI_TKILL, NULL);
	case SYS_rt_tgsigqueueinfo:
		return direct((pid_t)a, (pid_t)b, (int)c, 0, (const siginfo_t *)d);
	case SYS_kill:
	case SYS_getpgid:
	case SYS_getsid:
	case SYS_rt_sigqueueinfo:
	case SYS_prlimit64:
	case SYS_process_vm_readv:
	case SYS_process_vm_writev:
		return (pid_t)a < GRT_TID_FIRST ? GRT_TID_REAL : grt__sys6(nr, process_of((pid_t)a), b, c, d, e, f);
	case SYS_capget:
		return grt__shim_result(capget((void *)a, (void *)b));
	case SYS_timer_create:
		return raw_timer(a, (const struct sigevent *)b, (void *)c);
	default:
		break;
	}
	if (!task)
		return GRT_TID_REAL;
	switch (nr) {
	case SYS_get_robust_list: {
		struct g *gp = (pid_t)a == 0 ? grt__self.g : grt__g_of_tid((pid_t)a);
		if (!gp)
			return GRT_TID_REAL;
		*(void **)b = grt__tcb_robust_head(gp->tcb);
		*(size_t *)c = 24;
		return 0;
	}
	case SYS_rt_sigprocmask:
		return raw_mask(a, (const uint64_t *)b, (uint64_t *)c, d);
	case SYS_rt_sigaction:
		return d != 8 ? -EINVAL
		              : grt__signal_action((int)a, (const struct grt_ksigaction *)b, (struct grt_ksigaction *)c);
	case SYS_rt_sigpending: {
		sigset_t set;
		if (b < 0 || b > 8)
			return -EINVAL;
		sigpending(&set);
		memcpy((void *)a, &set, (size_t)b);
		return 0;
	}
	case SYS_sigaltstack:
		return grt__signal_altstack((const stack_t *)a, (stack_t *)b);
	case SYS_rt_sigsuspend: {
		sigset_t set;
		if (b != 8)
			return -EINVAL;
		memset(&set, 0, sizeof set);
		memcpy(&set, (const void *)a, 8);
		return grt__shim_result(sigsuspend(&set));
	}
	case SYS_rt_sigtimedwait: {
		sigset_t set;
		if (d != 8)
			return -EINVAL;
		memset(&set, 0, sizeof set);
		memcpy(&set, (const void *)a, 8);
		return grt__shim_result(sigtimedwait(&set, (siginfo_t *)b, (const struct timespec *)c));
	}
	case SYS_fork:
		return copied(grt__sys0(SYS_fork));
	case SYS_clone:
		return a & CLONE_VM || b ? GRT_TID_REAL : copied(grt__sys5(SYS_clone, a, b, c, d, e));
	case SYS_clone3: {
		const struct clone_args *args = (const struct clone_args *)a;
		return args->flags & CLONE_VM || args->stack ? GRT_TID_REAL : copied(grt__sys2(SYS_clone3, a, b));
	}
	default:
		return GRT_TID_REAL;
	}
}
