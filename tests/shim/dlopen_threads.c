// LDFLAGS: -ldl
/* dlopen_threads.c - the loader used by threads. */
#include "check.h"

#include <dlfcn.h>
#include <link.h>

static void *opens(void *arg)
{
	void *h = dlopen("./ctor.so", RTLD_NOW);
	int (*fn)(void);
	(void)arg;
	if (!h)
		return (void *)-1;
	*(void **)&fn = dlsym(h, "ctor_sum");
	long r = fn();
	EXPECT_EQ(0, dlclose(h));
	return (void *)r;
}

static void *fails(void *arg)
{
	char name[64], *msg;
	snprintf(name, sizeof name, "./none-%ld.so", (long)arg);
	for (int i = 0; i < 50; i++) {
		if (dlopen(name, RTLD_NOW))
			return (void *)1;
		sched_yield();
		msg = dlerror();
		if (!msg || !strstr(msg, name) || dlerror())
			return (void *)2;
	}
	return NULL;
}

static int count(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
	++*(int *)arg;
	sched_yield(); /* gives the processor away with the loader's lock held */
	return 0;
}

static void *iterates(void *arg)
{
	long n = 0;
	(void)arg;
	for (int i = 0; i < 20; i++) {
		int c = 0;
		dl_iterate_phdr(count, &c);
		n += c > 2;
	}
	return (void *)n;
}

static void *looks_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++)
		if (!dlsym(RTLD_DEFAULT, "printf"))
			return (void *)1;
	return NULL;
}

int main(void)
{
	pthread_t ts[24];
	long bad = 0;

	CHECK_EQ("dlopen in main: its constructor makes and joins threads", 4 * 17 + 6 + 17, (long)opens(NULL));
	CHECK_EQ("dlopen in a thread: the same", 4 * 17 + 6 + 17, (long)join(spawn(opens, NULL)));
	for (int i = 0; i < 8; i++)
		bad |= (long)join(spawn(opens, NULL)) != 4 * 17 + 6 + 17;
	CHECK_EQ("and again after each dlclose", 0, bad);
	for (long i = 0; i < 8; i++) {
		ts[i] = spawn(fails, (void *)i);
		ts[8 + i] = spawn(iterates, NULL);
		ts[16 + i] = spawn(looks_up, NULL);
	}
	for (int i = 0; i < 8; i++) {
		bad |= (long)join(ts[i]);
		bad |= (long)join(ts[8 + i]) != 20;
		bad |= (long)join(ts[16 + i]);
	}
	CHECK_EQ("dlerror is each thread's own; yields inside dl_iterate_phdr", 0, bad);
	return check_done();
}
