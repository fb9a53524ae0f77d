/* create.c - pthread_create, join, detach, exit, self, equal. */
#include "check.h"

static pthread_t stored_id;

static void *echo(void *arg)
{
	return arg;
}

static void *sees_own_id(void *arg)
{
	(void)arg;
	return (void *)(long)pthread_equal(stored_id, pthread_self());
}

static void (*volatile finish)(void *) = pthread_exit;

static __attribute__((noinline)) void leave(long depth)
{
	volatile char frame[256];
	frame[depth % 256] = 1;
	if (depth == 0)
		finish((void *)77);
	else
		leave(depth - frame[depth % 256]);
	frame[0]++;
}

static void *exits_deep(void *arg)
{
	leave((long)arg);
	return NULL;
}

static char order[16];

static void note(void *what)
{
	strcat(order, (const char *)what);
}

static void *exits_with_cleanup(void *arg)
{
	pthread_key_t *key = (pthread_key_t *)arg;
	pthread_setspecific(*key, "k");
	pthread_cleanup_push(note, "1");
	pthread_cleanup_push(note, "2");
	pthread_cleanup_push(note, "3");
	pthread_cleanup_pop(0);
	pthread_exit((void *)5);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *self_join(void *arg)
{
	(void)arg;
	return (void *)(long)pthread_join(pthread_self(), NULL);
}

static int release;

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

static void *detaches_itself(void *arg)
{
	int rc = pthread_detach(pthread_self());
	EXPECT_EQ(0, rc);
	EXPECT_EQ(EINVAL, pthread_detach(pthread_self()));
	flag_add((int *)arg, 1);
	return NULL;
}

static void *counts(void *arg)
{
	flag_add((int *)arg, 1);
	return NULL;
}

static void *same_self(void *arg)
{
	pthread_t first = pthread_self();
	(void)arg;
	for (int i = 0; i < 1000; i++) {
		if (!pthread_equal(first, pthread_self()))
			return (void *)1;
		sched_yield();
	}
	return NULL;
}

static void *makes_children(void *arg)
{
	long depth = (long)arg, sum = 1;
	if (depth == 0)
		return (void *)1;
	pthread_t a = spawn(makes_children, (void *)(depth - 1));
	pthread_t b = spawn(makes_children, (void *)(depth - 1));
	sum += (long)join(a);
	sum += (long)join(b);
	return (void *)sum;
}

static void create_and_return(void)
{
	pthread_t t, ts[100];
	void *value;
	pthread_key_t key;
	int ok = 1;

	CHECK_EQ("pthread_create returns 0", 0, pthread_create(&t, NULL, echo, (void *)42));
	CHECK_EQ("pthread_join returns 0", 0, pthread_join(t, &value));
	CHECK_EQ("pthread_join stores what the start routine returned", 42, (long)value);

	EXPECT_EQ(0, pthread_create(&t, NULL, echo, NULL));
	CHECK_EQ("pthread_join accepts a null value_ptr", 0, pthread_join(t, NULL));

	EXPECT_EQ(0, pthread_create(&stored_id, NULL, sees_own_id, NULL));
	CHECK_EQ("glibc stores the id before the thread starts", 1, (long)join(stored_id));

	CHECK_EQ("pthread_exit from nested calls gives its value", 77, (long)join(spawn(exits_deep, (void *)50)));

	EXPECT_EQ(0, pthread_key_create(&key, note));
	value = join(spawn(exits_with_cleanup, &key));
	CHECK("pthread_exit runs cleanup handlers last in first out, then key destructors",
	      strcmp(order, "21k") == 0 && (long)value == 5);
	pthread_key_delete(key);

	for (long i = 0; i < 100; i++)
		ts[i] = spawn(echo, (void *)(i * 3));
	for (long i = 99; i >= 0; i--)
		ok &= (long)join(ts[i]) == i * 3;
	CHECK("100 threads return their own values in any order of joining", ok);
	CHECK_EQ("threads make threads, seven levels deep", 255, (long)join(spawn(makes_children, (void *)7)));
}

static void identity(void)
{
	pthread_t a, b;
	release = 0;
	a = spawn(waits, NULL);
	b = spawn(waits, NULL);
	CHECK("pthread_equal is zero for two live threads", !pthread_equal(a, b));
	CHECK("pthread_equal is non-zero for the same thread", pthread_equal(a, a) != 0);
	CHECK("a thread is not its creator", !pthread_equal(a, pthread_self()));
	flag_set(&release, 1);
	join(a);
	join(b);
	CHECK("pthread_self does not change over 1000 yields", join(spawn(same_self, NULL)) == NULL);
}

static void join_errors(void)
{
	pthread_t t;
	struct timespec ts;
	void *value = NULL;

	CHECK_EQ("EDEADLK: pthread_join of oneself", EDEADLK, (long)join(spawn(self_join, NULL)));
	CHECK_EQ("EDEADLK: main joins itself", EDEADLK, pthread_join(pthread_self(), NULL));

	/* Not held here: two joiners of one thread, and two threads that join each other.  glibc
	 * 2.36 means to answer EINVAL and EDEADLK and does neither, as it never stores joinid. */

	release = 0;
	t = spawn(waits, (void *)11);
	CHECK_EQ("EBUSY: pthread_tryjoin_np of a running thread", EBUSY, pthread_tryjoin_np(t, &value));
	ts = in_ms(CLOCK_REALTIME, 30);
	CHECK_EQ("ETIMEDOUT: pthread_timedjoin_np", ETIMEDOUT, pthread_timedjoin_np(t, &value, &ts));
	ts = in_ms(CLOCK_MONOTONIC, 30);
	CHECK_EQ("ETIMEDOUT: pthread_clockjoin_np on CLOCK_MONOTONIC", ETIMEDOUT,
	         pthread_clockjoin_np(t, &value, CLOCK_MONOTONIC, &ts));
	CHECK_EQ("EINVAL: pthread_clockjoin_np on a clock that cannot be waited on", EINVAL,
	         pthread_clockjoin_np(t, &value, CLOCK_PROCESS_CPUTIME_ID, &ts));
	ts = in_ms(CLOCK_REALTIME, -1000);
	CHECK_EQ("ETIMEDOUT: pthread_timedjoin_np with a deadline in the past", ETIMEDOUT,
	         pthread_timedjoin_np(t, &value, &ts));
	flag_set(&release, 1);
	ts = in_ms(CLOCK_REALTIME, 10000);
	CHECK_EQ("pthread_timedjoin_np joins when the thread ends in time", 0, pthread_timedjoin_np(t, &value, &ts));
	CHECK_EQ("pthread_timedjoin_np stores the value", 11, (long)value);

	t = spawn(echo, (void *)13);
	while (pthread_tryjoin_np(t, &value) == EBUSY)
		sched_yield();
	CHECK_EQ("pthread_tryjoin_np stores the value", 13, (long)value);

	t = spawn(echo, NULL);
	join(t);
	CHECK_EQ("glibc: ESRCH when a joined thread is joined again", ESRCH, pthread_join(t, NULL));
}

static void detaching(void)
{
	pthread_t t;
	pthread_attr_t attr;
	int done = 0;

	release = 0;
	t = spawn(waits, NULL);
	CHECK_EQ("pthread_detach returns 0", 0, pthread_detach(t));
	CHECK_EQ("EINVAL: pthread_detach of a detached thread", EINVAL, pthread_detach(t));
	CHECK_EQ("EINVAL: pthread_join of a detached thread", EINVAL, pthread_join(t, NULL));
	CHECK_EQ("glibc: EBUSY for pthread_tryjoin_np of a detached thread", EBUSY, pthread_tryjoin_np(t, NULL));
	flag_set(&release, 1);

	spawn(detaches_itself, &done);
	flag_wait(&done, 1);
	CHECK("a thread may detach itself", 1);

	done = 0;
	EXPECT_EQ(0, pthread_attr_init(&attr));
	EXPECT_EQ(0, pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	for (int i = 0; i < 200; i++)
		EXPECT_EQ(0, pthread_create(&t, &attr, counts, &done));
	flag_wait(&done, 200);
	CHECK("200 threads created detached all run", 1);
	pthread_attr_destroy(&attr);

	t = spawn(echo, NULL);
	sleep_ms(50);
	CHECK_EQ("pthread_detach of a thread that has ended", 0, pthread_detach(t));
}

static void killing(void)
{
	pthread_t t;

	release = 0;
	t = spawn(waits, NULL);
	CHECK_EQ("pthread_kill with signal 0 of a live thread", 0, pthread_kill(t, 0));
	CHECK_EQ("EINVAL: pthread_kill with an invalid signal", EINVAL, pthread_kill(t, 65));
	CHECK_EQ("EINVAL: pthread_kill with glibc's own signal", EINVAL, pthread_kill(t, 32));
	flag_set(&release, 1);
	sleep_ms(100);
	CHECK_EQ("glibc: pthread_kill of a thread ended but not joined is 0", 0, pthread_kill(t, SIGUSR1));
	join(t);
}

int main(void)
{
	create_and_return();
	identity();
	join_errors();
	detaching();
	killing();
	CHECK_EQ("pthread_setconcurrency returns 0", 0, pthread_setconcurrency(4));
	CHECK_EQ("pthread_getconcurrency returns what was set", 4, pthread_getconcurrency());
	return check_done();
}
