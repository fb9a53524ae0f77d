/* contexts.c - contexts of <ucontext.h> on stacks of their own, in threads that are preempted: masks that differ, signals,
 * handlers, faults, a context that another thread goes on with, and one that is resumed more than once. */
#include "check.h"

#include <semaphore.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { STACK = 64 << 10, PAGE = 4096 };

struct co {
	ucontext_t home, self;
	char *stack; /* guard page below */
	void (*body)(struct co *c);
	int rounds, bad, done, hits;
};

static volatile long sink;
static __thread struct co *current;

static void spin(int n)
{
	for (int i = 0; i < n; i++)
		sink += i;
}

static int blocked(int sig)
{
	sigset_t m;
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, NULL, &m));
	return sigismember(&m, sig);
}

static void entry(unsigned lo, unsigned hi)
{
	struct co *c = (struct co *)((unsigned long)hi << 32 | lo);
	c->body(c);
	c->done = 1;
	setcontext(&c->home);
}

static struct co *co_new(void (*body)(struct co *))
{
	struct co *c = (struct co *)calloc(1, sizeof *c);
	char *p = (char *)mmap(NULL, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(p != MAP_FAILED);
	mprotect(p, PAGE, PROT_NONE);
	getcontext(&c->self);
	c->stack = p + PAGE;
	c->body = body;
	c->self.uc_stack.ss_sp = c->stack;
	c->self.uc_stack.ss_size = STACK;
	makecontext(&c->self, (void (*)(void))(void *)entry, 2, (unsigned)(unsigned long)c,
	            (unsigned)((unsigned long)c >> 32));
	return c;
}

static void co_free(struct co *c)
{
	munmap(c->stack - PAGE, STACK + PAGE);
	free(c);
}

static void resume(struct co *c)
{
	current = c;
	swapcontext(&c->home, &c->self);
}

static void yield(struct co *c)
{
	swapcontext(&c->self, &c->home);
}

/* ---- masks ---- */

static void masked(struct co *c)
{
	for (;;) {
		spin(3000);
		c->bad += !blocked(SIGUSR1);
		if (c->rounds % 50 == 0)
			sleep_ms(1);
		c->bad += !blocked(SIGUSR1);
		yield(c);
	}
}

static void *masks(void *arg)
{
	struct co *c = co_new(masked);
	(void)arg;
	sigemptyset(&c->self.uc_sigmask);
	sigaddset(&c->self.uc_sigmask, SIGUSR1);
	for (c->rounds = 0; c->rounds < 300; c->rounds++) {
		resume(c);
		c->bad += blocked(SIGUSR1);
		spin(3000);
		c->bad += blocked(SIGUSR1);
	}
	int bad = c->bad;
	co_free(c);
	return (void *)(long)bad;
}

/* ---- signals ---- */

static __thread int got, got_on_co;

static void on_usr2(int sig)
{
	char here;
	(void)sig;
	got++;
	got_on_co += current && (unsigned long)(&here - current->stack) < STACK;
	sched_yield();
}

static void takes_signals(struct co *c)
{
	while (c->rounds--) {
		pthread_kill(pthread_self(), SIGUSR2);
		spin(3000);
		yield(c);
	}
}

static void *signals(void *arg)
{
	struct co *c = co_new(takes_signals);
	(void)arg;
	c->rounds = 200;
	while (!c->done)
		resume(c);
	co_free(c);
	current = NULL;
	return (void *)(long)(got == 200 && got_on_co == 200);
}

/* blocked in one context, taken when the other opens the mask */
static void sends_itself_one(struct co *c)
{
	for (int i = 0; i < 20; i++) {
		pthread_kill(pthread_self(), SIGUSR2);
		c->bad += got != i;
		yield(c);
		c->bad += got != i + 1;
	}
}

static void *opens(void *arg)
{
	struct co *c = co_new(sends_itself_one);
	(void)arg;
	got = 0;
	sigaddset(&c->self.uc_sigmask, SIGUSR2);
	while (!c->done)
		resume(c);
	int ok = c->bad == 0 && got == 20;
	co_free(c);
	current = NULL;
	return (void *)(long)ok;
}

/* ---- a fault at the end of a context's stack ---- */

static __thread sigjmp_buf out;

static void on_segv(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	if (current && (unsigned long)((char *)info->si_addr - (current->stack - PAGE)) < PAGE)
		siglongjmp(out, 1);
	_exit(3);
}

static int deep(int n)
{
	volatile char frame[512];
	frame[0] = (char)n;
	return deep(n + 1) + frame[0];
}

static void overflows(struct co *c)
{
	c->hits = 0;
	if (sigsetjmp(out, 1) == 0)
		deep(0);
	else
		c->hits = 1;
}

static void *faults(void *arg)
{
	char *alt = (char *)malloc(32768);
	stack_t ss = {.ss_sp = alt, .ss_size = 32768};
	int ok = 1;
	(void)arg;
	EXPECT_EQ(0, sigaltstack(&ss, NULL));
	for (int i = 0; i < 10; i++) {
		struct co *c = co_new(overflows);
		resume(c);
		ok &= c->done && c->hits == 1;
		co_free(c);
	}
	current = NULL;
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	free(alt);
	return (void *)(long)ok;
}

/* ---- a context that goes from thread to thread ---- */

static struct co *wanderer;
static sem_t turn[2];

static void wanders(struct co *c)
{
	for (int i = 0; i < 100; i++) {
		spin(2000);
		c->hits += i;
		yield(c);
	}
}

static void *hosts(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 50; i++) {
		sem_wait(&turn[me]);
		resume(wanderer);
		sem_post(&turn[!me]);
	}
	return NULL;
}

