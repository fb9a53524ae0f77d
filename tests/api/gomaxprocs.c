/* LINK: grt
 * TIMEOUT: 60
 *
 * gomaxprocs.c - grt_gomaxprocs up and down a thousand times while tasks compute, wake each other, sleep and read.
 *
 * What a P had when it was retired (tasks, timers) must neither be lost nor late. */
#include "../shim/check.h"
#include "grt.h"

enum { COMPUTE = 4, PAIRS = 4, SLEEPERS = 4, CHANGES = 1000 };

static int stop;
static long computed[COMPUTE], passed[PAIRS], slept[SLEEPERS], late;
static int readers_done;

static void *computes(void *arg)
{
	long *n = (long *)arg;
	while (!flag_get(&stop)) {
		for (volatile int i = 0; i < 1000; i++)
			;
		__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static struct pair {
	pthread_mutex_t m;
	pthread_cond_t c;
	int turn;
	long *n;
} pairs[PAIRS];

static void play(struct pair *p, int me)
{
	pthread_mutex_lock(&p->m);
	while (!flag_get(&stop)) {
		while (p->turn != me && !flag_get(&stop))
			pthread_cond_wait(&p->c, &p->m);
		p->turn = !me;
		++*p->n;
		pthread_cond_signal(&p->c);
	}
	pthread_cond_broadcast(&p->c);
	pthread_mutex_unlock(&p->m);
}

static void *ping(void *arg)
{
	play((struct pair *)arg, 0);
	return NULL;
}

static void *pong(void *arg)
{
	play((struct pair *)arg, 1);
	return NULL;
}

static void *sleeps(void *arg)
{
	long *n = (long *)arg;
	while (!flag_get(&stop)) {
		double before = now_s();
		sleep_ms(1);
		if (now_s() - before > 2)
			flag_add((int *)&late, 1);
		++*n;
	}
	return NULL;
}

static void *reads(void *arg)
{
	int *fd = (int *)arg;
	char c;
	while (read(fd[0], &c, 1) == 1)
		;
	flag_add(&readers_done, 1);
	return NULL;
}

int main(void)
{
	pthread_t ts[COMPUTE + 2 * PAIRS + SLEEPERS + 1];
	int fd[2], n = 0, start = grt_gomaxprocs(0), now = start, wrong = 0;

	EXPECT_EQ(0, pipe(fd));
	CHECK("the number of the start is at least 1", start >= 1);
	for (int i = 0; i < COMPUTE; i++)
		ts[n++] = spawn(computes, &computed[i]);
	for (int i = 0; i < PAIRS; i++) {
		pthread_mutex_init(&pairs[i].m, NULL);
		pthread_cond_init(&pairs[i].c, NULL);
		pairs[i].n = &passed[i];
		ts[n++] = spawn(ping, &pairs[i]);
		ts[n++] = spawn(pong, &pairs[i]);
	}
	for (int i = 0; i < SLEEPERS; i++)
		ts[n++] = spawn(sleeps, &slept[i]);
	ts[n++] = spawn(reads, fd);

	unsigned r = 1;
	for (int i = 0; i < CHANGES; i++) {
		r = r * 1103515245 + 12345;
		int to = 1 + (int)(r >> 16) % 12;
		int was = grt_gomaxprocs(to);
		wrong += was != now || grt_gomaxprocs(0) != to;
		now = to;
		if (i % 8 == 0)
			EXPECT_EQ(1, write(fd[1], "x", 1));
		if (i % 16 == 0)
			sleep_ms(1);
	}
	CHECK_EQ("each call returns the number before", 0, wrong);
	grt_gomaxprocs(1);
	for (int i = 0; i < COMPUTE; i++)
		computed[i] = 0;
	for (int i = 0; i < PAIRS; i++)
		passed[i] = 0;
	for (int i = 0; i < SLEEPERS; i++)
		slept[i] = 0;
	double end = now_s() + 10;
	int all;
	do { /* with one P everybody still gets on */
		sleep_ms(5);
		all = 1;
		for (int i = 0; i < COMPUTE; i++)
			all &= __atomic_load_n(&computed[i], __ATOMIC_RELAXED) > 0;
		for (int i = 0; i < PAIRS; i++)
			all &= passed[i] > 0;
		for (int i = 0; i < SLEEPERS; i++)
			all &= slept[i] > 0;
	} while (!all && now_s() < end);
	CHECK("after the last one nobody is left behind", all);
	CHECK_EQ("no sleeper was two seconds late", 0, late);
	grt_gomaxprocs(start);
	flag_set(&stop, 1);
	close(fd[1]);
	for (int i = 0; i < n; i++)
		join(ts[i]);
	CHECK_EQ("the reader ends", 1, readers_done);
	CHECK_EQ("more than 1024 are not to be had", start, grt_gomaxprocs(100000));
	CHECK_EQ("but 1024 are", 1024, grt_gomaxprocs(4));
	CHECK_EQ("and four again", 4, grt_gomaxprocs(-1));
	return check_done();
}
