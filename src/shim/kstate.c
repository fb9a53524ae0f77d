/*
 * What the kernel keeps for each of its threads: names, affinity, scheduling, nice values, prctl, namespaces. A task that changes
 * such state, or whose state is changed, is pinned to its kernel thread (sched/pin.h); then the real call is made with that
 * thread's id. <pthread.h>, <sched.h>, <sys/prctl.h>, <sys/resource.h>, <unistd.h>, and their numbers of syscall().
 */
#include "shim/kstate.h"
#include "grt.h"
#include "heap/scavenge.h"
#include "io/io.h"
#include "os/os.h"
#include "sched/pin.h"
#include "sched/proc.h"
#include "sched/task.h"
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static inline bool booted(void)
{
	return grt_load_relaxed(&grt__state) == GRT_BOOTED && !grt__self.in_vfork;
}

/* ---- which kernel thread ---- */

/* What a new kernel thread has from the one that makes it, and no task could give itself: a seccomp filter, capabilities,
 * no_new_privs, ids (all of which /proc shows), namespaces and the like (which it does not). */
enum { INHERITS_RIGHTS = 1, INHERITS_OTHER = 2 };

static void pin_caller(uint8_t inherits)
{
	if (booted() && grt__on_task()) {
		grt__pin(grt__self.g);
		grt__self.g->inherits |= inherits;
	}
}

/* The kernel thread that has gp's state: to read it, or (after pinning) to change it. 0 is the calling one. */
static int thread_of(struct g *gp, bool change)
{
	if (change)
		return grt__pin(gp);
	int tid = grt__pinned_tid(gp);
	return tid ? tid : grt__pin_clean_tid();
}

/* NULL: not one of ours. 0 is the calling one. */
static struct g *g_of_tid_or_self(pid_t tid)
{
	return tid ? grt__g_of_tid(tid) : grt__self.g;
}

/* After a change of tid's scheduling: waiters are woken in the order of their priorities (sync/futex.c). */
static void note_priority(struct g *gp, int tid)
{
	struct sched_param param = {0};
	grt__sys2(SYS_sched_getparam, tid, &param);
	grt_store_relaxed(&gp->rt_prio, (uint8_t)param.sched_priority); /* 0 for all but the real-time policies */
}

/* What a program gave for a tid and can be none: which error that is depends on the call, so the kernel is asked. */
enum { BAD_TID = INT_MIN };

static inline bool failed(int tid)
{
	return tid < 0 && tid != BAD_TID;
}

/* The same for what a program takes for the id of a kernel thread. -ESRCH: no such task. */
static int thread_of_tid(pid_t tid, bool change)
{
	struct g *gp = g_of_tid_or_self(tid);
	if (tid < 0)
		return BAD_TID;
	if (!gp)
		return tid >= GRT_TID_FIRST ? -ESRCH : tid;
	return thread_of(gp, change);
}

/* A call that changes the scheduling of what the program names by tid (sched_setscheduler and its kin). The result or -errno. */
static long change_sched(long nr, int tid, long b, long c)
{
	struct g *gp = g_of_tid_or_self(tid);
	int kernel_tid = thread_of_tid(tid, true);
	if (failed(kernel_tid))
		return kernel_tid;
	long r = grt__sys3(nr, kernel_tid, b, c);
	if (r >= 0 && gp)
		note_priority(gp, kernel_tid);
	return r;
}

/* Of a pthread_t; *foreign: libc's own function must do it. */
static int thread_of_pthread(pthread_t thread, bool change, bool *foreign)
{
	struct g *gp = booted() ? grt__g_of_pthread((void *)thread) : NULL;
	*foreign = gp == NULL;
	if (!gp)
		return 0;
	return grt__task_alive(gp) ? thread_of(gp, change) : -ESRCH;
}

/* ---- names ---- */

/* Main's name is also its kernel thread's, for ps and top. */
static long main_comm(int flags)
{
	char path[48];
	grt__format(path, sizeof path, "/proc/self/task/%d/comm", grt__main_g.tid);
	return grt__sys_open(path, flags | O_CLOEXEC, 0);
}

