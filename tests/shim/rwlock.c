/* rwlock.c - read-write locks. */
#include "check.h"

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t pw = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static void *tries_rd(void *arg)
{
	pthread_rwlock_t *l = (pthread_rwlock_t *)arg;
	int rc = pthread_rwlock_tryrdlock(l);
	if (rc == 0)
		pthread_rwlock_unlock(l);
	return (void *)(long)rc;
}

static void *tries_wr(void *arg)
{
	pthread_rwlock_t *l = (pthread_rwlock_t *)arg;
	int rc = pthread_rwlock_trywrlock(l);
	if (rc == 0)
		pthread_rwlock_unlock(l);
	return (void *)(long)rc;
}

static void *timed_rd(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 40);
	return (void *)(long)pthread_rwlock_timedrdlock((pthread_rwlock_t *)arg, &ts);
}

static void *timed_wr(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 40);
	return (void *)(long)pthread_rwlock_timedwrlock((pthread_rwlock_t *)arg, &ts);
}

static void *clock_rd(void *arg)
{
	struct timespec ts = in_ms(CLOCK_MONOTONIC, 40);
	return (void *)(long)pthread_rwlock_clockrdlock((pthread_rwlock_t *)arg, CLOCK_MONOTONIC, &ts);
}

static void *clock_wr(void *arg)
{
	struct timespec ts = in_ms(CLOCK_MONOTONIC, 40);
	return (void *)(long)pthread_rwlock_clockwrlock((pthread_rwlock_t *)arg, CLOCK_MONOTONIC, &ts);
}

static void basics(const char *kind, pthread_rwlock_t *l)
{
	struct timespec ts;

	printf("-- %s\n", kind);
	CHECK_EQ("pthread_rwlock_rdlock", 0, pthread_rwlock_rdlock(l));
	CHECK_EQ("a second reader gets in", 0, (long)join(spawn(tries_rd, l)));
	CHECK_EQ("EBUSY: trywrlock while read-held", EBUSY, (long)join(spawn(tries_wr, l)));
	CHECK_EQ("ETIMEDOUT: timedwrlock while read-held", ETIMEDOUT, (long)join(spawn(timed_wr, l)));
	CHECK_EQ("ETIMEDOUT: clockwrlock while read-held", ETIMEDOUT, (long)join(spawn(clock_wr, l)));
	CHECK_EQ("a reader gets in after the writer gave up", 0, (long)join(spawn(tries_rd, l)));
	CHECK_EQ("unlock", 0, pthread_rwlock_unlock(l));
	CHECK_EQ("pthread_rwlock_wrlock", 0, pthread_rwlock_wrlock(l));
	CHECK_EQ("EBUSY: tryrdlock while write-held", EBUSY, (long)join(spawn(tries_rd, l)));
	CHECK_EQ("EBUSY: trywrlock while write-held", EBUSY, (long)join(spawn(tries_wr, l)));
	CHECK_EQ("ETIMEDOUT: timedrdlock while write-held", ETIMEDOUT, (long)join(spawn(timed_rd, l)));
	CHECK_EQ("ETIMEDOUT: clockrdlock while write-held", ETIMEDOUT, (long)join(spawn(clock_rd, l)));
	CHECK_EQ("EDEADLK: rdlock of one's own write lock", EDEADLK, pthread_rwlock_rdlock(l));
	CHECK_EQ("EDEADLK: wrlock of one's own write lock", EDEADLK, pthread_rwlock_wrlock(l));
	ts = in_ms(CLOCK_REALTIME, 1000);
	CHECK_EQ("EDEADLK: timedrdlock of one's own write lock", EDEADLK, pthread_rwlock_timedrdlock(l, &ts));
	CHECK_EQ("EDEADLK: timedwrlock of one's own write lock", EDEADLK, pthread_rwlock_timedwrlock(l, &ts));
	CHECK_EQ("unlock of the write lock", 0, pthread_rwlock_unlock(l));
	ts.tv_nsec = 1000000000L;
	CHECK_EQ("EINVAL: timedrdlock, tv_nsec out of range", EINVAL, pthread_rwlock_timedrdlock(l, &ts));
	CHECK_EQ("EINVAL: timedwrlock, tv_nsec out of range", EINVAL, pthread_rwlock_timedwrlock(l, &ts));
	ts.tv_nsec = 0;
	CHECK_EQ("EINVAL: clockrdlock, bad clock", EINVAL, pthread_rwlock_clockrdlock(l, CLOCK_PROCESS_CPUTIME_ID, &ts));
	CHECK_EQ("EINVAL: clockwrlock, bad clock", EINVAL, pthread_rwlock_clockwrlock(l, CLOCK_PROCESS_CPUTIME_ID, &ts));
	CHECK_EQ("free at the end", 0, (long)join(spawn(tries_wr, l)));
}

static long data[4];
static int readers, writers;

