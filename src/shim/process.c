/*
 * unistd.h, spawn.h, stdlib.h: making processes. fork is libc's (the runtime's part is an atfork handler, which daemon and
 * forkpty run too); exec is in exec.c; _exit needs nothing. posix_spawn and system use libc's internal names only.
 */
#include "api/boot.h"
#include "shim/shim.h"
#include <sched.h>
#include <stdarg.h>

/* The fork without handlers: the child's runtime is told by us. */
GRT_EXPORT pid_t _Fork(void)
{
	(void)REAL(_Fork);
	grt__fork_prepare();
	pid_t pid = grt__real__Fork();
	if (pid == 0)
		grt__fork_child();
	else
		grt__fork_parent();
	return pid;
}

struct clone_start {
	int (*fn)(void *);
	void *arg;
};

static int clone_begin(void *p)
{
	struct clone_start *s = p;
	grt__fork_child();
	return s->fn(s->arg);
}

/*
 * A child with memory of its own is that of a fork without handlers. One that borrows ours while we wait is that of a vfork. A
 * thread (CLONE_VM alone) is as foreign as it is to libc, and must have a thread block of its own, as libc demands too.
 */
GRT_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;
	va_start(ap, arg);
	void *ptid = va_arg(ap, void *), *tls = va_arg(ap, void *), *ctid = va_arg(ap, void *);
	va_end(ap);
	if (!grt__on_task())
		return REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
	if (!(flags & CLONE_VM)) {
		struct clone_start s = {fn, arg};
		(void)REAL(clone);
		grt__fork_prepare();
		int pid = grt__real_clone(fn ? clone_begin : NULL, stack, flags, &s, ptid, tls, ctid);
		grt__fork_parent();
		return pid;
	}
	if (!(flags & CLONE_VFORK))
		return REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
	(void)REAL(clone);
	grt__block_enter(true);
	grt__self.in_vfork = 1;
	int pid = grt__real_clone(fn, stack, flags, arg, ptid, tls, ctid), error = errno;
	grt__self.in_vfork = 0;
	grt__block_exit();
	errno = error;
	return pid;
}
GRT_ALIAS(__clone, clone);

GRT_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return GRT_BLOCKING(int, false, REAL(posix_spawn)(pid, path, actions, attr, argv, envp));
}

GRT_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                            const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return GRT_BLOCKING(int, false, REAL(posix_spawnp)(pid, file, actions, attr, argv, envp));
}

GRT_EXPORT int system(const char *command)
{
	return GRT_BLOCKING_IF(command != NULL, int, true, REAL(system)(command));
}

/*
 * The two halves of vfork around its system call (vfork.S). The child runs on the task's stack and thread block while
 * its M sleeps in the kernel; in_vfork makes every wrapper that it calls take the real function.
 */
bool grt__vfork_enter(void);
int grt__vfork_leave(long result);

/* False: not a task; the caller continues with libc's vfork. */
bool grt__vfork_enter(void)
{
	(void)REAL(vfork);
	if (!grt__on_task())
		return false;
	grt__block_enter(true);
	grt__self.in_vfork = 1;
	return true;
}

int grt__vfork_leave(long result)
{
	grt__self.in_vfork = 0;
	grt__block_exit();
	return grt__shim_errno((int)result);
}
