/*
 * PROCS: 1 2
 * Timed waits on CLOCK_REALTIME follow somebody who sets the clock, forwards and backwards; relative ones and CLOCK_MONOTONIC do not.
 * It sets the clock of the machine by 0.4 s and back, so only where CI is set in the environment, and with the right to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MS = 1000000, JUMP = 400 * MS, WAIT = 600 * MS, SLACK = 150 * MS };

static struct timespec in(clockid_t clock, long ns)
{
	struct timespec t;
	clock_gettime(clock, &t);
	ns += t.tv_nsec;
	t.tv_sec += ns / 1000000000 - (ns < 0);
	t.tv_nsec = ns % 1000000000 + (ns < 0) * 1000000000l;
	return t;
}

static long ms_since(const struct timespec *a)
{
	struct timespec b;
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a->tv_sec) * 1000 + (b.tv_nsec - a->tv_nsec) / MS;
}

static sem_t never;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;

enum kind { SEM, COND, MUTEX, RWLOCK, SLEEP_UNTIL, SLEEP, COND_MONOTONIC, KINDS };
static const char *const name[] = {"semaphore",      "condition",          "mutex", "rwlock", "sleep until",
                                   "relative sleep", "monotonic condition"};
static long took[KINDS]; /* ms */

static void *waits(void *arg)
{
	enum kind kind = (enum kind)(long)arg;
	struct timespec start, at = in(CLOCK_REALTIME, WAIT), rel = {0, WAIT};
	clock_gettime(CLOCK_MONOTONIC, &start);
	switch (kind) {
	case SEM:
		sem_timedwait(&never, &at);
		break;
	case COND:
		pthread_mutex_lock(&m);
		pthread_cond_timedwait(&c, &m, &at);
		pthread_mutex_unlock(&m);
		break;
	case MUTEX:
		pthread_mutex_timedlock(&held, &at);
		break;
	case RWLOCK:
		pthread_rwlock_timedrdlock(&rw, &at);
		break;
	case SLEEP_UNTIL:
		clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
		break;
	case SLEEP:
		nanosleep(&rel, NULL);
		break;
	default:
		at = in(CLOCK_MONOTONIC, WAIT);
		pthread_mutex_lock(&m);
		pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &at);
		pthread_mutex_unlock(&m);
	}
	took[kind] = ms_since(&start);
	return NULL;
}

static int set_by(long ns)
{
	struct timespec t = in(CLOCK_REALTIME, ns);
	return clock_settime(CLOCK_REALTIME, &t);
}

static int check(long jump)
{
	pthread_t t[KINDS];
	int wrong = 0;
	for (long i = 0; i < KINDS; i++)
		pthread_create(&t[i], NULL, waits, (void *)i);
	nanosleep(&(struct timespec){0, 50 * MS}, NULL);
	set_by(jump);
	for (int i = 0; i < KINDS; i++)
		pthread_join(t[i], NULL);
	set_by(-jump);
	for (int i = 0; i < KINDS; i++) {
		long want = (WAIT - (i < SLEEP ? jump : 0)) / MS;
		if (took[i] < want - 2 || took[i] > want + SLACK / MS) {
			printf("%s: %ld ms, not %ld, with the clock set by %ld ms\n", name[i], took[i], want, jump / MS);
			wrong = 1;
		}
	}
	return wrong;
}

int main(void)
{
	if (!getenv("CI")) {
		printf("SKIP it sets the machine's clock: only where CI is set\n");
		return 77;
	}
	if (set_by(0) != 0) {
		printf("SKIP the clock may not be set here\n");
		return 77;
	}
	sem_init(&never, 0, 0);
	pthread_mutex_lock(&held);
	pthread_rwlock_wrlock(&rw);
	int wrong = check(JUMP) + check(-JUMP);
	printf("%s\n", wrong ? "FAIL" : "ok");
	return wrong;
}
