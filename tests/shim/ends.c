// TIMEOUT: 40
/* ends.c - how a process with threads ends: every way, seen from outside.
 *
 * The program runs itself with the way as its argument; output and wait status are compared. */
#include "check.h"

#include <alloca.h>
#include <sys/mman.h>
#include <sys/resource.h>

static void *forever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void *spins_forever(void *arg)
{
	(void)arg;
	for (volatile long i = 0;; i++)
		;
	return NULL;
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *parks_forever(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&held);
	return NULL;
}

static void said(void)
{
	printf("atexit ");
}

static void key_dtor(void *p)
{
	(void)p;
	printf("key ");
}

static void *t_exit(void *arg)
{
	printf("thread ");
	pthread_setspecific(*(pthread_key_t *)arg, arg);
	exit(21);
}

static void *t__exit(void *arg)
{
	(void)arg;
	printf("never seen");
	_exit(22);
}

static void *t_quick_exit(void *arg)
{
	(void)arg;
	quick_exit(23);
}

static void *t_abort(void *arg)
{
	(void)arg;
	abort();
}

static void *t_segv(void *arg)
{
	volatile int *p = (int *)arg;
	*p = 1;
	return NULL;
}

static void *t_fpe(void *arg)
{
	volatile int zero = 0, x = 5;
	(void)arg;
	x = x / zero;
	return NULL;
}

static void *t_ill(void *arg)
{
	(void)arg;
	__builtin_trap();
}

static void *t_kill_self(void *arg)
{
	(void)arg;
	kill(getpid(), SIGTERM);
	for (;;)
		pause();
	return NULL;
}

static void *t_raise(void *arg)
{
	raise((int)(long)arg);
	return NULL;
}

static void *t_late(void *arg)
{
	(void)arg;
	sleep_ms(100);
	printf("late ");
	return NULL;
}

static void *t_late_exit(void *arg)
{
	(void)arg;
	sleep_ms(100);
	printf("late ");
	exit(24);
}

static __attribute__((noinline)) long overflow(long depth)
{
	volatile char frame[1000];
	frame[0] = (char)depth;
	if (depth < 0)
		return 0;
	return overflow(depth + 1) + frame[0];
}

static volatile long sink;

static void *t_overflow(void *arg)
{
	sink = overflow((long)arg);
	return NULL;
}

static void *t_guard(void *arg)
{
	/* a write straight into the guard page: below the stack that pthread_getattr_np gives */
	pthread_attr_t a;
	void *addr;
	size_t size;
	(void)arg;
	pthread_getattr_np(pthread_self(), &a);
	pthread_attr_getstack(&a, &addr, &size);
	((volatile char *)addr)[-1] = 1;
	return NULL;
}

/* A handler on an alternate stack may report an overflow and exit. */
static void on_segv(int sig)
{
	static const char msg[] = "handled";
	(void)sig;
	if (write(1, msg, sizeof msg - 1) < 0)
		_exit(1);
	_exit(25);
}

static void *t_overflow_handled(void *arg)
{
	stack_t ss;
	memset(&ss, 0, sizeof ss);
	ss.ss_size = 65536;
	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	return t_overflow(arg);
}

static void *t_cxa(void *arg)
{
	(void)arg;
	pthread_exit(NULL);
}

static int as_child(const char *way)
{
	pthread_key_t key;
	struct sigaction sa;
	pthread_attr_t a;
	pthread_t t;

	atexit(said);
	EXPECT_EQ(0, pthread_key_create(&key, key_dtor));
	pthread_mutex_lock(&held);
	for (int i = 0; i < 4; i++) {
		spawn(forever, NULL);
		spawn(parks_forever, NULL);
	}
	spawn(spins_forever, NULL);
	printf("begin ");

#define WAY(name) if (strcmp(way, name) == 0)
	WAY("return") return 20;
	WAY("exit") exit(20);
	WAY("thread-exit") pthread_join(spawn(t_exit, &key), NULL);
	WAY("thread-_exit") pthread_join(spawn(t__exit, NULL), NULL);
	WAY("thread-quick_exit") pthread_join(spawn(t_quick_exit, NULL), NULL);
	fflush(stdout);
	WAY("abort") pthread_join(spawn(t_abort, NULL), NULL);
	WAY("segv") pthread_join(spawn(t_segv, NULL), NULL);
	WAY("fpe") pthread_join(spawn(t_fpe, NULL), NULL);
	WAY("ill") pthread_join(spawn(t_ill, NULL), NULL);
	WAY("main-segv") t_segv(NULL);
	WAY("term") pthread_join(spawn(t_kill_self, NULL), NULL);
	WAY("kill") pthread_join(spawn(t_raise, (void *)(long)SIGKILL), NULL);
	WAY("raise-usr1") pthread_join(spawn(t_raise, (void *)(long)SIGUSR1), NULL);
	WAY("pthread_kill-term")
	{
		pthread_kill(spawn(forever, NULL), SIGTERM);
		forever(NULL);
	}
	WAY("alarm")
	{
		alarm(1);
		pthread_join(spawn(forever, NULL), NULL);
	}
	WAY("overflow") pthread_join(spawn(t_overflow, NULL), NULL);
	WAY("overflow-small")
	{
		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, 64 * 1024);
		pthread_create(&t, &a, t_overflow, NULL);
		pthread_join(t, NULL);
	}
	WAY("overflow-main") sink = overflow(0);
	WAY("guard") pthread_join(spawn(t_guard, NULL), NULL);
	WAY("overflow-handled")
	{
		memset(&sa, 0, sizeof sa);
		sa.sa_handler = on_segv;
		sa.sa_flags = SA_ONSTACK;
		sigaction(SIGSEGV, &sa, NULL);
		pthread_join(spawn(t_overflow_handled, NULL), NULL);
	}
	return 99;
}

