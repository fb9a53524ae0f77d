// LDFLAGS: -ldl
/* execstack.c - a library that needs executable stacks, loaded while threads exist.
 *
 * glibc makes the stacks of all threads executable at that dlopen: of those that live and of those
 * that come. */
#include "check.h"

#include <dlfcn.h>

static int phase, started, born;
static int (*call)(int (*)(int (*)(int), int), int);

static __attribute__((noinline)) int through(int (*fn)(int), int n)
{
	return fn(n);
}

static void *calls(void *arg)
{
	flag_add(&started, 1);
	flag_wait(&phase, 1);
	long r = call(through, (int)(long)arg);
	sched_yield();
	return (void *)(r + call(through, 0));
}

static void *at_once(void *arg)
{
	flag_add(&started, 1);
	flag_wait(&started, 24);
	return calls(arg);
}

/* So many at once, and dead before the library comes: their stacks lie ready for later threads. */
static void *early(void *arg)
{
	flag_add(&born, 1);
	flag_wait(&born, 20);
	return arg;
}

int main(void)
{
	pthread_t ts[24];
	int bad = 0;

	for (int i = 0; i < 20; i++)
		ts[i] = spawn(early, NULL);
	for (int i = 0; i < 20; i++)
		join(ts[i]);
	for (long i = 0; i < 8; i++)
		ts[i] = spawn(calls, (void *)i);
	flag_wait(&started, 8);
	void *h = dlopen("./execstack.so", RTLD_NOW);
	CHECK("dlopen", h != NULL);
	if (!h) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(1);
	}
	*(void **)&call = dlsym(h, "execstack_call");
	flag_set(&phase, 1);
	for (int i = 0; i < 8; i++)
		bad |= (long)join(ts[i]) != 200 + i;
	CHECK_EQ("the stacks of living threads are executable", 0, bad);
	started = 0;
	for (long i = 0; i < 24; i++)
		ts[i] = spawn(at_once, (void *)i);
	for (int i = 0; i < 24; i++)
		bad |= (long)join(ts[i]) != 200 + i;
	CHECK_EQ("the stacks of later threads too", 0, bad);
	CHECK_EQ("and main's", 105, call(through, 5));
	return check_done();
}
