/* cancel_state.c - when a cancellation is acted upon. */
#include "check.h"

#include <fcntl.h>

static int entered, go, cleaned;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char order[8];

static void note(void *s)
{
	strcat(order, (const char *)s);
	flag_add(&cleaned, 1);
}

static void *disabled(void *arg)
{
	int old = -1;
	(void)arg;
	pthread_cleanup_push(note, "d");
	EXPECT_EQ(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
	EXPECT_EQ(PTHREAD_CANCEL_ENABLE, old);
	flag_set(&entered, 1);
	flag_wait(&go, 1); /* nanosleep is a cancellation point, but disabled */
	flag_set(&entered, 2);
	EXPECT_EQ(0, pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
	EXPECT_EQ(PTHREAD_CANCEL_DISABLE, old);
	pthread_testcancel();
	flag_set(&entered, 3);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *computes(void *arg)
{
	/* no cancellation point: a deferred cancellation waits */
	(void)arg;
	flag_set(&entered, 1);
	while (!flag_get(&go))
		;
	flag_set(&entered, 2);
	sched_yield();
	pthread_mutex_lock(&m); /* not a cancellation point */
	pthread_mutex_unlock(&m);
	flag_set(&entered, 3);
	pthread_testcancel();
	flag_set(&entered, 4);
	return NULL;
}

static void *waits_for_mutex(void *arg)
{
	(void)arg;
	flag_set(&entered, 1);
	pthread_mutex_lock(&m);
	flag_set(&entered, 2);
	pthread_mutex_unlock(&m);
	return (void *)5;
}

static void *asynchronous(void *arg)
{
	int old = -1;
	(void)arg;
	pthread_cleanup_push(note, "a");
	EXPECT_EQ(0, pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
	EXPECT_EQ(PTHREAD_CANCEL_DEFERRED, old);
	flag_set(&entered, 1);
	for (volatile long i = 0;; i++)
		;
	pthread_cleanup_pop(0);
	return NULL;
}

static void *nested(void *arg)
{
	(void)arg;
	pthread_cleanup_push(note, "1");
	pthread_cleanup_push(note, "2");
	pthread_cleanup_push(note, "3");
	pthread_cleanup_pop(1);
	flag_set(&entered, 1);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *self_cancel(void *arg)
{
	(void)arg;
	EXPECT_EQ(0, pthread_cancel(pthread_self()));
	flag_set(&entered, 1);
	pthread_testcancel();
	return NULL;
}

static void *exits_though_cancelled(void *arg)
{
	(void)arg;
	flag_set(&entered, 1);
	while (!flag_get(&go))
		;
	return (void *)6;
}

static int init_runs;

static void slow_init(void)
{
	if (flag_add(&init_runs, 1) == 1) {
		flag_set(&entered, 1);
		for (;;)
			pause();
	}
}

static void *cancelled_in_once(void *arg)
{
	(void)arg;
	pthread_once(&once, slow_init);
	return NULL;
}

static void *starts_cancelled(void *arg)
{
	flag_set((int *)arg, 1);
	pause();
	return NULL;
}

int main(void)
{
	pthread_t t, ts[32];
	int ok = 1;

	entered = go = 0;
	t = spawn(disabled, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	sleep_ms(30);
	CHECK_EQ("PTHREAD_CANCEL_DISABLE holds the cancellation", 1, flag_get(&entered));
	flag_set(&go, 1);
	CHECK("enabled again, pthread_testcancel acts", join(t) == PTHREAD_CANCELED);
	CHECK_EQ("not before", 2, flag_get(&entered));
	CHECK_EQ("its handler ran", 1, cleaned);

	entered = go = 0;
	t = spawn(computes, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	sleep_ms(30);
	CHECK_EQ("deferred: no effect without a cancellation point", 1, flag_get(&entered));
	flag_set(&go, 1);
	CHECK("pthread_testcancel acts", join(t) == PTHREAD_CANCELED);
	CHECK_EQ("pthread_mutex_lock and sched_yield are no cancellation points", 3, flag_get(&entered));

	entered = 0;
	pthread_mutex_lock(&m);
	t = spawn(waits_for_mutex, NULL);
	flag_wait(&entered, 1);
	sleep_ms(20);
	EXPECT_EQ(0, pthread_cancel(t));
	sleep_ms(20);
	CHECK_EQ("a thread parked in pthread_mutex_lock is not cancelled", 1, flag_get(&entered));
	pthread_mutex_unlock(&m);
	CHECK_EQ("it gets the mutex and returns", 5, (long)join(t));

	entered = 0;
	order[0] = 0;
	t = spawn(asynchronous, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	CHECK("PTHREAD_CANCEL_ASYNCHRONOUS ends a loop", join(t) == PTHREAD_CANCELED);
	CHECK("its handler ran too", strcmp(order, "a") == 0);

	entered = 0;
	order[0] = 0;
	t = spawn(nested, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	CHECK("cancelled in pause", join(t) == PTHREAD_CANCELED);
	CHECK("pop(1) runs a handler, then the rest run last in first out", strcmp(order, "321") == 0);

	CHECK("a thread may cancel itself", join(spawn(self_cancel, NULL)) == PTHREAD_CANCELED);

	entered = go = 0;
	t = spawn(exits_though_cancelled, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	flag_set(&go, 1);
	CHECK_EQ("a thread that returns first keeps its value", 6, (long)join(t));

	entered = 0;
	t = spawn(cancelled_in_once, NULL);
	flag_wait(&entered, 1);
	EXPECT_EQ(0, pthread_cancel(t));
	CHECK("cancelled inside pthread_once", join(t) == PTHREAD_CANCELED);
	EXPECT_EQ(0, pthread_once(&once, slow_init));
	CHECK_EQ("POSIX: the control is as if never called", 2, init_runs);

	int started = 0;
	for (int i = 0; i < 32; i++) {
		ts[i] = spawn(starts_cancelled, &started);
		EXPECT_EQ(0, pthread_cancel(ts[i]));
	}
	for (int i = 0; i < 32; i++)
		ok &= join(ts[i]) == PTHREAD_CANCELED;
	CHECK("32 threads cancelled before or after they start", ok);
	CHECK_EQ("EINVAL: pthread_setcancelstate", EINVAL, pthread_setcancelstate(9, NULL));
	CHECK_EQ("EINVAL: pthread_setcanceltype", EINVAL, pthread_setcanceltype(9, NULL));
	t = spawn(self_cancel, NULL);
	sleep_ms(50);
	CHECK_EQ("glibc: pthread_cancel of a thread that has ended, not joined, is 0", 0, pthread_cancel(t));
	join(t);
	return check_done();
}
