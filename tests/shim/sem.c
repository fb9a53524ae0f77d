/* sem.c - unnamed and named semaphores. */
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>

static sem_t s, t1, t2;
static int waiting, hits;

static void on_usr1(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void *waits(void *arg)
{
	(void)arg;
	flag_add(&waiting, 1);
	errno = 0;
	int rc = sem_wait(&s);
	return (void *)(long)(rc ? errno : 0);
}

static void *waits_timed(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 10000);
	(void)arg;
	flag_add(&waiting, 1);
	errno = 0;
	int rc = sem_timedwait(&s, &ts);
	return (void *)(long)(rc ? errno : 0);
}

static void *ping(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5000; i++) {
		EXPECT_EQ(0, sem_wait(&t1));
		EXPECT_EQ(0, sem_post(&t2));
	}
	return NULL;
}

static void *produces(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		sem_post(&s);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void *consumes(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++)
		EXPECT_EQ(0, sem_wait(&s));
	return NULL;
}

static void *posts_and_forgets(void *arg)
{
	EXPECT_EQ(0, sem_post((sem_t *)arg));
	return NULL;
}

/* pthread_kill until the waiter has come back from its wait. */
static long interrupt(pthread_t t)
{
	void *value;
	flag_wait(&waiting, 1);
	while (pthread_tryjoin_np(t, &value) == EBUSY) {
		sleep_ms(10);
		pthread_kill(t, SIGUSR1);
		sleep_ms(10);
	}
	return (long)value;
}

int main(void)
{
	struct timespec ts;
	struct sigaction sa;
	pthread_t t, p[8];
	int v, rc;
	char name[64];

	errno = 0;
	CHECK("EINVAL: sem_init above SEM_VALUE_MAX",
	      sem_init(&s, 0, (unsigned)SEM_VALUE_MAX + 1u) == -1 && errno == EINVAL);
	CHECK_EQ("sem_init", 0, sem_init(&s, 0, 2));
	sem_getvalue(&s, &v);
	CHECK_EQ("sem_getvalue", 2, v);
	CHECK_EQ("sem_wait of a positive one", 0, sem_wait(&s));
	CHECK_EQ("sem_trywait of a positive one", 0, sem_trywait(&s));
	CHECK("EAGAIN: sem_trywait of zero", sem_trywait(&s) == -1 && errno == EAGAIN);
	ts = in_ms(CLOCK_REALTIME, 40);
	CHECK("ETIMEDOUT: sem_timedwait", sem_timedwait(&s, &ts) == -1 && errno == ETIMEDOUT);
	ts = in_ms(CLOCK_MONOTONIC, 40);
	CHECK("ETIMEDOUT: sem_clockwait on CLOCK_MONOTONIC",
	      sem_clockwait(&s, CLOCK_MONOTONIC, &ts) == -1 && errno == ETIMEDOUT);
	ts = in_ms(CLOCK_REALTIME, -1000);
	CHECK("ETIMEDOUT: a deadline in the past", sem_timedwait(&s, &ts) == -1 && errno == ETIMEDOUT);
	ts.tv_nsec = 1000000000L;
	CHECK("EINVAL: tv_nsec out of range", sem_timedwait(&s, &ts) == -1 && errno == EINVAL);
	ts.tv_nsec = 0;
	CHECK("EINVAL: sem_clockwait on a bad clock",
	      sem_clockwait(&s, CLOCK_PROCESS_CPUTIME_ID, &ts) == -1 && errno == EINVAL);
	CHECK_EQ("sem_post", 0, sem_post(&s));
	ts.tv_sec = 0;
	CHECK_EQ("a positive one is got whatever the deadline", 0, sem_timedwait(&s, &ts));
	sem_destroy(&s);

	EXPECT_EQ(0, sem_init(&s, 0, SEM_VALUE_MAX));
	CHECK("EOVERFLOW: sem_post at SEM_VALUE_MAX", sem_post(&s) == -1 && errno == EOVERFLOW);
	sem_getvalue(&s, &v);
	CHECK_EQ("its value is unchanged", SEM_VALUE_MAX, v);
	sem_destroy(&s);

	EXPECT_EQ(0, sem_init(&s, 0, 0));
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_usr1;
	sigaction(SIGUSR1, &sa, NULL);
	waiting = 0;
	CHECK_EQ("EINTR: sem_wait interrupted by a handler", EINTR, interrupt(spawn(waits, NULL)));
	waiting = 0;
	CHECK_EQ("EINTR: sem_timedwait interrupted by a handler", EINTR, interrupt(spawn(waits_timed, NULL)));
	CHECK("the handler ran", flag_get(&hits) >= 2);
	sa.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &sa, NULL);
	hits = waiting = 0;
	t = spawn(waits, NULL);
	flag_wait(&waiting, 1);
	for (int i = 0; i < 10; i++) {
		sleep_ms(10);
		pthread_kill(t, SIGUSR1);
	}
	sleep_ms(20);
	CHECK_EQ("SA_RESTART: sem_wait goes on after a handler", EBUSY, pthread_tryjoin_np(t, NULL));
	CHECK("SA_RESTART: the handler ran", flag_get(&hits) >= 1);
	sem_post(&s);
	CHECK_EQ("SA_RESTART: and takes the post", 0, (long)join(t));

	waiting = 0;
	for (int i = 0; i < 8; i++)
		p[i] = spawn(waits, NULL);
	flag_wait(&waiting, 8);
	sleep_ms(20);
	for (int i = 0; i < 8; i++)
		sem_post(&s);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, (long)join(p[i]));
	sem_getvalue(&s, &v);
	CHECK_EQ("eight posts wake eight waiters", 0, v);

	for (int i = 0; i < 8; i++)
		p[i] = spawn(i % 2 ? produces : consumes, NULL);
	for (int i = 0; i < 8; i++)
		join(p[i]);
	sem_getvalue(&s, &v);
	CHECK_EQ("8000 posts and 8000 waits leave zero", 0, v);
	CHECK_EQ("sem_destroy", 0, sem_destroy(&s));

	sem_init(&t1, 0, 0);
	sem_init(&t2, 0, 0);
	t = spawn(ping, NULL);
	for (int i = 0; i < 5000; i++) {
		sem_post(&t1);
		EXPECT_EQ(0, sem_wait(&t2));
	}
	join(t);
	CHECK("5000 hops between two threads", 1);

	for (int i = 0; i < 300; i++) {
		sem_t *one = (sem_t *)malloc(sizeof *one);
		sem_init(one, 0, 0);
		t = spawn(posts_and_forgets, one);
		while ((rc = sem_wait(one)) == -1 && errno == EINTR)
			;
		EXPECT_EQ(0, sem_destroy(one));
		memset(one, 0xff, sizeof *one);
		join(t);
		free(one);
	}
	CHECK("POSIX: a waiter may destroy the semaphore right after it woke", 1);

	snprintf(name, sizeof name, "/grt-test-%d", (int)getpid());
	sem_t *named = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	CHECK("sem_open", named != SEM_FAILED);
	if (named != SEM_FAILED) {
		t = spawn(posts_and_forgets, named);
		CHECK_EQ("a named semaphore wakes a thread of the same process", 0, sem_wait(named));
		join(t);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			_exit(sem_post(named));
		CHECK_EQ("a named semaphore wakes another process", 0, sem_wait(named));
		EXPECT(exited_with(reap(pid), 0));
		EXPECT_EQ(0, sem_close(named));
		CHECK_EQ("sem_unlink", 0, sem_unlink(name));
	}
	return check_done();
}
