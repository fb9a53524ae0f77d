/*
 * The sleeps: how long at least, what is left after a signal, errors, a handler that sleeps itself or jumps out, and
 * cancellation while asleep and before.
 * CFLAGS: -D_GNU_SOURCE
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static long ms_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Prints result, errno, and whether it took [lo, lo + 1500) ms. */
#define T(lo, call)                                                                                                    \
	do {                                                                                                               \
		errno = 77;                                                                                                    \
		long t_ = ms_now(), r_ = (call);                                                                               \
		int e_ = errno;                                                                                                \
		t_ = ms_now() - t_;                                                                                            \
		printf("%s = %ld, errno %d, %s\n", #call, r_, e_,                                                              \
		       t_ < (lo)           ? "too short"                                                                       \
		       : t_ >= (lo) + 1500 ? "too long"                                                                        \
		                           : "in time");                                                                       \
	} while (0)

static struct timespec after(clockid_t c, long ms)
{
	struct timespec t;
	clock_gettime(c, &t);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void plain(void)
{
	struct timespec ms20 = {0, 20000000}, neg = {-1, 0}, big = {0, 1000000000}, nneg = {0, -1}, rem = {7, 7}, t;

	T(20, nanosleep(&ms20, NULL));
	T(0, nanosleep(&neg, &rem));
	T(0, nanosleep(&big, &rem));
	T(0, nanosleep(&nneg, &rem));
	T(20, nanosleep(&ms20, &rem));
	printf("%ld %ld\n", (long)rem.tv_sec, rem.tv_nsec);
	T(20, usleep(20000));
	T(0, usleep(0));
	T(0, sleep(0));
	T(1000, sleep(1));
	T(20, thrd_sleep(&ms20, NULL));
	T(0, thrd_sleep(&big, NULL));
	T(20, clock_nanosleep(CLOCK_MONOTONIC, 0, &ms20, NULL));
	T(20, clock_nanosleep(CLOCK_REALTIME, 0, &ms20, NULL));
	T(20, clock_nanosleep(CLOCK_BOOTTIME, 0, &ms20, NULL));
	t = after(CLOCK_MONOTONIC, 20);
	T(19, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
	t = after(CLOCK_REALTIME, 20);
	T(19, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, &rem));
	T(0, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ms20, &rem));
	T(0, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &neg, &rem));
	T(0, clock_nanosleep(CLOCK_MONOTONIC, 0, &big, NULL));
	T(0, clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ms20, NULL));
	T(0, clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &ms20, NULL));
	T(0, clock_nanosleep(12345, 0, &ms20, NULL));
}

static sigjmp_buf out;
static volatile int what;

static void handler(int sig)
{
	struct timespec ms = {0, 30000000};
	(void)sig;
	if (what == 1)
		nanosleep(&ms, NULL);
	if (what == 2)
		siglongjmp(out, 1);
}

struct kick {
	pthread_t to;
	int ms;
	int begun; /* atomic: the caller is about to call */
};

static void *kicker(void *arg)
{
	struct kick *k = arg;
	struct timespec ms = {0, k->ms * 1000000l};
	while (!__atomic_load_n(&k->begun, __ATOMIC_SEQ_CST))
		usleep(1000);
	nanosleep(&ms, NULL);
	pthread_kill(k->to, SIGUSR1);
	return NULL;
}

/* A signal to the caller 100 ms from now. */
#define KICKED(call)                                                                                                   \
	do {                                                                                                               \
		struct kick k_ = {pthread_self(), 100, 0};                                                                     \
		pthread_t t_;                                                                                                  \
		pthread_create(&t_, NULL, kicker, &k_);                                                                        \
		__atomic_store_n(&k_.begun, 1, __ATOMIC_SEQ_CST);                                                              \
		call;                                                                                                          \
		pthread_join(t_, NULL);                                                                                        \
	} while (0)

static void left(const struct timespec *rem, long lo_ms, long hi_ms)
{
	long ms = rem->tv_sec * 1000 + rem->tv_nsec / 1000000;
	printf("left: %s\n", ms >= lo_ms && ms <= hi_ms ? "right" : "wrong");
}

static void interrupted(void)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct timespec s3 = {3, 0}, ms200 = {0, 200000000}, rem = {7, 7}, t;

	sigaction(SIGUSR1, &sa, NULL);
	for (what = 0; what < 2; what++) {
		KICKED(T(60, nanosleep(&s3, &rem)));
		left(&rem, 1000, 2950);
		rem = s3;
		KICKED(T(60, nanosleep(&rem, &rem)));
		left(&rem, 1000, 2950);
		KICKED(T(60, nanosleep(&s3, NULL)));
		KICKED(T(60, sleep(5)));
		KICKED(T(60, usleep(3000000)));
		KICKED(T(60, thrd_sleep(&s3, &rem)));
		left(&rem, 1000, 2950);
		KICKED(T(60, clock_nanosleep(CLOCK_MONOTONIC, 0, &s3, &rem)));
		left(&rem, 1000, 2950);
		rem.tv_sec = 42;
		t = after(CLOCK_REALTIME, 900);
		KICKED(T(60, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, &rem)));
		printf("%ld\n", (long)rem.tv_sec);
	}
	/* Out of the handler, past the deadline of the sleep that was left, into a wait and another sleep. */
	KICKED(if (sigsetjmp(out, 1) == 0) nanosleep(&ms200, NULL); else puts("jumped"));
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	t = after(CLOCK_REALTIME, 300);
	pthread_mutex_lock(&mutex);
	T(299, pthread_cond_timedwait(&cond, &mutex, &t));
	pthread_mutex_unlock(&mutex);
	KICKED(if (sigsetjmp(out, 1) == 0) nanosleep(&ms200, NULL); else puts("jumped"));
	T(200, nanosleep(&ms200, &rem));
}

static void cleaned(void *arg)
{
	printf("cleanup %s\n", (char *)arg);
}

static void *sleeper(void *arg)
{
	(void)arg;
	pthread_cleanup_push(cleaned, "sleeper");
	sleep(20);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *pending(void *arg)
{
	struct timespec s = {20, 0};
	(void)arg;
	pthread_cancel(pthread_self());
	pthread_cleanup_push(cleaned, "pending");
	clock_nanosleep(CLOCK_MONOTONIC, 0, &s, NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancelled(void)
{
	pthread_t t;
	void *r;

	pthread_create(&t, NULL, sleeper, NULL);
	usleep(20000);
	pthread_cancel(t);
	pthread_join(t, &r);
	printf("%d\n", r == PTHREAD_CANCELED);
	pthread_create(&t, NULL, pending, NULL);
	pthread_join(t, &r);
	printf("%d\n", r == PTHREAD_CANCELED);
}

static void *all(void *arg)
{
	printf("---- %s\n", (char *)arg);
	plain();
	interrupted();
	cancelled();
	return NULL;
}

int main(void)
{
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	all("main");
	pthread_create(&t, NULL, all, "thread");
	pthread_join(t, NULL);
	return 0;
}