/* Ways that need no others that live for ever. */
static int as_last(const char *way)
{
	atexit(said);
	printf("begin ");
	WAY("last:main-leaves")
	{
		spawn(t_late, NULL);
		pthread_exit(NULL);
	}
	WAY("last:main-leaves-exit")
	{
		spawn(t_late_exit, NULL);
		pthread_exit(NULL);
	}
	WAY("last:main-alone-leaves") pthread_exit(NULL);
	WAY("last:main-detached")
	{
		pthread_detach(pthread_self());
		pthread_detach(spawn(t_late, NULL));
		t_cxa(NULL);
	}
	return 98;
}

static void ends(const char *clause, const char *way, const char *out, int code, int sig)
{
	char got[512], text[128];
	int status = run_self(way, got, sizeof got);
	snprintf(text, sizeof text, "%s: status", clause);
	CHECK(text, sig ? killed_by(status, sig) : exited_with(status, code));
	if (sig ? !killed_by(status, sig) : !exited_with(status, code))
		printf("      status was %#x\n", status);
	snprintf(text, sizeof text, "%s: output", clause);
	CHECK(text, strcmp(got, out) == 0);
	if (strcmp(got, out) != 0)
		printf("      output was \"%s\"\n", got);
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	if (argc > 1)
		return strncmp(argv[1], "last:", 5) == 0 ? as_last(argv[1]) : as_child(argv[1]);

	ends("return from main ends all threads", "return", "begin atexit ", 20, 0);
	ends("exit from main ends all threads", "exit", "begin atexit ", 20, 0);
	ends("exit from a thread runs atexit, flushes stdio, runs no key destructor", "thread-exit", "begin thread atexit ",
	     21, 0);
	ends("_exit from a thread flushes nothing", "thread-_exit", "", 22, 0);
	ends("quick_exit from a thread", "thread-quick_exit", "", 23, 0);
	ends("abort in a thread", "abort", "begin ", 0, SIGABRT);
	ends("SIGSEGV in a thread", "segv", "begin ", 0, SIGSEGV);
	ends("SIGFPE in a thread", "fpe", "begin ", 0, SIGFPE);
	ends("SIGILL in a thread", "ill", "begin ", 0, SIGILL);
	ends("SIGSEGV in main", "main-segv", "begin ", 0, SIGSEGV);
	ends("SIGTERM to the process, by a thread", "term", "begin ", 0, SIGTERM);
	ends("raise(SIGKILL) in a thread", "kill", "begin ", 0, SIGKILL);
	ends("raise(SIGUSR1) in a thread, default action", "raise-usr1", "begin ", 0, SIGUSR1);
	ends("pthread_kill(SIGTERM) ends the process", "pthread_kill-term", "begin ", 0, SIGTERM);
	ends("SIGALRM, all threads waiting", "alarm", "begin ", 0, SIGALRM);
	ends("stack overflow in a thread", "overflow", "begin ", 0, SIGSEGV);
	ends("stack overflow in a thread with 64 KiB", "overflow-small", "begin ", 0, SIGSEGV);
	ends("stack overflow in main", "overflow-main", "begin ", 0, SIGSEGV);
	ends("a write to the guard page", "guard", "begin ", 0, SIGSEGV);
	ends("stack overflow with a handler on an alternate stack", "overflow-handled", "begin handled", 25, 0);
	ends("pthread_exit from main, another goes on; the last one's end is exit(0)", "last:main-leaves",
	     "begin late atexit ", 0, 0);
	ends("pthread_exit from main, another calls exit", "last:main-leaves-exit", "begin late atexit ", 24, 0);
	ends("pthread_exit from main alone is exit(0)", "last:main-alone-leaves", "begin atexit ", 0, 0);
	ends("main detached and gone, the last thread detached", "last:main-detached", "begin late atexit ", 0, 0);
	return check_done();
}
