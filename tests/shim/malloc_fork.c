// TIMEOUT: 60
/* malloc_fork.c - fork in the middle of other threads' allocations: the child's heap is whole, and so is the parent's. */
#include "check.h"
#include "blocks.h"

enum { THREADS = 4, SLOTS = 256, FORKS = 80, NESTED = 3 };

static void *slot[SLOTS]; /* atomic: blocks that pass from thread to thread */
static int stop;

static void *exchange(unsigned k, void *p)
{
	return __atomic_exchange_n(&slot[k], p, __ATOMIC_ACQ_REL);
}

static void *churns(void *arg)
{
	unsigned r = (unsigned)(long)arg * 2654435761u | 1;
	while (!flag_get(&stop)) {
		for (int i = 0; i < 200; i++) {
			size_t n = rnd_size(&r) & 0x3ffff;
			char *p = malloc(n + 1);
			if (!p)
				abort();
			p[0] = p[n] = 1;
			free(exchange(rnd(&r) % SLOTS, p));
			void *q = rnd(&r) % 8 ? malloc(rnd(&r) % 500) : memalign(4096, rnd(&r) % 10000);
			q = realloc(q, rnd(&r) % 2000 + 1);
			free(q);
		}
		sched_yield();
	}
	return NULL;
}

/* What main holds across the forks; the child frees it. */
enum { HELD = 400 };
static void *held[HELD];
static size_t size[HELD];

static void *in_thread(void *arg)
{
	void *p = malloc(5000);
	(void)arg;
	free(malloc(100));
	return p;
}

/* Every kind of size, old blocks of any thread, threads of its own, children of its own. 0 if all is well. */
static int as_child(int nested, unsigned seed)
{
	static void *p[600];
	unsigned r = seed * 69069u | 1;
	int bad = 0;
	for (int i = 0; i < HELD; i++)
		bad |= !filled(held[i], size[i], (unsigned)i);
	for (int i = 0; i < SLOTS; i++)
		free(exchange((unsigned)i, NULL)); /* allocated by threads that are not here */
	for (int i = 0; i < 600; i++) {
		size_t n = i < 500 ? (size_t)i * 19 : rnd_size(&r);
		p[i] = i % 5 ? malloc(n) : calloc(1, n);
		bad |= !p[i] << 1;
		bad |= (i % 5 == 0 && !is_zero(p[i], n)) << 2;
		fill(p[i], n, (unsigned)i);
	}
	for (int i = 0; i < 500; i++)
		bad |= !filled(p[i], (size_t)i * 19, (unsigned)i) << 3;
	for (int i = 0; i < HELD; i += 2) {
		held[i] = realloc(held[i], size[i] * 2 + 1);
		bad |= !filled(held[i], size[i] < 64 ? size[i] : 0, (unsigned)i) << 4;
	}
	if (nested > 0) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(as_child(nested - 1, seed + 1));
		int status;
		waitpid(pid, &status, 0);
		bad |= (!WIFEXITED(status) || WEXITSTATUS(status) != 0) << 5;
	}
	for (int i = 0; i < 600; i++)
		free(p[(i * 7) % 600]);
	if (seed % 8 == 0) {
		pthread_t t[3];
		for (int i = 0; i < 3; i++)
			bad |= (pthread_create(&t[i], NULL, in_thread, NULL) != 0) << 6;
		for (int i = 0; i < 3; i++) {
			void *q;
			pthread_join(t[i], &q);
			free(q);
		}
	}
	for (int i = 0; i < HELD; i++)
		free(held[i]);
	malloc_trim(0);
	return bad;
}

static int forks(int nested, int n, unsigned seed)
{
	int bad = 0;
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(20); /* one that hangs */
			_exit(as_child(nested, seed + (unsigned)i));
		}
		int status = pid > 0 ? reap(pid) : -1;
		if (status != 0) {
			printf("child %d: status %#x\n", i, status);
			bad++;
		}
	}
	return bad;
}

static void *forks_too(void *arg)
{
	return (void *)(long)forks(0, FORKS / 2, (unsigned)(long)arg * 1000);
}

static __thread void *prepare_block;

static void prepare(void)
{
	prepare_block = malloc(300);
}

static void after(void)
{
	free(prepare_block);
	free(malloc(3000));
}

int main(void)
{
	pthread_t ts[THREADS];
	/* handlers that allocate, before and after */
	EXPECT_EQ(0, pthread_atfork(prepare, after, after));
	for (int i = 0; i < HELD; i++) {
		size[i] = (size_t)i * i / 4;
		held[i] = malloc(size[i]);
		fill(held[i], size[i], (unsigned)i);
	}
	CHECK_EQ("children of one thread", 0, forks(2, 50, 1));
	for (long i = 0; i < THREADS; i++)
		ts[i] = spawn(churns, (void *)(i + 1));
	CHECK_EQ("children beside 4 threads that allocate", 0, forks(0, FORKS, 100));
	CHECK_EQ("children with children", 0, forks(NESTED, FORKS / 10, 2000));
	/* two fork at once */
	pthread_t t = spawn(forks_too, (void *)5);
	int bad = 0;
	for (int i = 0; i < FORKS / 2; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(20);
			for (int k = 0; k < 100; k++)
				free(malloc((size_t)k * 100));
			_exit(0);
		}
		bad += reap(pid) != 0;
	}
	CHECK_EQ("children of two threads at once", 0, bad);
	CHECK_EQ("the other's", 0, (long)join(t));
	flag_set(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		join(ts[i]);
	for (int i = 0; i < HELD; i++)
		bad |= !filled(held[i], size[i], (unsigned)i);
	CHECK_EQ("the parent's blocks are unharmed", 0, bad);
	for (int i = 0; i < HELD; i++)
		free(held[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		free(exchange(i, NULL));
	return check_done();
}
