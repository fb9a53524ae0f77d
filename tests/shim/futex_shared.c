/* futex_shared.c - the futex system call without FUTEX_PRIVATE_FLAG: between processes, in a mapping that both have, and within
 * one, in memory of its own (as libstdc++'s waiting atomics do). */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static long futex(int *addr, int op, int val, int val2, int *addr2)
{
	return syscall(SYS_futex, addr, op, val, (long)val2, addr2, 0);
}

static int *word;
static int waiting, woken;

static void *waits(void *arg)
{
	flag_add(&waiting, 1);
	while (flag_get(word) == 0)
		futex(word, FUTEX_WAIT, 0, 0, NULL);
	flag_add(&woken, 1);
	return arg;
}

static void start(pthread_t *t, int n)
{
	waiting = woken = 0;
	*word = 0;
	for (int i = 0; i < n; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, waits, NULL));
	while (flag_get(&waiting) < n)
		usleep(100);
	usleep(20000);
}

static void join_all(pthread_t *t, int n)
{
	for (int i = 0; i < n; i++)
		EXPECT_EQ(0, pthread_join(t[i], NULL));
}

/* Wakes or moves n of those who wait; they may be on their way back into the wait. */
static long until(int n, int op, int *to)
{
	long done = 0;
	for (int i = 0; i < 5000 && done < n; i++) {
		int left = n - (int)done;
		done += futex(word, op, op == FUTEX_WAKE ? left : 0, left, to);
		if (done < n)
			usleep(1000);
	}
	return done;
}

int main(void)
{
	static int own, other;
	pthread_t t[6];
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(shared != MAP_FAILED);

	word = shared;
	start(t, 6);
	pid_t pid = fork();
	if (pid == 0) {
		*shared = 1;
		long n = 0;
		for (int i = 0; i < 2000 && n < 6; i++, usleep(1000))
			n += syscall(SYS_futex, shared, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
		_exit((int)n);
	}
	join_all(t, 6);
	int status;
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	CHECK("another process wakes threads in a shared mapping", WIFEXITED(status) && WEXITSTATUS(status) > 0);

	*shared = 0;
	pid = fork();
	if (pid == 0) {
		while (*(volatile int *)shared == 0)
			syscall(SYS_futex, shared, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(3);
	}
	usleep(20000);
	*shared = 1;
	for (int i = 0; i < 2000 && futex(shared, FUTEX_WAKE, INT_MAX, 0, NULL) == 0; i++)
		usleep(1000);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	CHECK("a thread wakes another process", WIFEXITED(status) && WEXITSTATUS(status) == 3);

	int *places[3] = {&own, malloc(sizeof(int)), &status};
	for (int k = 0; k < 3; k++) {
		word = places[k]; /* data, heap, stack */
		start(t, 6);
		CHECK_EQ("wake 2 in memory of our own", 2, until(2, FUTEX_WAKE, NULL));
		other = 0;
		CHECK_EQ("requeue 5", 5, until(5, FUTEX_REQUEUE, &other));
		CHECK_EQ("one is left", 1, until(1, FUTEX_WAKE, NULL)); /* and waits again */
		*word = 1;
		CHECK_EQ("five have moved", 5, futex(&other, FUTEX_WAKE, INT_MAX, 0, NULL));
		futex(word, FUTEX_WAKE, INT_MAX, 0, NULL);
		join_all(t, 6);
	}
	free(places[1]);
	return check_done();
}
