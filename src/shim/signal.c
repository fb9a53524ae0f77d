/*
 * <signal.h>, and what of <setjmp.h> changes the mask. The program sees its own dispositions and masks; the kernel's
 * are sched/signal.c's.
 */
#include "os/os.h"
#include "sched/signal.h"
#include "sched/proc.h"
#include "sched/task.h"
#include "shim/kstate.h"
#include "shim/shim.h"
#include <setjmp.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

extern int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
extern sighandler_t bsd_signal(int sig, sighandler_t handler);

static inline bool booted(void)
{
	return grt__state == GRT_BOOTED && !grt__self.in_vfork;
}

static uint64_t mask_of(const sigset_t *set)
{
	uint64_t m;
	memcpy(&m, set, sizeof m);
	return m;
}

static void set_of(sigset_t *set, uint64_t m)
{
	memset(set, 0, sizeof *set);
	memcpy(set, &m, sizeof m);
}

GRT_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	if (!booted())
		return REAL(sigaction)(sig, act, old);
	struct grt_ksigaction k = {0}, ko = {0};
	if (act) {
		k.handler = (void *)act->sa_handler;
		k.flags = (unsigned)act->sa_flags;
		k.mask = mask_of(&act->sa_mask);
	}
	int r = grt__shim_errno(grt__signal_action(sig, act ? &k : NULL, old ? &ko : NULL));
	if (r == 0 && old) {
		memset(old, 0, sizeof *old);
		old->sa_handler = (sighandler_t)ko.handler;
		old->sa_flags = (int)(ko.flags & ~0x04000000ul);
		set_of(&old->sa_mask, ko.mask);
	}
	return r;
}

GRT_EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old);
}

static uint64_t interrupting; /* siginterrupt(sig, 1) was called: signal() leaves SA_RESTART out */

static sighandler_t simple_signal(int sig, sighandler_t handler, int flags)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;
	if (handler == SIG_ERR || sig < 1 || sig > 64) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&act.sa_mask);
	if (!(flags & SA_RESETHAND))
		sigaddset(&act.sa_mask, sig);
	if (interrupting >> (sig - 1) & 1)
		act.sa_flags &= ~SA_RESTART;
	return sigaction(sig, &act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

GRT_EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	if (!booted())
		return REAL(signal)(sig, handler);
	return simple_signal(sig, handler, SA_RESTART);
}

GRT_EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

GRT_EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

GRT_EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	if (!booted())
		return REAL(sysv_signal)(sig, handler);
	return simple_signal(sig, handler, SA_RESETHAND | SA_NODEFER);
}

GRT_EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

GRT_EXPORT int siginterrupt(int sig, int flag)
{
	if (!booted()) {
		int r = REAL(siginterrupt)(sig, flag);
		if (r == 0)
			interrupting = flag ? interrupting | 1ull << (sig - 1) : interrupting & ~(1ull << (sig - 1));
		return r;
	}
	struct sigaction act;
	if (sigaction(sig, NULL, &act) < 0)
		return -1;
	interrupting = flag ? interrupting | 1ull << (sig - 1) : interrupting & ~(1ull << (sig - 1));
	act.sa_flags = flag ? act.sa_flags & ~SA_RESTART : act.sa_flags | SA_RESTART;
	return sigaction(sig, &act, NULL);
}

GRT_EXPORT int sigignore(int sig)
{
	struct sigaction act = {.sa_handler = SIG_IGN};
	return sigaction(sig, &act, NULL);
}

static int set_mask(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t s = set ? mask_of(set) : 0, o;
	int r = grt__signal_mask(how, set ? &s : NULL, old ? &o : NULL);
	if (r == 0 && old)
		set_of(old, o);
	return r;
}

GRT_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!grt__on_task())
		return REAL(pthread_sigmask)(how, set, old);
	return -set_mask(how, set, old);
}

GRT_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!grt__on_task())
		return REAL(sigprocmask)(how, set, old);
	return grt__shim_errno(set_mask(how, set, old));
}

GRT_EXPORT int sigpending(sigset_t *set)
{
	int r = REAL(sigpending)(set);
	if (r == 0 && grt__on_task())
		set_of(set, mask_of(set) | (grt__signal_queued(grt__self.g) & grt__self.g->sigmask));
	return r;
}

GRT_EXPORT int sigaltstack(const stack_t *ss, stack_t *old)
{
	if (!grt__on_task()) {
		if (ss)
			grt__altstack_seen = true;
		return REAL(sigaltstack)(ss, old);
	}
	return grt__shim_errno(grt__signal_altstack(ss, old));
}

/* What a signalfd reports is also what is queued on a task: sched/signal.h. */
static void note_signalfd(uint64_t mask)
{
	__atomic_or_fetch(&grt__signalfd_mask, mask & ~GRT_MASK_NEVER, __ATOMIC_SEQ_CST);
}

GRT_EXPORT int signalfd(int fd, const sigset_t *mask, int flags)
{
	int r = REAL(signalfd)(fd, mask, flags);
	if (r >= 0)
		note_signalfd(mask_of(mask));
	return r;
}

static int send_directed(pthread_t thread, int sig, int code, const union sigval *value)
{
	struct g *gp = grt__g_of_pthread((void *)thread);
	siginfo_t info;
	memset(&info, 0, sizeof info);
	info.si_signo = sig;
	info.si_code = code;
	info.si_pid = getpid();
	info.si_uid = getuid();
	if (value)
		info.si_value = *value;
	if (!grt__task_alive(gp))
		return sig < 0 || sig > 64 ? EINVAL : 0; /* ended, not yet joined: as glibc 2.34 and later */
	return -grt__signal_send(gp, sig, &info);
}

