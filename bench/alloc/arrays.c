/*
 * Loads that keep blocks in arrays and replace them: the servers and the commercial allocators' own tests.
 */
#include "alloc.h"

/*
 * larson: Larson and Krishnan, "Memory allocation for long-running server applications" (ISMM 1998). Each thread owns
 * an array of blocks, as a server owns its connections' state, and replaces random ones; after so many it hands the
 * array to a new thread and ends, so that most blocks are freed by another thread than the one that allocated them.
 */
#define LARSON_BLOCKS 5000
#define LARSON_TURN 250000 /* replacements by one thread */

struct larson {
	sem_t *ended;
	struct rng r;
	long done, generations;
	int me;
	void *at[LARSON_BLOCKS];
};

static void *larson_thread(void *arg)
{
	struct larson *l = arg;
	pthread_attr_t attr;
	pthread_t next;
	uint32_t i;

	pin(l->me);
	for (long n = 0; n < LARSON_TURN && !is_over(); n++) {
		i = below(&l->r, LARSON_BLOCKS);
		put(l->at[i]);
		l->at[i] = get(between(&l->r, 8, 1000));
		l->done++;
	}
	l->generations++;
	if (is_over()) {
		post_sem(l->ended);
		return NULL;
	}
	must(pthread_attr_init(&attr), "pthread_attr_init");
	must(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), "pthread_attr_setdetachstate");
	start(&next, &attr, larson_thread, l);
	must(pthread_attr_destroy(&attr), "pthread_attr_destroy");
	return NULL;
}

static void load_larson(void)
{
	struct larson *l = table(threads * sizeof *l);
	struct timespec ts = {.tv_sec = scale, .tv_nsec = (scale - (long)scale) * 1e9};
	pthread_t t;
	double done = 0;
	static sem_t ended;
	int64_t t0;

	if (sem_init(&ended, 0, 0) != 0)
		die("sem_init: %s", strerror(errno));
	for (int i = 0; i < threads; i++) {
		l[i].ended = &ended;
		l[i].r = seed(i);
		l[i].me = i;
		for (int k = 0; k < LARSON_BLOCKS; k++)
			l[i].at[k] = get(between(&l[i].r, 8, 1000));
	}
	t0 = now();
	for (int i = 0; i < threads; i++) {
		start(&t, NULL, larson_thread, &l[i]);
		must(pthread_detach(t), "pthread_detach");
	}
	while (nanosleep(&ts, &ts) != 0)
		if (errno != EINTR)
			die("nanosleep: %s", strerror(errno));
	atomic_store(&over, true);
	for (int i = 0; i < threads; i++)
		wait_sem(&ended);
	t0 = now() - t0;
	for (int i = 0; i < threads; i++) {
		done += l[i].done;
		for (int k = 0; k < LARSON_BLOCKS; k++)
			put(l[i].at[k]);
	}
	figure(done * 1e3 / t0, "Mop/s");
}

/*
 * alloc-test: the test of node.js's and ithare.com's "testing memory allocators" (2018): a random slot of a large
 * array is freed if it is taken, else allocated, with sizes of which small ones are the more probable; one array per
 * thread, and no two accesses near each other, so that cache misses count as they do in a large program.
 */
#define ALLOC_TEST_SLOTS (1 << 17)

/* 16 to 1023 bytes, each power of two as probable as the next */
static size_t mixed_size(struct rng *r)
{
	uint32_t from = 16u << below(r, 6);

	return from + below(r, from);
}

static void alloc_test(struct worker *w)
{
	void **at = table(ALLOC_TEST_SLOTS * sizeof *at);
	long n = scaled(8e6);
	uint32_t i;

	while (n-- > 0) {
		i = below(&w->r, ALLOC_TEST_SLOTS);
		if (at[i] != NULL) {
			put(at[i]);
			at[i] = NULL;
		} else {
			at[i] = get(mixed_size(&w->r));
		}
	}
	for (i = 0; i < ALLOC_TEST_SLOTS; i++)
		put(at[i]);
}

