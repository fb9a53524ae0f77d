/* stack.c - stacks are as large as they say. */
#include "check.h"

#include <alloca.h>
#include <sys/mman.h>
#include <ucontext.h>

static __attribute__((noinline)) long deep(long bytes)
{
	volatile char frame[4000];
	char *here = (char *)__builtin_frame_address(0);
	static __thread char *top;
	long r;
	if (!top)
		top = here;
	memset((void *)frame, (int)(bytes & 0x7f), sizeof frame);
	if (top - here >= bytes) {
		r = top - here;
		top = NULL;
		return r;
	}
	r = deep(bytes);
	return frame[77] == (char)(bytes & 0x7f) ? r : -1;
}

static void *goes_deep(void *arg)
{
	long want = (long)arg;
	return (void *)(long)(deep(want) >= want);
}

static void *goes_deep_yielding(void *arg)
{
	long n = 0;
	for (int i = 0; i < 5; i++) {
		n += deep((long)arg) >= (long)arg;
		sched_yield();
		sleep_ms(1);
	}
	return (void *)n;
}

static void *allocas(void *arg)
{
	long sum = 0;
	for (int i = 1; i <= 60; i++) {
		/* freed only when the function returns: 60 * 100000 bytes in all */
		volatile char *p = (volatile char *)alloca(100000);
		for (int k = 0; k < 100000; k += 4096)
			p[k] = (char)i;
		sum += p[4096];
	}
	(void)arg;
	return (void *)sum;
}

static void *large_array(void *arg)
{
	volatile char block[7 << 20];
	size_t n = sizeof block;
	(void)arg;
	/* from the low end first, as a leaf function may */
	for (size_t i = 0; i < n; i += 4096)
		block[i] = 1;
	return (void *)(long)(block[0] + block[4096]);
}

/* contexts of the program's own, and switches between threads while on one */
static __thread ucontext_t back, inner;
static __thread int steps;

static void on_context(void)
{
	for (int i = 0; i < 50; i++) {
		steps++;
		sched_yield();
		if (i % 10 == 0)
			sleep_ms(1);
		swapcontext(&inner, &back);
	}
}

static void *uses_contexts(void *arg)
{
	char *stack = (char *)malloc(65536);
	(void)arg;
	getcontext(&inner);
	inner.uc_stack.ss_sp = stack;
	inner.uc_stack.ss_size = 65536;
	inner.uc_link = &back;
	makecontext(&inner, on_context, 0);
	for (int i = 0; i < 50; i++)
		swapcontext(&back, &inner);
	free(stack);
	return (void *)(long)steps;
}

int main(void)
{
	pthread_attr_t a;
	pthread_t t, ts[16];
	long ok = 1;

	CHECK_EQ("a default stack takes 7 MiB of recursion", 1, (long)join(spawn(goes_deep, (void *)(7L << 20))));
	CHECK_EQ("a function with an array of 7 MiB", 2, (long)join(spawn(large_array, NULL)));
	CHECK_EQ("60 allocas of 100000 bytes", 1830, (long)join(spawn(allocas, NULL)));
	for (int i = 0; i < 16; i++)
		ts[i] = spawn(goes_deep_yielding, (void *)(1L << 20));
	for (int i = 0; i < 16; i++)
		ok &= (long)join(ts[i]) == 5;
	CHECK("16 threads 1 MiB deep, five times each, with yields between", ok);
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 32 << 20));
	EXPECT_EQ(0, pthread_create(&t, &a, goes_deep, (void *)(31L << 20)));
	CHECK_EQ("a stack of 32 MiB takes 31", 1, (long)join(t));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 128 << 10));
	EXPECT_EQ(0, pthread_create(&t, &a, goes_deep, (void *)(90L << 10)));
	CHECK_EQ("a stack of 128 KiB takes 90", 1, (long)join(t));
	pthread_attr_destroy(&a);
	CHECK_EQ("main's stack takes 4 MiB", 1, (long)goes_deep((void *)(4L << 20)));
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(uses_contexts, NULL);
	for (int i = 0; i < 8; i++)
		ok &= (long)join(ts[i]) == 50;
	CHECK("swapcontext in 8 threads that yield and sleep on their own stacks", ok);
	return check_done();
}
