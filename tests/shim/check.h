/* check.h - what the programs of tests/shim share.
 *
 * A program of this folder is an ordinary pthread program that knows nothing of libgrt.  The runner
 * builds it, runs it natively and under the preload with several GOMAXPROCS, and compares standard
 * output and exit status.  Hence the rules:
 *
 *  - standard output is deterministic: CHECK prints one line, in the order of the program's text,
 *    and is called where that order is fixed; EXPECT is silent unless it fails and may be called by
 *    any thread;
 *  - a check is named by the clause of POSIX or the behaviour of glibc that it holds us to;
 *  - what could differ by chance (times, addresses, counts of races) never reaches standard output;
 *  - a hang is a failure too: the runner's time limit reports it.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_UNUSED __attribute__((unused))

static int check_failures CHECK_UNUSED; /* atomic */

/* One named clause; says what was found when it does not hold. */
#define CHECK(clause, cond) check_clause(clause, (cond) ? 1 : 0, #cond, __FILE__, __LINE__)

/* The same for two integers, so that the failure shows the value. */
#define CHECK_EQ(clause, want, got) check_equal(clause, (long long)(want), (long long)(got), #got, __FILE__, __LINE__)

/* A step that must work for the clause around it to mean anything. */
#define EXPECT(cond) ((cond) ? (void)0 : check_unexpected(#cond, 0, 0, 0, __FILE__, __LINE__))
#define EXPECT_EQ(want, got)                                                                                           \
	do {                                                                                                               \
		long long want_ = (long long)(want), got_ = (long long)(got);                                                  \
		if (want_ != got_)                                                                                             \
			check_unexpected(#got, 1, want_, got_, __FILE__, __LINE__);                                                \
	} while (0)

static CHECK_UNUSED void check_unexpected(const char *what, int values, long long want, long long got, const char *file,
                                          int line)
{
	__atomic_add_fetch(&check_failures, 1, __ATOMIC_SEQ_CST);
	if (values)
		printf("FAIL: %s is %lld, not %lld (%s:%d)\n", what, got, want, file, line);
	else
		printf("FAIL: %s (%s:%d)\n", what, file, line);
	fflush(stdout);
}

static CHECK_UNUSED void check_clause(const char *clause, int ok, const char *cond, const char *file, int line)
{
	if (ok) {
		printf("ok: %s\n", clause);
	} else {
		__atomic_add_fetch(&check_failures, 1, __ATOMIC_SEQ_CST);
		printf("FAIL: %s: %s (%s:%d)\n", clause, cond, file, line);
	}
	fflush(stdout);
}

static CHECK_UNUSED void check_equal(const char *clause, long long want, long long got, const char *what,
                                     const char *file, int line)
{
	if (want == got) {
		printf("ok: %s\n", clause);
	} else {
		__atomic_add_fetch(&check_failures, 1, __ATOMIC_SEQ_CST);
		printf("FAIL: %s: %s is %lld, not %lld (%s:%d)\n", clause, what, got, want, file, line);
	}
	fflush(stdout);
}

/* The exit status of the program. */
static CHECK_UNUSED int check_done(void)
{
	return __atomic_load_n(&check_failures, __ATOMIC_SEQ_CST) ? 1 : 0;
}

static CHECK_UNUSED pthread_t spawn(void *(*fn)(void *), void *arg)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, fn, arg);
	if (rc) {
		printf("FAIL: pthread_create: %s\n", strerror(rc));
		fflush(stdout);
		_exit(1);
	}
	return t;
}

static CHECK_UNUSED void *join(pthread_t t)
{
	void *value = NULL;
	EXPECT_EQ(0, pthread_join(t, &value));
	return value;
}

static CHECK_UNUSED void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

static CHECK_UNUSED double now_s(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The absolute time ms from now on the given clock; ms may be negative. */
static CHECK_UNUSED struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000L;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_nsec -= 1000000000L;
		ts.tv_sec++;
	} else if (ts.tv_nsec < 0) {
		ts.tv_nsec += 1000000000L;
		ts.tv_sec--;
	}
	return ts;
}

/* Flags between threads that are no synchronisation object of the library under test. */
/* The first CPU that this process may use. */
static CHECK_UNUSED cpu_set_t first_cpu(void)
{
	cpu_set_t all, one;
	int cpu = 0;
	EXPECT_EQ(0, sched_getaffinity(0, sizeof all, &all));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return one;
}

static CHECK_UNUSED void flag_set(int *flag, int value)
{
	__atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static CHECK_UNUSED int flag_get(int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static CHECK_UNUSED int flag_add(int *flag, int n)
{
	return __atomic_add_fetch(flag, n, __ATOMIC_SEQ_CST);
}

static CHECK_UNUSED void flag_wait(int *flag, int at_least)
{
	while (flag_get(flag) < at_least)
		sleep_ms(1);
}

/* Waits until the flag is reached, 10 s at most: 1 if it was. */
static CHECK_UNUSED int flag_wait_bounded(int *flag, int at_least)
{
	double end = now_s() + 10;
	while (flag_get(flag) < at_least) {
		if (now_s() > end)
			return 0;
		sleep_ms(1);
	}
	return 1;
}

/* What comes through the pipe until its end, NUL-terminated; the rest of more than size - 1 bytes is left. Closes it. */
static CHECK_UNUSED size_t read_end(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;
	while (n + 1 < size && (got = read(fd, out + n, size - 1 - n)) != 0) {
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	out[n] = 0;
	close(fd);
	return n;
}

/* The size of the address space now, in bytes. */
static CHECK_UNUSED unsigned long address_space(void)
{
	char buf[128] = "";
	FILE *f = fopen("/proc/self/statm", "r");
	EXPECT(f && fgets(buf, sizeof buf, f));
	fclose(f);
	return strtoul(buf, NULL, 10) * 4096;
}

/* Runs this program again with one argument, its standard output in out (NUL-terminated).
 * Returns the wait status.  For whatever ends a process. */
static CHECK_UNUSED int run_self(const char *mode, char *out, size_t size)
{
	int fds[2], status = -1;
	fflush(stdout);
	EXPECT_EQ(0, pipe(fds));
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", "self", mode, (char *)NULL);
		_exit(126);
	}
	EXPECT(pid > 0);
	close(fds[1]);
	read_end(fds[0], out, size);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return status;
}

static CHECK_UNUSED int exited_with(int status, int code)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static CHECK_UNUSED int killed_by(int status, int sig)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

/* Reaps a child of fork and returns its status. */
static CHECK_UNUSED int reap(pid_t pid)
{
	int status = -1;
	pid_t got;
	while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR)
		;
	EXPECT_EQ(pid, got);
	return status;
}

#endif
