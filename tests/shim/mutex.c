/* mutex.c - the kinds of mutex, their initialisers and their errors. */
#include "check.h"

#include <limits.h>

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

static void *tries(void *arg)
{
	pthread_mutex_t *m = (pthread_mutex_t *)arg;
	int rc = pthread_mutex_trylock(m);
	if (rc == 0)
		pthread_mutex_unlock(m);
	return (void *)(long)rc;
}

static void *unlocks(void *arg)
{
	return (void *)(long)pthread_mutex_unlock((pthread_mutex_t *)arg);
}

static void *times_out(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 40);
	double start = now_s();
	int rc = pthread_mutex_timedlock((pthread_mutex_t *)arg, &ts);
	EXPECT(rc != ETIMEDOUT || now_s() - start >= 0.030);
	return (void *)(long)rc;
}

static void *times_out_mono(void *arg)
{
	struct timespec ts = in_ms(CLOCK_MONOTONIC, 40);
	return (void *)(long)pthread_mutex_clocklock((pthread_mutex_t *)arg, CLOCK_MONOTONIC, &ts);
}

static void *past_deadline(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, -5000);
	return (void *)(long)pthread_mutex_timedlock((pthread_mutex_t *)arg, &ts);
}

static void *bad_nsec(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 50);
	ts.tv_nsec = 1000000000L;
	return (void *)(long)pthread_mutex_timedlock((pthread_mutex_t *)arg, &ts);
}

static void *negative_sec(void *arg)
{
	struct timespec ts = {-1, 0};
	return (void *)(long)pthread_mutex_timedlock((pthread_mutex_t *)arg, &ts);
}

static int got_it;

static void *gets_in_time(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 10000);
	int rc = pthread_mutex_timedlock((pthread_mutex_t *)arg, &ts);
	flag_set(&got_it, 1);
	if (rc == 0)
		pthread_mutex_unlock((pthread_mutex_t *)arg);
	return (void *)(long)rc;
}

/* What every kind does alike. */
static void common(const char *kind, pthread_mutex_t *m)
{
	struct timespec ts;
	pthread_t t;

	printf("-- %s\n", kind);
	CHECK_EQ("pthread_mutex_lock returns 0", 0, pthread_mutex_lock(m));
	CHECK_EQ("EBUSY: pthread_mutex_trylock of another's", EBUSY, (long)join(spawn(tries, m)));
	CHECK_EQ("ETIMEDOUT: pthread_mutex_timedlock of another's", ETIMEDOUT, (long)join(spawn(times_out, m)));
	CHECK_EQ("ETIMEDOUT: pthread_mutex_clocklock on CLOCK_MONOTONIC", ETIMEDOUT, (long)join(spawn(times_out_mono, m)));
	CHECK_EQ("ETIMEDOUT: a deadline in the past", ETIMEDOUT, (long)join(spawn(past_deadline, m)));
	CHECK_EQ("ETIMEDOUT: a negative deadline", ETIMEDOUT, (long)join(spawn(negative_sec, m)));
	CHECK_EQ("EINVAL: tv_nsec out of range when it would block", EINVAL, (long)join(spawn(bad_nsec, m)));
	CHECK_EQ("EBUSY: glibc refuses to destroy a held mutex", EBUSY, pthread_mutex_destroy(m));
	got_it = 0;
	t = spawn(gets_in_time, m);
	sleep_ms(20);
	EXPECT_EQ(0, flag_get(&got_it));
	CHECK_EQ("pthread_mutex_unlock returns 0", 0, pthread_mutex_unlock(m));
	CHECK_EQ("pthread_mutex_timedlock gets it in time", 0, (long)join(t));
	CHECK_EQ("pthread_mutex_trylock of a free one returns 0", 0, pthread_mutex_trylock(m));
	EXPECT_EQ(0, pthread_mutex_unlock(m));
	ts = in_ms(CLOCK_REALTIME, -5000);
	CHECK_EQ("a free one is got whatever the deadline", 0, pthread_mutex_timedlock(m, &ts));
	EXPECT_EQ(0, pthread_mutex_unlock(m));
	ts.tv_nsec = -1;
	CHECK_EQ("a free one is got whatever tv_nsec", 0, pthread_mutex_timedlock(m, &ts));
	EXPECT_EQ(0, pthread_mutex_unlock(m));
	CHECK_EQ("EINVAL: a clock that cannot be waited on", EINVAL,
	         pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, &ts));
}