static void set_name(struct g *gp, const char *name)
{
	char buf[16] = {0};
	memcpy(buf, name, strnlen(name, 15));
	memcpy(gp->name, buf, sizeof buf);
	if (gp == &grt__main_g) {
		long fd = main_comm(O_WRONLY);
		if (fd >= 0) {
			grt__sys_write((int)fd, buf, strlen(buf));
			grt__sys_close((int)fd);
		}
	}
}

static void get_name(struct g *gp, char buf[16])
{
	long fd = gp == &grt__main_g ? main_comm(O_RDONLY) : -1;
	if (fd >= 0) {
		char got[17];
		long n = grt__sys_read((int)fd, got, sizeof got);
		grt__sys_close((int)fd);
		if (n > 0 && n < 17) {
			memset(gp->name, 0, sizeof gp->name);
			memcpy(gp->name, got, (size_t)(n - (got[n - 1] == '\n')));
		}
	}
	memcpy(buf, gp->name, 16);
}

GRT_EXPORT int pthread_setname_np(pthread_t thread, const char *name)
{
	struct g *gp = booted() ? grt__g_of_pthread((void *)thread) : NULL;
	if (!gp)
		return REAL(pthread_setname_np)(thread, name);
	if (strnlen(name, 16) > 15)
		return ERANGE;
	set_name(gp, name);
	return 0;
}

/* grt.h; here because it is that under another name. */
GRT_EXPORT void grt_set_task_name(const char *name)
{
	char buf[16] = {0};
	memcpy(buf, name, strnlen(name, 15));
	pthread_setname_np(pthread_self(), buf);
}

GRT_EXPORT void grt_task_name(char buf[16])
{
	pthread_getname_np(pthread_self(), buf, 16);
}

GRT_EXPORT int pthread_getname_np(pthread_t thread, char *buf, size_t size)
{
	struct g *gp = booted() ? grt__g_of_pthread((void *)thread) : NULL;
	if (!gp)
		return REAL(pthread_getname_np)(thread, buf, size);
	if (size < 16)
		return ERANGE;
	get_name(gp, buf);
	return 0;
}

/* ---- prctl ---- */

/* Of the process, or only read: they need no kernel thread of their own. */
static bool harmless(int option)
{
	switch (option) {
	case PR_SET_DUMPABLE:
	case PR_SET_MM:
	case PR_SET_CHILD_SUBREAPER:
	case PR_SET_PTRACER:
	case PR_SET_THP_DISABLE:
	case PR_SET_VMA:
	case PR_SET_TIMING:
	case PR_TASK_PERF_EVENTS_DISABLE:
	case PR_TASK_PERF_EVENTS_ENABLE:
	case 65: /* PR_SET_MDWE */
	case 66: /* PR_GET_MDWE */
	case PR_CAPBSET_READ:
	case PR_GET_CHILD_SUBREAPER:
	case PR_GET_DUMPABLE:
	case PR_GET_ENDIAN:
	case PR_GET_FPEMU:
	case PR_GET_FPEXC:
	case PR_GET_FP_MODE:
	case PR_GET_IO_FLUSHER:
	case PR_GET_KEEPCAPS:
	case PR_GET_NO_NEW_PRIVS:
	case PR_GET_PDEATHSIG:
	case PR_GET_SECCOMP:
	case PR_GET_SECUREBITS:
	case PR_GET_SPECULATION_CTRL:
	case PR_GET_TAGGED_ADDR_CTRL:
	case PR_GET_THP_DISABLE:
	case PR_GET_TIMERSLACK:
	case PR_GET_TIMING:
	case PR_GET_TSC:
	case PR_GET_UNALIGN:
	case PR_MCE_KILL_GET:
	case PR_PAC_GET_ENABLED_KEYS:
	case PR_SVE_GET_VL:
		return true;
	default:
		return false;
	}
}

/* 0 or -errno, or GRT_KSTATE_REAL: make the real call. */
static long on_prctl(int option, unsigned long a)
{
	struct g *gp = grt__self.g;
	if (option == PR_SET_NAME || option == PR_GET_NAME) {
		if (a < 4096)
			return -EFAULT;
		if (option == PR_SET_NAME)
			set_name(gp, (const char *)a);
		else
			get_name(gp, (char *)a);
		return 0;
	}
	if (option == PR_GET_TID_ADDRESS)
		return grt__get_tid_address((void **)a);
	if (!harmless(option)) {
		grt__pin(gp);
		if (option != PR_SET_PDEATHSIG && option != PR_SET_TIMERSLACK)
			gp->inherits |= INHERITS_RIGHTS;
	}
	return GRT_KSTATE_REAL;
}

