/*
 * vfork on the main thread and on others, several at once: the child writes the parent's variables, calls wrapped functions, may
 * vfork again, fail to exec, or exit; the parent goes on with its errno, its stack and its locals.
 * CFLAGS: -D_GNU_SOURCE -Wno-clobbered -Wno-deprecated-declarations
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int reap(pid_t p)
{
	int st = -1;
	return waitpid(p, &st, 0) == p ? st : -1;
}

/* exec: after wrapped calls in the child, which must see its own pid and descriptors. */
static int run(char *out, size_t size)
{
	int p[2];
	volatile int n = 0;
	if (pipe(p) != 0)
		return -1;
	pid_t pid = vfork();
	if (pid == 0) {
		struct timespec ms = {0, 1000000};
		nanosleep(&ms, NULL);
		poll(NULL, 0, 2);
		dup2(p[1], 1);
		close(p[0]);
		int fd = open("/dev/null", O_RDONLY);
		(void)!write(1, "child ", 6);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		execl("/bin/echo", "echo", "exec", NULL);
		_exit(127);
	}
	close(p[1]);
	for (ssize_t r; (r = read(p[0], out + n, size - 1 - n)) > 0;)
		n += r;
	out[n] = 0;
	close(p[0]);
	return reap(pid);
}

static int child_writes(void)
{
	volatile int seen = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		seen = 42;
		_exit(3);
	}
	return reap(pid) << 8 | seen;
}

static int failed_exec(void)
{
	volatile int e = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/nonexistent/program", "x", NULL);
		e = errno;
		_exit(127);
	}
	return (WEXITSTATUS(reap(pid)) << 8) | e;
}

static int nested(void)
{
	volatile int depth = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		depth = 1;
		pid_t in = vfork();
		if (in == 0) {
			depth = 2;
			_exit(5);
		}
		int st;
		waitpid(in, &st, 0);
		_exit(WEXITSTATUS(st) + 1);
	}
	return WEXITSTATUS(reap(pid)) * 10 + depth;
}

static void *worker(void *arg)
{
	long bad = 0;
	char b[64];
	for (int i = 0; i < 20; i++) {
		bad += run(b, sizeof b) != 0 || strcmp(b, "child exec\n") != 0;
		bad += child_writes() != (3 << 16 | 42);
		bad += failed_exec() != (127 << 8 | ENOENT);
		bad += nested() != 62;
	}
	(void)arg;
	return (void *)bad;
}

static volatile int stop;

/* Others run on while a parent waits in vfork. */
static void *counter(void *arg)
{
	(void)arg;
	long n = 0;
	while (!stop) {
		n++;
		usleep(1000);
	}
	return (void *)n;
}

int main(void)
{
	pthread_t t[4], c;
	void *r;
	struct rlimit none = {0, 0}, old;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("main %ld\n", (long)worker(NULL));
	pthread_create(&c, NULL, counter, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		printf("thread %ld\n", (long)r);
	}
	stop = 1;
	pthread_join(c, &r);
	printf("others ran: %d\n", (long)r > 5);
	if (getuid() != 0 && getrlimit(RLIMIT_NPROC, &old) == 0) {
		none.rlim_max = old.rlim_max;
		setrlimit(RLIMIT_NPROC, &none);
		errno = 77;
		pid_t pid = vfork();
		if (pid == 0)
			_exit(0);
		printf("no process: %d errno %d\n", (int)pid, errno);
	}
	return 0;
}
