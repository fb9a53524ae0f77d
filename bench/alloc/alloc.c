/*
 * alloc [--pin] LOAD [THREADS] [SCALE]: what malloc and free cost under the standard allocator loads.
 *
 * Prints two lines, "LOAD value unit" and "peak value MB": the load's figure, and VmHWM of the process at its end, in MiB.
 * Every load is written here from the published description that its comment names. A load checks its blocks; one that
 * finds a wrong byte or count ends with exit status 1 and no figure. bench/alloc/run runs them under several allocators.
 *
 * --pin puts the threads on CPUs in turn; otherwise they run where they are put (libgrt's tasks above all).
 */
#include "alloc.h"
#include <dlfcn.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

int threads;
double scale = 1;
atomic_bool over;

static const char *load_name;
static bool pinned;

double resident(const char *field)
{
	size_t n = strlen(field);
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	if (f == NULL)
		die("/proc/self/status: %s", strerror(errno));
	while (kb < 0 && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, field, n) == 0 && line[n] == ':')
			kb = atol(line + n + 1);
	fclose(f);
	if (kb < 0)
		die("/proc/self/status has no %s", field);
	return kb / 1024.0;
}

void figure(double value, const char *unit)
{
	printf("%s %.3f %s\n", load_name, value, unit);
}

void *table(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return p;
}

void pin(int i)
{
	static cpu_set_t may;
	static atomic_bool known;
	cpu_set_t one;
	int n;

	if (!pinned)
		return;
	if (!atomic_load(&known)) { /* the first call is made by main, before any thread */
		if (sched_getaffinity(0, sizeof may, &may) != 0)
			die("sched_getaffinity: %s", strerror(errno));
		atomic_store(&known, true);
	}
	n = i % CPU_COUNT(&may);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && n-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			must(pthread_setaffinity_np(pthread_self(), sizeof one, &one), "pthread_setaffinity_np");
			return;
		}
}

struct start {
	struct worker w;
	void (*fn)(struct worker *w);
	pthread_barrier_t *gate;
};

static void *run_worker(void *arg)
{
	struct start *s = arg;

	pin(s->w.me);
	pthread_barrier_wait(s->gate);
	s->fn(&s->w);
	return NULL;
}

#define WORKERS 256

static int64_t run_all(int n, void (*fn)(struct worker *w), void *shared, double *done, double seconds)
{
	static struct start s[WORKERS];
	static pthread_t t[WORKERS];
	pthread_barrier_t gate;
	struct timespec ts;
	double sum = 0;
	int64_t t0;

	if (n < 1 || n > WORKERS)
		die("%d threads: 1 to %d", n, WORKERS);
	must(pthread_barrier_init(&gate, NULL, n + 1), "pthread_barrier_init");
	atomic_store(&over, false);
	for (int i = 0; i < n; i++) {
		s[i] = (struct start){.w = {.me = i, .r = seed(i), .shared = shared}, .fn = fn, .gate = &gate};
		start(&t[i], NULL, run_worker, &s[i]);
	}
	pthread_barrier_wait(&gate);
	t0 = now();
	if (seconds > 0) {
		ts.tv_sec = seconds;
		ts.tv_nsec = (seconds - ts.tv_sec) * 1e9;
		while (nanosleep(&ts, &ts) != 0)
			if (errno != EINTR)
				die("nanosleep: %s", strerror(errno));
		atomic_store(&over, true);
	}
	for (int i = 0; i < n; i++) {
		join(t[i]);
		sum += s[i].w.done;
	}
	t0 = now() - t0;
	must(pthread_barrier_destroy(&gate), "pthread_barrier_destroy");
	if (done != NULL)
		*done = sum;
	return t0;
}

int64_t together(int n, void (*fn)(struct worker *w), void *shared, double *done)
{
	return run_all(n, fn, shared, done, 0);
}

int64_t for_a_second(int n, void (*fn)(struct worker *w), void *shared, double *done)
{
	return run_all(n, fn, shared, done, scale);
}

/* nothing: for the start-up row, what a process has resident that does nothing. */
static void load_nothing(void)
{
}

/* whose: the library that malloc comes from; bench/alloc/run checks by it that a preload is in force. */
static void load_whose(void)
{
	Dl_info info;
	void *fn = dlsym(RTLD_DEFAULT, "malloc");

	if (fn == NULL || dladdr(fn, &info) == 0)
		die("malloc is nowhere");
	printf("whose %s library\n", info.dli_fname);
}

static const struct load own_loads[] = {
	{"nothing", load_nothing, 0, "an empty program"},
	{"whose", load_whose, 0, "the library that malloc comes from"},
	{NULL, NULL, 0, NULL},
};

static const struct load *const all_loads[] = {app_loads, array_loads, share_loads, micro_loads, own_loads};

#define KINDS (sizeof all_loads / sizeof all_loads[0])

static int usage(void)
{
	fprintf(stderr, "usage: %s [--pin] LOAD [THREADS] [SCALE]\n", program_invocation_short_name);
	for (size_t k = 0; k < KINDS; k++)
		for (const struct load *l = all_loads[k]; l->name != NULL; l++)
			fprintf(stderr, "  %-13s %s\n", l->name, l->what);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--pin") == 0) {
		pinned = true;
		argc--;
		argv++;
	}
	if (argc < 2 || argc > 4)
		return usage();
	for (size_t k = 0; k < KINDS; k++)
		for (const struct load *l = all_loads[k]; l->name != NULL; l++) {
			if (strcmp(l->name, argv[1]) != 0)
				continue;
			load_name = l->name;
			threads = argc > 2 && atoi(argv[2]) > 0 ? atoi(argv[2]) : l->threads;
			scale = argc > 3 && atof(argv[3]) > 0 ? atof(argv[3]) : 1;
			pin(0);
			l->run();
			printf("peak %.2f MB\n", resident("VmHWM"));
			if (fflush(stdout) != 0)
				die("standard output: %s", strerror(errno));
			return 0;
		}
	return usage();
}
