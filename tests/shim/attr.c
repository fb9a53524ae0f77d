/* attr.c - thread attributes, and pthread_getattr_np of tasks and of main. */
#include "check.h"

#include <stdint.h>

#include <limits.h>
#include <sys/mman.h>
#include <sys/resource.h>

struct seen {
	size_t stacksize, guardsize;
	void *stackaddr;
	int detachstate, local_inside, cpus, usr1_blocked;
};

static void look(struct seen *s)
{
	pthread_attr_t attr;
	volatile char local = 0;
	cpu_set_t cpus;
	sigset_t mask;

	EXPECT_EQ(0, pthread_getattr_np(pthread_self(), &attr));
	EXPECT_EQ(0, pthread_attr_getstack(&attr, &s->stackaddr, &s->stacksize));
	EXPECT_EQ(0, pthread_attr_getguardsize(&attr, &s->guardsize));
	EXPECT_EQ(0, pthread_attr_getdetachstate(&attr, &s->detachstate));
	s->local_inside = (char *)&local >= (char *)s->stackaddr && (char *)&local < (char *)s->stackaddr + s->stacksize;
	EXPECT_EQ(0, pthread_attr_destroy(&attr));
	CPU_ZERO(&cpus);
	EXPECT_EQ(0, pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus));
	s->cpus = CPU_COUNT(&cpus);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	s->usr1_blocked = sigismember(&mask, SIGUSR1);
}

static void *looks(void *arg)
{
	look((struct seen *)arg);
	return NULL;
}

static int release, seen_done;

static void *looks_detached(void *arg)
{
	look((struct seen *)arg);
	flag_set(&seen_done, 1);
	return NULL;
}

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

static void *fills(void *arg)
{
	/* touches most of a 256 KiB stack */
	volatile char block[192 * 1024];
	for (size_t i = 0; i < sizeof block; i += 512)
		block[i] = (char)(long)arg;
	return (void *)(long)block[512];
}

static void defaults_and_setters(void)
{
	pthread_attr_t a;
	size_t size;
	void *addr;
	int v;
	struct sched_param sp;
	struct rlimit rl;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	EXPECT_EQ(0, getrlimit(RLIMIT_STACK, &rl));
	CHECK_EQ("pthread_attr_init returns 0", 0, pthread_attr_init(&a));
	pthread_attr_getdetachstate(&a, &v);
	CHECK_EQ("default detach state is joinable", PTHREAD_CREATE_JOINABLE, v);
	pthread_attr_getguardsize(&a, &size);
	CHECK_EQ("default guard is one page", page, size);
	pthread_attr_getstacksize(&a, &size);
	CHECK("default stack size is RLIMIT_STACK", rl.rlim_cur == RLIM_INFINITY || size == rl.rlim_cur);
	pthread_attr_getinheritsched(&a, &v);
	CHECK_EQ("default inheritsched", PTHREAD_INHERIT_SCHED, v);
	pthread_attr_getscope(&a, &v);
	CHECK_EQ("default scope", PTHREAD_SCOPE_SYSTEM, v);
	pthread_attr_getschedpolicy(&a, &v);
	CHECK_EQ("default policy", SCHED_OTHER, v);
	pthread_attr_getschedparam(&a, &sp);
	CHECK_EQ("default priority", 0, sp.sched_priority);

	CHECK_EQ("EINVAL: pthread_attr_setdetachstate", EINVAL, pthread_attr_setdetachstate(&a, 99));
	CHECK_EQ("EINVAL: pthread_attr_setstacksize below PTHREAD_STACK_MIN", EINVAL, pthread_attr_setstacksize(&a, 16383));
	CHECK_EQ("pthread_attr_setstacksize of PTHREAD_STACK_MIN", 0, pthread_attr_setstacksize(&a, 16384));
	CHECK_EQ("EINVAL: pthread_attr_setinheritsched", EINVAL, pthread_attr_setinheritsched(&a, 7));
	CHECK_EQ("EINVAL: pthread_attr_setschedpolicy", EINVAL, pthread_attr_setschedpolicy(&a, 77));
	CHECK_EQ("ENOTSUP: PTHREAD_SCOPE_PROCESS", ENOTSUP, pthread_attr_setscope(&a, PTHREAD_SCOPE_PROCESS));
	CHECK_EQ("EINVAL: pthread_attr_setscope", EINVAL, pthread_attr_setscope(&a, 9));
	EXPECT_EQ(0, pthread_attr_setguardsize(&a, SIZE_MAX));
	CHECK_EQ("EINVAL: a guard that no address space holds", EINVAL, pthread_create(&(pthread_t){0}, &a, NULL, NULL));
	EXPECT_EQ(0, pthread_attr_setguardsize(&a, page));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, SIZE_MAX & ~(page - 1)));
	CHECK_EQ("EINVAL: a stack and a guard that no address space holds", EINVAL,
	         pthread_create(&(pthread_t){0}, &a, NULL, NULL));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 16384));
	CHECK_EQ("EINVAL: pthread_attr_setstack with a small size", EINVAL, pthread_attr_setstack(&a, &a, 1000));
	EXPECT_EQ(0, pthread_attr_setstack(&a, (void *)0x100000, 0x40000));
	pthread_attr_getstack(&a, &addr, &size);
	CHECK("pthread_attr_getstack gives what was set", addr == (void *)0x100000 && size == 0x40000);
	CHECK_EQ("pthread_attr_destroy returns 0", 0, pthread_attr_destroy(&a));
}

