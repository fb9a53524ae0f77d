/* tids.c - whatever takes a thread's id takes what gettid() says in that thread, by libc's names and by syscall(). */
#include "check.h"

#include <aio.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int ready, done, hits; /* atomic */
static pid_t tid;
static pthread_t thread, hit_by;
static int hit_value;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	hit_by = pthread_self();
	hit_value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
	flag_add(&hits, 1);
}

static void *sleeper(void *arg)
{
	(void)arg;
	tid = gettid();
	EXPECT_EQ(tid, syscall(SYS_gettid));
	flag_set(&ready, 1);
	while (!flag_get(&done))
		usleep(1000);
	return NULL;
}

static int hit(int n)
{
	return flag_wait_bounded(&hits, n) && flag_get(&hits) == n && pthread_equal(hit_by, thread);
}

static int child_of_clone(void *arg)
{
	return *(int *)arg == 42 ? (int)(getpid() == gettid()) + 1 : 0;
}

static void *clones(void *arg)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	int n = 42;
	(void)arg;
	pid_t pid = clone(child_of_clone, stack + sizeof stack, SIGCHLD, &n);
	CHECK("clone: a copy", exited_with(reap(pid), 2));
	pid = clone(child_of_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &n);
	CHECK("clone: a child that borrows the memory", exited_with(reap(pid), 2));
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		sleep_ms(1);
		_exit(3);
	}
	CHECK("syscall(SYS_clone) as fork", exited_with(reap(pid), 3));
	pid = (pid_t)syscall(SYS_fork);
	if (pid == 0) {
		sleep_ms(1);
		_exit(gettid() == getpid() ? 4 : 5);
	}
	CHECK("syscall(SYS_fork)", exited_with(reap(pid), 4));

	char buf[4] = "";
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct aiocb cb = {.aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 4, .aio_lio_opcode = LIO_READ};
	struct aiocb *list[1] = {&cb};
	errno = 77;
	EXPECT_EQ(0, lio_listio(LIO_WAIT, list, 1, NULL));
	CHECK("lio_listio", errno == 77 && memcmp(buf, "\177ELF", 4) == 0 && aio_return(&cb) == 4);
	close(fd);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &act, NULL);
	thread = spawn(sleeper, NULL);
	flag_wait(&ready, 1);
	pid_t pid = getpid();

	EXPECT_EQ(0, tgkill(pid, tid, SIGUSR1));
	CHECK("tgkill", hit(1));
	EXPECT_EQ(0, syscall(SYS_tgkill, pid, tid, SIGUSR1));
	CHECK("syscall(SYS_tgkill)", hit(2));
	EXPECT_EQ(0, syscall(SYS_tkill, tid, SIGUSR1));
	CHECK("syscall(SYS_tkill)", hit(3));
	siginfo_t info;
	memset(&info, 0, sizeof info);
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 99;
	EXPECT_EQ(0, syscall(SYS_rt_tgsigqueueinfo, pid, tid, SIGUSR1, &info));
	CHECK("syscall(SYS_rt_tgsigqueueinfo)", hit(4) && hit_value == 99);
	CHECK("tgkill: ESRCH in another process", tgkill(1, tid, SIGUSR1) == -1 && errno == ESRCH);
	CHECK("tgkill: EINVAL", tgkill(-1, tid, SIGUSR1) == -1 && errno == EINVAL);
	CHECK("tgkill: EINVAL for a wrong signal", tgkill(pid, tid, 100) == -1 && errno == EINVAL);
	CHECK_EQ("kill of a thread's id means its process", 0, kill(tid, 0));
	CHECK_EQ("syscall(SYS_kill)", 0, syscall(SYS_kill, tid, 0));

	struct rlimit limit, same;
	EXPECT_EQ(0, prlimit(tid, RLIMIT_NOFILE, NULL, &limit));
	EXPECT_EQ(0, getrlimit(RLIMIT_NOFILE, &same));
	CHECK("prlimit", limit.rlim_cur == same.rlim_cur && limit.rlim_max == same.rlim_max);
	CHECK("syscall(SYS_prlimit64)", syscall(SYS_prlimit64, tid, RLIMIT_NOFILE, NULL, &limit) == 0);
	CHECK("getpgid, getsid", getpgid(tid) == getpgid(0) && getsid(tid) == getsid(0));
	int from = 5, to = 0;
	struct iovec l = {&to, sizeof to}, r = {&from, sizeof from};
	CHECK("process_vm_readv", process_vm_readv(tid, &l, 1, &r, 1, 0) == sizeof to && to == 5);
	CHECK("process_vm_writev", process_vm_writev(tid, &r, 1, &l, 1, 0) == sizeof to);

	cpu_set_t cpus;
	struct sched_param param = {.sched_priority = 9};
	CHECK("sched_getaffinity", sched_getaffinity(tid, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 0);
	CHECK("syscall(SYS_sched_getaffinity)", syscall(SYS_sched_getaffinity, tid, sizeof cpus, &cpus) > 0);
	CHECK("sched_getparam", sched_getparam(tid, &param) == 0 && param.sched_priority == 0);
	CHECK_EQ("sched_getscheduler", SCHED_OTHER, sched_getscheduler(tid));
	CHECK("syscall(SYS_ioprio_get)", syscall(SYS_ioprio_get, 1, tid) >= 0);
	CHECK_EQ("setpriority", 0, setpriority(PRIO_PROCESS, (id_t)tid, 3));
	CHECK_EQ("getpriority", 3, getpriority(PRIO_PROCESS, (id_t)tid));
	CHECK_EQ("it is that thread's alone", 0, getpriority(PRIO_PROCESS, 0));
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, tid};
	uint32_t caps[6];
	CHECK("syscall(SYS_capget)", syscall(SYS_capget, &header, caps) == 0 && header.pid == tid);
	void *head = NULL, *mine = NULL;
	size_t len = 0;
	EXPECT_EQ(0, syscall(SYS_get_robust_list, tid, &head, &len));
	EXPECT_EQ(0, syscall(SYS_get_robust_list, 0, &mine, &len));
	CHECK("syscall(SYS_get_robust_list)", head && mine && head != mine && len == 24);

	timer_t timer;
	struct sigevent ev;
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_THREAD_ID;
	ev.sigev_signo = SIGUSR1;
	ev._sigev_un._tid = tid;
	struct itimerspec when = {.it_value = {0, 1000000}};
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &ev, &timer));
	EXPECT_EQ(0, timer_settime(timer, 0, &when, NULL));
	CHECK("timer_create: SIGEV_THREAD_ID", hit(5));
	EXPECT_EQ(0, timer_delete(timer));

	flag_set(&done, 1);
	join(thread);
	/* Natively the kernel clears the tid that join waits for a moment before the thread is gone. */
	int gone = 0;
	for (int i = 0; i < 5000 && !gone; i++)
		if (!(gone = tgkill(pid, tid, 0) == -1 && errno == ESRCH))
			sleep_ms(1);
	CHECK("tgkill: ESRCH after the thread's end", gone);
	join(spawn(clones, NULL));
	return check_done();
}
