// LDFLAGS: -ldl
// TIMEOUT: 60
/*
 * malloc_newlm.c - a library in a namespace of its own (dlmopen) has a libc of its own, with a heap, stdio and threads of its own: all of it
 * goes on beside the program's.
 *
 * Before the first thread and after it; from main and from threads; with threads that the other libc makes. Needs ./newlm.so.
 */
#include "check.h"
#include "blocks.h"

#include <dlfcn.h>

static int (*churn)(unsigned), (*print)(const char *), (*tls)(void), (*others)(int);
static int over, spins; /* atomic */

static void *load(void)
{
	void *h = dlmopen(LM_ID_NEWLM, "./newlm.so", RTLD_NOW | RTLD_LOCAL);
	if (!h) {
		printf("FAIL: dlmopen: %s\n", dlerror());
		exit(1);
	}
	churn = (int (*)(unsigned))dlsym(h, "newlm_churn");
	print = (int (*)(const char *))dlsym(h, "newlm_print");
	tls = (int (*)(void))dlsym(h, "newlm_tls");
	others = (int (*)(int))dlsym(h, "newlm_threads");
	EXPECT(churn && print && tls && others);
	return h;
}

/* In both heaps by turns. How much was wrong. */
static long both(unsigned seed)
{
	long bad = 0;
	for (unsigned i = 0; i < 50; i++) {
		char *p = malloc(100 + i * 50);
		fill(p, 100 + i * 50, seed);
		bad += churn(seed + i);
		bad += !filled(p, 100 + i * 50, seed);
		free(p);
	}
	return bad;
}

static void *in_thread(void *arg)
{
	long bad = both((unsigned)(long)arg);
	bad += tls() != 41; /* its own, and new */
	bad += tls() != 42;
	sched_yield();
	return (void *)(bad + (tls() != 43));
}

/* Never gives way by itself: whoever wants its place has to ask. */
static void *computes(void *arg)
{
	while (!flag_get(&over))
		flag_add(&spins, 1);
	return arg;
}

static void with_threads(const char *when)
{
	char text[128];
	pthread_t t[8], c[2];
	long bad = 0;
	for (int round = 0; round < 5; round++) { /* the later ones in blocks of the earlier ones */
		for (long i = 0; i < 8; i++)
			t[i] = spawn(in_thread, (void *)(i + 1));
		bad += both(77);
		for (int i = 0; i < 8; i++)
			bad += (long)join(t[i]);
	}
	snprintf(text, sizeof text, "%s: threads allocate in both, each with its own thread-local state", when);
	CHECK_EQ(text, 0, bad);
	snprintf(text, sizeof text, "%s: threads of the other libc", when);
	CHECK_EQ(text, 0, others(4));
	/* Beside tasks that are interrupted, as those of both kinds come and go. */
	flag_set(&over, 0);
	for (int i = 0; i < 2; i++)
		c[i] = spawn(computes, NULL);
	for (int round = 0; round < 3; round++) {
		for (long i = 0; i < 8; i++)
			t[i] = spawn(in_thread, (void *)(i + 100));
		bad += others(8);
		for (int i = 0; i < 8; i++)
			bad += (long)join(t[i]);
	}
	flag_set(&over, 1);
	for (int i = 0; i < 2; i++)
		join(c[i]);
	snprintf(text, sizeof text, "%s: both kinds at once, beside threads that compute", when);
	CHECK_EQ(text, 0, bad);
	CHECK("stdio of the other libc", print("a task") == 0);
}

static int as_child(const char *mode)
{
	if (mode[0] == 'b') { /* before the first thread */
		load();
		CHECK_EQ("in a program without threads", 0, both(1));
		CHECK_EQ("thread-local state", 41, tls());
		CHECK("stdio", print("main") == 0);
		if (mode[1] == 't')
			CHECK_EQ("the first threads are the other libc's", 0, others(4));
	} else {
		join(spawn(computes, (flag_set(&over, 1), NULL)));
		load();
	}
	with_threads(mode[0] == 'b' ? "loaded before the first thread" : "loaded after it");
	pid_t pid = fork();
	if (pid == 0)
		_exit(both(5) != 0 || (mode[1] == 't' && others(2) != 0));
	CHECK_EQ("a child", 0, reap(pid));
	return check_done();
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"b", "bt", "a", "at"};
	if (argc > 1)
		return as_child(argv[1]);
	for (int i = 0; i < 4; i++) {
		char out[8192];
		int status = run_self(modes[i], out, sizeof out);
		fputs(out, stdout);
		CHECK_EQ(modes[i], 0, status);
	}
	return check_done();
}
