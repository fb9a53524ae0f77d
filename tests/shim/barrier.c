/* barrier.c - barriers and spin locks. */
#include "check.h"

static pthread_barrier_t b;
static int serial[1000], arrived[1000];

static void *rounds(void *arg)
{
	int n = *(int *)arg;
	for (int i = 0; i < 1000; i++) {
		flag_add(&arrived[i], 1);
		int rc = pthread_barrier_wait(&b);
		EXPECT(rc == 0 || rc == PTHREAD_BARRIER_SERIAL_THREAD);
		EXPECT_EQ(n, flag_get(&arrived[i]));
		if (rc == PTHREAD_BARRIER_SERIAL_THREAD)
			flag_add(&serial[i], 1);
	}
	return NULL;
}

/* POSIX: whoever returned may destroy it, whether or not the others have left. */
static void *meets(void *arg)
{
	pthread_barrier_t *p = (pthread_barrier_t *)arg;
	if (pthread_barrier_wait(p) == PTHREAD_BARRIER_SERIAL_THREAD) {
		EXPECT_EQ(0, pthread_barrier_destroy(p));
		memset(p, 0xff, sizeof *p);
		free(p);
	}
	return NULL;
}

static pthread_spinlock_t spin;
static long counter;

static void *spins(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		if (i % 3 == 0) {
			while (pthread_spin_trylock(&spin) != 0)
				sched_yield();
		} else {
			EXPECT_EQ(0, pthread_spin_lock(&spin));
		}
		counter++;
		EXPECT_EQ(0, pthread_spin_unlock(&spin));
	}
	return NULL;
}

static void *tries(void *arg)
{
	(void)arg;
	return (void *)(long)pthread_spin_trylock(&spin);
}

/* The owner is switched away from while the others spin: it must come back. */
static void *holds_and_yields(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		pthread_spin_lock(&spin);
		counter++;
		sched_yield();
		pthread_spin_unlock(&spin);
	}
	return NULL;
}

int main(void)
{
	pthread_t ts[16];
	pthread_barrierattr_t a;
	int n = 16, ok = 1, v;

	CHECK_EQ("EINVAL: a barrier for none", EINVAL, pthread_barrier_init(&b, NULL, 0));
	CHECK_EQ("pthread_barrier_init", 0, pthread_barrier_init(&b, NULL, 1));
	CHECK_EQ("alone one is the serial thread", PTHREAD_BARRIER_SERIAL_THREAD, pthread_barrier_wait(&b));
	CHECK_EQ("pthread_barrier_destroy", 0, pthread_barrier_destroy(&b));
	EXPECT_EQ(0, pthread_barrier_init(&b, NULL, (unsigned)n));
	for (int i = 0; i < n; i++)
		ts[i] = spawn(rounds, &n);
	for (int i = 0; i < n; i++)
		join(ts[i]);
	for (int i = 0; i < 1000; i++)
		ok &= serial[i] == 1;
	CHECK("exactly one is the serial thread in each of 1000 rounds", ok);
	CHECK_EQ("pthread_barrier_destroy after reuse", 0, pthread_barrier_destroy(&b));
	for (int i = 0; i < 200; i++) {
		pthread_barrier_t *p = (pthread_barrier_t *)malloc(sizeof *p);
		EXPECT_EQ(0, pthread_barrier_init(p, NULL, 4));
		for (int k = 0; k < 4; k++)
			ts[k] = spawn(meets, p);
		for (int k = 0; k < 4; k++)
			join(ts[k]);
	}
	CHECK("the serial thread may destroy the barrier at once", 1);
	EXPECT_EQ(0, pthread_barrierattr_init(&a));
	CHECK_EQ("EINVAL: pthread_barrierattr_setpshared", EINVAL, pthread_barrierattr_setpshared(&a, 5));
	pthread_barrierattr_getpshared(&a, &v);
	CHECK_EQ("barriers are private by default", PTHREAD_PROCESS_PRIVATE, v);
	pthread_barrierattr_destroy(&a);

	CHECK_EQ("pthread_spin_init", 0, pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	EXPECT_EQ(0, pthread_spin_lock(&spin));
	CHECK_EQ("EBUSY: pthread_spin_trylock", EBUSY, (long)join(spawn(tries, NULL)));
	EXPECT_EQ(0, pthread_spin_unlock(&spin));
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(spins, NULL);
	for (int i = 0; i < 8; i++)
		join(ts[i]);
	CHECK_EQ("a spin lock excludes 8 threads", 16000, counter);
	counter = 0;
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(holds_and_yields, NULL);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	CHECK_EQ("a spin lock's owner that yields gets to run again", 80, counter);
	CHECK_EQ("pthread_spin_destroy", 0, pthread_spin_destroy(&spin));
	return check_done();
}
