/*
 * recorder.so: writes a trace of a program's allocations. GODEBUG=allocfreetrace=1 (bench/alloc/record) needs libgrt, is
 * for one process, and does not tell calloc from malloc.
 *
 *     ALLOC_TRACE=PREFIX LD_PRELOAD=.../recorder.so PROGRAM...
 *
 * Every process that this reaches writes PREFIX.PID, in the lines that replay.c reads. It wraps the malloc that comes
 * next, so that the program's own allocator goes on. One lock makes the order of the lines the order of the calls: an
 * address is noted after it was allocated and struck out before it is freed, both under the lock. The child of a fork
 * records nothing unless it execs. What is in the buffer when a process ends by _exit or a signal is lost.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_memalign)(size_t, size_t);

/* dlsym may allocate before the real functions are known: from here, never given back. */
static _Alignas(16) char early[64 << 10];
static size_t early_used;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fd = -1; /* of the trace; -1: nothing is recorded */
static char buffer[1 << 16];
static size_t filled;
static unsigned ids, tids;
static __thread int tid __attribute__((tls_model("initial-exec"))) = -1;
static __thread bool inside __attribute__((tls_model("initial-exec")));

/* Address to id: open addressing, linear probing, deletion by moving back. */
#define SLOT_BITS 23
#define SLOTS (1u << SLOT_BITS)

static struct slot {
	uintptr_t addr;
	unsigned id;
} * slots;
static unsigned used;

static unsigned home(uintptr_t addr)
{
	return addr * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SLOT_BITS);
}

static unsigned find(uintptr_t addr)
{
	unsigned i = home(addr);

	while (slots[i].addr != 0 && slots[i].addr != addr)
		i = (i + 1) % SLOTS;
	return i;
}

static void strike(unsigned i)
{
	unsigned k = i;

	used--;
	for (;;) {
		slots[i].addr = 0;
		do {
			k = (k + 1) % SLOTS;
			if (slots[k].addr == 0)
				return;
		} while ((k - home(slots[k].addr)) % SLOTS < (k - i) % SLOTS);
		slots[i] = slots[k];
		i = k;
	}
}