static void load_alloc_test(void)
{
	struct worker w = {.r = seed(0)};
	int64_t t0 = now();

	if (threads == 1)
		alloc_test(&w); /* by main: a program without threads */
	else
		together(threads, alloc_test, NULL, NULL);
	figure((now() - t0) / 1e9, "s");
}

/*
 * small-mixed: glibc's own benchtests, bench-malloc-simple and -thread: a working set of 1024 blocks, sizes of 4 to
 * 32768 bytes of which a size is the more probable the smaller it is; a random block is replaced each time. One
 * thread: the time for a number of iterations; more: the iterations of all within a second.
 */
#define SMALL_SET 1024

static size_t inverse_size(struct rng *r)
{
	uint32_t x = rnd(r) & 0xffff; /* an exponential distribution of mean 2^7, by halves */

	return 8 + below(r, 16u << (x == 0 ? 11 : (uint32_t)__builtin_ctz(x) > 11 ? 11 : __builtin_ctz(x)));
}

static void small_mixed(struct worker *w)
{
	long n = threads == 1 ? scaled(2e7) : 0, done = 0;
	void *at[SMALL_SET] = {NULL};
	uint32_t i;

	while (threads == 1 ? done < n : !is_over()) {
		for (int k = 0; k < 64; k++) {
			i = below(&w->r, SMALL_SET);
			put(at[i]);
			at[i] = get(inverse_size(&w->r));
		}
		done += 64;
	}
	for (i = 0; i < SMALL_SET; i++)
		put(at[i]);
	w->done = done;
}

static void load_small_mixed(void)
{
	struct worker w = {.r = seed(0)};
	double done;
	int64_t t0 = now();

	if (threads == 1) {
		small_mixed(&w);
		figure((now() - t0) / 1e9, "s");
	} else {
		t0 = for_a_second(threads, small_mixed, NULL, &done);
		figure(done * 1e3 / t0, "Mop/s");
	}
}

/*
 * sh6: MicroQuill's SmartHeap benchmark of "mixed lifetimes" as its page describes it: every thread allocates runs of
 * blocks of 1 to 1000 bytes, many of the small sizes and few of the large ones. When the run is complete, one third is
 * freed at once in the order of allocation, one third in the reverse order, and the last third outlives the next run.
 */
#define SH_BLOCKS 6000

static int sh_run(struct rng *r, void **at)
{
	int n = 0;

	for (size_t size = 8; n < SH_BLOCKS; size = size < 1000 ? size + between(r, 1, 24) : 8)
		for (int k = 400 / size + 1; k > 0 && n < SH_BLOCKS; k--)
			at[n++] = get(size);
	return n;
}

static void sh6(struct worker *w)
{
	void **at = table(2 * SH_BLOCKS * sizeof *at), **old = at + SH_BLOCKS, **swap;
	int n, third;

	for (long run = scaled(1500); run > 0; run--) {
		n = sh_run(&w->r, at);
		third = n / 3;
		for (int i = 0; i < third; i++) {
			put(at[i]);
			at[i] = NULL;
		}
		for (int i = 2 * third; i-- > third;) {
			put(at[i]);
			at[i] = NULL;
		}
		for (int i = 2 * third; i < n; i++) /* of the run before */
			put(old[i]);
		swap = old;
		old = at;
		at = swap;
	}
	for (int i = SH_BLOCKS / 3 * 2; i < SH_BLOCKS; i++)
		put(old[i]);
}

static void load_sh6(void)
{
	figure(together(threads, sh6, NULL, NULL) / 1e9, "s");
}

/*
 * sh8: its successor, with traffic between threads: every second run is not freed by its thread but handed to whoever
 * comes next, who frees it in an order of its own beside the blocks that it allocates.
 */
struct sh8_run {
	void *at[SH_BLOCKS];
};

