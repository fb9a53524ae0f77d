/*
 * replay TRACE [EVENTS]: what an allocator takes for the calls that a program made.
 *
 * A trace has one call a line, in the order in which they were made, with decimal numbers:
 *     tN a ID SIZE            malloc            tN r ID NEWID SIZE     realloc; NEWID is a new block, ID is gone
 *     tN c ID SIZE            calloc            tN m ID ALIGN SIZE     posix_memalign
 *     tN f ID                 free
 * N is the thread's number from 0, an ID is given to one block only. bench/alloc/record makes traces, recorder.c too.
 *
 * The trace is read into tables first. Then each of its threads (64 at most, the others share) makes its calls as fast as
 * it can; where it needs a block that another thread has not made yet, it waits for that, and for nothing else. A byte
 * of each page of each block is written. A trace is repeated until EVENTS calls (3,000,000) are made; what it leaves is
 * freed between two rounds, off the clock. Prints "replay value ns", wall time per call of all threads together, and
 * "peak value MB" without the tables (which need /proc/self/clear_refs for the parse to be left out as well).
 */
#include "../bench.h"
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 64

struct event {
	uint32_t id, other; /* the new id, or the alignment */
	uint64_t size : 56, op : 8;
};

static struct event *events;
static _Atomic(void *) *blocks;
static size_t first_of[THREADS + 1], nevents, nblocks, tables;
static pthread_barrier_t gate;

static void *table(size_t bytes)
{
	void *p = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return p;
}

/* Calls fn for each line of the trace. */
static void each_line(const char *path, void (*fn)(unsigned thread, struct event e, long line))
{
	static char text[256], buffer[1 << 16];
	FILE *f = fopen(path, "r");
	unsigned long thread, a, b, c;
	char op;
	int n;

	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	setvbuf(f, buffer, _IOFBF, sizeof buffer);
	for (long line = 1; fgets(text, sizeof text, f) != NULL; line++) {
		struct event e;

		if (strchr(text, '\n') == NULL)
			break; /* cut short: the program was killed */
		a = b = c = 0;
		n = sscanf(text, "t%lu %c %lu %lu %lu", &thread, &op, &a, &b, &c) - 2;
		if (n != (op == 'f' ? 1 : op == 'a' || op == 'c' ? 2 : op == 'r' || op == 'm' ? 3 : -1) || a >= UINT32_MAX)
			die("%s:%ld: not a line of a trace: %.*s", path, line, (int)strcspn(text, "\n"), text);
		e = (struct event){.id = a, .other = n == 3 ? b : 0, .size = n == 3 ? c : b, .op = op};
		fn(thread % THREADS, e, line);
	}
	fclose(f);
}

static void count(unsigned thread, struct event e, long line)
{
	(void)line;
	first_of[thread + 1]++;
	nevents++;
	if (e.id >= nblocks)
		nblocks = e.id + (size_t)1;
	if (e.op == 'r' && e.other >= nblocks)
		nblocks = e.other + (size_t)1;
}

static size_t next_of[THREADS];
static char *state; /* of each block: not yet, live, gone */

static void become(uint32_t id, char from, char to, long line)
{
	if (state[id] != from)
		die("line %ld of the trace: block %u is %s", line, id, state[id] == 0 ? "not there" : "used twice");
	state[id] = to;
}

static void fill(unsigned thread, struct event e, long line)
{
	if (e.op == 'f' || e.op == 'r')
		become(e.id, 1, 2, line);
	if (e.op != 'f')
		become(e.op == 'r' ? e.other : e.id, 0, 1, line);
	events[next_of[thread]++] = e;
}

static void load(const char *path)
{
	each_line(path, count);
	if (nevents == 0)
		die("%s: empty", path);
	for (int i = 0; i < THREADS; i++) {
		first_of[i + 1] += first_of[i];
		next_of[i] = first_of[i];
	}
	events = table(nevents * sizeof *events);
	blocks = table(nblocks * sizeof *blocks);
	state = table(nblocks);
	memset(blocks, 0, nblocks * sizeof *blocks);
	each_line(path, fill);
	munmap(state, nblocks + 1);
	tables = nevents * sizeof *events + nblocks * sizeof *blocks;
}

/* The block of an id; it may still be another thread's to make. */
static void *take(uint32_t id)
{
	void *p;

	for (int spins = 0; (p = atomic_load_explicit(&blocks[id], memory_order_acquire)) == NULL;)
		if (++spins % 1000 == 0)
			sched_yield();
		else
			__builtin_ia32_pause();
	atomic_store_explicit(&blocks[id], NULL, memory_order_relaxed);
	return p;
}

static void give(uint32_t id, char *p, size_t size)
{
	if (p == NULL)
		die("no memory for %zu bytes", size);
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	atomic_store_explicit(&blocks[id], p, memory_order_release);
}

static void play(size_t from, size_t to)
{
	void *p;

	for (const struct event *e = events + from; e < events + to; e++)
		switch (e->op) {
		case 'a':
			give(e->id, malloc(e->size), e->size);
			break;
		case 'c':
			give(e->id, calloc(1, e->size), e->size);
			break;
		case 'r':
			give(e->other, realloc(take(e->id), e->size), e->size);
			break;
		case 'm':
			if (posix_memalign(&p, e->other < sizeof(void *) ? sizeof(void *) : e->other, e->size) != 0)
				p = NULL;
			give(e->id, p, e->size);
			break;
		case 'f':
			free(take(e->id));
			break;
		}
}

static void *player(void *arg)
{
	size_t *from = arg;

	pthread_barrier_wait(&gate);
	play(from[0], from[1]);
	return NULL;
}

static int64_t round_once(void)
{
	pthread_t t[THREADS];
	int64_t t0;
	int n = 0;

	for (int i = 0; i < THREADS; i++)
		n += first_of[i] != first_of[i + 1];
	if (n == 1) {
		t0 = now();
		play(0, nevents);
		return now() - t0;
	}
	must(pthread_barrier_init(&gate, NULL, n + 1), "pthread_barrier_init");
	for (int i = 0, k = 0; i < THREADS; i++)
		if (first_of[i] != first_of[i + 1])
			start(&t[k++], NULL, player, &first_of[i]);
	pthread_barrier_wait(&gate);
	t0 = now();
	for (int k = 0; k < n; k++)
		join(t[k]);
	t0 = now() - t0;
	must(pthread_barrier_destroy(&gate), "pthread_barrier_destroy");
	return t0;
}

static double peak_bytes(void)
{
	static char line[256], buffer[4096];
	FILE *f = fopen("/proc/self/status", "r");
	long kb = 0;

	if (f == NULL)
		die("/proc/self/status: %s", strerror(errno));
	setvbuf(f, buffer, _IOFBF, sizeof buffer);
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "VmHWM: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb * 1024.0;
}

int main(int argc, char **argv)
{
	double want = argc > 2 ? atof(argv[2]) : 3e6, made = 0, took = 0;
	int fd;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: replay TRACE [EVENTS]\n");
		return 2;
	}
	load(argv[1]);
	fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "5", 1) != 1)
			fprintf(stderr, "replay: the peak includes the parse\n");
		close(fd);
	}
	do {
		took += round_once();
		made += nevents;
		for (size_t i = 0; i < nblocks; i++)
			if (blocks[i] != NULL)
				free(atomic_exchange(&blocks[i], NULL));
	} while (made < want);
	printf("replay %.3f ns\n", took / made);
	printf("peak %.2f MB\n", (peak_bytes() - tables) / (1 << 20));
	if (fflush(stdout) != 0)
		die("standard output: %s", strerror(errno));
	return 0;
}
