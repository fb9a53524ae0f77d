// TIMEOUT: 60
/* seccomp.c - a filter that refuses calls which a program does without: installed before the program, and in the middle, for all threads.
 *
 * What is refused here is used by no part of the work below; a runtime may try such calls, but has to get along without. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const struct {
	const char *name;
	int nr[4]; /* 0: no more; read is never refused */
	int kills; /* whoever makes the call; in the middle only */
} sets[] = {
	{"clone", {SYS_clone}, 0}, /* libc uses clone3 then */
	{"clone3", {SYS_clone3}, 0},
	{"membarrier", {SYS_membarrier}, 0},
	{"tgkill", {SYS_tgkill}, 0},
	{"tgkill, tkill, rt_tgsigqueueinfo", {SYS_tgkill, SYS_tkill, SYS_rt_tgsigqueueinfo}, 0},
	{"ppoll", {SYS_ppoll}, 0},
	{"signalfd4, timerfd_create, eventfd2, epoll_create1",
     {SYS_signalfd4, SYS_timerfd_create, SYS_eventfd2, SYS_epoll_create1},
     0},
	{"madvise, sched_yield", {SYS_madvise, SYS_sched_yield}, 0},
	{"prctl, sched_getaffinity", {SYS_sched_getaffinity, SYS_prctl}, 0},
	{"process_vm_readv, membarrier, timerfd_create",
     {SYS_process_vm_readv, SYS_membarrier, SYS_timerfd_create},
     .kills = 1},
};
enum { SETS = sizeof sets / sizeof sets[0] };

/* 0 or errno. error 0: the call kills. */
static int install(const int nr[4], int error, unsigned flags)
{
	struct sock_filter f[16];
	unsigned short n = 0;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < 4 && nr[i]; i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
		                                      error ? SECCOMP_RET_ERRNO | (unsigned)error : SECCOMP_RET_KILL_PROCESS);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {n, f};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) == 0 ? 0 : errno;
}

static int stop, lines, fds[2];

static void *spins(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		;
	return arg;
}

/* Sleeps inside libc: nobody is told. */
static void *reads(void *arg)
{
	char line[64];
	FILE *f = fdopen(fds[0], "r");
	while (fgets(line, sizeof line, f))
		flag_add(&lines, 1);
	fclose(f);
	return arg;
}

static void *sleeps(void *arg)
{
	sleep_ms(5);
	return arg;
}

/* More tasks that compute than any GOMAXPROCS of the runs has Ps, and some that sleep. */
static int work(void)
{
	pthread_t s[10], r, z;
	long sum = 0;
	stop = lines = 0;
	if (pipe(fds) != 0)
		return 0;
	r = spawn(reads, (void *)1);
	for (int i = 0; i < 10; i++)
		s[i] = spawn(spins, (void *)10);
	z = spawn(sleeps, (void *)100);
	for (int i = 1; i <= 2; i++) {
		dprintf(fds[1], "line\n");
		flag_wait(&lines, i);
	}
	close(fds[1]);
	sum += (long)join(z);
	sum += (long)join(r);
	flag_set(&stop, 1);
	for (int i = 0; i < 10; i++)
		sum += (long)join(s[i]);
	return (int)sum;
}

static int release;

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

/* "0": the filter was there before; "1": it comes in the middle. */
static int as_child(int set, int middle)
{
	pthread_t t[3];
	int bad = 0;
	if (middle) {
		bad |= work() != 201;
		for (int i = 0; i < 3; i++)
			t[i] = spawn(waits, NULL);
		bad |= install(sets[set].nr, sets[set].kills ? 0 : ENOSYS, SECCOMP_FILTER_FLAG_TSYNC) << 4;
	}
	bad |= (work() != 201) << 1;
	if (middle) {
		flag_set(&release, 1);
		for (int i = 0; i < 3; i++)
			join(t[i]);
	}
	return bad;
}

static void before(int set, int error)
{
	char clause[128], number[16];
	snprintf(clause, sizeof clause, "refused from the start (%s): %s", strerror(error), sets[set].name);
	snprintf(number, sizeof number, "%d", set);
	pid_t pid = fork();
	if (pid == 0) {
		if (install(sets[set].nr, error, 0) != 0)
			_exit(99);
		execl("/proc/self/exe", "self", number, "0", (char *)NULL);
		_exit(98);
	}
	CHECK_EQ(clause, 0, reap(pid));
}

static void middle(int set)
{
	char clause[128], number[16];
	snprintf(clause, sizeof clause, "%s in the middle: %s", sets[set].kills ? "killed for" : "refused", sets[set].name);
	snprintf(number, sizeof number, "%d", set);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "self", number, "1", (char *)NULL);
		_exit(98);
	}
	CHECK_EQ(clause, 0, reap(pid));
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return as_child(atoi(argv[1]), atoi(argv[2]));
	for (int set = 0; set < SETS; set++) {
		if (!sets[set].kills)
			before(set, sets[set].nr[0] == SYS_clone3 ? ENOSYS : EPERM);
		/* Without any way to send a signal to a thread tasks that compute are not preempted: natively they need none. */
		if (sets[set].nr[2] != SYS_rt_tgsigqueueinfo)
			middle(set);
	}
	return check_done();
}
