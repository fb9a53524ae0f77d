/*
 * Loads about what threads do to each other: hand blocks over, write beside each other, come and go.
 */
#include "alloc.h"
#include <sched.h>
#include <sys/mman.h>

/*
 * xmalloc: Lever and Boreham, "malloc() performance in a multithreaded Linux environment" (USENIX 2000). Half of the
 * threads allocate batches of blocks and queue them, the other half take batches and free them: nothing is ever freed
 * by its allocator. The batch's own block goes the same way. The queue is short, so that neither side runs ahead.
 */
#define BATCH 128
#define QUEUE 32

struct batch {
	void *at[BATCH];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	struct batch *at[QUEUE];
	unsigned in, out;
	long to_make, to_free;
} q = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .emptied = PTHREAD_COND_INITIALIZER};

static void xmalloc_make(struct worker *w)
{
	struct batch *b;
	bool last = false;

	while (!last) {
		b = malloc(sizeof *b);
		if (b == NULL)
			die("malloc: %s", strerror(errno));
		for (int i = 0; i < BATCH; i++)
			b->at[i] = get(between(&w->r, 16, 256));
		pthread_mutex_lock(&q.lock);
		while (q.in - q.out == QUEUE && q.to_make > 0)
			pthread_cond_wait(&q.emptied, &q.lock);
		last = q.to_make == 0;
		if (!last) {
			q.at[q.in++ % QUEUE] = b;
			last = --q.to_make == 0;
			b = NULL;
			if (last)
				pthread_cond_broadcast(&q.emptied);
			pthread_cond_signal(&q.filled);
		}
		pthread_mutex_unlock(&q.lock);
		for (int i = 0; b != NULL && i < BATCH; i++)
			put(b->at[i]);
		free(b);
	}
}

static void xmalloc_free(struct worker *w)
{
	struct batch *b;

	for (;;) {
		pthread_mutex_lock(&q.lock);
		while (q.in == q.out && q.to_free > 0)
			pthread_cond_wait(&q.filled, &q.lock);
		if (q.to_free == 0) {
			pthread_mutex_unlock(&q.lock);
			return;
		}
		b = q.at[q.out++ % QUEUE];
		if (--q.to_free == 0)
			pthread_cond_broadcast(&q.filled);
		pthread_cond_signal(&q.emptied);
		pthread_mutex_unlock(&q.lock);
		for (int i = 0; i < BATCH; i++)
			put(b->at[i]);
		free(b);
		w->done += BATCH;
	}
}

static void xmalloc(struct worker *w)
{
	if (w->me % 2 == 0)
		xmalloc_make(w);
	else
		xmalloc_free(w);
}

static void load_xmalloc(void)
{
	double done;
	int64_t t0;

	if (threads % 2 != 0)
		die("xmalloc: an even number of threads");
	q.to_make = q.to_free = scaled(40000);
	t0 = together(threads, xmalloc, NULL, &done);
	must_equal((long)done, BATCH * scaled(40000), "xmalloc: blocks freed");
	figure(t0 / done, "ns");
}

/*
 * cache-thrash and cache-scratch: Berger and others, "Hoard: a scalable memory allocator" (ASPLOS 2000). Thrash: does
 * the allocator give neighbouring blocks of a cache line to different threads (active false sharing)? Each thread
 * allocates 8 bytes, writes them often, frees them, over and over. Scratch: main has allocated a block for each thread,
 * one beside the other; each frees the one it was given, and then goes on so: does the line stay shared (passive)?
 */
#define WRITES 100

static void thrash(struct worker *w)
{
	void **given = w->shared;
	volatile char *p;

	if (given != NULL)
		put(given[w->me]);
	for (long n = scaled(4e6); n > 0; n--) {
		p = opaque(get(8));
		for (int i = 0; i < WRITES; i++)
			p[i & 7]++;
		*(volatile uint64_t *)p = (uintptr_t)p ^ MARK;
		put((void *)p);
	}
}

