/* futex_raw.c - programs that call the futex system call themselves. */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static long futex(int *addr, int op, int val, const void *timeout, int *addr2, int val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static int word, word2, waiting, woken;

static void *waits(void *arg)
{
	int op = (int)(long)arg;
	flag_add(&waiting, 1);
	while (flag_get(&word) == 0)
		futex(&word, op, 0, NULL, NULL, 0);
	flag_add(&woken, 1);
	return NULL;
}

static void *waits_once(void *arg)
{
	flag_add(&waiting, 1);
	long rc = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	(void)arg;
	flag_add(&woken, 1);
	return (void *)rc;
}

static void *waits_bits(void *arg)
{
	flag_add(&waiting, 1);
	long rc = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (int)(long)arg);
	flag_add(&woken, 1);
	return (void *)rc;
}

/* a mutex as in Drepper's "Futexes are tricky" */
static int lock;
static long counter;

static void take(void)
{
	int c = 0;
	if (__atomic_compare_exchange_n(&lock, &c, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	if (c != 2)
		c = __atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE);
	while (c != 0) {
		futex(&lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
		c = __atomic_exchange_n(&lock, 2, __ATOMIC_ACQUIRE);
	}
}

static void give(void)
{
	if (__atomic_exchange_n(&lock, 0, __ATOMIC_RELEASE) == 2)
		futex(&lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *counts(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		take();
		long c = counter;
		if (i % 50 == 0)
			sched_yield();
		counter = c + 1;
		give();
	}
	return NULL;
}

/* Wakes until n threads in all have come back; a waiter may still be on its way in. */
static long wake_until(int op, int per_call, int bits, int n)
{
	long sum = 0;
	double end = now_s() + 10;
	while (sum < n && now_s() < end) {
		long rc = futex(&word, op, per_call, NULL, NULL, bits);
		EXPECT(rc >= 0 && rc <= per_call);
		sum += rc;
		if (rc == 0)
			sleep_ms(1);
	}
	return sum;
}

int main(void)
{
	pthread_t ts[16];
	struct timespec ts1 = {0, 30000000}, abs;
	double start;

	CHECK("EAGAIN: the word is not the expected value",
	      futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
	start = now_s();
	CHECK("ETIMEDOUT: a relative timeout",
	      futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts1, NULL, 0) == -1 && errno == ETIMEDOUT);
	CHECK("and not early", now_s() - start >= 0.029);
	abs = in_ms(CLOCK_MONOTONIC, 30);
	CHECK("ETIMEDOUT: wait_bitset with an absolute CLOCK_MONOTONIC time",
	      futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &abs, NULL, -1) == -1 && errno == ETIMEDOUT);
	abs = in_ms(CLOCK_REALTIME, 30);
	CHECK("ETIMEDOUT: wait_bitset with an absolute CLOCK_REALTIME time",
	      futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &abs, NULL, -1) == -1 &&
	          errno == ETIMEDOUT);
	ts1.tv_nsec = 1000000000;
	CHECK("EINVAL: tv_nsec out of range", futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts1, NULL, 0) == -1 && errno == EINVAL);
	CHECK("EINVAL: a bitset of zero",
	      futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
	CHECK("EINVAL: a word that is not aligned",
	      futex((int *)((char *)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
	CHECK("EFAULT: a word that is not mapped",
	      futex((int *)4096, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
	CHECK("ENOSYS: an unknown operation",
	      futex(&word, 99 | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0) == -1 && errno == ENOSYS);
	CHECK_EQ("wake without waiters wakes none", 0, futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));

	for (int op = 0; op < 2; op++) {
		word = waiting = woken = 0;
		for (int i = 0; i < 8; i++)
			ts[i] = spawn(waits, (void *)(long)(op ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT));
		flag_wait(&waiting, 8);
		sleep_ms(20);
		flag_set(&word, 1);
		futex(&word, op ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
		for (int i = 0; i < 8; i++)
			join(ts[i]);
		CHECK_EQ(op ? "private wait and wake all" : "shared wait and wake all", 8, woken);
	}

	word = waiting = woken = 0;
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(waits_once, NULL);
	flag_wait(&waiting, 8);
	CHECK_EQ("wake says how many it woke", 3, wake_until(FUTEX_WAKE_PRIVATE, 1, 0, 3));
	sleep_ms(20);
	CHECK_EQ("wake of three wakes three", 3, flag_get(&woken));
	CHECK_EQ("the other five", 5, wake_until(FUTEX_WAKE_PRIVATE, 5, 0, 5));
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, (long)join(ts[i]));

	waiting = woken = 0;
	for (long i = 0; i < 8; i++)
		ts[i] = spawn(waits_bits, (void *)(i < 4 ? 1L : 2L));
	flag_wait(&waiting, 8);
	CHECK_EQ("wake_bitset wakes those whose bits match", 4, wake_until(FUTEX_WAKE_BITSET_PRIVATE, 8, 2, 4));
	for (int i = 4; i < 8; i++)
		EXPECT_EQ(0, (long)join(ts[i]));
	CHECK_EQ("and no other", 4, flag_get(&woken));
	CHECK_EQ("a plain wake matches any bits", 4, wake_until(FUTEX_WAKE_PRIVATE, 8, 0, 4));
	for (int i = 0; i < 4; i++)
		join(ts[i]);

	/* requeue: one woken, the rest moved to word2 */
	waiting = woken = 0;
	for (int i = 0; i < 6; i++)
		ts[i] = spawn(waits_once, NULL);
	flag_wait(&waiting, 6);
	sleep_ms(100);
	CHECK("EAGAIN: cmp_requeue with another value",
	      futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)(long)INT_MAX, &word2, 5) == -1 && errno == EAGAIN);
	CHECK_EQ("cmp_requeue wakes and moves all six", 6,
	         futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)(long)INT_MAX, &word2, 0));
	sleep_ms(30);
	CHECK_EQ("one of them was woken", 1, flag_get(&woken));
	CHECK_EQ("none waits on the first word", 0, futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
	CHECK_EQ("five wait on the second", 5, futex(&word2, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
	for (int i = 0; i < 6; i++)
		EXPECT_EQ(0, (long)join(ts[i]));
	waiting = woken = 0;
	for (int i = 0; i < 3; i++)
		ts[i] = spawn(waits_once, NULL);
	flag_wait(&waiting, 3);
	sleep_ms(100);
	CHECK_EQ("requeue counts the woken and the moved", 2,
	         futex(&word, FUTEX_REQUEUE_PRIVATE, 1, (void *)(long)1, &word2, 0));
	CHECK_EQ("one was moved", 1, futex(&word2, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	CHECK_EQ("one stayed", 1, futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, (long)join(ts[i]));
	/* wake_op: word2 += 1; wake one on word, and on word2 if it was 0 */
	waiting = woken = word2 = 0;
	ts[0] = spawn(waits_once, NULL);
	flag_wait(&waiting, 1);
	sleep_ms(100);
	CHECK_EQ(
		"wake_op wakes", 1,
		futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)(long)1, &word2, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)));
	CHECK_EQ("wake_op stores", 1, word2);
	join(ts[0]);

	for (int i = 0; i < 16; i++)
		ts[i] = spawn(counts, NULL);
	for (int i = 0; i < 16; i++)
		join(ts[i]);
	CHECK_EQ("a lock made of a futex excludes 16 threads", 32000, counter);

	/* shared memory between processes must reach the kernel */
	int *shared = (int *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		while (flag_get(shared) == 0)
			futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
		flag_set(shared, 2);
		futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0);
		_exit(0);
	}
	sleep_ms(20);
	flag_set(shared, 1);
	futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (flag_get(shared) == 1)
		futex(shared, FUTEX_WAIT, 1, NULL, NULL, 0);
	CHECK("a shared futex wakes another process", exited_with(reap(pid), 0));
	return check_done();
}
