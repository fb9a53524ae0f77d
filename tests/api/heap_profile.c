/* LINK: grt
 * TIMEOUT: 60
 * LDFLAGS: -rdynamic -ldl -lm
 *
 * heap_profile.c - a program that leaks at a known place: the heap profile shows that place first, with about the right number of bytes,
 * before the first thread, by threads, tasks and threads that libgrt did not make, and in a child; and nothing of what was freed. */
#include "../shim/check.h"
#include "../shim/profile.h"
#include "grt.h"

enum { SIZE = 1000, PART = 24000, WHO = 4 }; /* 24 MB each: about 46 samples */
static void *kept[WHO * PART];

__attribute__((noinline)) void *leaks_here(size_t n)
{
	char *p = malloc(n);
	if (!p)
		_exit(9);
	p[0] = 1;
	return p;
}

__attribute__((noinline)) void frees_all(void)
{
	for (int i = 0; i < 200000; i++) {
		char *p = malloc(500 + (size_t)i % 1000);
		__asm__ volatile("" : : "r"(p) : "memory");
		free(p);
	}
	__asm__ volatile("");
}

static void leak_part(void *arg)
{
	long part = (long)arg;
	for (int i = 0; i < PART; i++)
		kept[part * PART + i] = leaks_here(SIZE);
	frees_all();
}

static void *leak_thread(void *arg)
{
	leak_part(arg);
	return NULL;
}

static int done;
static void leak_task(void *arg)
{
	leak_part(arg);
	flag_add(&done, 1);
}

/* Six times the standard deviation of so many samples. */
static int about(double is, double should)
{
	double n = should / (512 << 10), off = 6 * sqrt(n) / n;
	if (is < should * (1 - off) || is > should * (1 + off))
		printf("%.0f bytes, not %.0f\n", is, should);
	return is >= should * (1 - off) && is <= should * (1 + off);
}

static void check_leak(const char *when, int parts)
{
	struct profile p;
	char text[100];
	double top, all_top;
	snprintf(text, sizeof text, "%s: a profile", when);
	CHECK(text, profile_take(&p));
	struct site s = profile_of(&p, "leaks_here", &top), f = profile_of(&p, "frees_all", NULL);
	profile_of(&p, NULL, &all_top);
	snprintf(text, sizeof text, "%s: the leak, about as large as it is", when);
	CHECK(text, p.rate == 512 << 10 && about(s.bytes, (double)parts * PART * SIZE) && s.bytes == s.ever_bytes);
	snprintf(text, sizeof text, "%s: it comes first", when);
	CHECK(text, top > 0 && top == all_top);
	snprintf(text, sizeof text, "%s: what is freed, but was much", when);
	CHECK(text, f.blocks == 0 && f.bytes == 0 && about(f.ever_bytes, parts * 200000. * 1000));
	profile_drop(&p);
}

int main(void)
{
	pthread_t t;
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	int (*native)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(__typeof__(native))dlsym(libc, "pthread_create");
	int (*native_join)(pthread_t, void **) = (__typeof__(native_join))dlsym(libc, "pthread_join");
	struct profile p;
	int fds[2];

	leak_part((void *)0);
	check_leak("without threads", 1);
	join(spawn(leak_thread, (void *)1));
	check_leak("a thread", 2);
	EXPECT_EQ(0, grt_go(leak_task, (void *)2));
	flag_wait(&done, 1);
	check_leak("a task", 3);
	pid_t pid = fork();
	if (pid == 0) {
		leak_part((void *)3);
		check_leak("a child", 4);
		fflush(stdout);
		_exit(check_done());
	}
	CHECK_EQ("the child", 0, reap(pid));
	EXPECT_EQ(0, native(&t, NULL, leak_thread, (void *)3));
	EXPECT_EQ(0, native_join(t, NULL));
	check_leak("a foreign thread", 4);

	for (int i = 0; i < WHO * PART; i++)
		free(kept[i]);
	CHECK("a profile in the end", profile_take(&p));
	struct site s = profile_of(&p, "leaks_here", NULL);
	CHECK("all is freed", s.blocks == 0 && s.bytes == 0 && s.ever > 0);
	profile_drop(&p);

	CHECK_EQ("no descriptor", -1, grt_write_heap_profile(-1));
	CHECK_EQ("EBADF", EBADF, errno);
	EXPECT_EQ(0, pipe(fds));
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ("nobody reads", -1, grt_write_heap_profile(fds[1]));
	CHECK_EQ("EPIPE", EPIPE, errno);
	return check_done();
}