static void *reads_and_writes(void *arg)
{
	pthread_rwlock_t *l = (pthread_rwlock_t *)arg;
	for (int i = 0; i < 200; i++) {
		if (i % 8 == 0) {
			EXPECT_EQ(0, pthread_rwlock_wrlock(l));
			EXPECT_EQ(1, flag_add(&writers, 1));
			EXPECT_EQ(0, flag_get(&readers));
			for (int k = 0; k < 4; k++) {
				data[k]++;
				if (k == 1 && i % 32 == 0)
					sched_yield();
			}
			flag_add(&writers, -1);
		} else {
			EXPECT_EQ(0, pthread_rwlock_rdlock(l));
			flag_add(&readers, 1);
			EXPECT_EQ(0, flag_get(&writers));
			long v = data[0];
			if (i % 16 == 3)
				sched_yield();
			EXPECT(data[1] == v && data[2] == v && data[3] == v);
			flag_add(&readers, -1);
		}
		EXPECT_EQ(0, pthread_rwlock_unlock(l));
	}
	return NULL;
}

static void contended(const char *clause, pthread_rwlock_t *l)
{
	pthread_t ts[32];
	memset(data, 0, sizeof data);
	for (int i = 0; i < 32; i++)
		ts[i] = spawn(reads_and_writes, l);
	for (int i = 0; i < 32; i++)
		join(ts[i]);
	CHECK_EQ(clause, 32 * 25, data[3]);
}

/* Which kinds let a reader in when a writer waits? */
static int writer_in, phase;

static void *writes(void *arg)
{
	flag_set(&phase, 1);
	EXPECT_EQ(0, pthread_rwlock_wrlock((pthread_rwlock_t *)arg));
	flag_set(&writer_in, 1);
	EXPECT_EQ(0, pthread_rwlock_unlock((pthread_rwlock_t *)arg));
	return NULL;
}

static void *reads_timed(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 100);
	int rc = pthread_rwlock_timedrdlock((pthread_rwlock_t *)arg, &ts);
	if (rc == 0)
		pthread_rwlock_unlock((pthread_rwlock_t *)arg);
	return (void *)(long)rc;
}

static void preference(const char *clause, pthread_rwlock_t *l, int reader, int recursive_reader)
{
	pthread_t w;
	writer_in = phase = 0;
	EXPECT_EQ(0, pthread_rwlock_rdlock(l));
	w = spawn(writes, l);
	flag_wait(&phase, 1);
	sleep_ms(200);
	printf("-- %s\n", clause);
	CHECK_EQ("another reader while a writer waits", reader, (long)join(spawn(reads_timed, l)));
	CHECK_EQ("tryrdlock while a writer waits", reader ? EBUSY : 0, (long)join(spawn(tries_rd, l)));
	if (recursive_reader) {
		CHECK_EQ("a reader may read-lock again", 0, pthread_rwlock_rdlock(l));
		EXPECT_EQ(0, pthread_rwlock_unlock(l));
	}
	CHECK_EQ("the writer is not in yet", 0, flag_get(&writer_in));
	EXPECT_EQ(0, pthread_rwlock_unlock(l));
	join(w);
	CHECK_EQ("the writer got in", 1, flag_get(&writer_in));
}

int main(void)
{
	pthread_rwlockattr_t a;
	pthread_rwlock_t l;
	int v;

	basics("PTHREAD_RWLOCK_INITIALIZER", &rw);
	basics("PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP", &pw);

	EXPECT_EQ(0, pthread_rwlockattr_init(&a));
	pthread_rwlockattr_getkind_np(&a, &v);
	CHECK_EQ("default kind", PTHREAD_RWLOCK_PREFER_READER_NP, v);
	CHECK_EQ("EINVAL: setkind", EINVAL, pthread_rwlockattr_setkind_np(&a, 9));
	CHECK_EQ("EINVAL: setpshared", EINVAL, pthread_rwlockattr_setpshared(&a, 9));
	for (int kind = PTHREAD_RWLOCK_PREFER_READER_NP; kind <= PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP; kind++) {
		static const char *names[3] = {"kind PREFER_READER", "kind PREFER_WRITER", "kind PREFER_WRITER_NONRECURSIVE"};
		static const char *counts[3] = {"32 threads, PREFER_READER", "32 threads, PREFER_WRITER",
		                                "32 threads, PREFER_WRITER_NONRECURSIVE"};
		int blocks = kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
		EXPECT_EQ(0, pthread_rwlockattr_setkind_np(&a, kind));
		EXPECT_EQ(0, pthread_rwlock_init(&l, &a));
		basics(names[kind], &l);
		contended(counts[kind], &l);
		/* PREFER_WRITER is documented by glibc to do as PREFER_READER does */
		preference("who goes first", &l, blocks ? ETIMEDOUT : 0, !blocks);
		CHECK_EQ("destroy", 0, pthread_rwlock_destroy(&l));
	}
	pthread_rwlockattr_destroy(&a);
	return check_done();
}
