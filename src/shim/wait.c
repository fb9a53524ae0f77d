/*
 * sys/wait.h, the waiting part of signal.h, System V and POSIX queues, aio.h and netdb.h completions: calls that wait for
 * something other than a descriptor.
 */
#include "sched/signal.h"
#include "shim/shim.h"
#include "shim/suspend.h"
#include <string.h>

/* ---- children ---- */

GRT_EXPORT pid_t wait(int *status)
{
	return GRT_BLOCKING(pid_t, true, REAL(wait)(status));
}
GRT_ALIAS(__wait, wait);

GRT_EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	return GRT_BLOCKING_IF(!(options & WNOHANG), pid_t, true, REAL(waitpid)(pid, status, options));
}
GRT_ALIAS(__waitpid, waitpid);

GRT_EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return GRT_BLOCKING_IF(!(options & WNOHANG), int, true, REAL(waitid)(type, id, info, options));
}

GRT_EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
	return GRT_BLOCKING_IF(!(options & WNOHANG), pid_t, true, REAL(wait3)(status, options, usage));
}

GRT_EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	return GRT_BLOCKING_IF(!(options & WNOHANG), pid_t, true, REAL(wait4)(pid, status, options, usage));
}

/* ---- signals: they must arrive while the kernel has this task's mask, so the M waits in the kernel ---- */

/* Directed signals of a task are queued on it, not in the kernel: look there first. A kick of the runtime's is no reason to return. */
static int wait_for_signal(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	struct g *gp = grt__self.g;
	struct timespec rest;
	siginfo_t mine;
	uint64_t mask;

	if (!grt__on_task())
		return REAL(sigtimedwait)(set, info, timeout);
	memcpy(&mask, set, sizeof mask);
	for (int64_t until = grt__time_until(timeout);;) {
		uint32_t ran = gp->handlers_ran;
		int sig = grt__sigwait_begin(mask, &mine);
		if (sig > 0) {
			if (info != NULL)
				*info = mine;
			return sig;
		}
		sig = REAL(sigtimedwait)(set, info, timeout);
		int error = errno;
		bool kicked = grt__sigwait_end();
		errno = error;
		if (sig >= 0 || error != EINTR || gp->handlers_ran != ran || !kicked)
			return sig;
		if (until) {
			grt__time_left(&rest, until);
			timeout = &rest;
		}
	}
}

GRT_EXPORT int sigwait(const sigset_t *set, int *sig)
{
	int r;

	if (!grt__on_task())
		return REAL(sigwait)(set, sig);
	do
		r = wait_for_signal(set, NULL, NULL);
	while (r < 0 && errno == EINTR); /* sigwait does not return EINTR */
	if (r < 0)
		return errno;
	*sig = r;
	return 0;
}

GRT_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	if (!grt__on_task())
		return REAL(sigwaitinfo)(set, info);
	return wait_for_signal(set, info, NULL);
}

GRT_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	return wait_for_signal(set, info, timeout);
}

GRT_EXPORT int pause(void)
{
	return GRT_BLOCKING(int, true, REAL(pause)());
}

/* ---- System V ---- */

GRT_EXPORT ssize_t msgrcv(int id, void *msg, size_t n, long type, int flags)
{
	return GRT_BLOCKING_IF(!(flags & IPC_NOWAIT), ssize_t, true, REAL(msgrcv)(id, msg, n, type, flags));
}

GRT_EXPORT int msgsnd(int id, const void *msg, size_t n, int flags)
{
	return GRT_BLOCKING_IF(!(flags & IPC_NOWAIT), int, false, REAL(msgsnd)(id, msg, n, flags));
}

GRT_EXPORT int semop(int id, struct sembuf *ops, size_t n)
{
	return GRT_BLOCKING(int, false, REAL(semop)(id, ops, n));
}

GRT_EXPORT int semtimedop(int id, struct sembuf *ops, size_t n, const struct timespec *timeout)
{
	return GRT_BLOCKING(int, false, REAL(semtimedop)(id, ops, n, timeout));
}

/* ---- POSIX message queues ---- */

GRT_EXPORT ssize_t mq_receive(mqd_t q, char *msg, size_t n, unsigned *prio)
{
	return GRT_BLOCKING(ssize_t, false, REAL(mq_receive)(q, msg, n, prio));
}

GRT_EXPORT ssize_t mq_timedreceive(mqd_t q, char *msg, size_t n, unsigned *prio, const struct timespec *deadline)
{
	return GRT_BLOCKING(ssize_t, false, REAL(mq_timedreceive)(q, msg, n, prio, deadline));
}

GRT_EXPORT int mq_send(mqd_t q, const char *msg, size_t n, unsigned prio)
{
	return GRT_BLOCKING(int, false, REAL(mq_send)(q, msg, n, prio));
}

GRT_EXPORT int mq_timedsend(mqd_t q, const char *msg, size_t n, unsigned prio, const struct timespec *deadline)
{
	return GRT_BLOCKING(int, false, REAL(mq_timedsend)(q, msg, n, prio, deadline));
}

/* ---- completions of libc's helper threads ---- */

GRT_EXPORT int aio_suspend(const struct aiocb *const list[], int n, const struct timespec *timeout)
{
	return GRT_BLOCKING(int, true, REAL(aio_suspend)(list, n, timeout));
}

GRT_EXPORT int aio_suspend64(const struct aiocb64 *const list[], int n, const struct timespec *timeout)
{
	return GRT_BLOCKING(int, true, REAL(aio_suspend64)(list, n, timeout));
}

GRT_EXPORT int gai_suspend(const struct gaicb *const list[], int n, const struct timespec *timeout)
{
	return GRT_BLOCKING(int, true, REAL(gai_suspend)(list, n, timeout));
}