GRT_EXPORT int prctl(int option, ...)
{
	va_list ap;
	va_start(ap, option);
	unsigned long a = va_arg(ap, unsigned long), b = va_arg(ap, unsigned long), c = va_arg(ap, unsigned long),
				  d = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NO_NEW_PRIVS || option == PR_SET_SECCOMP)
		grt__heap_limit_learn();
	if (option == PR_SET_SECCOMP)
		grt__os_filter_comes();
	grt__io_filter_comes();
	if (booted() && grt__on_task()) {
		long r = on_prctl(option, a);
		if (r != GRT_KSTATE_REAL)
			return grt__shim_errno((int)r);
	}
	return REAL(prctl)(option, a, b, c, d);
}

/* ---- what changes nothing ---- */

/* The task has what every clean kernel thread has, and would get the same: nothing to pin it for. Language runtimes ask for the
 * default policy of each thread they make. */
static bool sched_is_so(pthread_t thread, int policy, const struct sched_param *param)
{
	struct g *gp = booted() ? grt__g_of_pthread((void *)thread) : NULL;
	struct sched_param now;
	if (!gp || !param || !grt__task_alive(gp) || grt__pinned_tid(gp))
		return false;
	int tid = grt__pin_clean_tid();
	return grt__sys1(SYS_sched_getscheduler, tid) == policy && grt__sys2(SYS_sched_getparam, tid, &now) == 0 &&
	       now.sched_priority == param->sched_priority;
}

/* ---- affinity ---- */

GRT_EXPORT int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
	bool foreign;
	int tid = thread_of_pthread(thread, true, &foreign);
	if (foreign)
		return REAL(pthread_setaffinity_np)(thread, size, set);
	return -(int)(tid < 0 ? tid : grt__sys3(SYS_sched_setaffinity, tid, size, set));
}

static int get_affinity(int tid, size_t size, cpu_set_t *set)
{
	if (failed(tid))
		return tid;
	long n = grt__sys3(SYS_sched_getaffinity, tid, size < INT32_MAX ? size : INT32_MAX, set);
	if (n < 0)
		return (int)n;
	memset((char *)set + n, 0, size - (size_t)n);
	return 0;
}

GRT_EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
	bool foreign;
	int tid = thread_of_pthread(thread, false, &foreign);
	if (foreign)
		return REAL(pthread_getaffinity_np)(thread, size, set);
	return -get_affinity(tid, size, set);
}

/* ---- scheduling ---- */

static long set_sched(pthread_t thread, int tid, long nr, long a, long b)
{
	long r = grt__sys3(nr, tid, a, b);
	if (r >= 0)
		note_priority(grt__g_of_pthread((void *)thread), tid);
	return r;
}

GRT_EXPORT int pthread_setschedparam(pthread_t thread, int policy, const struct sched_param *param)
{
	if (sched_is_so(thread, policy, param))
		return 0;
	bool foreign;
	int tid = thread_of_pthread(thread, true, &foreign);
	if (foreign)
		return REAL(pthread_setschedparam)(thread, policy, param);
	return -(int)(tid < 0 ? tid : set_sched(thread, tid, SYS_sched_setscheduler, policy, (long)param));
}

GRT_EXPORT int pthread_getschedparam(pthread_t thread, int *policy, struct sched_param *param)
{
	bool foreign;
	int tid = thread_of_pthread(thread, false, &foreign);
	if (foreign)
		return REAL(pthread_getschedparam)(thread, policy, param);
	long r = tid < 0 ? tid : grt__sys2(SYS_sched_getparam, tid, param);
	if (r < 0)
		return -(int)r;
	r = grt__sys1(SYS_sched_getscheduler, tid);
	if (r < 0)
		return -(int)r;
	*policy = (int)r;
	return 0;
}

