/*
 * futex_waitv, membarrier and the errors of futex, by number.
 */
#include "check.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
struct futex_waitv {
	__u64 val, uaddr;
	__u32 flags, __reserved;
};
#endif

static unsigned words[3], done;

static long futex(void *addr, int op, unsigned v, const void *timeout, void *addr2, unsigned v3)
{
	return syscall(SYS_futex, addr, op, v, timeout, addr2, v3);
}

static long waitv(unsigned v, const struct timespec *deadline)
{
	struct futex_waitv w[3];
	for (int i = 0; i < 3; i++)
		w[i] =
			(struct futex_waitv){.val = v, .uaddr = (unsigned long)&words[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
	return syscall(SYS_futex_waitv, w, 3, 0, deadline, CLOCK_MONOTONIC);
}

/* Wakes the second until the waiter says that it is back. */
static void *waker(void *arg)
{
	while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
		futex(&words[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		sleep_ms(1);
	}
	return arg;
}

static void many_words(void)
{
	struct timespec soon = in_ms(CLOCK_MONOTONIC, 20);
	if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) == -1 && errno == ENOSYS) {
		puts("no futex_waitv here");
		return;
	}
	CHECK("futex_waitv: EAGAIN: a word has changed", waitv(7, NULL) == -1 && errno == EAGAIN);
	CHECK("futex_waitv: ETIMEDOUT", waitv(0, &soon) == -1 && errno == ETIMEDOUT);
	pthread_t t = spawn(waker, NULL);
	long r = waitv(0, NULL);
	__atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
	join(t);
	CHECK_EQ("futex_waitv: which one was woken", 1, r);
}

static void errors(void)
{
	struct timespec bad = {0, 1000000000}, past = {0, 1};
	char *odd = (char *)words + 1;
	CHECK("FUTEX_WAIT: EAGAIN", futex(words, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
	CHECK("FUTEX_WAIT: EINVAL: nanoseconds",
	      futex(words, FUTEX_WAIT_PRIVATE, 0, &bad, NULL, 0) == -1 && errno == EINVAL);
	CHECK("FUTEX_WAIT: EINVAL: not aligned", futex(odd, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
	CHECK("FUTEX_WAIT: EFAULT", futex((void *)8, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
	CHECK("FUTEX_WAIT_BITSET: EINVAL: no bit",
	      futex(words, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
	CHECK("FUTEX_WAIT_BITSET: ETIMEDOUT: a time in the past",
	      futex(words, FUTEX_WAIT_BITSET_PRIVATE, 0, &past, NULL, ~0u) == -1 && errno == ETIMEDOUT);
	CHECK("FUTEX_WAKE_BITSET: EINVAL: no bit",
	      futex(words, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EINVAL);
	CHECK_EQ("FUTEX_WAKE: nobody", 0, futex(words, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	CHECK("FUTEX_CMP_REQUEUE: EAGAIN",
	      futex(words, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1l, &words[1], 5) == -1 && errno == EAGAIN);
	CHECK("FUTEX_WAKE_OP: sets the second word", futex(words, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1l, &words[2],
	                                                   FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_EQ, 0)) == 0 &&
	                                                 words[2] == 9);
	words[2] = 0;
	CHECK("futex: ENOSYS: no such operation", futex(words, 77, 0, NULL, NULL, 0) == -1 && errno == ENOSYS);
}

static void barriers(void)
{
	long can = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0);
	if (can < 0) {
		puts("no membarrier here");
		return;
	}
	CHECK("membarrier: GLOBAL is among what it can", can & MEMBARRIER_CMD_GLOBAL);
	CHECK_EQ("membarrier: REGISTER_PRIVATE_EXPEDITED", 0,
	         syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
	CHECK_EQ("membarrier: PRIVATE_EXPEDITED", 0, syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
	CHECK("membarrier: EINVAL", syscall(SYS_membarrier, 1 << 30, 0) == -1 && errno == EINVAL);
}

static void *all(void *arg)
{
	many_words();
	errors();
	barriers();
	return arg;
}

int main(void)
{
	join(spawn(all, NULL));
	done = 0;
	all(NULL);
	return check_done();
}
