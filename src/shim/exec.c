/*
 * unistd.h: exec. Other tasks may be running, and sysmon may just have asked this one to make room: the runtime's signal must not reach
 * the new program (sched/preempt.c). The call itself is libc's.
 */
#include "api/boot.h"
#include "sched/proc.h"
#include "shim/shim.h"
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static bool begin(void)
{
	if (!grt__on_task() || !grt_load_relaxed(&grt__sched.sysmon_tid)) /* nobody sends it */
		return false;
	grt__preempt_exec_begin();
	return true;
}

static int failed(bool begun)
{
	int error = errno;
	if (begun)
		grt__preempt_exec_failed();
	errno = error;
	return -1;
}

/* An exec that returns has failed. */
#define GRT_EXEC(call)                                                                                                 \
	({                                                                                                                 \
		bool grt_begun = begin();                                                                                      \
		(void)(call);                                                                                                  \
		failed(grt_begun);                                                                                             \
	})

GRT_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return GRT_EXEC(REAL(execve)(path, argv, envp));
}

GRT_EXPORT int execv(const char *path, char *const argv[])
{
	return GRT_EXEC(REAL(execv)(path, argv));
}

GRT_EXPORT int execvp(const char *file, char *const argv[])
{
	return GRT_EXEC(REAL(execvp)(file, argv));
}

GRT_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return GRT_EXEC(REAL(execvpe)(file, argv, envp));
}

GRT_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return GRT_EXEC(REAL(fexecve)(fd, argv, envp));
}

GRT_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	return GRT_EXEC(REAL(execveat)(dir, path, argv, envp, flags));
}

/* The arguments of execl and its kin, which end with NULL, as an array; *after: what follows them. */
#define GRT_EXECL_ARGS(argv, arg, ap)                                                                                  \
	size_t grt_count = 1;                                                                                              \
	va_start(ap, arg);                                                                                                 \
	for (const char *s = arg; s != NULL; s = va_arg(ap, const char *))                                                 \
		grt_count++;                                                                                                   \
	va_end(ap);                                                                                                        \
	char *argv[grt_count];                                                                                             \
	va_start(ap, arg);                                                                                                 \
	argv[0] = (char *)arg;                                                                                             \
	for (size_t i = 1; i < grt_count; i++)                                                                             \
	argv[i] = va_arg(ap, char *)

GRT_EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list ap;
	GRT_EXECL_ARGS(argv, arg, ap);
	va_end(ap);
	return GRT_EXEC(REAL(execv)(path, argv));
}

GRT_EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list ap;
	GRT_EXECL_ARGS(argv, arg, ap);
	va_end(ap);
	return GRT_EXEC(REAL(execvp)(file, argv));
}

GRT_EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list ap;
	GRT_EXECL_ARGS(argv, arg, ap);
	char *const *envp = va_arg(ap, char *const *);
	va_end(ap);
	return GRT_EXEC(REAL(execve)(path, argv, envp));
}