static void flush(void)
{
	for (size_t at = 0; fd >= 0 && at < filled;) {
		ssize_t n = write(fd, buffer + at, filled - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fd = -1; /* the disk is full: the trace ends with a whole buffer or a line cut short */
		else
			at += n;
	}
	filled = 0;
}

static void put_number(unsigned long v, char then)
{
	char digits[24];
	int n = 0;

	do
		digits[n++] = '0' + v % 10;
	while ((v /= 10) != 0);
	while (n > 0)
		buffer[filled++] = digits[--n];
	buffer[filled++] = then;
}

static void begin_line(char what)
{
	if (filled > sizeof buffer - 128)
		flush();
	if (tid < 0)
		tid = tids++;
	buffer[filled++] = 't';
	put_number(tid, ' ');
	buffer[filled++] = what;
	buffer[filled++] = ' ';
}

/* The id of a new block, with the lock held. A full table ends the trace. */
static unsigned note(void *p)
{
	unsigned i = find((uintptr_t)p);

	if (slots[i].addr == 0 && ++used > SLOTS / 4 * 3) {
		flush();
		fd = -1;
	}
	slots[i] = (struct slot){(uintptr_t)p, ids};
	return ids++;
}

/* True if this call is to be recorded; then the lock is held and `leave` has to follow. */
static bool enter(void)
{
	if (fd < 0 || inside)
		return false;
	inside = true;
	pthread_mutex_lock(&lock);
	if (fd >= 0)
		return true;
	pthread_mutex_unlock(&lock);
	inside = false;
	return false;
}

static void leave(void)
{
	int err = errno;

	pthread_mutex_unlock(&lock);
	inside = false;
	errno = err;
}

static void *early_alloc(size_t size)
{
	void *p = early + early_used;

	early_used += (size + 15) & ~(size_t)15;
	if (early_used > sizeof early)
		abort();
	return p;
}

static bool is_early(void *p)
{
	return (char *)p >= early && (char *)p < early + sizeof early;
}

static void resolve(void)
{
	static bool resolving;

	if (real_free != NULL || resolving)
		return;
	resolving = true;
	real_malloc = dlsym(RTLD_NEXT, "malloc");
	real_calloc = dlsym(RTLD_NEXT, "calloc");
	real_realloc = dlsym(RTLD_NEXT, "realloc");
	real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	real_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	real_memalign = dlsym(RTLD_NEXT, "memalign");
	real_free = dlsym(RTLD_NEXT, "free");
	resolving = false;
}

static void record(char what, void *p, size_t align, size_t size)
{
	if (p == NULL || !enter())
		return;
	begin_line(what);
	put_number(note(p), ' ');
	if (align != 0)
		put_number(align, ' ');
	put_number(size, '\n');
	leave();
}

/* Strikes an address out before it is freed. */
static void record_free(void *p)
{
	unsigned i;

	if (!enter())
		return;
	i = find((uintptr_t)p);
	if (slots[i].addr != 0) { /* else from before the trace began */
		begin_line('f');
		put_number(slots[i].id, '\n');
		strike(i);
	}
	leave();
}

void *malloc(size_t size)
{
	void *p;

	resolve();
	if (real_malloc == NULL)
		return early_alloc(size);
	p = real_malloc(size);
	record('a', p, 0, size);
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p;

	resolve();
	if (real_calloc == NULL)
		return early_alloc(n * size);
	p = real_calloc(n, size);
	record('c', p, 0, n * size);
	return p;
}

void free(void *p)
{
	if (p == NULL || is_early(p))
		return;
	resolve();
	record_free(p);
	real_free(p);
}

void *realloc(void *old, size_t size)
{
	void *p;
	unsigned i, from;
	bool known;

	resolve();
	if (old == NULL)
		return malloc(size);
	if (is_early(old)) {
		size_t room = early + sizeof early - (char *)old;

		p = malloc(size);
		if (p != NULL)
			memcpy(p, old, size < room ? size : room);
		return p;
	}
	if (size == 0) {
		free(old);
		return NULL;
	}
	if (!enter())
		return real_realloc(old, size);
	/* The call is made under the lock: the old address may be another thread's before the line is written. */
	p = real_realloc(old, size);
	i = find((uintptr_t)old);
	known = slots[i].addr != 0;
	if (p != NULL) {
		from = slots[i].id;
		if (known)
			strike(i);
		begin_line(known ? 'r' : 'a');
		if (known)
			put_number(from, ' ');
		put_number(note(p), ' ');
		put_number(size, '\n');
	}
	leave();
	return p;
}

int posix_memalign(void **p, size_t align, size_t size)
{
	int err;

	resolve();
	err = real_posix_memalign(p, align, size);
	if (err == 0)
		record('m', *p, align, size);
	return err;
}

void *aligned_alloc(size_t align, size_t size)
{
	void *p;

	resolve();
	p = real_aligned_alloc(align, size);
	record('m', p, align, size);
	return p;
}

void *memalign(size_t align, size_t size)
{
	void *p;

	resolve();
	p = real_memalign(align, size);
	record('m', p, align, size);
	return p;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	fd = -1;
	filled = 0;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
	const char *prefix = getenv("ALLOC_TRACE");
	char path[4096];
	int low, high;

	resolve();
	if (prefix == NULL || snprintf(path, sizeof path, "%s.%d", prefix, getpid()) >= (int)sizeof path)
		return;
	slots =
		mmap(NULL, SLOTS * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots == MAP_FAILED)
		return;
	pthread_atfork(before_fork, after_fork, in_child);
	low = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 200); /* out of the way of programs that count descriptors */
	if (high >= 0)
		close(low);
	fd = high >= 0 ? high : low;
}

__attribute__((destructor)) static void end(void)
{
	pthread_mutex_lock(&lock);
	flush();
	fd = -1;
	pthread_mutex_unlock(&lock);
}