GRT_EXPORT int pthread_setschedprio(pthread_t thread, int priority)
{
	bool foreign;
	struct sched_param param = {.sched_priority = priority};
	int tid = thread_of_pthread(thread, true, &foreign);
	if (foreign)
		return REAL(pthread_setschedprio)(thread, priority);
	return -(int)(tid < 0 ? tid : set_sched(thread, tid, SYS_sched_setparam, (long)&param, 0));
}

/* The clock of a kernel thread is its task's only while the two belong together. */
GRT_EXPORT int pthread_getcpuclockid(pthread_t thread, clockid_t *clock)
{
	bool foreign;
	int tid = thread_of_pthread(thread, true, &foreign);
	if (foreign)
		return REAL(pthread_getcpuclockid)(thread, clock);
	if (tid < 0)
		return -tid;
	*clock = (clockid_t)(~(unsigned)tid << 3 | 6 /* per thread, scheduler's time */);
	return 0;
}

/* ---- <sched.h>, <sys/resource.h>, by tid ---- */

GRT_EXPORT int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
	if (!booted())
		return REAL(sched_setaffinity)(pid, size, set);
	int tid = thread_of_tid(pid, true);
	return grt__shim_errno((int)(failed(tid) ? tid : grt__sys3(SYS_sched_setaffinity, tid, size, set)));
}

GRT_EXPORT int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	if (!booted())
		return REAL(sched_getaffinity)(pid, size, set);
	return grt__shim_errno(get_affinity(thread_of_tid(pid, false), size, set));
}

GRT_EXPORT int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
	if (!booted())
		return REAL(sched_setscheduler)(pid, policy, param);
	return grt__shim_errno((int)change_sched(SYS_sched_setscheduler, pid, policy, (long)param));
}
GRT_ALIAS(__sched_setscheduler, sched_setscheduler);

GRT_EXPORT int sched_getscheduler(pid_t pid)
{
	if (!booted())
		return REAL(sched_getscheduler)(pid);
	int tid = thread_of_tid(pid, false);
	return grt__shim_errno((int)(failed(tid) ? tid : grt__sys1(SYS_sched_getscheduler, tid)));
}
GRT_ALIAS(__sched_getscheduler, sched_getscheduler);

GRT_EXPORT int sched_setparam(pid_t pid, const struct sched_param *param)
{
	if (!booted())
		return REAL(sched_setparam)(pid, param);
	return grt__shim_errno((int)change_sched(SYS_sched_setparam, pid, (long)param, 0));
}

GRT_EXPORT int sched_getparam(pid_t pid, struct sched_param *param)
{
	if (!booted())
		return REAL(sched_getparam)(pid, param);
	int tid = thread_of_tid(pid, false);
	return grt__shim_errno((int)(failed(tid) ? tid : grt__sys2(SYS_sched_getparam, tid, param)));
}
GRT_ALIAS(__sched_getparam, sched_getparam);

GRT_EXPORT int setpriority(__priority_which_t which, id_t who, int value)
{
	if (!booted() || which != PRIO_PROCESS)
		return REAL(setpriority)(which, who, value);
	int tid = thread_of_tid((pid_t)who, true);
	return grt__shim_errno((int)(failed(tid) ? tid : grt__sys3(SYS_setpriority, which, tid, value)));
}

GRT_EXPORT int getpriority(__priority_which_t which, id_t who)
{
	if (!booted() || which != PRIO_PROCESS)
		return REAL(getpriority)(which, who);
	int tid = thread_of_tid((pid_t)who, false);
	return failed(tid) ? grt__shim_errno(tid) : REAL(getpriority)(which, (id_t)tid);
}

GRT_EXPORT int nice(int inc)
{
	pin_caller(0);
	return REAL(nice)(inc);
}

GRT_EXPORT int sched_rr_get_interval(pid_t pid, struct timespec *interval)
{
	if (!booted())
		return REAL(sched_rr_get_interval)(pid, interval);
	int tid = thread_of_tid(pid, false);
	return failed(tid) ? grt__shim_errno(tid) : REAL(sched_rr_get_interval)(tid, interval);
}

/* ---- namespaces, capabilities, personality ---- */

GRT_EXPORT int unshare(int flags)
{
	pin_caller(INHERITS_OTHER);
	return REAL(unshare)(flags);
}