static void load_thrash(void)
{
	figure(together(threads, thrash, NULL, NULL) / 1e9, "s");
}

/* Neighbours: of the blocks that main has, the first run that lies in as few cache lines as there can be. */
static void load_scratch(void)
{
	static void *at[1024];
	int n = sizeof at / sizeof at[0], from = 0;

	if (threads > n / 2)
		die("cache-scratch: at most %d threads", n / 2);
	for (int i = 0; i < n; i++)
		at[i] = get(8);
	for (int i = n - (threads > 1 ? threads : 2); i >= 0; i--)
		if ((uintptr_t)at[i] / 64 == (uintptr_t)at[i + 1] / 64 && (uintptr_t)at[i] % 64 < 32)
			from = i;
	figure(together(threads, thrash, at + from, NULL) / 1e9, "s");
	for (int i = 0; i < n; i++)
		if (i < from || i >= from + threads)
			put(at[i]);
}

/*
 * churn-leak: mleak of mimalloc-bench as described there: threads are created and end one after the other; each frees
 * what the one before has left and leaves blocks of its own. An allocator that strands the memory of ended threads
 * grows with every one of them: the peak is the figure as much as the time.
 */
#define LEFT 500

static void *left_at[LEFT];

static void *churn(void *arg)
{
	struct rng *r = arg;

	for (int i = 0; i < LEFT; i++) {
		put(left_at[i]);
		left_at[i] = get(between(r, 16, 1024));
	}
	return NULL;
}

static void load_churn_leak(void)
{
	struct rng r = seed(0);
	pthread_t t;
	int64_t t0 = now();

	for (long n = scaled(15000); n > 0; n--) {
		start(&t, NULL, churn, &r);
		join(t);
	}
	t0 = now() - t0;
	for (int i = 0; i < LEFT; i++)
		put(left_at[i]);
	figure(t0 / 1e9, "s");
}

/*
 * idle: what a server keeps after its busy hour. Each thread allocates about 60 MB of 16 to 481 bytes, frees all of it
 * but one block in a thousand, and waits; the figure is what is resident after two seconds in which nobody calls malloc.
 */
#define IDLE_BLOCKS 250000

static void idle(struct worker *w)
{
	void **at = table(IDLE_BLOCKS * sizeof *at);
	pthread_barrier_t *busy = w->shared;

	for (int i = 0; i < IDLE_BLOCKS; i++)
		at[i] = get(between(&w->r, 16, 481));
	for (int i = 0; i < IDLE_BLOCKS; i++)
		if (i % 1000 != 0)
			put(at[i]);
	pthread_barrier_wait(busy);
	pthread_barrier_wait(busy); /* main has looked */
	for (int i = 0; i < IDLE_BLOCKS; i += 1000)
		put(at[i]);
	munmap(at, IDLE_BLOCKS * sizeof *at);
}

static void *idle_watch(void *arg)
{
	struct timespec two = {.tv_sec = 2};
	double table_mb = (double)threads * IDLE_BLOCKS * sizeof(void *) / (1 << 20);

	pthread_barrier_wait(arg);
	while (nanosleep(&two, &two) != 0)
		if (errno != EINTR)
			die("nanosleep: %s", strerror(errno));
	figure(resident("VmRSS") - table_mb, "MB");
	pthread_barrier_wait(arg);
	return NULL;
}

static void load_idle(void)
{
	pthread_barrier_t busy;
	pthread_t watch;

	must(pthread_barrier_init(&busy, NULL, threads + 1), "pthread_barrier_init");
	start(&watch, NULL, idle_watch, &busy);
	together(threads, idle, &busy, NULL);
	join(watch);
	must(pthread_barrier_destroy(&busy), "pthread_barrier_destroy");
}

/* thread-10: what a short-lived thread pays that allocates little: create, 10 mallocs, 10 frees, join. */
static void *ten(void *arg)
{
	void *at[10];

	for (int i = 0; i < 10; i++)
		at[i] = get(16 << (i % 5));
	for (int i = 0; i < 10; i++)
		put(at[i]);
	return arg;
}