static void sh8(struct worker *w)
{
	_Atomic(struct sh8_run *) *desk = w->shared;
	struct sh8_run *run = table(sizeof *run), *other;
	int n, third;

	for (long i = scaled(700); i > 0; i--) {
		n = sh_run(&w->r, run->at);
		third = n / 3;
		for (int k = 0; k < third; k++) {
			put(run->at[k]);
			run->at[k] = NULL;
		}
		if (i % 2 == 0) {
			other = atomic_exchange(desk, run);
			run = other != NULL ? other : table(sizeof *run);
		}
		for (int k = n; k-- > 0;) { /* what is left of this run, or of another thread's */
			put(run->at[k]);
			run->at[k] = NULL;
		}
	}
}

static void load_sh8(void)
{
	static _Atomic(struct sh8_run *) desk;
	struct sh8_run *last;
	int64_t t0 = together(threads, sh8, &desk, NULL);

	last = atomic_load(&desk);
	for (int k = 0; last != NULL && k < SH_BLOCKS; k++)
		put(last->at[k]);
	figure(t0 / 1e9, "s");
}

/*
 * rptest: the benchmark of Jansson's rpmalloc. Every thread allocates a few hundred blocks of up to 16,000 bytes, sizes
 * falling off linearly, frees every so many-th, hands every second of the rest to a common list and frees what others have put
 * there. The figure is operations of all threads in a second.
 */
#define RP_BLOCKS 500
#define RP_LISTS 16

struct rp_block {
	uint64_t mark; /* get's */
	struct rp_block *next;
};

static double rp_free_list(struct rp_block *b)
{
	struct rp_block *next;
	double n = 0;

	for (; b != NULL; b = next, n++) {
		next = b->next;
		put(b);
	}
	return n;
}

static void rptest(struct worker *w)
{
	_Atomic(struct rp_block *) *lists = w->shared;
	struct rp_block *at[RP_BLOCKS], *first, *b;
	int skip;

	while (!is_over()) {
		for (int i = 0; i < RP_BLOCKS; i++) {
			uint32_t x = below(&w->r, 16000), y = below(&w->r, 16000);

			at[i] = get(16 + (x < y ? x : y));
		}
		skip = between(&w->r, 2, 9);
		for (int i = 0; i < RP_BLOCKS; i += skip) {
			put(at[i]);
			at[i] = NULL;
		}
		first = NULL;
		for (int i = 0; i < RP_BLOCKS; i++) {
			b = at[i];
			if (b == NULL)
				continue;
			if (i % 2 == 0) {
				b->next = first;
				first = b;
			} else {
				put(b);
			}
		}
		rp_free_list(atomic_exchange(&lists[below(&w->r, RP_LISTS)], first));
		w->done += 2.0 * RP_BLOCKS; /* each is freed by someone, sooner or later */
	}
}

static void load_rptest(void)
{
	static _Atomic(struct rp_block *) lists[RP_LISTS];
	double done;
	int64_t t0 = for_a_second(threads, rptest, lists, &done);

	for (int i = 0; i < RP_LISTS; i++)
		rp_free_list(atomic_load(&lists[i]));
	figure(done * 1e3 / t0, "Mop/s");
}

/*
 * mstress: Leijen's stress test of mimalloc as its repository describes it: rounds of threads that are created anew,
 * each with short-lived blocks, blocks kept until it ends, and blocks swapped with those of others through a shared
 * array; sizes a number of words, mostly few, rarely thousands. All words of a block are written and checked.
 */
#define MSTRESS_SHARED 1000
#define MSTRESS_WORK 500
#define MSTRESS_KEPT 4000
#define MSTRESS_ROUNDS 50

static uint64_t *words_get(struct rng *r)
{
	uint32_t n = between(r, 2, 32), key = rnd(r);
	uint64_t *p;

	if (below(r, 100) == 0)
		n *= below(r, 8) == 0 ? 1000 : 30;
	p = malloc(n * sizeof *p);
	if (p == NULL)
		die("malloc: %s", strerror(errno));
	p[0] = (uint64_t)key << 32 | n;
	for (uint32_t i = 1; i < n; i++)
		p[i] = p[0] + i;
	return p;
}

