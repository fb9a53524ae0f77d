/*
 * PROCS: 2
 * TIMEOUT: 90
 * CFLAGS: -fno-builtin
 * What GODEBUG and GOMEMLIMIT make of the memory that goes back: scavtrace tells of it, madvdontneed=0 leaves it to the kernel and calloc still
 * clears, hugepages=1 and glibc's tunable ask for huge pages and give whole ones back; the limit holds for memory that was given
 * back before as well as for new, and who holds more than it pays little for that. A program without threads gives memory back in calls that sleep. And malloc_trim finds what idle caches keep.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <malloc.h>
#include <poll.h>

enum { N = 4000, BLOCK = 16000, MIB = 1 << 20 };

static void *block[N];

/* A field of /proc/self/smaps_rollup, in bytes; -1: the kernel has none. */
static long memory(const char *field)
{
	char line[256];
	long kib = -1024;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	EXPECT(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return kib * 1024;
}

static long resident(void)
{
	return memory("Rss");
}

static void *touched(size_t n)
{
	void *p = malloc(n);
	EXPECT(p);
	return memset(p, 1, n);
}

static void fill_up(void)
{
	for (int i = 0; i < N; i++)
		block[i] = touched(BLOCK);
}

static void empty(int all_but)
{
	for (int i = 0; i < N; i++)
		if (!all_but || i % all_but) {
			free(block[i]);
			block[i] = NULL;
		}
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- children: 0 if all is well ---- */

static void *nothing(void *arg)
{
	return arg;
}

/* Standard error is in the pipe. */
static int trace(void)
{
	join(spawn(nothing, NULL));
	fill_up();
	empty(0);
	sleep_ms(2500);
	fill_up();
	empty(0);
	malloc_trim(0);
	return 0;
}

static int lazy(void)
{
	void *volatile one = touched(16); /* without it the address space would go back as well */
	fill_up();
	empty(0);
	long before = memory("LazyFree");
	malloc_trim(0);
	long lazily = memory("LazyFree") - before;
	free(one);
	for (int i = 0; i < 3; i++) {
		size_t n = (size_t)(16 + i) * MIB;
		char *p = calloc(1, n);
		for (size_t at = 0; at < n; at++)
			if (p[at])
				return 2;
	}
	return before < 0 || lazily > 30l * MIB ? 0 : 1;
}

static int huge(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char line[64] = "";
	if (f && fgets(line, sizeof line, f) && strstr(line, "[never]"))
		return 0;
	fclose(f);
	join(spawn(nothing, NULL)); /* there is a scavenger */
	fill_up();
	long huge = memory("AnonHugePages"), before = resident();
	empty(0);
	for (int i = 0; i < 50 && resident() > before / 2; i++)
		sleep_ms(100);
	if (resident() > before / 2)
		return 2;
	return huge >= 20l * MIB ? 0 : 1; /* most of 64 MB, if the kernel finds them */
}

/* Under 90 MiB: 60 MiB of free pages in holes, and 60 MiB that went back already and are wanted again. */
static int edge(void)
{
	void *large[2] = {touched(30 * MIB), touched(30 * MIB)};
	fill_up();
	free(large[0]);
	free(large[1]);
	malloc_trim(0);
	empty(64);
	for (int i = 0; i < 25; i++)
		touched(2 * MIB);
	return resident() > 95l * MIB;
}

/* A mapping of its own is no way past it. */
static int edge_huge(void)
{
	fill_up();
	empty(0);
	touched(60 * MIB);
	return resident() > 95l * MIB;
}

/* All in use, over the limit or not: how long does a load take? */
static int churn(void)
{
	fill_up();
	unsigned r = 1;
	double start = cpu();
	for (int i = 0; i < 200000; i++) {
		int k = rand_r(&r) % N;
		free(block[k]);
		size_t n = (size_t)(i % 10 ? rand_r(&r) % 2000 : rand_r(&r) % 100000);
		block[k] = touched(n);
	}
	printf("%.3f", cpu() - start);
	fflush(stdout);
	return 0;
}

static void *keeps(void *arg)
{
	fill_up();
	empty(0);
	for (int i = 0; i < 30; i++)
		block[i] = touched(256 * 1024);
	for (int i = 0; i < 30; i++)
		free(block[i]);
	return arg;
}

static int trim(void)
{
	join(spawn(nothing, NULL));
	long before = resident();
	for (int i = 0; i < 4; i++)
		join(spawn(keeps, NULL));
	keeps(NULL);
	malloc_trim(0);
	return resident() - before > 3l * MIB;
}

/* No threads: nobody but the program itself can do it. */
static int waits(void)
{
	long before = resident();
	fill_up();
	empty(0);
	int n = 0;
	while (resident() - before > 16l * MIB && n++ < 200)
		poll(NULL, 0, 50);
	return resident() - before > 16l * MIB;
}

static const struct {
	const char *name;
	int (*run)(void);
} children[] = {{"trace", trace},         {"lazy", lazy},   {"huge", huge}, {"edge", edge},
                {"edge_huge", edge_huge}, {"churn", churn}, {"trim", trim}, {"waits", waits}};

static int child(const char *variable, const char *value, const char *mode, char *out, size_t size)
{
	setenv(variable, value, 1);
	int status = run_self(mode, out, size);
	unsetenv(variable);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- */

/* The lines of a trace; forced: how many of them say so. -1: something else is there. */
static int lines_of(char *text, int *forced)
{
	int n = 0;
	*forced = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++) {
		unsigned long bg, eager, now, util;
		int end = 0;
		if (sscanf(line, "scav %lu KiB work (bg), %lu KiB work (eager), %lu KiB now, %lu%% util%n", &bg, &eager, &now,
		           &util, &end) != 4 ||
		    util > 100 || bg + eager == 0)
			return -1;
		if (!strcmp(line + end, " (forced)"))
			*forced += eager > 30 * 1024;
		else if (line[end])
			return -1;
	}
	return n;
}

int main(int argc, char **argv)
{
	static char text[4096];
	if (argc > 1) {
		if (!strcmp(argv[1], "trace"))
			dup2(1, 2);
		for (size_t i = 0; i < sizeof children / sizeof *children; i++)
			if (!strcmp(argv[1], children[i].name))
				return children[i].run();
		return 99;
	}
	int forced;
	CHECK_EQ("scavtrace: ends", 0, child("GODEBUG", "scavtrace=1", "trace", text, sizeof text));
	printf("%s", text);
	int n = lines_of(text, &forced);
	CHECK("scavtrace: at most a line a second, and that of malloc_trim", n >= 2 && n <= 5 && forced == 1);
	child("GODEBUG", "scavtrace=0", "trace", text, sizeof text);
	CHECK("scavtrace=0: none", !*text);
	CHECK_EQ("madvdontneed=0: MADV_FREE, and calloc clears", 0,
	         child("GODEBUG", "madvdontneed=0", "lazy", text, sizeof text));
	CHECK_EQ("hugepages=1", 0, child("GODEBUG", "hugepages=1", "huge", text, sizeof text));
	CHECK_EQ("glibc.malloc.hugetlb=1", 0, child("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", "huge", text, sizeof text));
	CHECK_EQ("GOMEMLIMIT: memory that was given back before", 0,
	         child("GOMEMLIMIT", "90MiB", "edge", text, sizeof text));
	CHECK_EQ("GOMEMLIMIT: mappings", 0, child("GOMEMLIMIT", "90MiB", "edge_huge", text, sizeof text));
	child("GOMEMLIMIT", "off", "churn", text, sizeof text);
	double without = atof(text);
	child("GOMEMLIMIT", "30MiB", "churn", text, sizeof text);
	printf("over the limit %.3f s, without %.3f s\n", atof(text), without);
	CHECK("GOMEMLIMIT: beyond it little is spent", without > 0 && atof(text) < 3 * without + 0.2);
	CHECK_EQ("without threads: goes back in calls that sleep", 0, child("GODEBUG", "", "waits", text, sizeof text));
	CHECK_EQ("malloc_trim: idle caches", 0, child("GODEBUG", "", "trim", text, sizeof text));
	return check_done();
}