static void load_thread_10(void)
{
	long n = scaled(30000);
	pthread_t t;
	int64_t t0 = now();

	for (long i = 0; i < n; i++) {
		start(&t, NULL, ten, NULL);
		join(t);
	}
	figure((now() - t0) / 1e3 / n, "us");
}

/*
 * hand-N: one thread allocates blocks of N bytes, another frees them, through a ring without locks: the remote free by
 * itself, per object. The consumer reads each block, the producer writes it. Counts are published by 32, so that the ring's
 * own cache lines do not outweigh the blocks'. The figure means two CPUs: on one, where a kernel under other load likes to
 * leave two threads that wake each other, it is a third of that; hence --pin in bench/alloc/run.
 */
#define RING 1024
#define STEP 32

static struct {
	_Alignas(128) atomic_ulong in;
	_Alignas(128) atomic_ulong out;
	_Alignas(128) void *at[RING];
	size_t size;
	unsigned long n;
} ring;

static void wait_a_bit(int *spins)
{
	if (++*spins < 1000) {
		__builtin_ia32_pause();
	} else { /* the other side may need this CPU */
		*spins = 0;
		sched_yield();
	}
}

static void hand(struct worker *w)
{
	unsigned long i, seen = 0; /* of the other side's count: looked at only when it does not suffice */
	int spins = 0;

	for (i = 0; i < ring.n; i++) {
		if (w->me == 0) {
			void *p = get(ring.size);

			while (i - seen == RING) {
				seen = atomic_load_explicit(&ring.out, memory_order_acquire);
				if (i - seen == RING)
					wait_a_bit(&spins);
			}
			ring.at[i % RING] = p;
		} else {
			while (seen == i) {
				seen = atomic_load_explicit(&ring.in, memory_order_acquire);
				if (seen == i)
					wait_a_bit(&spins);
			}
			put(ring.at[i % RING]);
		}
		if ((i + 1) % STEP == 0 || i + 1 == ring.n)
			atomic_store_explicit(w->me == 0 ? &ring.in : &ring.out, i + 1, memory_order_release);
	}
}

static void hand_over(size_t size)
{
	ring.size = size;
	ring.n = scaled(2.5e6);
	figure((double)together(2, hand, NULL, NULL) / ring.n, "ns");
}

static void load_hand_16(void)
{
	hand_over(16);
}

static void load_hand_64(void)
{
	hand_over(64);
}

static void load_hand_512(void)
{
	hand_over(512);
}

/* bursts: every thread allocates 256 blocks of 64 bytes, then frees them, first come first. Per block and thread. */
static void bursts(struct worker *w)
{
	void *at[256];

	(void)w;
	for (long n = scaled(100000); n > 0; n--) {
		for (int i = 0; i < 256; i++)
			at[i] = opaque(malloc(64));
		for (int i = 0; i < 256; i++)
			free(at[i]);
	}
}

static void load_bursts(void)
{
	figure((double)together(threads, bursts, NULL, NULL) / (256.0 * scaled(100000)), "ns");
}

const struct load share_loads[] = {
	{"xmalloc", load_xmalloc, 2, "batches from producers to consumers, ns a block"},
	{"cache-thrash", load_thrash, 2, "active false sharing, s"},
	{"cache-scratch", load_scratch, 2, "passive false sharing, s"},
	{"churn-leak", load_churn_leak, 0, "threads in turn free what the last one left, s"},
	{"idle", load_idle, 2, "what is resident two seconds after nearly all is freed, MB"},
	{"thread-10", load_thread_10, 0, "create, 10 mallocs and frees, join, us"},
	{"hand-16", load_hand_16, 2, "one thread allocates 16 B, another frees, ns a block"},
	{"hand-64", load_hand_64, 2, "the same with 64 B"},
	{"hand-512", load_hand_512, 2, "the same with 512 B"},
	{"bursts", load_bursts, 2, "256 x 64 B, then all freed, ns a block"},
	{NULL, NULL, 0, NULL},
};