static void specific(void)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 40);
	pthread_mutex_t m;

	printf("-- errors of one kind\n");
	pthread_mutex_lock(&normal);
	CHECK_EQ("EBUSY: trylock of one's own normal mutex", EBUSY, pthread_mutex_trylock(&normal));
	CHECK_EQ("ETIMEDOUT: timedlock of one's own normal mutex", ETIMEDOUT, pthread_mutex_timedlock(&normal, &ts));
	CHECK_EQ("glibc: a normal mutex may be unlocked by another", 0, (long)join(spawn(unlocks, &normal)));
	CHECK_EQ("and is free then", 0, (long)join(spawn(tries, &normal)));

	CHECK_EQ("EPERM: errorcheck unlock of a free one", EPERM, pthread_mutex_unlock(&errorcheck));
	pthread_mutex_lock(&errorcheck);
	CHECK_EQ("EDEADLK: errorcheck lock again", EDEADLK, pthread_mutex_lock(&errorcheck));
	CHECK_EQ("EBUSY: errorcheck trylock again", EBUSY, pthread_mutex_trylock(&errorcheck));
	CHECK_EQ("EDEADLK: errorcheck timedlock again", EDEADLK, pthread_mutex_timedlock(&errorcheck, &ts));
	CHECK_EQ("EPERM: errorcheck unlock of another's", EPERM, (long)join(spawn(unlocks, &errorcheck)));
	CHECK_EQ("the owner still can", 0, pthread_mutex_unlock(&errorcheck));

	CHECK_EQ("EPERM: recursive unlock of a free one", EPERM, pthread_mutex_unlock(&recursive));
	EXPECT_EQ(0, pthread_mutex_lock(&recursive));
	CHECK_EQ("recursive lock again", 0, pthread_mutex_lock(&recursive));
	CHECK_EQ("recursive trylock again", 0, pthread_mutex_trylock(&recursive));
	CHECK_EQ("recursive timedlock again", 0, pthread_mutex_timedlock(&recursive, &ts));
	CHECK_EQ("EPERM: recursive unlock of another's", EPERM, (long)join(spawn(unlocks, &recursive)));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, pthread_mutex_unlock(&recursive));
	CHECK_EQ("EBUSY: held until the last unlock", EBUSY, (long)join(spawn(tries, &recursive)));
	EXPECT_EQ(0, pthread_mutex_unlock(&recursive));
	CHECK_EQ("free after the last unlock", 0, (long)join(spawn(tries, &recursive)));
	EXPECT_EQ(0, pthread_mutex_lock(&recursive));
	recursive.__data.__count = UINT_MAX;
	CHECK_EQ("EAGAIN: too many recursive locks", EAGAIN, pthread_mutex_lock(&recursive));
	CHECK_EQ("EAGAIN: too many recursive trylocks", EAGAIN, pthread_mutex_trylock(&recursive));
	recursive.__data.__count = 1;
	EXPECT_EQ(0, pthread_mutex_unlock(&recursive));

	EXPECT_EQ(0, pthread_mutex_init(&m, NULL));
	CHECK_EQ("pthread_mutex_destroy of a free one", 0, pthread_mutex_destroy(&m));
	CHECK_EQ("glibc: EINVAL to lock a destroyed mutex", EINVAL, pthread_mutex_lock(&m));
	CHECK_EQ("glibc: EINVAL to trylock a destroyed mutex", EINVAL, pthread_mutex_trylock(&m));
	CHECK_EQ("a destroyed mutex may be made anew", 0, pthread_mutex_init(&m, NULL));
	EXPECT_EQ(0, pthread_mutex_lock(&m));
	EXPECT_EQ(0, pthread_mutex_unlock(&m));
}

static void attributes(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	int v;

	printf("-- attributes\n");
	EXPECT_EQ(0, pthread_mutexattr_init(&a));
	pthread_mutexattr_gettype(&a, &v);
	CHECK_EQ("default type", PTHREAD_MUTEX_DEFAULT, v);
	CHECK_EQ("EINVAL: pthread_mutexattr_settype", EINVAL, pthread_mutexattr_settype(&a, 17));
	CHECK_EQ("EINVAL: pthread_mutexattr_setpshared", EINVAL, pthread_mutexattr_setpshared(&a, 17));
	CHECK_EQ("EINVAL: pthread_mutexattr_setrobust", EINVAL, pthread_mutexattr_setrobust(&a, 17));
	CHECK_EQ("EINVAL: pthread_mutexattr_setprotocol", EINVAL, pthread_mutexattr_setprotocol(&a, 17));
	for (int type = PTHREAD_MUTEX_NORMAL; type <= PTHREAD_MUTEX_ADAPTIVE_NP; type++) {
		static const char *names[4] = {"init of type normal", "init of type recursive", "init of type errorcheck",
		                               "init of type adaptive"};
		EXPECT_EQ(0, pthread_mutexattr_settype(&a, type));
		pthread_mutexattr_gettype(&a, &v);
		EXPECT_EQ(type, v);
		/* the numbers of glibc: timed 0, recursive 1, errorcheck 2, adaptive 3 */
		EXPECT_EQ(0, pthread_mutex_init(&m, &a));
		common(names[type], &m);
		CHECK_EQ("destroy", 0, pthread_mutex_destroy(&m));
	}
	CHECK_EQ("pthread_mutexattr_destroy", 0, pthread_mutexattr_destroy(&a));
}

int main(void)
{
	common("PTHREAD_MUTEX_INITIALIZER", &normal);
	common("PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP", &recursive);
	common("PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP", &errorcheck);
	common("PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP", &adaptive);
	specific();
	attributes();
	return check_done();
}
