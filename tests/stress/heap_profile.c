/*
 * PROCS: 1 2 8
 * TIMEOUT: 120
 * ENV: GODEBUG=memprofilerate=1
 * LDFLAGS: -rdynamic -ldl -lm
 * CFLAGS: -D_GNU_SOURCE
 * Every block is sampled: threads allocate, resize and free for each other, of all sizes and alignments, while handlers of a timer's and of
 * directed signals do the same in their middle, children are forked, and profiles are written. Once all is freed the profile
 * says that nothing lives, and that nearly as much was allocated as was. All blocks keep what is in them.
 * Arguments: seconds (default 3), seed.
 */
#include "../shim/blocks.h"
#include "../shim/profile.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { THREADS = 6, SLOTS = 256 };

struct block {
	size_t size;
	unsigned seed;
	unsigned char data[];
};

static struct block *slot[SLOTS];                /* atomic */
static long allocs, children, profiles, handled; /* atomic */
static int failures, stop;                       /* atomic */
static __thread volatile unsigned handler_rand;

static void fail(const char *what)
{
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST) < 10 && write(2, what, strlen(what)) < 0)
		_exit(2);
}

/* The one place; volatile, so that it is no tail call. */
__attribute__((noinline)) void *churn(size_t n, unsigned how)
{
	void *volatile p;
	if (how % 8 == 0)
		p = aligned_alloc((size_t)16 << how / 8 % 9, n);
	else if (how % 8 == 1)
		p = calloc(1, n);
	else
		p = malloc(n);
	if (p)
		__atomic_add_fetch(&allocs, 1, __ATOMIC_RELAXED);
	return p;
}

static struct block *make(unsigned *r)
{
	size_t n = rnd(r) % 16 ? rnd(r) % 1000 : rnd_size(r) & 0x3ffff;
	struct block *b = churn(sizeof *b + n, rnd(r));
	if (!b) {
		fail("no memory\n");
		_exit(1);
	}
	if (malloc_usable_size(b) < sizeof *b + n)
		fail("too small\n");
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
	free(b);
}

static void step_once(unsigned *r)
{
	struct block **at = &slot[rnd(r) % SLOTS], *b = __atomic_exchange_n(at, NULL, __ATOMIC_ACQ_REL);
	if (b && rnd(r) % 4 == 0) {
		size_t n = rnd(r) % 5000, kept = n < b->size ? n : b->size;
		unsigned char first = b->size ? b->data[0] : 0;
		b = realloc(b, sizeof *b + n);
		if (!b)
			_exit(1);
		if (kept && b->data[0] != first)
			fail("realloc lost something\n");
		b->size = n;
		fill(b->data, n, b->seed);
		drop(__atomic_exchange_n(at, b, __ATOMIC_ACQ_REL));
		return;
	}
	drop(b);
	drop(__atomic_exchange_n(at, make(r), __ATOMIC_ACQ_REL));
}

static void handler(int sig)
{
	int saved = errno;
	unsigned r = handler_rand ? handler_rand : (unsigned)sig + 77;
	(void)sig;
	step_once(&r);
	handler_rand = r;
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	errno = saved;
}

static void drop_all(void)
{
	for (int i = 0; i < SLOTS; i++)
		drop(__atomic_exchange_n(&slot[i], NULL, __ATOMIC_ACQ_REL));
}

/* How much of churn's lives, by the profile; -1: no profile. */
static double living(struct site *s)
{
	struct profile p;
	if (!profile_take(&p))
		return -1;
	*s = profile_of(&p, "churn", NULL);
	profile_drop(&p);
	__atomic_add_fetch(&profiles, 1, __ATOMIC_RELAXED);
	return s->blocks;
}

static void one_child(unsigned *r)
{
	int status;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pid_t pid = fork();
	if (pid == 0) {
		struct site s;
		alarm(60);
		for (int i = 0; i < 50; i++)
			step_once(r);
		_exit(failures || living(&s) < 0);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			_exit(3);
	if (status)
		fail("a child failed\n");
	__atomic_add_fetch(&children, 1, __ATOMIC_RELAXED);
}

static void *worker(void *arg)
{
	unsigned r = (unsigned)(long)arg * 7919 | 1;
	struct site s;
	for (unsigned i = 1; !__atomic_load_n(&stop, __ATOMIC_ACQUIRE); i++) {
		step_once(&r);
		if (i % 2048 == 0 && r % 2)
			one_child(&r);
		if (i % 8192 == 0 && living(&s) < 0)
			fail("no profile\n");
	}
	return NULL;
}

static void run(double seconds, unsigned seed, int threads)
{
	pthread_t t[THREADS];
	struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	struct timespec end, now, ms = {0, 1000000};
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)seconds;
	end.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	stop = 0;
	setitimer(ITIMER_REAL, &often, NULL);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)(i + seed)) != 0)
			_exit(4);
	do {
		if (threads) {
			nanosleep(&ms, NULL);
			pthread_kill(t[rand() % threads], SIGUSR1);
		} else {
			unsigned r = (unsigned)rand() | 1;
			for (int i = 0; i < 100; i++)
				step_once(&r);
			if (rand() % 64 == 0)
				one_child(&r);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)time(NULL);
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct site s = {0, 0, 0, 0};
	srand(seed);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	run(seconds / 3, seed, 0);
	drop_all();
	if (living(&s) != 0 || s.bytes != 0)
		fail("without threads something lives after all is freed\n");
	run(seconds * 2 / 3, seed, THREADS);
	drop_all();
	if (living(&s) != 0 || s.bytes != 0)
		fail("something lives after all is freed\n");
	/* The reserve's blocks are not sampled: what handlers in the middle of malloc got, and whoever met a fork. */
	if (s.ever > (double)allocs || s.ever < (double)allocs * 0.8)
		fail("the wrong number of allocations\n");
	printf("%ld allocations, %.0f of them in the profile, %ld children, %ld profiles, %ld signals, seed %u\n", allocs,
	       s.ever, children, profiles, handled, seed);
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
