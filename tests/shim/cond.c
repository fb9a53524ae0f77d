/* cond.c - condition variables. */
#include "check.h"

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int waiting, woken, go; /* m */

static void *waits(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	waiting++;
	while (!go)
		EXPECT_EQ(0, pthread_cond_wait(&c, &m));
	if (go > 0)
		go--;
	woken++;
	pthread_mutex_unlock(&m);
	return NULL;
}

static void wait_for_waiters(int n)
{
	for (;;) {
		pthread_mutex_lock(&m);
		int w = waiting;
		pthread_mutex_unlock(&m);
		if (w >= n)
			return;
		sleep_ms(1);
	}
}

static void timeouts(void)
{
	pthread_condattr_t a;
	pthread_cond_t mono;
	struct timespec ts;
	clockid_t clock;
	double start;
	int v;

	pthread_mutex_lock(&m);
	ts = in_ms(CLOCK_REALTIME, 50);
	start = now_s();
	CHECK_EQ("ETIMEDOUT: pthread_cond_timedwait", ETIMEDOUT, pthread_cond_timedwait(&c, &m, &ts));
	EXPECT(now_s() - start >= 0.04);
	ts = in_ms(CLOCK_REALTIME, -1000);
	CHECK_EQ("ETIMEDOUT: a deadline in the past", ETIMEDOUT, pthread_cond_timedwait(&c, &m, &ts));
	ts.tv_nsec = 1000000000L;
	CHECK_EQ("EINVAL: tv_nsec out of range", EINVAL, pthread_cond_timedwait(&c, &m, &ts));
	ts.tv_nsec = -1;
	CHECK_EQ("EINVAL: tv_nsec negative", EINVAL, pthread_cond_timedwait(&c, &m, &ts));
	CHECK_EQ("the mutex is held after an error", EBUSY, pthread_mutex_trylock(&m));

	ts = in_ms(CLOCK_MONOTONIC, 50);
	start = now_s();
	CHECK_EQ("ETIMEDOUT: pthread_cond_clockwait on CLOCK_MONOTONIC", ETIMEDOUT,
	         pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &ts));
	EXPECT(now_s() - start >= 0.04);
	ts = in_ms(CLOCK_REALTIME, 50);
	CHECK_EQ("ETIMEDOUT: pthread_cond_clockwait on CLOCK_REALTIME", ETIMEDOUT,
	         pthread_cond_clockwait(&c, &m, CLOCK_REALTIME, &ts));
	CHECK_EQ("EINVAL: pthread_cond_clockwait on a clock that cannot be waited on", EINVAL,
	         pthread_cond_clockwait(&c, &m, CLOCK_THREAD_CPUTIME_ID, &ts));

	EXPECT_EQ(0, pthread_condattr_init(&a));
	pthread_condattr_getclock(&a, &clock);
	CHECK_EQ("the default clock", CLOCK_REALTIME, clock);
	CHECK_EQ("EINVAL: pthread_condattr_setclock", EINVAL, pthread_condattr_setclock(&a, CLOCK_PROCESS_CPUTIME_ID));
	CHECK_EQ("pthread_condattr_setclock", 0, pthread_condattr_setclock(&a, CLOCK_MONOTONIC));
	pthread_condattr_getclock(&a, &clock);
	CHECK_EQ("pthread_condattr_getclock", CLOCK_MONOTONIC, clock);
	CHECK_EQ("EINVAL: pthread_condattr_setpshared", EINVAL, pthread_condattr_setpshared(&a, 5));
	pthread_condattr_getpshared(&a, &v);
	CHECK_EQ("pthread_condattr_getpshared", PTHREAD_PROCESS_PRIVATE, v);
	EXPECT_EQ(0, pthread_cond_init(&mono, &a));
	ts = in_ms(CLOCK_MONOTONIC, 50);
	start = now_s();
	CHECK_EQ("ETIMEDOUT: timedwait of a cond with CLOCK_MONOTONIC", ETIMEDOUT, pthread_cond_timedwait(&mono, &m, &ts));
	EXPECT(now_s() - start >= 0.04);
	CHECK_EQ("pthread_cond_destroy", 0, pthread_cond_destroy(&mono));
	pthread_condattr_destroy(&a);
	pthread_mutex_unlock(&m);
}

static void signals(void)
{
	pthread_t ts[16];

	CHECK_EQ("pthread_cond_signal without waiters", 0, pthread_cond_signal(&c));
	CHECK_EQ("pthread_cond_broadcast without waiters", 0, pthread_cond_broadcast(&c));
	for (int i = 0; i < 16; i++)
		ts[i] = spawn(waits, NULL);
	wait_for_waiters(16);
	pthread_mutex_lock(&m);
	go = 1;
	pthread_cond_signal(&c);
	pthread_mutex_unlock(&m);
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&m);
		int w = woken;
		pthread_mutex_unlock(&m);
		if (w)
			break;
		sleep_ms(1);
	}
	sleep_ms(20);
	pthread_mutex_lock(&m);
	CHECK_EQ("pthread_cond_signal lets one go", 1, woken);
	go = -1;
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	for (int i = 0; i < 16; i++)
		join(ts[i]);
	CHECK_EQ("pthread_cond_broadcast lets all go", 16, woken);
}

/* One signal per item: none may be lost. */
static int items, taken, closed;

