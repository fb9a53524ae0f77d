/*
 * unistd.h, grp.h: credentials. In the kernel they belong to a thread, in POSIX to the process; libc's own broadcast knows
 * threads only (and never ends when a task runs its handler), so the runtime has one.
 */
#include "arch/arch.h"
#include "sched/broadcast.h"
#include "shim/shim.h"
#include <sys/syscall.h>

/* Booted. A vfork child is a process of one thread. */
static int apply(long nr, long a, long b, long c)
{
	return grt__shim_errno(grt__self.in_vfork ? (int)grt__sys3(nr, a, b, c) : grt__broadcast_syscall(nr, a, b, c));
}

static inline bool booted(void)
{
	return grt_load_relaxed(&grt__state) == GRT_BOOTED;
}

GRT_EXPORT int setuid(uid_t uid)
{
	return booted() ? apply(SYS_setuid, uid, 0, 0) : REAL(setuid)(uid);
}

GRT_EXPORT int setgid(gid_t gid)
{
	return booted() ? apply(SYS_setgid, gid, 0, 0) : REAL(setgid)(gid);
}

GRT_EXPORT int setreuid(uid_t ruid, uid_t euid)
{
	return booted() ? apply(SYS_setreuid, ruid, euid, 0) : REAL(setreuid)(ruid, euid);
}

GRT_EXPORT int setregid(gid_t rgid, gid_t egid)
{
	return booted() ? apply(SYS_setregid, rgid, egid, 0) : REAL(setregid)(rgid, egid);
}

GRT_EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	return booted() ? apply(SYS_setresuid, ruid, euid, suid) : REAL(setresuid)(ruid, euid, suid);
}

GRT_EXPORT int setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
	return booted() ? apply(SYS_setresgid, rgid, egid, sgid) : REAL(setresgid)(rgid, egid, sgid);
}

GRT_EXPORT int seteuid(uid_t euid)
{
	if (!booted())
		return REAL(seteuid)(euid);
	return euid == (uid_t)-1 ? grt__shim_errno(-EINVAL) : apply(SYS_setresuid, (uid_t)-1, euid, (uid_t)-1);
}

GRT_EXPORT int setegid(gid_t egid)
{
	if (!booted())
		return REAL(setegid)(egid);
	return egid == (gid_t)-1 ? grt__shim_errno(-EINVAL) : apply(SYS_setresgid, (gid_t)-1, egid, (gid_t)-1);
}

GRT_EXPORT int setgroups(size_t n, const gid_t *groups)
{
	return booted() ? apply(SYS_setgroups, (long)n, (long)groups, 0) : REAL(setgroups)(n, groups);
}

/* Fewer groups are set where the kernel takes fewer, as libc does. */
GRT_EXPORT int initgroups(const char *user, gid_t group)
{
	gid_t *groups = NULL;
	int n = 16, have, r;

	if (!booted())
		return REAL(initgroups)(user, group);
	do {
		gid_t *more = realloc(groups, (size_t)n * sizeof *groups);
		if (more == NULL)
			goto no_memory;
		groups = more;
		have = n;
		r = getgrouplist(user, group, groups, &n);
	} while (r < 0 && n > have);
	if (r < 0)
		goto no_memory;
	do
		r = setgroups((size_t)n, groups);
	while (r < 0 && errno == EINVAL && --n > 0);
	int saved_errno = errno;
	free(groups);
	errno = saved_errno;
	return r;

no_memory:
	free(groups);
	return grt__shim_errno(-ENOMEM);
}
