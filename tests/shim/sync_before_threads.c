/*
 * Objects that are used, held or in the middle of something before the first thread exists, and go on after it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHECK(x)                                                                                                       \
	do {                                                                                                               \
		if (!(x)) {                                                                                                    \
			printf("line %d: %s\n", __LINE__, #x);                                                                     \
			exit(1);                                                                                                   \
		}                                                                                                              \
	} while (0)

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
					   errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, robust;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read_twice = PTHREAD_RWLOCK_INITIALIZER,
						used = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier, one;
static sem_t sem;
static pthread_spinlock_t spin;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int inside, done;

static struct timespec soon(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += 2000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void never(void)
{
	CHECK(!"once has run twice");
}

static void *thread(void *arg)
{
	CHECK(pthread_mutex_trylock(&normal) == EBUSY);
	CHECK(pthread_mutex_trylock(&recursive) == EBUSY);
	CHECK(pthread_mutex_unlock(&recursive) == EPERM);
	CHECK(pthread_mutex_unlock(&errorcheck) == EPERM);
	CHECK(pthread_mutex_trylock(&robust) == EBUSY);
	CHECK(pthread_rwlock_tryrdlock(&written) == EBUSY);
	CHECK(pthread_rwlock_trywrlock(&read_twice) == EBUSY);
	CHECK(pthread_rwlock_tryrdlock(&read_twice) == 0 && pthread_rwlock_unlock(&read_twice) == 0);
	CHECK(pthread_rwlock_wrlock(&used) == 0 && pthread_rwlock_unlock(&used) == 0);
	CHECK(pthread_spin_trylock(&spin) == EBUSY);
	CHECK(pthread_barrier_wait(&one) == PTHREAD_BARRIER_SERIAL_THREAD);
	pthread_barrier_wait(&barrier);
	/* waits for everything that main holds */
	CHECK(pthread_once(&once, never) == 0 && inside == 2);
	CHECK(pthread_mutex_lock(&normal) == 0);
	CHECK(pthread_mutex_lock(&recursive) == 0);
	CHECK(pthread_mutex_lock(&errorcheck) == 0);
	CHECK(pthread_mutex_lock(&robust) == 0);
	CHECK(pthread_rwlock_rdlock(&written) == 0);
	CHECK(pthread_rwlock_wrlock(&read_twice) == 0);
	CHECK(pthread_spin_lock(&spin) == 0);
	CHECK(sem_wait(&sem) == 0 && sem_wait(&sem) == 0);
	done = 1;
	CHECK(pthread_cond_signal(&cond) == 0);
	CHECK(pthread_mutex_unlock(&normal) == 0);
	return arg;
}

static pthread_t t;

/* The first thread is made inside a once routine. */
static void routine(void)
{
	inside = 1;
	CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
	pthread_barrier_wait(&barrier);
	struct timespec ts = {0, 5000000};
	nanosleep(&ts, NULL);
	inside = 2;
}

static void before(void)
{
	pthread_mutexattr_t a;
	struct timespec ts;

	CHECK(pthread_mutexattr_init(&a) == 0 && pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutex_init(&robust, &a) == 0 && pthread_mutex_lock(&robust) == 0);
	CHECK(pthread_mutex_lock(&normal) == 0);
	for (int i = 0; i < 5; i++) { /* moves everything inside glibc's condition variable */
		ts = soon(CLOCK_REALTIME);
		CHECK(pthread_cond_timedwait(&cond, &normal, &ts) == ETIMEDOUT);
		CHECK(pthread_cond_broadcast(&cond) == 0);
		ts = soon(CLOCK_MONOTONIC);
		CHECK(pthread_cond_clockwait(&cond, &normal, CLOCK_MONOTONIC, &ts) == ETIMEDOUT);
	}
	CHECK(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0);
	CHECK(pthread_mutex_lock(&errorcheck) == 0 && pthread_mutex_lock(&errorcheck) == EDEADLK);
	CHECK(pthread_rwlock_wrlock(&written) == 0);
	CHECK(pthread_rwlock_rdlock(&read_twice) == 0 && pthread_rwlock_rdlock(&read_twice) == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(pthread_rwlock_wrlock(&used) == 0 && pthread_rwlock_unlock(&used) == 0);
		CHECK(pthread_rwlock_rdlock(&used) == 0 && pthread_rwlock_unlock(&used) == 0);
	}
	CHECK(pthread_rwlock_wrlock(&used) == 0 && pthread_rwlock_unlock(&used) == 0);
	CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0 && pthread_barrier_init(&one, NULL, 1) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_barrier_wait(&one) == PTHREAD_BARRIER_SERIAL_THREAD);
	CHECK(sem_init(&sem, 0, 1) == 0 && sem_wait(&sem) == 0);
	ts = soon(CLOCK_REALTIME);
	CHECK(sem_timedwait(&sem, &ts) == -1 && errno == ETIMEDOUT);
	CHECK(sem_post(&sem) == 0);
	CHECK(pthread_spin_init(&spin, 0) == 0 && pthread_spin_lock(&spin) == 0);
}

int main(void)
{
	before();
	CHECK(pthread_once(&once, routine) == 0);
	CHECK(pthread_mutex_destroy(&recursive) == EBUSY);
	CHECK(pthread_mutex_unlock(&recursive) == 0);
	CHECK(pthread_mutex_unlock(&recursive) == 0);
	CHECK(pthread_mutex_unlock(&errorcheck) == 0);
	CHECK(pthread_mutex_unlock(&robust) == 0);
	CHECK(pthread_rwlock_rdlock(&written) == EDEADLK);
	CHECK(pthread_rwlock_unlock(&written) == 0);
	CHECK(pthread_rwlock_unlock(&read_twice) == 0 && pthread_rwlock_unlock(&read_twice) == 0);
	CHECK(pthread_spin_unlock(&spin) == 0);
	CHECK(sem_post(&sem) == 0);
	while (!done)
		CHECK(pthread_cond_wait(&cond, &normal) == 0);
	CHECK(pthread_mutex_unlock(&normal) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(pthread_barrier_destroy(&barrier) == 0 && pthread_barrier_destroy(&one) == 0);
	CHECK(pthread_cond_destroy(&cond) == 0 && sem_destroy(&sem) == 0);
	CHECK(pthread_mutex_destroy(&normal) == 0);
	puts("ok");
	return 0;
}
