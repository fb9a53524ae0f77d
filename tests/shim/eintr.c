/* eintr.c - what a handler does to a blocked call, with SA_RESTART and without.
 *
 * After signal(7): with SA_RESTART read, wait, flock and sem_wait go on; poll, select, epoll_wait,
 * nanosleep, sigtimedwait, pause and calls with a timeout end with EINTR either way. */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

static int entered, hits, handler_thread_ok;
static int p[2], listener, ep, lock_a, lock_b, tsock[2];
static pthread_t target;
static pid_t child;

static void on_usr1(int sig)
{
	(void)sig;
	if (pthread_equal(pthread_self(), target))
		flag_add(&handler_thread_ok, 1);
	int saved = errno;
	errno = 99;
	flag_add(&hits, 1);
	errno = saved;
}

static long result(long rc)
{
	return rc >= 0 ? rc : -errno;
}

static void in(void)
{
	errno = 0;
	flag_set(&entered, 1);
}

static void *c_read(void *a)
{
	char b;
	(void)a;
	in();
	return (void *)result(read(p[0], &b, 1));
}

static void *c_accept(void *a)
{
	(void)a;
	in();
	long r = result(accept(listener, NULL, NULL));
	return (void *)(r > 0 ? 1 : r);
}

static void *c_flock(void *a)
{
	(void)a;
	in();
	return (void *)result(flock(lock_b, LOCK_EX));
}

static void *c_waitpid(void *a)
{
	int st;
	(void)a;
	in();
	return (void *)(long)(result(waitpid(child, &st, 0)) == child ? 1 : -errno);
}

static void *c_poll(void *a)
{
	struct pollfd f = {p[0], POLLIN, 0};
	(void)a;
	in();
	return (void *)result(poll(&f, 1, 20000));
}

static void *c_select(void *a)
{
	fd_set r;
	(void)a;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	in();
	return (void *)result(select(p[0] + 1, &r, NULL, NULL, NULL));
}

static void *c_epoll(void *a)
{
	struct epoll_event ev;
	(void)a;
	in();
	return (void *)result(epoll_wait(ep, &ev, 1, -1));
}

static void *c_nanosleep(void *a)
{
	struct timespec ts = {20, 0}, rem = {0, 0};
	(void)a;
	in();
	long r = result(nanosleep(&ts, &rem));
	EXPECT(r != -EINTR || (rem.tv_sec <= 20 && rem.tv_sec >= 5));
	return (void *)r;
}

static void *c_clock_nanosleep(void *a)
{
	struct timespec ts = in_ms(CLOCK_MONOTONIC, 20000);
	(void)a;
	in();
	return (void *)(long)-clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void *c_usleep(void *a)
{
	(void)a;
	in();
	return (void *)result(usleep(20000000));
}

static void *c_sleep(void *a)
{
	(void)a;
	in();
	unsigned left = sleep(20);
	return (void *)(long)(left > 5 && left <= 20 ? -EINTR : 0);
}

static void *c_sigtimedwait(void *a)
{
	sigset_t s;
	struct timespec ts = {20, 0};
	(void)a;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	in();
	return (void *)result(sigtimedwait(&s, NULL, &ts));
}

static void *c_recv_timeo(void *a)
{
	char b;
	(void)a;
	in();
	return (void *)result(recv(tsock[0], &b, 1, 0));
}

static void satisfy_pipe(void)
{
	EXPECT_EQ(1, write(p[1], "x", 1));
}
static struct sockaddr_in addr;
static void satisfy_accept(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(0, connect(fd, (struct sockaddr *)&addr, sizeof addr));
	close(fd);
}
static void satisfy_flock(void)
{
	flock(lock_a, LOCK_UN);
}
static void satisfy_child(void)
{
	kill(child, SIGKILL);
}

/* Interrupted until it has ended; -EINTR is what it must end with. */
static void ends(const char *name, void *(*call)(void *))
{
	void *value = NULL;
	double until = now_s() + 10;
	flag_set(&entered, 0);
	pthread_t t = spawn(call, NULL);
	target = t;
	flag_wait(&entered, 1);
	while (pthread_tryjoin_np(t, &value) == EBUSY && now_s() < until) {
		sleep_ms(20);
		pthread_kill(t, SIGUSR1);
		sleep_ms(1);
	}
	CHECK_EQ(name, -EINTR, (long)value);
}

static void goes_on(const char *name, void *(*call)(void *), void (*satisfy)(void), long want)
{
	void *value = (void *)-99;
	int before = flag_get(&hits);
	flag_set(&entered, 0);
	pthread_t t = spawn(call, NULL);
	target = t;
	flag_wait(&entered, 1);
	for (int i = 0; i < 5; i++) {
		sleep_ms(10);
		pthread_kill(t, SIGUSR1);
	}
	sleep_ms(20);
	EXPECT_EQ(EBUSY, pthread_tryjoin_np(t, &value));
	EXPECT(flag_get(&hits) > before);
	satisfy();
	value = join(t);
	CHECK_EQ(name, want, (long)value);
}

static void handler_flags(int flags)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_usr1;
	sa.sa_flags = flags;
	EXPECT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
}

static void make_child(void)
{
	fflush(stdout);
	child = fork();
	if (child == 0)
		for (;;)
			pause();
}

static void always(void)
{
	ends("poll", c_poll);
	ends("select", c_select);
	ends("epoll_wait", c_epoll);
	ends("nanosleep, with the time that was left", c_nanosleep);
	ends("clock_nanosleep, absolute", c_clock_nanosleep);
	ends("usleep", c_usleep);
	ends("sleep, with the seconds that were left", c_sleep);
	ends("sigtimedwait", c_sigtimedwait);
	ends("recv with SO_RCVTIMEO", c_recv_timeo);
}

int main(void)
{
	char name[] = "/tmp/grt-eintr-XXXXXX";
	struct epoll_event ev;
	struct timeval tv = {20, 0};
	socklen_t len = sizeof addr;

	EXPECT_EQ(0, pipe(p));
	lock_a = mkstemp(name);
	lock_b = open(name, O_RDWR);
	unlink(name);
	EXPECT_EQ(0, flock(lock_a, LOCK_EX));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(0, bind(listener, (struct sockaddr *)&addr, sizeof addr));
	EXPECT_EQ(0, listen(listener, 8));
	EXPECT_EQ(0, getsockname(listener, (struct sockaddr *)&addr, &len));
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, tsock));
	EXPECT_EQ(0, setsockopt(tsock[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	ep = epoll_create1(0);
	memset(&ev, 0, sizeof ev);
	ev.events = EPOLLIN;
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));

	handler_flags(0);
	printf("-- EINTR without SA_RESTART\n");
	ends("read", c_read);
	ends("accept", c_accept);
	ends("flock", c_flock);
	make_child();
	ends("waitpid", c_waitpid);
	always();

	handler_flags(SA_RESTART);
	printf("-- EINTR even with SA_RESTART\n");
	always();
	printf("-- goes on with SA_RESTART\n");
	goes_on("read", c_read, satisfy_pipe, 1);
	goes_on("accept", c_accept, satisfy_accept, 1);
	goes_on("flock", c_flock, satisfy_flock, 0);
	goes_on("waitpid", c_waitpid, satisfy_child, 1);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	EXPECT_EQ(0, siginterrupt(SIGUSR1, 1));
#pragma GCC diagnostic pop
	ends("siginterrupt(1) turns SA_RESTART off", c_read);
	CHECK_EQ("the handler ran on the thread that was signalled, each time", flag_get(&hits),
	         flag_get(&handler_thread_ok));
	return check_done();
}
