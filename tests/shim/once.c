/* once.c - pthread_once. */
#include "check.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int runs, finished, early;

static void init(void)
{
	flag_add(&runs, 1);
	sleep_ms(100);
	flag_set(&finished, 1);
}

static void *contends(void *arg)
{
	(void)arg;
	EXPECT_EQ(0, pthread_once(&once, init));
	if (!flag_get(&finished))
		flag_add(&early, 1);
	return NULL;
}

static pthread_once_t onces[1000];
static int inits[1000], current;

static void init_one(void)
{
	inits[current]++;
}

static pthread_barrier_t barrier;

static void *races(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			current = i;
		pthread_barrier_wait(&barrier);
		pthread_once(&onces[i], init_one);
		EXPECT_EQ(1, inits[i]);
	}
	return NULL;
}

static pthread_once_t outer = PTHREAD_ONCE_INIT, inner = PTHREAD_ONCE_INIT;
static int nested;

static void init_inner(void)
{
	nested++;
}

static void init_outer(void)
{
	pthread_once(&inner, init_inner);
	nested += 10;
}

int main(void)
{
	pthread_t ts[32];
	for (int i = 0; i < 32; i++)
		ts[i] = spawn(contends, NULL);
	for (int i = 0; i < 32; i++)
		join(ts[i]);
	CHECK_EQ("the routine runs once among 32 callers", 1, runs);
	CHECK_EQ("no caller returns before the routine has finished", 0, early);
	CHECK_EQ("a later call returns 0 and does nothing", 0, pthread_once(&once, init));
	CHECK_EQ("the routine was not run again", 1, runs);

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(races, NULL);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	CHECK("1000 races of four callers run each routine once", 1);

	EXPECT_EQ(0, pthread_once(&outer, init_outer));
	EXPECT_EQ(0, pthread_once(&inner, init_inner));
	CHECK_EQ("the routine may call pthread_once on another control", 11, nested);
	return check_done();
}
