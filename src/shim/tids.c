/*
 * Functions, and numbers of syscall(), that take the id of any thread for its process, and libc's own that ask the kernel about the
 * caller's: a task's id is above all of the kernel's. <signal.h>, <sys/resource.h>, <sys/uio.h>, <unistd.h>, <aio.h>.
 */
#include "os/os.h"
#include "sched/pin.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/tcb.h"
#include "shim/kstate.h"
#include "shim/shim.h"
#include <aio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static inline bool booted(void)
{
	return grt_load_relaxed(&grt__state) == GRT_BOOTED && !grt__self.in_vfork;
}

/* Where the kernel takes the id of any thread for its process. */
static pid_t process_of(pid_t pid)
{
	return pid >= GRT_TID_FIRST && booted() && grt__g_of_tid(pid) ? getpid() : pid;
}

/* ---- processes, by the id of one of their threads ---- */

/* For the own process, from main, which takes it: its handler runs before the call returns, as the kernel tries the first thread first.
 * From another thread it comes back as a signal for the process (sched/signal.c). False: the kernel's. */
static bool given_to_main(pid_t pid, int sig, int code, union sigval value, int *r)
{
	siginfo_t info = {.si_signo = sig, .si_code = code};
	if (!grt__on_task() || grt__self.g != &grt__main_g || pid != grt__sched.pid || !grt__signal_handled_now(sig))
		return false;
	info.si_pid = pid;
	info.si_uid = getuid();
	info.si_value = value;
	*r = grt__shim_errno(grt__signal_send(&grt__main_g, sig, &info));
	return true;
}

GRT_EXPORT int kill(pid_t pid, int sig)
{
	int r;
	pid = process_of(pid);
	return given_to_main(pid, sig, SI_USER, (union sigval){0}, &r) ? r : REAL(kill)(pid, sig);
}

GRT_EXPORT int sigqueue(pid_t pid, int sig, const union sigval value)
{
	int r;
	pid = process_of(pid);
	return given_to_main(pid, sig, SI_QUEUE, value, &r) ? r : REAL(sigqueue)(pid, sig, value);
}

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

long grt__tid_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
	case SYS_kill:
	case SYS_getpgid:
	case SYS_getsid:
	case SYS_rt_sigqueueinfo:
	case SYS_prlimit64:
	case SYS_process_vm_readv:
	case SYS_process_vm_writev:
		return (pid_t)a < GRT_TID_FIRST ? GRT_KSTATE_REAL : grt__sys6(nr, process_of((pid_t)a), b, c, d, e, f);
	case SYS_capget:
		return grt__shim_result(capget((void *)a, (void *)b));
	default:
		return GRT_KSTATE_REAL;
	}
}