static void *takes(void *arg)
{
	(void)arg;
	long n = 0;
	pthread_mutex_lock(&m);
	for (;;) {
		while (!items && !closed)
			pthread_cond_wait(&c, &m);
		if (!items)
			break;
		items--;
		taken++;
		n++;
	}
	pthread_mutex_unlock(&m);
	return (void *)n;
}

static void queue(void)
{
	pthread_t ts[8];
	long sum = 0;

	for (int i = 0; i < 8; i++)
		ts[i] = spawn(takes, NULL);
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&m);
		items++;
		if (i % 2)
			pthread_cond_signal(&c);
		pthread_mutex_unlock(&m);
		if (i % 2 == 0)
			pthread_cond_signal(&c);
	}
	pthread_mutex_lock(&m);
	closed = 1;
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	for (int i = 0; i < 8; i++)
		sum += (long)join(ts[i]);
	CHECK_EQ("20000 items by signal, inside and outside the mutex", 20000, sum);
}

/* Turns by a broadcast to all: the thundering herd. */
static int turn;

static void *takes_turns(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&m);
		while (turn % 32 != me)
			pthread_cond_wait(&c, &m);
		turn++;
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static void herd(void)
{
	pthread_t ts[32];
	for (long i = 0; i < 32; i++)
		ts[i] = spawn(takes_turns, (void *)i);
	for (int i = 0; i < 32; i++)
		join(ts[i]);
	CHECK_EQ("32 threads take turns by broadcast, 50 times round", 1600, turn);
}

/* POSIX: a cond may be destroyed as soon as all its waiters are woken. */
struct box {
	pthread_mutex_t m;
	pthread_cond_t c;
	int done;
};

static void *wakes_and_forgets(void *arg)
{
	struct box *b = (struct box *)arg;
	pthread_mutex_lock(&b->m);
	b->done = 1;
	pthread_cond_broadcast(&b->c);
	pthread_mutex_unlock(&b->m);
	return NULL;
}

static void destroyed_at_once(void)
{
	for (int i = 0; i < 500; i++) {
		struct box *b = (struct box *)malloc(sizeof *b);
		pthread_mutex_init(&b->m, NULL);
		pthread_cond_init(&b->c, NULL);
		b->done = 0;
		pthread_t t = spawn(wakes_and_forgets, b);
		pthread_mutex_lock(&b->m);
		while (!b->done)
			pthread_cond_wait(&b->c, &b->m);
		pthread_mutex_unlock(&b->m);
		EXPECT_EQ(0, pthread_cond_destroy(&b->c));
		memset(&b->c, 0xff, sizeof b->c);
		join(t);
		pthread_mutex_destroy(&b->m);
		free(b);
	}
	CHECK("a waiter may destroy the cond right after it woke", 1);
}

/* timedwait and signal race: a signal that a time-out did not take must wake another. */
static int tickets, got;

static void *wants_ticket(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	while (!tickets) {
		struct timespec ts = in_ms(CLOCK_REALTIME, 1);
		int rc = pthread_cond_timedwait(&c, &m, &ts);
		EXPECT(rc == 0 || rc == ETIMEDOUT);
	}
	tickets--;
	got++;
	pthread_mutex_unlock(&m);
	return NULL;
}

static void races(void)
{
	pthread_t ts[16];
	for (int i = 0; i < 16; i++)
		ts[i] = spawn(wants_ticket, NULL);
	for (int i = 0; i < 16; i++) {
		sleep_ms(2);
		pthread_mutex_lock(&m);
		tickets++;
		pthread_mutex_unlock(&m);
		pthread_cond_signal(&c);
	}
	for (int i = 0; i < 16; i++)
		join(ts[i]);
	CHECK_EQ("short timedwaits against signals", 16, got);
}

/* A recursive mutex held once, an errorcheck one, and their ownership after the wait. */
static pthread_mutex_t rm = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t em = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

static void *wakes_with(void *arg)
{
	pthread_mutex_t *mm = (pthread_mutex_t *)arg;
	EXPECT_EQ(0, pthread_mutex_lock(mm));
	go = 1;
	pthread_cond_broadcast(&c);
	EXPECT_EQ(0, pthread_mutex_unlock(mm));
	return NULL;
}

static void other_mutexes(void)
{
	pthread_t t;
	go = 0;
	EXPECT_EQ(0, pthread_mutex_lock(&rm));
	t = spawn(wakes_with, &rm);
	while (!go)
		EXPECT_EQ(0, pthread_cond_wait(&c, &rm));
	CHECK_EQ("a recursive mutex is held after the wait", 0, pthread_mutex_unlock(&rm));
	CHECK_EQ("exactly once", EPERM, pthread_mutex_unlock(&rm));
	join(t);
	go = 0;
	CHECK_EQ("EPERM: wait with an errorcheck mutex not held", EPERM, pthread_cond_wait(&c, &em));
	EXPECT_EQ(0, pthread_mutex_lock(&em));
	t = spawn(wakes_with, &em);
	while (!go)
		EXPECT_EQ(0, pthread_cond_wait(&c, &em));
	CHECK_EQ("an errorcheck mutex is owned after the wait", EDEADLK, pthread_mutex_lock(&em));
	EXPECT_EQ(0, pthread_mutex_unlock(&em));
	join(t);
}

int main(void)
{
	timeouts();
	signals();
	queue();
	herd();
	destroyed_at_once();
	races();
	other_mutexes();
	return check_done();
}
