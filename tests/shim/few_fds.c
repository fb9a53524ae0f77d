/* few_fds.c - descriptors: threads leave the lowest numbers to the program, and get along with few or none. */
#include "check.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>

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

static int opened(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int lowest(void)
{
	int fd = opened();
	close(fd);
	return fd;
}

static int done;

/* Sleeps inside libc, which tells nobody, again and again. */
static void *reads(void *f)
{
	char line[16];
	while (fgets(line, sizeof line, f))
		;
	fclose(f);
	return NULL;
}

/* Waits for a word that another process might mean. */
static void *waits_shared(void *word)
{
	struct timespec soon = {0, 100000};
	while (!flag_get(&done))
		syscall(SYS_futex, word, FUTEX_WAIT, 0, &soon, NULL, 0);
	return NULL;
}

static void *spins(void *arg)
{
	while (!flag_get(&done))
		;
	return arg;
}

/* While the runtime has to find out who sleeps, the lowest numbers are the program's. */
static void busy_with_sleepers(void)
{
	enum { READERS = 4, SPINNERS = 3 };
	static int word;
	int fds[READERS][2], other = 0;
	pthread_t t[READERS], s[SPINNERS], w;
	for (int i = 0; i < READERS; i++) {
		EXPECT_EQ(0, pipe(fds[i]));
		t[i] = spawn(reads, fdopen(fds[i][0], "r"));
	}
	w = spawn(waits_shared, &word);
	for (int i = 0; i < SPINNERS; i++)
		s[i] = spawn(spins, &word);
	int low = lowest();
	for (double end = now_s() + 0.4; now_s() < end;) {
		for (int i = 0; i < READERS; i++)
			EXPECT_EQ(1, write(fds[i][1], "\n", 1));
		for (int i = 0; i < 200; i++)
			other += lowest() != low;
		if (other)
			break;
	}
	flag_set(&done, 1);
	for (int i = 0; i < READERS; i++) {
		close(fds[i][1]);
		join(t[i]);
	}
	for (int i = 0; i < SPINNERS; i++)
		join(s[i]);
	join(w);
	CHECK_EQ("the lowest number is never taken", 0, other);
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
	busy_with_sleepers();
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
