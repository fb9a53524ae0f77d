/* chroot_setid.c - rights given up after chroot: every thread changes, though no /proc lists them any more. Needs root. */
#include "check.h"

#include <sys/stat.h>
#include <sys/syscall.h>

enum { WAITING = 6, USER = 65534 };

static int fds[2], stop;

static long my_ids(void)
{
	uid_t r = 1, e = 1, s = 1;
	syscall(SYS_getresuid, &r, &e, &s);
	return r == USER && e == USER && s == USER;
}

static void *reads(void *arg)
{
	char c;
	(void)arg;
	EXPECT_EQ(1, read(fds[0], &c, 1));
	return (void *)my_ids();
}

static void *spins(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		;
	return (void *)my_ids();
}

static void notified(union sigval v)
{
	__atomic_store_n((int *)v.sival_ptr, my_ids() ? 1 : 2, __ATOMIC_SEQ_CST);
}

int main(void)
{
	char dir[] = "/tmp/grt-chroot-XXXXXX";
	pthread_t r[WAITING], s[2];
	timer_t timer;
	int by_timer = 0;
	struct sigevent ev = {
		.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified, .sigev_value.sival_ptr = &by_timer};
	struct itimerspec soon = {.it_value.tv_nsec = 1000000};
	if (geteuid() != 0) {
		puts("not root");
		return 0;
	}
	EXPECT(mkdtemp(dir));
	pid_t pid = fork();
	if (pid != 0) {
		int status = reap(pid);
		rmdir(dir);
		return exited_with(status, 0) ? 0 : 1;
	}
	EXPECT_EQ(0, pipe(fds));
	for (int i = 0; i < WAITING; i++)
		r[i] = spawn(reads, NULL);
	for (int i = 0; i < 2; i++)
		s[i] = spawn(spins, NULL);
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &ev, &timer)); /* makes a thread of libc's own */
	sleep_ms(20);
	EXPECT_EQ(0, chroot(dir));
	EXPECT_EQ(0, chdir("/"));
	CHECK_EQ("setuid", 0, setuid(USER));
	CHECK_EQ("the caller's ids", 1, my_ids());
	EXPECT_EQ(WAITING, write(fds[1], "xxxxxx", WAITING));
	long n = 0;
	for (int i = 0; i < WAITING; i++)
		n += (long)join(r[i]);
	CHECK_EQ("those of threads that waited in the kernel", WAITING, n);
	flag_set(&stop, 1);
	CHECK_EQ("of threads that computed", 2, (long)join(s[0]) + (long)join(s[1]));
	EXPECT_EQ(0, timer_settime(timer, 0, &soon, NULL));
	flag_wait(&by_timer, 1);
	CHECK_EQ("of libc's own", 1, by_timer);
	CHECK_EQ("of one that comes later", 1, (long)join(spawn(spins, NULL)));
	return check_done();
}