GRT_EXPORT int setns(int fd, int type)
{
	pin_caller(INHERITS_OTHER);
	return REAL(setns)(fd, type);
}

extern int capset(void *header, const void *data); /* of no header of libc's */

GRT_EXPORT int capset(void *header, const void *data)
{
	pin_caller(INHERITS_RIGHTS);
	return REAL(capset)(header, data);
}

GRT_EXPORT int setfsuid(uid_t uid)
{
	pin_caller(INHERITS_RIGHTS);
	return REAL(setfsuid)(uid);
}

GRT_EXPORT int setfsgid(gid_t gid)
{
	pin_caller(INHERITS_RIGHTS);
	return REAL(setfsgid)(gid);
}

GRT_EXPORT int personality(unsigned long persona)
{
	if ((unsigned)persona != 0xffffffffu) /* that only asks */
		pin_caller(INHERITS_OTHER);
	return REAL(personality)(persona);
}

/* ---- syscall() ---- */

/* Replaces the task id in *tid by its kernel thread's. */
static long translate(long *tid, bool change)
{
	int t = thread_of_tid((pid_t)*tid, change);
	if (failed(t))
		return t;
	*tid = t;
	return GRT_KSTATE_REAL;
}

static long pin_self(uint8_t inherits)
{
	pin_caller(inherits);
	return GRT_KSTATE_REAL;
}

long grt__kstate_syscall(long nr, long *a, long *b, const long *c)
{
	switch (nr) {
	case SYS_prctl:
		return on_prctl((int)*a, (unsigned long)*b);
	case SYS_timer_create:
	case SYS_timer_delete:
		return grt__timer_syscall(nr, *a, *b, *c);
	case SYS_get_robust_list:
		return grt__get_robust_list((pid_t)*a, (void **)*b, (size_t *)*c);
	case SYS_set_robust_list:
		return grt__set_robust_list((void *)*a, (size_t)*b);
	case SYS_set_tid_address:
		return grt__set_tid_address((void *)*a);
	case SYS_sched_getaffinity:
	case SYS_sched_getscheduler:
	case SYS_sched_getparam:
	case SYS_sched_getattr:
	case SYS_sched_rr_get_interval:
		return translate(a, false);
	case SYS_sched_setaffinity:
		return translate(a, true);
	case SYS_sched_setscheduler:
	case SYS_sched_setparam:
	case SYS_sched_setattr:
		return change_sched(nr, (int)*a, *b, *c);
	case SYS_getpriority:
	case SYS_setpriority:
		return *a == PRIO_PROCESS ? translate(b, nr == SYS_setpriority) : GRT_KSTATE_REAL;
	case SYS_ioprio_get:
	case SYS_ioprio_set:
		return *a == 1 /* IOPRIO_WHO_PROCESS */ ? translate(b, nr == SYS_ioprio_set) : GRT_KSTATE_REAL;
	case SYS_personality:
		return (unsigned)*a == 0xffffffffu /* only asks */ ? GRT_KSTATE_REAL : pin_self(INHERITS_OTHER);
	case SYS_unshare:
	case SYS_setns:
	case SYS_set_mempolicy:
		return pin_self(INHERITS_OTHER);
	case SYS_capset:
	case SYS_seccomp:
	case SYS_setfsuid:
	case SYS_setfsgid:
	case SYS_setuid:
	case SYS_setgid:
	case SYS_setreuid:
	case SYS_setregid:
	case SYS_setresuid:
	case SYS_setresgid:
	case SYS_setgroups:
		return pin_self(INHERITS_RIGHTS);
	case SYS_keyctl:
		return pin_self(0);
	default:
		return GRT_KSTATE_REAL;
	}
}

/* ---- a new task's state ---- */

/* What a task is born with: its maker's, but for what attr says. */
struct start {
	bool cpus, sched; /* attr says */
	uint8_t inherits; /* as g.inherits */
	int policy, nice_value;
	struct sched_param param;
	unsigned char set[1024];
};

