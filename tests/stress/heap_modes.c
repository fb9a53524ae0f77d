/*
 * PROCS: 2
 * TIMEOUT: 120
 * CFLAGS: -Wno-use-after-free -Wno-free-nonheap-object -Wno-array-bounds -fno-builtin
 * LDFLAGS: -ldl
 * Whatever is freed that is no block, or is one no more, and whatever is written beside a block: a line that tells it and the end, in every mode
 * of GODEBUG, or, where the mode leaves the memory without access, a fault. Neither silence nor a hang. And a value that a mode cannot
 * have: one line that says so, and the mode is off.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include "../shim/blocks.h"
#include <dlfcn.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static char in_bss[100000] __attribute__((aligned(64)));
static const char in_text[] = "a constant that is long enough to be looked into by free";
static char *volatile block; /* what the compiler knows nothing about */

/* A thread that is there before the block is free: to make one takes memory, perhaps that of the block. */
static sem_t told;

static void *frees_when_told(void *arg)
{
	while (sem_wait(&told) != 0)
		;
	free(block);
	return arg;
}

static void *frees(void *p)
{
	free(p);
	return NULL;
}

static void *allocates(void *n)
{
	return malloc((size_t)n);
}

static char *aligned_down(const void *p)
{
	return (char *)((uintptr_t)p & ~(uintptr_t)15);
}

/* Of another allocator: that of a libc of its own. */
static char *foreign(size_t n)
{
	void *h = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	void *(*make)(size_t) = h ? (void *(*)(size_t))dlsym(h, "malloc") : NULL;
	if (!make)
		_exit(3);
	return make(n);
}

