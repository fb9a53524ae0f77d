// TIMEOUT: 40
/* many.c - ten thousand threads at once, and twenty thousand one after the other. */
#include "check.h"

enum { MANY = 10000, CHURN = 20000 };

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_in = PTHREAD_COND_INITIALIZER, leave = PTHREAD_COND_INITIALIZER;
static int in, out, released; /* m */
static pthread_t ts[MANY];
static __thread int local = 9;

static void *parks(void *arg)
{
	long id = (long)arg;
	EXPECT_EQ(9, local);
	local = (int)id;
	pthread_mutex_lock(&m);
	if (++in == MANY)
		pthread_cond_signal(&all_in);
	while (!released)
		pthread_cond_wait(&leave, &m);
	out++;
	pthread_mutex_unlock(&m);
	return (void *)(long)(local + 1);
}

static void *quick(void *arg)
{
	EXPECT_EQ(9, local);
	local = 1;
	return arg;
}

static int detached_done;

static void *quick_detached(void *arg)
{
	EXPECT_EQ(9, local);
	local = 2;
	flag_add(&detached_done, 1);
	return arg;
}

int main(void)
{
	pthread_attr_t a;
	pthread_t t, batch[50];
	int n, bad = 0;

	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 64 * 1024));
	for (n = 0; n < MANY; n++)
		if (pthread_create(&ts[n], &a, parks, (void *)(long)n) != 0)
			break;
	CHECK_EQ("10000 threads with stacks of 64 KiB", MANY, n);
	if (n < MANY)
		return 1;
	pthread_mutex_lock(&m);
	while (in < MANY)
		pthread_cond_wait(&all_in, &m);
	CHECK_EQ("all alive at once", 0, out);
	released = 1;
	pthread_cond_broadcast(&leave);
	pthread_mutex_unlock(&m);
	for (int i = 0; i < MANY; i++)
		bad |= (long)join(ts[i]) != i + 1;
	CHECK_EQ("each returns its own value", 0, bad);
	CHECK_EQ("all released", MANY, out);

	for (int i = 0; i < CHURN / 2; i++) {
		t = spawn(quick, (void *)(long)i);
		bad |= (long)join(t) != i;
	}
	for (int i = 0; i < CHURN / 4; i += 50) {
		for (int k = 0; k < 50; k++)
			batch[k] = spawn(quick, (void *)(long)k);
		for (int k = 0; k < 50; k++)
			bad |= (long)join(batch[k]) != k;
	}
	EXPECT_EQ(0, pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED));
	for (int i = 0; i < CHURN / 4; i++) {
		EXPECT_EQ(0, pthread_create(&t, &a, quick_detached, NULL));
		if (i % 100 == 99)
			flag_wait(&detached_done, i - 50);
	}
	flag_wait(&detached_done, CHURN / 4);
	CHECK_EQ("20000 threads one after the other, in batches, and detached", 0, bad);
	return check_done();
}
