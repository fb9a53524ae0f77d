/*
 * sig_fd.c - signalfd(2), sigwaitinfo: signals for one thread that it blocks. A signalfd reports those of the thread that reads or
 * polls it and those of the process; sigwaitinfo takes them in order; handlers that run meanwhile lose none.
 */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static int sfd, ep, phase, hits;
static pthread_t reader_thread;

static void on_hup(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
	sleep_ms(2); /* the task may go on elsewhere */
}

static int polls(int ms)
{
	struct pollfd f = {sfd, POLLIN, 0};
	return poll(&f, 1, ms);
}

static int selects(int ms)
{
	struct timeval tv = {0, ms * 1000};
	fd_set set;
	FD_ZERO(&set);
	FD_SET(sfd, &set);
	return select(sfd + 1, &set, NULL, NULL, &tv);
}

static int epolls(int ms)
{
	struct epoll_event ev;
	return epoll_wait(ep, &ev, 1, ms);
}

static unsigned reads(struct signalfd_siginfo *si)
{
	memset(si, 0, sizeof *si);
	ssize_t n = read(sfd, si, sizeof *si);
	return n == sizeof *si ? si->ssi_signo : 0;
}

static void own_signals(void)
{
	struct signalfd_siginfo si;
	union sigval v = {.sival_int = 7};
	CHECK_EQ("poll: nothing", 0, polls(0));
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGUSR1));
	CHECK_EQ("poll without a timeout", 1, polls(0));
	CHECK_EQ("poll", 1, polls(1000));
	CHECK_EQ("select", 1, selects(1000));
	CHECK_EQ("epoll_wait", 1, epolls(1000));
	CHECK_EQ("epoll_wait without a timeout", 1, epolls(0));
	CHECK_EQ("read", SIGUSR1, reads(&si));
	CHECK("its fields", si.ssi_pid == (uint32_t)getpid() && si.ssi_uid == getuid() && si.ssi_code == SI_TKILL);
	CHECK_EQ("it is gone", 0, polls(0));
	for (int i = 0; i < 3; i++, v.sival_int++)
		EXPECT_EQ(0, pthread_sigqueue(pthread_self(), SIGRTMIN + 1, v));
	EXPECT_EQ(0, pthread_kill(pthread_self(), SIGRTMIN));
	EXPECT_EQ(0, kill(getpid(), SIGUSR2));
	sigset_t set;
	sigpending(&set);
	CHECK("sigpending", sigismember(&set, SIGUSR2) && sigismember(&set, SIGRTMIN) && sigismember(&set, SIGRTMIN + 1));
	CHECK_EQ("one that the signalfd does not report stays pending", 1, polls(0));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ("real-time signals in the order of their numbers", SIGRTMIN + (i > 0), reads(&si));
		if (i)
			CHECK_EQ("and with their values", 6 + i, si.ssi_int);
	}
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK("what nobody read is still there, and the thread's own come first",
	      sigwaitinfo(&set, &info) == SIGRTMIN + 1 && info.si_value.sival_int == 9);
	CHECK_EQ("then the process's", SIGUSR2, sigwaitinfo(&set, &info));
	CHECK_EQ("and no more", 0, polls(0));
}

static void *reader(void *arg)
{
	struct signalfd_siginfo si;
	(void)arg;
	own_signals();
	flag_set(&phase, 1);
	CHECK("epoll_wait ends when one comes", epolls(10000) == 1 && reads(&si) == SIGUSR1);
	flag_set(&phase, 2);
	CHECK_EQ("a read that sleeps ends when one comes", SIGUSR1, reads(&si));
	flag_set(&phase, 3);
	int more = 0, one = 0;
	while (more + one < 21) {
		unsigned sig = reads(&si);
		more += sig == (unsigned)SIGRTMIN;
		one += sig == SIGUSR1;
	}
	CHECK("while handlers run none is lost", more == 20 && one == 1);
	CHECK_EQ("and none is there twice", 0, polls(10));
	return NULL;
}

static void *late(void *arg)
{
	struct signalfd_siginfo si;
	(void)arg;
	flag_set(&phase, 5);
	CHECK("a signalfd made while a thread waits in epoll_wait", epolls(10000) == 1 && reads(&si) == SIGURG);
	return NULL;
}

static void *waits(void *arg)
{
	siginfo_t info;
	sigset_t set;
	int n = 0;
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 2);
	flag_set(&phase, 4);
	while (n < 200) {
		int sig = sigwaitinfo(&set, &info);
		if (sig == SIGRTMIN + 2)
			n++;
		else
			EXPECT(sig < 0 && errno == EINTR);
	}
	CHECK("sigwaitinfo beside handlers loses none", flag_get(&hits) > 0);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_hup, .sa_flags = SA_RESTART};
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t set;
	sigaction(SIGHUP, &act, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	EXPECT((sfd = signalfd(-1, &set, SFD_CLOEXEC)) >= 0);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGURG);
	sigaddset(&set, SIGRTMIN + 2);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
	ep = epoll_create1(EPOLL_CLOEXEC);
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &ev));
	reader_thread = spawn(reader, NULL);
	for (int i = 1; i <= 2; i++) {
		flag_wait(&phase, i);
		sleep_ms(20); /* it sleeps by now, or is about to */
		EXPECT_EQ(0, pthread_kill(reader_thread, SIGUSR1));
	}
	flag_wait(&phase, 3);
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(0, pthread_kill(reader_thread, SIGHUP));
		EXPECT_EQ(0, pthread_kill(reader_thread, SIGRTMIN));
		if (i == 7)
			EXPECT_EQ(0, pthread_kill(reader_thread, SIGUSR1));
		if (i % 3 == 0)
			sleep_ms(1);
	}
	join(reader_thread);

	reader_thread = spawn(waits, NULL);
	flag_wait(&phase, 4);
	for (int i = 0; i < 200; i++) {
		if (i % 8 == 0)
			EXPECT_EQ(0, pthread_kill(reader_thread, SIGHUP));
		EXPECT_EQ(0, pthread_kill(reader_thread, SIGRTMIN + 2));
		if (i % 32 == 0)
			sleep_ms(1);
	}
	join(reader_thread);

	reader_thread = spawn(late, NULL);
	flag_wait(&phase, 5);
	sleep_ms(20);
	sigaddset(&set, SIGURG);
	EXPECT_EQ(sfd, signalfd(sfd, &set, 0));
	EXPECT_EQ(0, pthread_kill(reader_thread, SIGURG));
	join(reader_thread);
	return check_done();
}
