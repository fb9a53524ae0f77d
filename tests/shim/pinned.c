/*
 * Threads that are bound to one CPU by their attributes, so that the kernel alone schedules them, contend for a mutex with time-outs
 * that are over at once: a thread that tries again and again does not keep the holder from running.
 * TIMEOUT: 60
 */
#include "check.h"

enum { THREADS = 32, ROUNDS = 300 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *contends(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int rc;
		do {
			struct timespec ts = in_ms(CLOCK_REALTIME, i % 2);
			rc = pthread_mutex_timedlock(&mutex, &ts);
		} while (rc == ETIMEDOUT);
		EXPECT_EQ(0, rc);
		long c = counter;
		if (i % 16 == (long)arg % 16)
			sched_yield();
		counter = c + 1;
		EXPECT_EQ(0, pthread_mutex_unlock(&mutex));
	}
	return NULL;
}

static void *sleeps(void *arg)
{
	for (;;)
		sleep_ms(10000);
	return arg;
}

int main(void)
{
	pthread_t t[THREADS];
	pthread_attr_t a;
	cpu_set_t one = first_cpu();
	pthread_attr_init(&a);
	EXPECT_EQ(0, pthread_attr_setaffinity_np(&a, sizeof one, &one));
	double start = now_s();
	for (long i = 0; i < THREADS; i++)
		EXPECT_EQ(0, pthread_create(&t[i], &a, contends, (void *)i));
	for (int i = 0; i < THREADS; i++)
		join(t[i]);
	CHECK_EQ("pthread_mutex_timedlock: threads of one CPU exclude each other", THREADS * ROUNDS, counter);
	CHECK("pthread_mutex_timedlock: and the holder gets to run", now_s() - start < 30);
	EXPECT_EQ(0, pthread_create(&t[0], &a, sleeps, NULL));
	sleep_ms(5);
	EXPECT_EQ(0, pthread_cancel(t[0]));
	CHECK("pthread_cancel of one that sleeps", join(t[0]) == PTHREAD_CANCELED);
	CPU_ZERO(&one);
	EXPECT_EQ(0, pthread_attr_setaffinity_np(&a, sizeof one, &one));
	CHECK_EQ("pthread_create: EINVAL for no CPU", EINVAL, pthread_create(&t[0], &a, sleeps, NULL));
	return check_done();
}
