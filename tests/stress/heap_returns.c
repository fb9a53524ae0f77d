/*
 * PROCS: 1 2
 * TIMEOUT: 60
 * CFLAGS: -fno-builtin
 * Memory goes back to the kernel: by malloc_trim at once; in a program with threads by itself, while all of them wait, and then the process
 * uses no more CPU time; with GOMEMLIMIT before new memory is asked for. And the modes of GODEBUG find what they are for.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <time.h>

enum { N = 4000, BLOCK = 16000, MIB = 1 << 20 };

static void *block[N];

static long resident(void)
{
	long pages = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	EXPECT(f && fscanf(f, "%ld %ld", &pages, &rss) == 2);
	fclose(f);
	return rss * 4096;
}

static void fill_up(void)
{
	for (int i = 0; i < N; i++) {
		EXPECT(block[i] = malloc(BLOCK));
		memset(block[i], 1, BLOCK);
	}
}

static void empty(void)
{
	for (int i = 0; i < N; i++)
		free(block[i]);
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *waits(void *arg)
{
	pthread_mutex_lock((pthread_mutex_t *)arg);
	pthread_mutex_unlock((pthread_mutex_t *)arg);
	return NULL;
}

static void *churns(void *arg)
{
	fill_up();
	empty();
	return arg;
}

static int as_child(const char *mode)
{
	char *volatile p = malloc(40);
	if (!strcmp(mode, "overflow")) {
		memset(p, 1, 41);
		free(p);
	} else if (!strcmp(mode, "sized")) {
		void (*free_sized)(void *p, size_t n) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
		free_sized(p, 40);
		p = malloc(40);
		free_sized(p, 48);
	} else if (!strcmp(mode, "after")) {
		free(p);
		*p = 1;
	} else if (!strcmp(mode, "behind")) {
		p[48] = 1;
	} else if (!strcmp(mode, "zero")) {
		memset(p, 1, 40);
		free(p);
		return p[20] != 0;
	} else if (!strcmp(mode, "limit")) { /* 64 MB in one size, freed, then in another, under 100 MiB */
		long most = 0;
		for (int size = 500; size < 5000; size *= 2) {
			int n = 64000000 / size;
			void **v = calloc((size_t)n, sizeof *v);
			for (int i = 0; i < n; i++)
				memset(v[i] = malloc((size_t)size), 1, (size_t)size);
			most = resident() > most ? resident() : most;
			for (int i = 0; i < n; i++)
				free(v[i]);
			free(v);
		}
		return most > 100l * MIB;
	}
	return 0;
}

static void child(const char *godebug, const char *limit, const char *mode, int signal)
{
	char out[64], text[64];
	setenv("GODEBUG", godebug, 1);
	setenv("GOMEMLIMIT", limit, 1);
	int status = run_self(mode, out, sizeof out);
	snprintf(text, sizeof text, "%s%s: %s", godebug, limit, mode);
	CHECK_EQ(text, signal, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0);
}

int main(int argc, char **argv)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	if (argc > 1)
		return as_child(argv[1]);
	child("hardened=1", "", "overflow", SIGABRT);
	child("hardened=1", "", "none", 0);
	child("hardened=1", "", "sized", SIGABRT);
	child("efence=1", "", "after", SIGSEGV);
	child("efence=1", "", "behind", SIGSEGV);
	child("efence=1", "", "none", 0);
	child("zerofree=1", "", "zero", 0);
	child("", "90MiB", "limit", 0);

	long before = resident();
	fill_up();
	CHECK("filled", resident() - before > 60l * MIB);
	empty();
	malloc_trim(0);
	CHECK("malloc_trim", resident() - before < 10l * MIB);

	pthread_mutex_lock(&m);
	pthread_t t = spawn(waits, &m);
	for (int round = 0; round < 2; round++) {
		if (round == 0)
			join(spawn(churns, NULL));
		else
			churns(NULL);
		int n = 0;
		while (resident() - before > 16l * MIB && n++ < 50)
			sleep_ms(100);
		CHECK(round ? "main's memory goes back" : "a thread's memory goes back", resident() - before <= 16l * MIB);
	}
	sleep_ms(1500);
	double used = cpu();
	sleep_ms(1000);
	CHECK("then nothing is done", cpu() - used < 0.01);
	pthread_mutex_unlock(&m);
	join(t);
	return check_failures != 0;
}
