/*
 * PROCS: 1 2 8
 * TIMEOUT: 120
 * ENV: GODEBUG=memprofilerate=1
 * LDFLAGS: -rdynamic
 * CFLAGS: -D_GNU_SOURCE -Wno-use-after-free -Wno-free-nonheap-object
 * Double frees and the like of blocks that were sampled: the report names the function that allocated the block and the one that freed
 * it first, then the one that freed it again, with and without threads, for all sizes; also in the modes that sample by themselves. So
 * does the report of a fault behind a block, or in one that was freed, with efence=1.
 */
#include "../shim/blocks.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t sizes[] = {1, 16, 100, 1000, 30000, 32768, 40000, 1000000, 50000000};
enum { N = sizeof sizes / sizeof *sizes };

__attribute__((noinline)) void *allocates_it(size_t n, size_t align)
{
	void *volatile p = align > 16 ? memalign(align, n) : malloc(n);
	return p;
}

__attribute__((noinline)) void *resizes_it(void *p, size_t n)
{
	void *volatile q = realloc(p, n);
	return q;
}

__attribute__((noinline)) void frees_first(void *p)
{
	free(p);
	__asm__ volatile("");
}

__attribute__((noinline)) void frees_again(void *p)
{
	free(p);
	__asm__ volatile("");
}

__attribute__((noinline)) void touches_it(char *p)
{
	*(volatile char *)p = 1;
	__asm__ volatile("");
}

static void *thread(void *p)
{
	frees_first(p);
	return NULL;
}

enum way { TWICE, ALIGNED, RESIZED, OTHER_THREAD, LATER, INSIDE, TOUCHED, BEHIND, WAYS };
static const char *const name[WAYS] = {
	"twice",  "aligned",           "resized",       "by a thread first", "others in between",
	"inside", "touched once free", "touched behind"};

__attribute__((noinline)) static void does(enum way way, size_t n)
{
	pthread_t t;
	char *p = OPAQUE((char *)allocates_it(n, way == ALIGNED ? 256 : 16));
	if (way == RESIZED)
		p = OPAQUE((char *)resizes_it(p, n * 3 + 100));
	if (way == INSIDE) {
		frees_again(p + 8);
		return;
	}
	if (way >= TOUCHED) { /* a fault is reported once there was a thread */
		if (pthread_create(&t, NULL, thread, NULL) != 0)
			_exit(9);
		pthread_join(t, NULL);
		if (way == TOUCHED)
			frees_first(p);
		touches_it(p + (way == TOUCHED ? n / 2 : (n + 15) & ~(size_t)15));
		return;
	}
	if (way == OTHER_THREAD) {
		if (pthread_create(&t, NULL, thread, p) != 0)
			_exit(9);
		pthread_join(t, NULL);
	} else {
		frees_first(p);
	}
	for (int i = 0; way == LATER && i < 1000; i++)
		free(OPAQUE(malloc(n == 100 ? 5000 : 100)));
	frees_again(p);
}

/* The names come in this order. */
static int in_order(const char *text, const char *const *words)
{
	for (; *words; words++) {
		text = strstr(text, *words);
		if (!text)
			return 0;
	}
	return 1;
}

static int run(const char *self, const char *mode, enum way way, size_t n)
{
	int fds[2], status = 0;
	static char text[1 << 20];
	char number[2][32];
	size_t have = 0;
	ssize_t r;
	if (pipe(fds) != 0)
		return 1;
	snprintf(number[0], 32, "%d", (int)way);
	snprintf(number[1], 32, "%zu", n);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		setenv("GODEBUG", mode, 1);
		alarm(20);
		execl(self, "self", number[0], number[1], (char *)NULL);
		_exit(8);
	}
	close(fds[1]);
	while (have < sizeof text - 1 && (r = read(fds[0], text + have, sizeof text - 1 - have)) > 0)
		have += (size_t)r;
	text[have] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	const char *twice[] = {"fatal error: double free",
	                       "\nblock of ",
	                       "allocated at:\n",
	                       way == RESIZED ? "resizes_it(...)" : "allocates_it(...)",
	                       "does(...)",
	                       "freed",
	                       "frees_first(...)",
	                       "running",
	                       "frees_again(...)",
	                       NULL};
	const char *inside[] = {
		"fatal error: free of a pointer", "\nblock of ", "allocates_it(...)", "running", "frees_again(...)", NULL};
	const char *touched[] = {"[signal SIGSEGV",  "\nblock of ", "allocates_it(...)", "freed",
	                         "frees_first(...)", "running",     "touches_it(...)",   NULL};
	const char *behind[] = {"[signal SIGSEGV", "\nblock of ", "allocates_it(...)", "running", "touches_it(...)", NULL};
	const char **want = way == INSIDE ? inside : way == TOUCHED ? touched : way == BEHIND ? behind : twice;
	if (n >= 30000 * 3) /* what is no memory of the heap any more is not known to have been freed */
		twice[0] = "fatal error: ";
	if (WIFSIGNALED(status) && WTERMSIG(status) == (way >= TOUCHED ? SIGSEGV : SIGABRT) && in_order(text, want))
		return 0;
	printf("%s, %s, %zu bytes: status %#x, it said: %s\n", mode, name[way], n, status, text);
	return 1;
}

int main(int argc, char **argv)
{
	int bad = 0;
	if (argc > 2) {
		does((enum way)atoi(argv[1]), (size_t)atol(argv[2]));
		return 7;
	}
	for (int way = 0; way <= INSIDE; way++)
		for (int i = 0; i < N; i++)
			if (way != INSIDE ||
			    (sizes[i] > 16 && sizes[i] <= 32 << 20)) /* larger ones are found by their beginning only */
				bad += run("/proc/self/exe", "memprofilerate=1", (enum way)way, sizes[i]);
	for (int way = 0; way < INSIDE; way++) {
		bad += run("/proc/self/exe", "hardened=1,memprofilerate=1", (enum way)way, 100);
		bad += run("/proc/self/exe", "efence=1", (enum way)way, 100);
		bad += run("/proc/self/exe", "allocfreetrace=1", (enum way)way, 100);
	}
	for (int i = 0; i < N; i++)
		for (int way = TOUCHED; way < WAYS && sizes[i] < 32 << 20; way++) /* larger ones have no fence */
			bad += run("/proc/self/exe", "efence=1", (enum way)way, sizes[i]);
	puts(bad ? "failed" : "ok");
	return bad != 0;
}
