/*
 * PROCS: 1 2 8
 * TIMEOUT: 60
 * Signal handlers that call malloc, realloc and free, in the middle of malloc, realloc and free: natively that hangs, or breaks the heap;
 * here neither may happen. First in a program without threads (a timer's signal), then with threads, which get directed signals as well, and
 * whose handlers free what was allocated outside of them and the other way round.
 * Arguments: seconds for each part (default 1.5), seed, "jump": handlers also leave by siglongjmp.
 */
#define _GNU_SOURCE
#include "../shim/blocks.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, SLOTS = 128 };

struct block {
	size_t size;
	unsigned seed;
	unsigned char data[];
};

static struct block *slot[SLOTS]; /* atomic */
static long handled, ops, jumps;  /* atomic */
static int failures, stop, jump;  /* atomic */
static __thread unsigned handler_rand;
static __thread volatile int depth;
static __thread sigjmp_buf *landing; /* where a handler may jump to */

static void fail(const char *what)
{
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST) < 10 && write(2, what, strlen(what)) < 0)
		_exit(2);
}

static struct block *make(unsigned *r)
{
	size_t n = rnd(r) % 16 ? rnd(r) % 1000 : rnd_size(r) & 0x3ffff;
	struct block *b = rnd(r) % 4 ? malloc(sizeof *b + n) : calloc(1, sizeof *b + n);
	if (!b) {
		fail("no memory\n");
		_exit(1);
	}
	b->size = n;
	b->seed = rnd(r);
	fill(b->data, n, b->seed);
	return b;
}

static void drop(struct block *b)
{
	if (!b)
		return;
	if (!filled(b->data, b->size, b->seed))
		fail("a block has changed\n");
	memset(b, 0xcc, sizeof *b);
	free(b);
}

static void work(unsigned *r)
{
	struct block *b = make(r);
	if (rnd(r) % 4 == 0) {
		size_t n = rnd(r) % 3000;
		b = realloc(b, sizeof *b + n);
		if (!b)
			_exit(1);
		b->size = n;
		fill(b->data, n, b->seed);
	}
	drop(__atomic_exchange_n(&slot[rnd(r) % SLOTS], b, __ATOMIC_ACQ_REL));
}

static void handler(int sig)
{
	int saved = errno;
	(void)sig;
	if (handler_rand == 0)
		handler_rand = (unsigned)(uintptr_t)&saved | 1;
	/* SIGALRM nests: where its share of the CPUs is small a handler may take longer than until the next one. */
	if (depth < 10) {
		depth++;
		for (int i = 0; i < 3; i++)
			work(&handler_rand);
		depth--;
	}
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	errno = saved;
	if (jump && landing && rnd(&handler_rand) % 16 == 0) {
		__atomic_add_fetch(&jumps, 1, __ATOMIC_RELAXED);
		depth = 0;
		siglongjmp(*landing, 1);
	}
}

static void *works(void *arg)
{
	unsigned r = (unsigned)(long)arg | 1;
	sigjmp_buf here;
	sigsetjmp(here, 1); /* a block that was being handed over is lost by a jump, that is all */
	landing = &here;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(&r, (unsigned)__atomic_add_fetch(&ops, 1, __ATOMIC_RELAXED) * 2654435761u | 1,
		                 __ATOMIC_RELAXED);
		for (int i = 0; i < 50; i++) {
			unsigned k = r;
			work(&k);
			r = k;
		}
	}
	landing = NULL;
	return NULL;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void timer(long us)
{
	struct itimerval every = {{0, us}, {0, us}};
	setitimer(ITIMER_REAL, &every, NULL);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1.5;
	unsigned r = argc > 2 ? (unsigned)atoi(argv[2]) | 1 : (unsigned)getpid() * 2654435761u | 1;
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER};
	pthread_t t[THREADS];
	jump = argc > 3;
	sigaction(SIGALRM, &sa, NULL);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, NULL);

	timer(150);
	for (double end = now() + seconds; now() < end;)
		for (int i = 0; i < 100; i++)
			work(&r);
	timer(0);
	long alone = __atomic_exchange_n(&handled, 0, __ATOMIC_SEQ_CST);

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, works, (void *)(long)rnd(&r)) != 0)
			return 1;
	timer(300);
	for (double end = now() + seconds; now() < end;) {
		for (int i = 0; i < THREADS; i++)
			pthread_kill(t[i], SIGUSR1);
		if (rnd(&r) % 4 == 0)
			work(&r);
		else
			sched_yield();
	}
	timer(0);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		drop(slot[i]);
	if (alone < 10 || handled < 10)
		fail("hardly a signal came\n");
	fprintf(stderr, "%ld signals without threads, %ld with, %ld rounds, %ld jumps\n", alone, handled, ops, jumps);
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
