/* c11.c - <threads.h>. */
#include "check.h"

#include <threads.h>

static mtx_t m, rm, tm;
static cnd_t c;
static once_flag once = ONCE_FLAG_INIT;
static tss_t key;
static int runs, destroyed, ready;
static long counter;

static void init(void)
{
	runs++;
}

static void destroy(void *p)
{
	destroyed += *(int *)p;
}

static int counts(void *arg)
{
	static int one = 1;
	call_once(&once, init);
	EXPECT_EQ(thrd_success, tss_set(key, &one));
	EXPECT(tss_get(key) == &one);
	for (int i = 0; i < 500; i++) {
		EXPECT_EQ(thrd_success, mtx_lock(&m));
		long v = counter;
		if (i % 50 == 0)
			thrd_yield();
		counter = v + 1;
		EXPECT_EQ(thrd_success, mtx_unlock(&m));
	}
	return (int)(long)arg;
}

static int exits(void *arg)
{
	(void)arg;
	thrd_exit(12);
}

static int waits(void *arg)
{
	(void)arg;
	mtx_lock(&m);
	while (!ready)
		EXPECT_EQ(thrd_success, cnd_wait(&c, &m));
	mtx_unlock(&m);
	return 0;
}

static int tries(void *arg)
{
	return mtx_trylock((mtx_t *)arg);
}

static int times_out(void *arg)
{
	struct timespec ts;
	timespec_get(&ts, TIME_UTC);
	ts.tv_sec -= 1;
	return mtx_timedlock((mtx_t *)arg, &ts);
}

int main(void)
{
	thrd_t t[16];
	struct timespec ts;
	int res, sum = 0;

	EXPECT_EQ(thrd_success, mtx_init(&m, mtx_plain));
	EXPECT_EQ(thrd_success, mtx_init(&rm, mtx_plain | mtx_recursive));
	EXPECT_EQ(thrd_success, mtx_init(&tm, mtx_timed));
	EXPECT_EQ(thrd_success, cnd_init(&c));
	EXPECT_EQ(thrd_success, tss_create(&key, destroy));

	for (long i = 0; i < 16; i++)
		EXPECT_EQ(thrd_success, thrd_create(&t[i], counts, (void *)i));
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(thrd_success, thrd_join(t[i], &res));
		sum += res;
	}
	CHECK_EQ("thrd_join gives the results", 120, sum);
	CHECK_EQ("mtx_lock excludes 16 threads", 8000, counter);
	CHECK_EQ("call_once runs once", 1, runs);
	CHECK_EQ("tss destructors run at the end of each thread", 16, destroyed);
	EXPECT_EQ(thrd_success, thrd_create(&t[0], exits, NULL));
	EXPECT_EQ(thrd_success, thrd_join(t[0], &res));
	CHECK_EQ("thrd_exit", 12, res);

	mtx_lock(&rm);
	CHECK_EQ("mtx_recursive", thrd_success, mtx_lock(&rm));
	mtx_unlock(&rm);
	EXPECT_EQ(thrd_success, thrd_create(&t[0], tries, &rm));
	thrd_join(t[0], &res);
	CHECK_EQ("thrd_busy: mtx_trylock", thrd_busy, res);
	mtx_unlock(&rm);
	mtx_lock(&tm);
	EXPECT_EQ(thrd_success, thrd_create(&t[0], times_out, &tm));
	thrd_join(t[0], &res);
	CHECK_EQ("thrd_timedout: mtx_timedlock", thrd_timedout, res);
	mtx_unlock(&tm);

	for (int i = 0; i < 8; i++)
		EXPECT_EQ(thrd_success, thrd_create(&t[i], waits, NULL));
	sleep_ms(20);
	mtx_lock(&m);
	ready = 1;
	cnd_broadcast(&c);
	timespec_get(&ts, TIME_UTC);
	ts.tv_nsec = 0;
	CHECK_EQ("thrd_timedout: cnd_timedwait", thrd_timedout, cnd_timedwait(&c, &m, &ts));
	mtx_unlock(&m);
	for (int i = 0; i < 8; i++)
		thrd_join(t[i], &res);
	CHECK("cnd_broadcast wakes all", 1);

	ts.tv_sec = 0;
	ts.tv_nsec = 10000000;
	CHECK_EQ("thrd_sleep", 0, thrd_sleep(&ts, NULL));
	CHECK("thrd_equal", thrd_equal(thrd_current(), thrd_current()));
	EXPECT_EQ(thrd_success, thrd_create(&t[0], exits, NULL));
	CHECK_EQ("thrd_detach", thrd_success, thrd_detach(t[0]));
	return check_done();
}
