/*
 * PROCS: 1 2 8
 * TIMEOUT: 60
 * ENV: GODEBUG=preemptstress=1
 * The heap under torture: threads that live long and threads that live shortly allocate by every function, in sizes from 0 to 32 MiB,
 * hand their blocks to each other, resize and free them; every block is filled with a pattern that its next owner checks, and its usable size
 * has to stay. Beside them children are made, memory is given back (malloc_trim), and statistics are read.
 * Signals that allocate: heap_signals.c.
 * Arguments: seconds (default 3), seed, number of long-lived threads (default 10).
 */
#define _GNU_SOURCE
#include "../shim/blocks.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1024, OWN = 64, SHORT = 3, LARGE_BUDGET = 256 << 20 };

struct block {
	size_t size, usable;
	unsigned seed;
	unsigned char data[];
};

static struct block *slot[SLOTS];  /* atomic */
static long ops, births, children; /* atomic */
static long large;                 /* atomic: bytes in blocks over 1 MiB */
static int stop, failures;         /* atomic */

static void fail(const char *what, const struct block *b)
{
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST) < 10)
		fprintf(stderr, "%s: block %p, size %zu, usable %zu, seed %u\n", what, (const void *)b, b ? b->size : 0,
		        b ? b->usable : 0, b ? b->seed : 0);
}

static void seal(struct block *b, size_t n, unsigned seed)
{
	b->size = n;
	b->seed = seed;
	b->usable = malloc_usable_size(b);
	if (b->usable < sizeof *b + n)
		fail("too small", b);
	n < 2048 ? fill_all(b->data, n, seed) : fill(b->data, n, seed);
	if (n > 1 << 20)
		__atomic_add_fetch(&large, (long)n, __ATOMIC_RELAXED);
}

static void open_block(struct block *b)
{
	if (!(b->size < 2048 ? filled_all : filled)(b->data, b->size, b->seed))
		fail("changed", b);
	if (malloc_usable_size(b) != b->usable)
		fail("another usable size", b);
	if (b->size > 1 << 20)
		__atomic_sub_fetch(&large, (long)b->size, __ATOMIC_RELAXED);
}

static size_t some_size(unsigned *r)
{
	size_t n = rnd(r) % 4 ? rnd(r) % 600 : rnd_size(r) * 2;
	return n > 1 << 20 && __atomic_load_n(&large, __ATOMIC_RELAXED) > LARGE_BUDGET ? n % 4096 : n;
}

static struct block *make(unsigned *r)
{
	size_t n = some_size(r), align = 16;
	struct block *b = NULL;
	void *p = NULL;
	switch (rnd(r) % 10) {
	case 0:
	case 1:
		b = calloc(1, sizeof *b + n);
		if (b && !is_zero(b, n < 65536 ? sizeof *b + n : 65536))
			fail("calloc is not zero", NULL);
		break;
	case 2:
		align = (size_t)1 << rnd(r) % 17;
		b = memalign(align, sizeof *b + n);
		break;
	case 3:
		align = (size_t)8 << rnd(r) % 10;
		if (posix_memalign(&p, align, sizeof *b + n) == 0)
			b = p;
		break;
	case 4:
		align = (size_t)1 << rnd(r) % 13;
		b = aligned_alloc(align, (sizeof *b + n + align - 1) & -align);
		break;
	case 5:
		b = realloc(NULL, sizeof *b + n);
		break;
	default:
		b = malloc(sizeof *b + n);
	}
	if (!b) {
		fail("no memory", NULL);
		abort();
	}
	if (!aligned_to(b, align < 16 ? 8 : align))
		fail("not aligned", b);
	seal(b, n, rnd(r));
	return b;
}

static void drop(struct block *b)
{
	if (!b)
		return;
	open_block(b);
	memset(b, 0xdd, sizeof *b);
	free(b);
}

static struct block *resize(struct block *b, unsigned *r)
{
	size_t n = rnd(r) % 3 ? b->size + b->size / 2 + 1 : some_size(r), old = b->size;
	unsigned seed = b->seed;
	if (n > 64 << 20)
		n = 100;
	open_block(b);
	struct block *to = realloc(b, sizeof *b + n);
	if (!to) {
		fail("no memory", NULL);
		abort();
	}
	/* what was filled and is still there */
	size_t s = old < 2048 ? 1 : step(old);
	for (size_t i = 0; i < old && i < n; i += s)
		if (to->data[i] != pattern(seed, i)) {
			fail("realloc lost something", to);
			break;
		}
	seal(to, n, rnd(r));
	return to;
}