static void read_state(int tid, struct start *s)
{
	memset(s, 0, sizeof *s);
	grt__sys3(SYS_sched_getaffinity, tid, sizeof s->set, s->set);
	s->policy = (int)grt__sys1(SYS_sched_getscheduler, tid);
	grt__sys2(SYS_sched_getparam, tid, &s->param);
	s->nice_value = 20 - (int)grt__sys2(SYS_getpriority, PRIO_PROCESS, tid);
}

static void read_attr(const pthread_attr_t *attr, struct start *s)
{
	unsigned char set[sizeof s->set];
	int inherit;
	pthread_attr_getinheritsched(attr, &inherit);
	if (inherit == PTHREAD_EXPLICIT_SCHED) {
		pthread_attr_getschedpolicy(attr, &s->policy);
		pthread_attr_getschedparam(attr, &s->param);
		s->sched = true;
	}
	/* All bits set: none were. */
	if (pthread_attr_getaffinity_np(attr, sizeof set, (cpu_set_t *)set) == 0 && memchr(set, 0, sizeof set)) {
		memcpy(s->set, set, sizeof set);
		s->cpus = true;
	}
}

/* Of the new task's kernel thread, before it runs. */
static int set_up(struct g *gp, void *arg)
{
	const struct start *s = arg;
	int tid = grt__pinned_tid(gp);
	long r = 0;
	if (s->cpus)
		r = grt__sys3(SYS_sched_setaffinity, tid, sizeof s->set, s->set);
	if (r >= 0 && s->sched)
		r = grt__sys3(SYS_sched_setscheduler, tid, s->policy, &s->param);
	note_priority(gp, tid);
	gp->inherits = s->inherits;
	return r < 0 ? (int)r : 0;
}

/* The line of a status file that begins with name; its length in *len. */
static const char *status_line(const char *status, const char *name, size_t *len)
{
	const char *line = strstr(status, name);
	*len = line ? strcspn(line + 1, "\n") + 1 : 0;
	return line;
}

/* The rights of the calling task's kernel thread are not those of a clean one, or nobody can tell. */
static bool rights_differ(const struct g *self)
{
	static const char *const lines[] = {
		"\nUid:",    "\nGid:",    "\nGroups:",     "\nCapInh:",  "\nCapPrm:",         "\nCapEff:",
		"\nCapBnd:", "\nCapAmb:", "\nNoNewPrivs:", "\nSeccomp:", "\nSeccomp_filters:"};
	char path[48], mine[4096], clean[4096];
	grt__format(path, sizeof path, "/proc/self/task/%d/status", self->pinned_tid);
	if (grt__os_read_file(path, mine, sizeof mine) <= 0)
		return true;
	grt__format(path, sizeof path, "/proc/self/task/%d/status", grt__pin_clean_tid());
	if (grt__os_read_file(path, clean, sizeof clean) <= 0)
		return true;
	for (size_t i = 0; i < GRT_COUNT(lines); i++) {
		size_t a, b;
		const char *m = status_line(mine, lines[i], &a), *c = status_line(clean, lines[i], &b);
		if (a != b || (a && memcmp(m, c, a) != 0))
			return true;
	}
	return false;
}

int grt__kstate_spawn(struct grt_spawn *how, const pthread_attr_t *attr, pthread_t *thread)
{
	struct g *self = grt__self.g;
	struct start clean, mine;
	mine.cpus = mine.sched = false;
	if (attr)
		read_attr(attr, &mine);
	/* What a clone of this kernel thread has it must have, whoever asks it to run something. */
	bool own_rights = grt_unlikely(self->inherits) && (self->inherits & INHERITS_OTHER || rights_differ(self));
	if (!self->pinned && !mine.cpus && !mine.sched)
		return grt__spawn(how, thread);
	read_state(grt__pin_clean_tid(), &clean);
	read_state(self->pinned ? 0 : grt__pin_clean_tid(), &mine);
	if (attr)
		read_attr(attr, &mine);
	mine.inherits = own_rights ? self->inherits : 0;
	if (!own_rights && memcmp(mine.set, clean.set, sizeof mine.set) == 0 && mine.policy == clean.policy &&
	    mine.param.sched_priority == clean.param.sched_priority && mine.nice_value == clean.nice_value)
		return grt__spawn(how, thread);
	return grt__spawn_pinned(how, set_up, &mine, thread);
}
