/* few_fds.c - descriptors: threads leave the lowest numbers to the program, and get along with few or none. */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>

static int got;

static void handler(int sig)
{
	(void)sig;
	flag_set(&got, 1);
}

static void *returns(void *arg)
{
	return arg;
}

static void *waits(void *arg)
{
	sigset_t none;
	(void)arg;
	sigemptyset(&none);
	while (!flag_get(&got))
		sigsuspend(&none);
	return NULL;
}

static void limit(rlim_t n)
{
	struct rlimit rl;
	EXPECT_EQ(0, getrlimit(RLIMIT_NOFILE, &rl));
	rl.rlim_cur = n;
	EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &rl));
}

/* A signal for the process, sent from outside while every thread waits. */
static void signalled(const char *clause)
{
	sigset_t usr1;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pid_t me = getpid();
	got = 0;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &usr1, NULL));
	pthread_t t = spawn(waits, &m);
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		_exit(me > 1 && kill(me, SIGUSR1) == 0 ? 0 : 1);
	}
	join(t);
	CHECK(clause, got && exited_with(reap(pid), 0));
	EXPECT_EQ(0, pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
}

/* The runtime may have a number for a moment (HACKING, "Known defects"): the lowest of a few looks counts. */
static int lowest(void)
{
	int low = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(low);
	for (int i = 0; i < 5; i++) {
		sleep_ms(2);
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		close(fd);
		low = fd < low ? fd : low;
	}
	return low;
}

static int opened(void)
{
	int fd = -1;
	for (int i = 0; i < 5 && (fd = open("/dev/null", O_RDONLY)) < 0; i++)
		sleep_ms(2);
	return fd;
}

/* argv: how many descriptors beside 0, 1 and 2 there may be. */
static int as_child(int room)
{
	int fds[16], n, before = lowest();
	limit((rlim_t)(3 + room));
	join(spawn(returns, NULL));
	CHECK_EQ("the lowest number is the same", room ? before : -1, lowest());
	for (n = 0; n < 16 && (fds[n] = opened()) >= 0; n++)
		;
	CHECK_EQ("all of few are the program's", room, n);
	join(spawn(returns, NULL));
	signalled("a signal meets a thread that waits");
	while (n > 0)
		close(fds[--n]);
	return check_done();
}

static void *opens(void *arg)
{
	(void)arg;
	return (void *)(long)lowest();
}

int main(int argc, char **argv)
{
	char out[512];
	struct sigaction sa = {.sa_handler = handler};
	sigaction(SIGUSR1, &sa, NULL);
	for (int fd = 3; fd < 64; fd++) /* whatever the runner left open */
		close(fd);
	if (argc > 1)
		return as_child(atoi(argv[1]));
	int before = lowest();
	CHECK_EQ("a thread opens at the number that was free before", before, (long)join(spawn(opens, NULL)));
	CHECK_EQ("main too", before, lowest());
	CHECK("no room at all", exited_with(run_self("0", out, sizeof out), 0));
	fputs(out, stdout);
	CHECK("room for 3", exited_with(run_self("3", out, sizeof out), 0));
	fputs(out, stdout);
	/* Where the runtime has its own (src/os/os.c) a program may put one all the same, and its children have it. */
	EXPECT_EQ(900, dup2(1, 900));
	sleep_ms(20);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fcntl(900, F_GETFD) == 0 ? 0 : 1);
	CHECK("a descriptor of the program's at any number is inherited", exited_with(reap(pid), 0));
	close(900);
	int fds[64], n;
	limit(64);
	for (n = 0; n < 64 && (fds[n] = open("/dev/null", O_RDONLY)) >= 0; n++)
		;
	CHECK("EMFILE: all are used up", n > 32 && errno == EMFILE);
	signalled("signals come through");
	while (n > 0)
		close(fds[--n]);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	signalled("every descriptor was closed by the program");
	CHECK_EQ("the lowest number", before, lowest());
	return check_done();
}