static void work(unsigned *r, struct block **own)
{
	struct block **mine = &own[rnd(r) % OWN];
	switch (rnd(r) % 8) {
	case 0:
	case 1:
		drop(*mine);
		*mine = make(r);
		break;
	case 2:
		if (*mine)
			*mine = resize(*mine, r);
		break;
	case 3: /* many of one size, freed in another order */ {
		void *p[200];
		size_t n = rnd(r) % 300;
		int count = (int)(rnd(r) % 200);
		for (int i = 0; i < count; i++) {
			p[i] = malloc(n);
			fill(p[i], n, (unsigned)i);
		}
		for (int i = 0; i < count; i++) {
			int k = (i * 77) % 200;
			if (k < count && !filled(p[k], n, (unsigned)k))
				fail("one of many", NULL);
		}
		for (int i = 0; i < 200; i++)
			if ((i * 77) % 200 < count)
				free(p[(i * 77) % 200]);
		break;
	}
	case 4:
		free(malloc(rnd_size(r) & 0xfffff));
		break;
	default:
		*mine = __atomic_exchange_n(&slot[rnd(r) % SLOTS], *mine, __ATOMIC_ACQ_REL);
	}
	__atomic_add_fetch(&ops, 1, __ATOMIC_RELAXED);
}

static int over(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *long_lived(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	struct block *own[OWN] = {0};
	while (!over()) {
		for (int i = 0; i < 64; i++)
			work(&r, own);
		if (rnd(&r) % 8 == 0)
			sched_yield();
	}
	for (int i = 0; i < OWN; i++)
		drop(own[i]);
	return NULL;
}

static void *short_lived(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	struct block *own[OWN] = {0};
	for (int i = 0; i < 200; i++)
		work(&r, own);
	for (int i = 0; i < OWN; i++) {
		struct block *b = own[i];
		if (b && i % 2) /* some are left to others */
			b = __atomic_exchange_n(&slot[rnd(&r) % SLOTS], b, __ATOMIC_ACQ_REL);
		drop(b);
	}
	return NULL;
}

static void *bears(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	pthread_t t[SHORT];
	while (!over()) {
		int n = 0;
		while (n < SHORT && pthread_create(&t[n], NULL, short_lived, (void *)(long)(rnd(&r) | 1)) == 0)
			n++;
		__atomic_add_fetch(&births, n, __ATOMIC_RELAXED);
		while (n > 0)
			pthread_join(t[--n], NULL);
	}
	return NULL;
}

static void *forks(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	FILE *null = fopen("/dev/null", "w");
	while (!over()) {
		pid_t pid = fork();
		if (pid == 0) {
			struct block *own[OWN] = {0};
			alarm(20);
			__atomic_store_n(&failures, 0, __ATOMIC_SEQ_CST);
			for (int i = 0; i < 300; i++)
				work(&r, own);
			for (int i = 0; i < OWN; i++)
				drop(own[i]);
			_exit(failures ? 1 : 0);
		}
		int status = 0;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
			fprintf(stderr, "child: status %#x\n", status);
			fail("a child", NULL);
		}
		__atomic_add_fetch(&children, 1, __ATOMIC_RELAXED);
		malloc_trim(rnd(&r) % 2 ? 0 : 1 << 20);
		malloc_info(0, null);
		struct mallinfo2 m = mallinfo2();
		if (m.uordblks > (size_t)1 << 40)
			fail("mallinfo2", NULL);
		struct timespec ms = {0, 5000000};
		nanosleep(&ms, NULL);
	}
	fclose(null);
	return NULL;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	unsigned r = argc > 2 ? (unsigned)atoi(argv[2]) | 1 : (unsigned)getpid() * 2654435761u | 1;
	int n = argc > 3 ? atoi(argv[3]) : 10;
	pthread_t *t = malloc((size_t)(n + 2) * sizeof *t);
	fprintf(stderr, "seed %u\n", r);
	for (int i = 0; i < n + 2; i++)
		if (pthread_create(&t[i], NULL, i < n ? long_lived : i == n ? bears : forks, (void *)(long)(rnd(&r) | 1)) != 0)
			return 1;
	struct timespec ts = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n + 2; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		drop(slot[i]);
	free(t);
	if (ops == 0 || births == 0 || children == 0)
		fail("no progress", NULL);
	fprintf(stderr, "%ld operations, %ld short threads, %ld children\n", ops, births, children);
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
