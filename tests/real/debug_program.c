/*
 * What the tests of gdb, strace, valgrind and core dumps run.
 *
 *   states FILE    threads in every state, until FILE exists
 *   steps          four threads, three steps each
 *   crash HOW      one thread waits for a mutex, another (or main: HOW contains "main") crashes
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__thread int mine;
int total;

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static int go, started, plain[2], streamed[2];
static volatile int stop;
static volatile unsigned long spins;
static FILE *stream;

static void nap(void)
{
	nanosleep(&(struct timespec){0, 5000000}, NULL);
}

static void begin(int id)
{
	mine = id;
	__atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
}

__attribute__((noinline)) void spin_inner(int n)
{
	while (!stop)
		spins += (unsigned long)n;
}

static void *spinner(void *arg)
{
	begin(1);
	pthread_setname_np(pthread_self(), "spinner");
	spin_inner(1);
	return arg;
}

__attribute__((noinline)) void lock_inner(void)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
}

static void *locker(void *arg)
{
	begin(2);
	lock_inner();
	return arg;
}

static void *conder(void *arg)
{
	begin(3);
	pthread_mutex_lock(&mu);
	while (!go)
		pthread_cond_wait(&cv, &mu);
	pthread_mutex_unlock(&mu);
	return arg;
}

static void *reader(void *arg)
{
	char c = 0;
	begin(4);
	return read(plain[0], &c, 1) == 1 && c == 'x' ? arg : NULL;
}

static void *getter(void *arg)
{
	char line[16];
	begin(5);
	return fgets(line, sizeof line, stream) && !strcmp(line, "hello\n") ? arg : NULL;
}

static void *sleeper(void *arg)
{
	begin(6);
	while (!stop)
		nap();
	return arg;
}

static int states(const char *until)
{
	static void *(*const kind[])(void *) = {spinner, locker, conder, reader, getter, sleeper, spinner};
	enum { KINDS = sizeof kind / sizeof kind[0] };
	pthread_t t[KINDS];
	void *r;
	if (pipe(plain) || pipe(streamed) || !(stream = fdopen(streamed[0], "r")))
		return 1;
	pthread_mutex_lock(&held);
	for (long i = 0; i < KINDS; i++)
		pthread_create(&t[i], NULL, kind[i], (void *)(i + 1));
	while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < KINDS)
		nap();
	fprintf(stderr, "ready\n");
	while (access(until, F_OK))
		nap();
	stop = 1;
	pthread_mutex_unlock(&held);
	pthread_mutex_lock(&mu);
	go = 1;
	pthread_cond_broadcast(&cv);
	pthread_mutex_unlock(&mu);
	if (write(plain[1], "x", 1) != 1 || write(streamed[1], "hello\n", 6) != 6)
		return 1;
	for (int i = 0; i < KINDS; i++) {
		pthread_join(t[i], &r);
		printf("%d: %ld\n", i, (long)r);
	}
	printf("spun: %d\n", spins > 0);
	return 7;
}

__attribute__((noinline)) int one_step(int id, int i)
{
	mine = id * 100 + i;
	errno = id;
	pthread_mutex_lock(&mu);
	total += i;
	pthread_mutex_unlock(&mu);
	nap(); /* the test stops here */
	return mine;
}

static void *steps(void *arg)
{
	int id = (int)(long)arg, sum = 0;
	for (int i = 0; i < 3; i++)
		sum += one_step(id, i);
	return (void *)(long)sum;
}

static int all_steps(void)
{
	pthread_t t[4];
	void *r;
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, steps, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		printf("%d: %ld\n", i, (long)r);
	}
	printf("total %d\n", total);
	return 0;
}

static const char *how;

__attribute__((noinline)) void crash_here(void)
{
	static int *volatile nowhere;
	if (strstr(how, "abort"))
		abort();
	else if (strstr(how, "raise"))
		raise(SIGQUIT);
	else if (strstr(how, "trap"))
		__builtin_trap();
	else
		*nowhere = 1;
}

static void again(int sig)
{
	if (write(1, "handler\n", 8) == 8)
		signal(sig, SIG_DFL);
	if (strstr(how, "reraise"))
		raise(sig);
}

static void *crash(void *arg)
{
	mine = 77;
	if (strstr(how, "blocked")) {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGABRT);
		sigaddset(&set, SIGSEGV);
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	}
	crash_here();
	return arg;
}

static int crashes(void)
{
	pthread_t waits, t;
	void (*disposition)(int) = strstr(how, "handler") ? again : strstr(how, "ignored") ? SIG_IGN : SIG_DFL;
	signal(SIGSEGV, disposition);
	signal(SIGABRT, disposition);
	pthread_mutex_lock(&held);
	pthread_create(&waits, NULL, locker, NULL);
	while (!__atomic_load_n(&started, __ATOMIC_SEQ_CST))
		nap();
	if (strstr(how, "main"))
		crash(NULL);
	pthread_create(&t, NULL, crash, NULL);
	pthread_join(t, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	how = argc > 2 ? argv[2] : "";
	if (argc > 2 && !strcmp(argv[1], "states"))
		return states(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "crash"))
		return crashes();
	return all_steps();
}