static void seen_by_threads(void)
{
	pthread_attr_t a;
	pthread_t t;
	struct seen s;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), def;
	cpu_set_t all, one;
	sigset_t mask;
	int cpu;

	EXPECT_EQ(0, pthread_attr_init(&a));
	pthread_attr_getstacksize(&a, &def);
	EXPECT_EQ(0, pthread_create(&t, NULL, looks, &s));
	join(t);
	CHECK("a task's own stack holds its locals", s.local_inside);
	CHECK_EQ("a default task reports the default size", def, s.stacksize);
	CHECK_EQ("a default task reports one guard page", page, s.guardsize);
	CHECK_EQ("a default task reports itself joinable", PTHREAD_CREATE_JOINABLE, s.detachstate);

	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 1 << 20));
	EXPECT_EQ(0, pthread_attr_setguardsize(&a, 4 * page));
	EXPECT_EQ(0, pthread_create(&t, &a, looks, &s));
	join(t);
	/* glibc may serve a request from a larger stack that it kept, and reports that one's size */
	CHECK("attr stack size is honoured", s.local_inside && s.stacksize >= 1 << 20);
	CHECK_EQ("attr guard size is reported", 4 * page, s.guardsize);

	EXPECT_EQ(0, pthread_attr_setguardsize(&a, 0));
	EXPECT_EQ(0, pthread_create(&t, &a, looks, &s));
	join(t);
	CHECK_EQ("guard size 0 is reported as 0", 0, s.guardsize);

	EXPECT_EQ(0, pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED));
	EXPECT_EQ(0, pthread_create(&t, &a, looks_detached, &s));
	flag_wait(&seen_done, 1);
	CHECK_EQ("a detached task reports it", PTHREAD_CREATE_DETACHED, s.detachstate);
	pthread_attr_destroy(&a);

	/* looked at by another thread */
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 2 << 20));
	EXPECT_EQ(0, pthread_create(&t, &a, waits, NULL));
	pthread_attr_destroy(&a);
	EXPECT_EQ(0, pthread_getattr_np(t, &a));
	pthread_attr_getstacksize(&a, &def);
	CHECK("pthread_getattr_np of another thread", def >= 2 << 20);
	pthread_attr_destroy(&a);
	flag_set(&release, 1);
	join(t);

	/* attributes of glibc's own */
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, sched_getaffinity(0, sizeof all, &all));
	for (cpu = 0; !CPU_ISSET(cpu, &all);)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	EXPECT_EQ(0, pthread_attr_setaffinity_np(&a, sizeof one, &one));
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	EXPECT_EQ(0, pthread_attr_setsigmask_np(&a, &mask));
	EXPECT_EQ(0, pthread_create(&t, &a, looks, &s));
	join(t);
	CHECK_EQ("pthread_attr_setaffinity_np is in force at the start", 1, s.cpus);
	CHECK_EQ("pthread_attr_setsigmask_np is in force at the start", 1, s.usr1_blocked);
	pthread_attr_destroy(&a);
	EXPECT_EQ(0, pthread_create(&t, NULL, looks, &s));
	join(t);
	CHECK_EQ("the next thread has the creator's affinity", CPU_COUNT(&all), s.cpus);
	CHECK_EQ("the next thread has the creator's mask", 0, s.usr1_blocked);
}

static void seen_by_main(void)
{
	struct seen s;
	struct rlimit rl;
	look(&s);
	EXPECT_EQ(0, getrlimit(RLIMIT_STACK, &rl));
	CHECK("pthread_getattr_np of main holds main's locals", s.local_inside);
	CHECK("main's stack is at most RLIMIT_STACK", rl.rlim_cur == RLIM_INFINITY || s.stacksize <= rl.rlim_cur);
}

static void *seen_by_another(void *arg)
{
	pthread_attr_t a;
	void *addr;
	size_t size;
	EXPECT_EQ(0, pthread_getattr_np(*(pthread_t *)arg, &a));
	pthread_attr_getstack(&a, &addr, &size);
	pthread_attr_destroy(&a);
	return (void *)(long)((char *)arg >= (char *)addr && (char *)arg < (char *)addr + size);
}

static void user_stack(void)
{
	pthread_attr_t a;
	pthread_t t, self = pthread_self();
	struct seen s;
	size_t size = 256 * 1024;
	char *stack = (char *)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ok = 1;

	EXPECT(stack != MAP_FAILED);
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstack(&a, stack, size));
	EXPECT_EQ(0, pthread_create(&t, &a, looks, &s));
	join(t);
	CHECK("a thread runs on the stack of pthread_attr_setstack",
	      s.local_inside && s.stackaddr == stack && s.stacksize == size);
	for (long i = 1; i <= 100; i++) {
		EXPECT_EQ(0, pthread_create(&t, &a, fills, (void *)i));
		ok &= (long)join(t) == i;
	}
	CHECK("a user stack serves 100 threads one after the other", ok);
	CHECK_EQ("a user stack belongs to the program after the join", 0, munmap(stack, size));
	pthread_attr_destroy(&a);
	CHECK_EQ("pthread_getattr_np of main by another thread", 1, (long)join(spawn(seen_by_another, &self)));
}

static void default_attr(void)
{
	pthread_attr_t a;
	pthread_t t;
	struct seen s;

	EXPECT_EQ(0, pthread_getattr_default_np(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 32 << 20));
	CHECK_EQ("pthread_setattr_default_np returns 0", 0, pthread_setattr_default_np(&a));
	EXPECT_EQ(0, pthread_create(&t, NULL, looks, &s));
	join(t);
	CHECK("pthread_setattr_default_np sets the size of later threads", s.local_inside && s.stacksize >= 32 << 20);
	pthread_attr_destroy(&a);
}

int main(void)
{
	defaults_and_setters();
	seen_by_main();
	seen_by_threads();
	user_stack();
	seen_by_main();
	default_attr();
	return check_done();
}
