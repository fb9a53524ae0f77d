/* raw_altstack.c - a program that sets its alternate stacks by its own system calls, as Go's runtime does: its handlers run there. */
#include "check.h"

#include <sys/syscall.h>

enum { SIZE = 1 << 16 };
static __thread char *alt;
static __thread volatile int on_alt;

static void handler(int sig)
{
	char here;
	(void)sig;
	on_alt = (size_t)(&here - alt) < SIZE;
}

static long raw_sigaltstack(const stack_t *ss)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "0"(SYS_sigaltstack), "D"(ss), "S"(NULL) : "rcx", "r11", "memory");
	return r;
}

static void set_alt(void)
{
	alt = malloc(SIZE);
	stack_t ss = {.ss_sp = alt, .ss_size = SIZE};
	EXPECT_EQ(0, raw_sigaltstack(&ss));
}

static void *thread(void *arg)
{
	(void)arg;
	set_alt();
	for (int i = 0; i < 100; i++) {
		on_alt = 0;
		pthread_kill(pthread_self(), SIGUSR1);
		EXPECT(on_alt);
		sched_yield();
	}
	return NULL;
}

int main(void)
{
	pthread_t t[4];
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	EXPECT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	set_alt();
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, thread, NULL));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	raise(SIGUSR1);
	CHECK("the handler runs on the stack that the kernel was told", on_alt);
	return check_done();
}