GRT_EXPORT int pthread_kill(pthread_t thread, int sig)
{
	if (!booted() || !grt__g_of_pthread((void *)thread))
		return REAL(pthread_kill)(thread, sig);
	return send_directed(thread, sig, SI_TKILL, NULL);
}

/* libc's asks for its kernel thread's id and signals that: the task may have moved in between. */
GRT_EXPORT int raise(int sig)
{
	if (!grt__on_task())
		return REAL(raise)(sig);
	return grt__shim_errno(-pthread_kill(pthread_self(), sig));
}

GRT_EXPORT int pthread_sigqueue(pthread_t thread, int sig, const union sigval value)
{
	if (!booted() || !grt__g_of_pthread((void *)thread))
		return REAL(pthread_sigqueue)(thread, sig, value);
	return send_directed(thread, sig, SI_QUEUE, &value);
}

/* ---- by the id of a thread ---- */

/* The task that `tid` of our process means, or NULL: the kernel's, if any. */
static struct g *task_of_tid(pid_t pid, pid_t tid)
{
	return booted() && pid == grt__sys_getpid() ? grt__g_of_tid(tid) : NULL;
}

static int send_by_tid(struct g *gp, int sig, const siginfo_t *given)
{
	siginfo_t info;
	if (given) {
		memcpy(&info, given, sizeof info);
	} else {
		memset(&info, 0, sizeof info);
		info.si_code = SI_TKILL;
		info.si_pid = getpid();
		info.si_uid = getuid();
	}
	return grt__signal_send(gp, sig, &info);
}

GRT_EXPORT int tgkill(pid_t pid, pid_t tid, int sig)
{
	struct g *gp = task_of_tid(pid, tid);
	if (gp)
		return grt__shim_errno(send_by_tid(gp, sig, NULL));
	return REAL(tgkill)(pid, tid, sig);
}

static long mask_syscall(int how, const uint64_t *set, uint64_t *old, size_t size)
{
	return size == sizeof *set ? grt__signal_mask(how, set, old) : -EINVAL;
}

static long pending_syscall(uint64_t *set, size_t size)
{
	long r = grt__sys2(SYS_rt_sigpending, set, size);
	if (r == 0 && size == sizeof *set)
		*set |= grt__signal_queued(grt__self.g) & grt__self.g->sigmask;
	return r;
}

static long wait_syscall(const uint64_t *set, siginfo_t *info, const struct timespec *timeout, size_t size)
{
	sigset_t s;
	if (size != sizeof *set)
		return -EINVAL;
	set_of(&s, *set);
	return grt__shim_result(sigtimedwait(&s, info, timeout));
}

bool grt__signal_syscall(long nr, const long a[6], long *r)
{
	struct g *gp = NULL;
	switch (nr) {
	case SYS_tgkill:
	case SYS_rt_tgsigqueueinfo:
		gp = task_of_tid((pid_t)a[0], (pid_t)a[1]);
		if (gp)
			*r = send_by_tid(gp, (int)a[2], nr == SYS_tgkill ? NULL : (const siginfo_t *)a[3]);
		return gp != NULL;
	case SYS_tkill:
		gp = task_of_tid(grt__sys_getpid(), (pid_t)a[0]);
		if (gp)
			*r = send_by_tid(gp, (int)a[1], NULL);
		return gp != NULL;
	case SYS_rt_sigaction:
		*r = a[3] == 8
		         ? grt__signal_action((int)a[0], (const struct grt_ksigaction *)a[1], (struct grt_ksigaction *)a[2])
		         : -EINVAL;
		return true;
	case SYS_signalfd:
	case SYS_signalfd4:
		if (a[1] && a[2] == 8)
			note_signalfd(*(const uint64_t *)a[1]);
		return false;
	default:
		break;
	}
	if (!grt__on_task())
		return false;
	switch (nr) {
	case SYS_rt_sigprocmask:
		*r = mask_syscall((int)a[0], (const uint64_t *)a[1], (uint64_t *)a[2], (size_t)a[3]);
		return true;
	case SYS_rt_sigpending:
		*r = pending_syscall((uint64_t *)a[0], (size_t)a[1]);
		return true;
	case SYS_rt_sigtimedwait:
		*r = wait_syscall((const uint64_t *)a[0], (siginfo_t *)a[1], (const struct timespec *)a[2], (size_t)a[3]);
		return true;
	case SYS_sigaltstack:
		*r = grt__signal_altstack((const stack_t *)a[0], (stack_t *)a[1]);
		return true;
	default:
		return false;
	}
}

static void note_jump(struct __jmp_buf_tag *env)
{
	if (grt__on_task() && env->__mask_was_saved)
		grt__signal_note_mask(mask_of((sigset_t *)&env->__saved_mask));
}

GRT_EXPORT GRT_NORETURN void siglongjmp(sigjmp_buf env, int val)
{
	note_jump(env);
	REAL(siglongjmp)(env, val);
	__builtin_unreachable();
}

GRT_EXPORT GRT_NORETURN void longjmp(jmp_buf env, int val)
{
	note_jump(env);
	REAL(longjmp)(env, val);
	__builtin_unreachable();
}

GRT_EXPORT GRT_NORETURN void _longjmp(jmp_buf env, int val)
{
	note_jump(env);
	REAL(_longjmp)(env, val);
	__builtin_unreachable();
}

extern GRT_NORETURN void __longjmp_chk(jmp_buf env, int val);
GRT_EXPORT GRT_NORETURN void __longjmp_chk(jmp_buf env, int val)
{
	note_jump(env);
	REAL(__longjmp_chk)(env, val);
	__builtin_unreachable();
}