/* Of the reserve: the child of vfork allocates there. */
static char *reserved(size_t n)
{
	static char *volatile got;
	pthread_join(spawn(frees, NULL), NULL);
	pid_t pid = vfork();
	if (pid == 0) {
		got = malloc(n);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return got;
}

/* What is allocated next, until the block comes out again. */
static void reuse(size_t n)
{
	for (int i = 0; i < 100000; i++)
		memset(OPAQUE(malloc(n)), 1, n);
}

enum { HARDENED = 1, EFENCE = 2 };

static void free_stack(void)
{
	char here[512] __attribute__((aligned(64)));
	memset(here, 0, sizeof here);
	free(OPAQUE((char *)here) + 64);
}

static void free_bss(void)
{
	free(OPAQUE((char *)in_bss) + 8192);
}

static void free_text(void)
{
	free(OPAQUE(aligned_down(in_text)));
}

static void free_code(void)
{
	free(OPAQUE(aligned_down((void *)(uintptr_t)free_code)));
}

static void free_low(void)
{
	free(OPAQUE((void *)16));
}

static void free_high(void)
{
	free(OPAQUE((void *)~(uintptr_t)15));
}

static void free_mapped(void)
{
	free((char *)mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096);
}

static void free_no_access(void)
{
	free((char *)mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096);
}

static void free_foreign(void)
{
	free(foreign(100));
}

static void free_foreign_large(void)
{
	free(foreign(1 << 20));
}

static void realloc_bss(void)
{
	block = realloc(OPAQUE((char *)in_bss) + 64, 100);
}

static void realloc_foreign(void)
{
	block = realloc(foreign(100), 1000);
}

#define OF_SIZES(name, ...)                                                                                            \
	static void name##_100(void)                                                                                       \
	{                                                                                                                  \
		const size_t n = 100;                                                                                          \
		block = malloc(n);                                                                                             \
		__VA_ARGS__                                                                                                    \
	}                                                                                                                  \
	static void name##_30000(void)                                                                                     \
	{                                                                                                                  \
		const size_t n = 30000;                                                                                        \
		block = malloc(n);                                                                                             \
		__VA_ARGS__                                                                                                    \
	}                                                                                                                  \
	static void name##_200000(void)                                                                                    \
	{                                                                                                                  \
		const size_t n = 200000;                                                                                       \
		block = malloc(n);                                                                                             \
		__VA_ARGS__                                                                                                    \
	}                                                                                                                  \
	static void name##_50M(void)                                                                                       \
	{                                                                                                                  \
		const size_t n = 50000000;                                                                                     \
		block = malloc(n);                                                                                             \
		__VA_ARGS__                                                                                                    \
	}

OF_SIZES(interior, free(block + n / 32 * 16);)
OF_SIZES(interior_8, free(block + 8);)
OF_SIZES(interior_page, free(aligned_down(block + n - 1));)
OF_SIZES(realloc_interior, block = realloc(block + 16, n * 2);)
OF_SIZES(twice, free(block); free(block);)
OF_SIZES(twice_later, char *volatile other = malloc(n); free(block); free(other); free(block);)
OF_SIZES(twice_thread, pthread_t t = spawn(frees_when_told, NULL); free(block); sem_post(&told); join(t);)
OF_SIZES(thread_twice, block = join(spawn(allocates, (void *)n)); join(spawn(frees, block)); free(block);)
OF_SIZES(realloc_freed, free(block); block = realloc(block, n * 2);)
OF_SIZES(realloc_twice, char *volatile old = block; block = realloc(old, n * 2); free(old);
         if (block == old) free(old);)
OF_SIZES(aligned_twice, block = memalign(256, n); free(block); free(block);)

static void reserve_twice(void)
{
	block = reserved(100);
	free(block);
	free(block);
}

static void reserve_interior(void)
{
	free(reserved(100) + 16);
}

/* Written to after its free, then freed again: the link is gone. */
static void twice_written(void)
{
	block = malloc(100);
	free(block);
	memset(block, 7, 16);
	free(block);
}

OF_SIZES(one_behind, block[n] = 1; free(block);)
OF_SIZES(behind, memset(block + n, 1, 64); free(block);)
OF_SIZES(behind_realloc, block = realloc(block, n + 50); block[n + 50] = 1; block = realloc(block, n + 200);)
OF_SIZES(behind_calloc, block = calloc(1, n); block[n] = 1; free(block);)
OF_SIZES(behind_aligned, block = memalign(64, n); block[n] = 1; free(block);)
OF_SIZES(behind_thread, block[n] = 1; join(spawn(frees, block));)

/* All of the next object, from this one on: found at the free of either. */
static void into_next(void)
{
	char *p[64];
	for (int i = 0; i < 64; i++)
		p[i] = OPAQUE(malloc(100));
	memset(p[20], 1, 250);
	for (int i = 0; i < 64; i++)
		free(p[i]);
}

/* What lies before it: the end of the one before. */
static void into_last(void)
{
	char *p[64];
	for (int i = 0; i < 64; i++)
		p[i] = OPAQUE(malloc(100));
	for (int i = 0; i < 64; i++)
		p[i][-1] ^= 0x55;
	for (int i = 0; i < 64; i++)
		free(p[i]);
}

static void written_after(void)
{
	block = malloc(100);
	free(malloc(100));
	free(block);
	memset(block, 1, 100);
	reuse(100);
}

static void read_after(void)
{
	block = malloc(100);
	free(block);
	(void)*(volatile char *)(block + 5);
}

#define SIZES(what, in)                                                                                                \
	{#what "_100", what##_100, in}, {#what "_30000", what##_30000, in}, {#what "_200000", what##_200000, in},          \
	{                                                                                                                  \
#what "_50M", what##_50M, in                                                                                   \
	}

static const struct way {
	const char *name;
	void (*does)(void);
	int in; /* a mode that it needs; 0: found in all */
} ways[] = {
	{"free_stack", free_stack, 0},
	{"free_bss", free_bss, 0},
	{"free_text", free_text, 0},
	{"free_code", free_code, 0},
	{"free_low", free_low, 0},
	{"free_high", free_high, 0},
	{"free_mapped", free_mapped, 0},
	{"free_no_access", free_no_access, 0},
	{"free_foreign", free_foreign, 0},
	{"free_foreign_large", free_foreign_large, 0},
	{"realloc_bss", realloc_bss, 0},
	{"realloc_foreign", realloc_foreign, 0},
	SIZES(interior, 0),
	SIZES(interior_8, 0),
	SIZES(interior_page, 0),
	SIZES(realloc_interior, 0),
	SIZES(twice, 0),
	SIZES(twice_later, 0),
	SIZES(twice_thread, 0),
	SIZES(thread_twice, 0),
	SIZES(realloc_freed, 0),
	SIZES(realloc_twice, 0),
	SIZES(aligned_twice, 0),
	{"reserve_twice", reserve_twice, 0},
	{"reserve_interior", reserve_interior, 0},
	{"twice_written", twice_written, HARDENED | EFENCE},
	SIZES(one_behind, HARDENED),
	SIZES(behind, HARDENED),
	SIZES(behind_realloc, HARDENED),
	SIZES(behind_calloc, HARDENED),
	SIZES(behind_aligned, HARDENED),
	SIZES(behind_thread, HARDENED),
	{"into_next", into_next, HARDENED | EFENCE},
	{"into_last", into_last, HARDENED},
	{"written_after", written_after, HARDENED | EFENCE},
	{"read_after", read_after, EFENCE},
};

static const struct mode {
	const char *godebug;
	int modes;
} mode[] = {
	{"", 0},
	{"zerofree=1", 0},
	{"hardened=1", HARDENED},
	{"hardened=1,zerofree=1,allocfreetrace=1", HARDENED},
	{"efence=1", EFENCE},
	{"hardened=1,efence=1,allocfreetrace=1", EFENCE},
	{"allocfreetrace=1", 0},
};

/* The mode is off: what it would find is not found. With threads, which take up the other settings, nothing is said again. */
static int unharmed(int threads)
{
	block = malloc(100);
	block[100] = 1;
	free(block);
	if (threads)
		join(spawn(frees, malloc(10)));
	return 0;
}

static int as_child(const char *name)
{
	if (!strcmp(name, "unharmed") || !strcmp(name, "threads"))
		return unharmed(name[0] == 't');
	prctl(PR_SET_DUMPABLE, 0);
	alarm(20);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(ways[i].name, name))
			ways[i].does();
	return 7; /* nothing was found */
}

static char text[1 << 20]; /* what the last one said */

static int ends(const char *way, const char *name, const char *value)
{
	int fds[2];
	EXPECT_EQ(0, pipe(fds));
	pid_t pid = fork();
	if (pid == 0) {
		setenv(name, value, 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", "self", way, (char *)NULL);
		_exit(126);
	}
	close(fds[1]);
	read_end(fds[0], text, sizeof text);
	return reap(pid);
}

static int found(const struct way *w, const struct mode *m)
{
	int status = ends(w->name, "GODEBUG", m->godebug);
	if (killed_by(status, SIGABRT) && strstr(text, "fatal error: "))
		return 1;
	if (m->modes & EFENCE && killed_by(status, SIGSEGV))
		return 1;
	fprintf(stderr, "%s, GODEBUG=%s: status %#x: %.300s\n", w->name, m->godebug, (unsigned)status, text);
	return 0;
}

static int bad_values(void)
{
	static const struct {
		const char *name, *value, *line;
	} env[] = {
		{"GODEBUG", "hardened=yes", "libgrt: GODEBUG: hardened: invalid value \"yes\", using 0\n"},
		{"GODEBUG", "hardened=", "libgrt: GODEBUG: hardened: invalid value \"\", using 0\n"},
		{"GODEBUG", "hardened=-1", "libgrt: GODEBUG: hardened: invalid value \"-1\", using 0\n"},
		{"GODEBUG", "zerofree=2x", "libgrt: GODEBUG: zerofree: invalid value \"2x\", using 0\n"},
		{"GODEBUG", "efence=on", "libgrt: GODEBUG: efence: invalid value \"on\", using 0\n"},
		{"GODEBUG", "x=1,allocfreetrace= 1", "libgrt: GODEBUG: allocfreetrace: invalid value \" 1\", using 0\n"},
		{"GOMEMLIMIT", "much", "libgrt: GOMEMLIMIT: invalid value \"much\", using off\n"},
		{"GODEBUG", "hardened,efence,unknown=zzz", ""},
	};
	int bad = 0;
	for (size_t i = 0; i < sizeof env / sizeof *env; i++)
		for (int threads = 0; threads < 2; threads++) {
			int status = ends(threads ? "threads" : "unharmed", env[i].name, env[i].value);
			if (status == 0 && !strcmp(text, env[i].line))
				continue;
			fprintf(stderr, "%s=%s: status %#x, it said: %s\n", env[i].name, env[i].value, (unsigned)status, text);
			bad++;
		}
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;
	if (argc > 1)
		return as_child(argv[1]);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		for (size_t k = 0; k < sizeof mode / sizeof *mode; k++)
			if (!ways[i].in || ways[i].in & mode[k].modes)
				bad += !found(&ways[i], &mode[k]);
	bad += bad_values();
	puts(bad ? "failed" : "ok");
	return bad != 0;
}
