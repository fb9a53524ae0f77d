/* mutex_contend.c - 64 threads exclude each other with every kind of mutex.
 *
 * The section holds over yields and sleeps, so that owners are switched away from while they hold. */
#include "check.h"

enum { THREADS = 64, ROUNDS = 300 };

static pthread_mutex_t kinds[4] = {
	PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
	PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
	PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
};
static pthread_mutex_t *mutex;
static long counter; /* mutex */
static int inside;   /* atomic; for the check that it is 1 */
static int mode;

static int take(int i)
{
	struct timespec ts;
	int rc;
	switch (mode) {
	case 1:
		while ((rc = pthread_mutex_trylock(mutex)) == EBUSY)
			sched_yield();
		return rc;
	case 2:
		do {
			ts = in_ms(CLOCK_REALTIME, i % 2);
			rc = pthread_mutex_timedlock(mutex, &ts);
		} while (rc == ETIMEDOUT);
		return rc;
	case 3:
		ts = in_ms(CLOCK_MONOTONIC, 60000);
		return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
	default:
		return pthread_mutex_lock(mutex);
	}
}

static void *contends(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(0, take(i));
		EXPECT_EQ(1, flag_add(&inside, 1));
		long c = counter;
		if (i % 16 == (long)arg % 16)
			sched_yield();
		counter = c + 1;
		flag_add(&inside, -1);
		EXPECT_EQ(0, pthread_mutex_unlock(mutex));
	}
	return NULL;
}

/* A list that is only right if nobody was ever inside together. */
static int ring[8];

static void *rotates(void *arg)
{
	pthread_mutex_t *m = (pthread_mutex_t *)arg;
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(m);
		int last = ring[7];
		for (int k = 7; k > 0; k--)
			ring[k] = ring[k - 1];
		ring[0] = last;
		pthread_mutex_unlock(m);
	}
	return NULL;
}

/* The mutex is freed by whoever sees the last reference go (bug 13690 of glibc). */
struct object {
	pthread_mutex_t lock;
	int refs; /* lock */
};

static void *drops(void *arg)
{
	struct object *o = (struct object *)arg;
	pthread_mutex_lock(&o->lock);
	int left = --o->refs;
	pthread_mutex_unlock(&o->lock);
	if (left == 0) {
		pthread_mutex_destroy(&o->lock);
		memset(o, 0xa5, sizeof *o);
		free(o);
	}
	return NULL;
}

int main(void)
{
	static const char *names[4][4] = {
		{"lock, normal", "lock, recursive", "lock, errorcheck", "lock, adaptive"},
		{"trylock, normal", "trylock, recursive", "trylock, errorcheck", "trylock, adaptive"},
		{"timedlock, normal", "timedlock, recursive", "timedlock, errorcheck", "timedlock, adaptive"},
		{"clocklock, normal", "clocklock, recursive", "clocklock, errorcheck", "clocklock, adaptive"},
	};
	pthread_t ts[THREADS];
	int sum = 0;

	for (mode = 0; mode < 4; mode++)
		for (int kind = 0; kind < 4; kind++) {
			mutex = &kinds[kind];
			counter = 0;
			int n = mode == 1 || mode == 2 ? THREADS / 4 : THREADS;
			for (long i = 0; i < n; i++)
				ts[i] = spawn(contends, (void *)i);
			for (int i = 0; i < n; i++)
				join(ts[i]);
			CHECK_EQ(names[mode][kind], (long)n * ROUNDS, counter);
		}

	for (int i = 0; i < 8; i++)
		ring[i] = i;
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(rotates, &kinds[0]);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	for (int i = 0; i < 8; i++)
		sum |= ring[i] != (i + 8 - 80000 % 8) % 8;
	CHECK_EQ("80000 short sections keep a list whole", 0, sum);

	for (int i = 0; i < 300; i++) {
		struct object *o = (struct object *)malloc(sizeof *o);
		pthread_mutex_init(&o->lock, NULL);
		o->refs = 3;
		for (int k = 0; k < 3; k++)
			ts[k] = spawn(drops, o);
		for (int k = 0; k < 3; k++)
			join(ts[k]);
	}
	CHECK("a mutex may be destroyed and freed right after the last unlock", 1);
	return check_done();
}