static void words_put(uint64_t *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 1, n = (uint32_t)p[0]; i < n; i++)
		if (p[i] != p[0] + i)
			die("mstress: word %u of a block of %u is wrong", i, n);
	free(p);
}

struct mstress {
	_Atomic(uint64_t *) shared[MSTRESS_SHARED];
	long steps;
	int round;
};

static void mstress(struct worker *w)
{
	struct mstress *m = w->shared;
	uint64_t **work = calloc(MSTRESS_WORK, sizeof *work), **kept = calloc(MSTRESS_KEPT, sizeof *kept);
	struct rng r = seed(m->round * 1000 + w->me);
	int nkept = 0, i;

	if (work == NULL || kept == NULL)
		die("calloc: %s", strerror(errno));
	for (long n = m->steps; n > 0; n--) {
		i = below(&r, MSTRESS_WORK);
		if (below(&r, 8) == 0) { /* swap with another thread, now or later */
			work[i] = atomic_exchange(&m->shared[below(&r, MSTRESS_SHARED)], work[i]);
		} else if (below(&r, 8) == 0 && nkept < MSTRESS_KEPT) {
			kept[nkept++] = words_get(&r);
		} else {
			words_put(work[i]);
			work[i] = below(&r, 4) == 0 ? NULL : words_get(&r);
		}
	}
	for (i = 0; i < MSTRESS_WORK; i++)
		words_put(work[i]);
	while (nkept > 0)
		words_put(kept[--nkept]);
	free(work);
	free(kept);
}

static void load_mstress(void)
{
	static struct mstress m;
	int64_t t0 = now();

	m.steps = scaled(60000);
	for (m.round = 0; m.round < MSTRESS_ROUNDS; m.round++) {
		together(threads, mstress, &m, NULL);
		for (int i = 0; m.round % 10 == 9 && i < MSTRESS_SHARED; i++)
			words_put(atomic_exchange(&m.shared[i], NULL));
	}
	figure((now() - t0) / 1e9, "s");
}

/*
 * large: the large-object test of mimalloc-bench (malloc-large) in shape: some dozens of blocks, here of 64 KiB to 5 MiB,
 * each replaced at random many times. A byte of each page is written, as no program allocates pages to leave them.
 */
#define LARGE_BLOCKS 40

static void load_large(void)
{
	static void *at[LARGE_BLOCKS];
	struct rng r = seed(0);
	int64_t t0 = now();
	size_t size;
	int i;

	for (long n = scaled(6000); n > 0; n--) {
		i = below(&r, LARGE_BLOCKS);
		put(at[i]);
		size = between(&r, 64 << 10, 5 << 20);
		at[i] = get(size);
		for (size_t k = 4096; k < size; k += 4096)
			((char *)at[i])[k] = 1;
	}
	for (i = 0; i < LARGE_BLOCKS; i++)
		put(at[i]);
	figure((now() - t0) / 1e9, "s");
}

const struct load array_loads[] = {
	{"larson", load_larson, 2, "server: arrays handed from thread to thread, Mop/s"},
	{"mstress", load_mstress, 2, "mixed lifetimes, transfer, thread churn, s"},
	{"alloc-test", load_alloc_test, 1, "random slots of a large array, s"},
	{"small-mixed", load_small_mixed, 1, "small sizes in a small working set, s; Mop/s with threads"},
	{"sh6", load_sh6, 2, "runs of sizes, three lifetimes, s"},
	{"sh8", load_sh8, 2, "the same, half of it freed by another thread, s"},
	{"rptest", load_rptest, 2, "blocks to 16 KB, half of them freed by another thread, Mop/s"},
	{"large", load_large, 0, "blocks of 64 KiB to 5 MiB replaced, s"},
	{NULL, NULL, 0, NULL},
};
