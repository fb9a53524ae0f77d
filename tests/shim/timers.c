/* timers.c - POSIX timers, alarm and interval timers in a program with threads. */
#include "check.h"

#include <sys/time.h>

static int hits, thread_hits;

static void on_alarm(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void on_timer_thread(union sigval v)
{
	/* runs on a thread that glibc made: locks and conds must work there */
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&m);
	free(malloc(100));
	flag_add(&thread_hits, v.sival_int);
	pthread_mutex_unlock(&m);
}

static void *burns(void *arg)
{
	while (!flag_get((int *)arg))
		;
	return NULL;
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *parks(void *arg)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return arg;
}

int main(void)
{
	struct sigaction sa;
	struct sigevent ev;
	struct itimerspec its = {{0, 10000000}, {0, 10000000}}, none = {{0, 0}, {0, 0}};
	struct itimerval cpu = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
	timer_t timer;
	pthread_t ts[4];
	int stop = 0;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_alarm;
	EXPECT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	EXPECT_EQ(0, sigaction(SIGPROF, &sa, NULL));
	pthread_mutex_lock(&held);
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(parks, NULL);

	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, NULL, &timer));
	EXPECT_EQ(0, timer_settime(timer, 0, &its, NULL));
	CHECK("timer_create with its default signal", flag_wait_bounded(&hits, 5));
	EXPECT_EQ(0, timer_delete(timer));

	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_THREAD;
	ev.sigev_notify_function = on_timer_thread;
	ev.sigev_value.sival_int = 2;
	EXPECT_EQ(0, timer_create(CLOCK_REALTIME, &ev, &timer));
	EXPECT_EQ(0, timer_settime(timer, 0, &its, NULL));
	CHECK("SIGEV_THREAD", flag_wait_bounded(&thread_hits, 10));
	EXPECT_EQ(0, timer_settime(timer, 0, &none, NULL));
	EXPECT_EQ(0, timer_delete(timer));

	hits = 0;
	alarm(1);
	CHECK("alarm interrupts sleep, which says what was left", sleep(10) >= 5);
	CHECK_EQ("the handler ran once", 1, flag_get(&hits));

	hits = 0;
	pthread_t burner = spawn(burns, &stop);
	EXPECT_EQ(0, setitimer(ITIMER_PROF, &cpu, NULL));
	CHECK("ITIMER_PROF counts a thread's processor time", flag_wait_bounded(&hits, 3));
	EXPECT_EQ(0, setitimer(ITIMER_PROF, &off, NULL));
	flag_set(&stop, 1);
	join(burner);

	/* clocks: a thread's own processor time */
	struct timespec before, after;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	sleep_ms(100);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	CHECK("CLOCK_THREAD_CPUTIME_ID does not count sleep",
	      (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 50);
	pthread_mutex_unlock(&held);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	return check_done();
}