/* ---- one that is resumed again and again ---- */

static ucontext_t again;
static int times;

static void comes_back(struct co *c)
{
	(void)c;
	times++;
	setcontext(&again);
}

/* makecontext: the end of the function is as if by setcontext(uc_link), which restores that context's mask. */
static ucontext_t ends, after;
static int ended_with, ended_args;

static void blocks_more(int a, int b, int c, int d, int e, int f, int g, int h)
{
	sigset_t set;
	ended_args = a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_link(int sig)
{
	(void)sig;
	ended_with++;
}

static void *links(void *arg)
{
	static char stack[65536];
	volatile int back = 0;
	sigset_t now;
	(void)arg;
	signal(SIGUSR2, on_link);
	getcontext(&after);
	if (!back) {
		back = 1;
		getcontext(&ends);
		ends.uc_stack.ss_sp = stack;
		ends.uc_stack.ss_size = sizeof stack;
		ends.uc_link = &after;
		makecontext(&ends, (void (*)(void))blocks_more, 8, 1, 2, 3, 4, 5, 6, 7, 8);
		setcontext(&ends);
	}
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	CHECK("makecontext passes eight arguments", ended_args);
	CHECK("the mask of uc_link is in force after the function's end", !sigismember(&now, SIGUSR2));
	for (int i = 0; i < 20; i++)
		sched_yield();
	pthread_kill(pthread_self(), SIGUSR2);
	CHECK_EQ("and stays so", 1, ended_with);
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_usr2};
	pthread_t t[8];
	long bad = 0, ok = 1;

	EXPECT_EQ(0, sigaction(SIGUSR2, &sa, NULL));
	sa = (struct sigaction){.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	EXPECT_EQ(0, sigaction(SIGSEGV, &sa, NULL));

	for (int i = 0; i < 8; i++)
		t[i] = spawn(masks, NULL);
	for (int i = 0; i < 8; i++)
		bad += (long)join(t[i]);
	CHECK_EQ("swapcontext: each context has its mask, through preemption and sleeps", 0, bad);
	for (int i = 0; i < 8; i++)
		t[i] = spawn(signals, NULL);
	for (int i = 0; i < 8; i++)
		ok &= (long)join(t[i]);
	CHECK("handlers run on the context's stack", ok);
	for (int i = 0; i < 8; i++)
		t[i] = spawn(opens, NULL);
	for (int i = 0; i < 8; i++)
		ok &= (long)join(t[i]);
	CHECK("a signal that one context blocks is taken when the switch opens the mask", ok);
	for (int i = 0; i < 8; i++)
		t[i] = spawn(faults, NULL);
	for (int i = 0; i < 8; i++)
		ok &= (long)join(t[i]);
	CHECK("the end of a context's stack is a SIGSEGV for the handler on the alternate stack", ok);

	wanderer = co_new(wanders);
	sem_init(&turn[0], 0, 1);
	sem_init(&turn[1], 0, 0);
	for (int i = 0; i < 2; i++)
		t[i] = spawn(hosts, (void *)(long)i);
	for (int i = 0; i < 2; i++)
		join(t[i]);
	CHECK_EQ("two threads take turns with one context", 4950, wanderer->hits);
	co_free(wanderer);

	static struct co *volatile c;
	c = co_new(comes_back);
	sigaddset(&c->self.uc_sigmask, SIGUSR1);
	swapcontext(&again, &c->self);
	CHECK_EQ("swapcontext saved the caller's mask", 0, blocked(SIGUSR1));
	if (times < 3) {
		co_free(c);
		c = co_new(comes_back);
		sigaddset(&c->self.uc_sigmask, SIGUSR1);
		setcontext(&c->self);
	}
	CHECK_EQ("a saved context can be resumed more than once", 3, times);
	join(spawn(links, NULL));
	return check_done();
}
