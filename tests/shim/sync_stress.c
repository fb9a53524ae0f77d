/*
 * Synchronisation objects under load, with the rare paths: time-outs that race with wakes, objects that are destroyed or reused
 * the moment they are free, mixes of private and process-shared objects. Every count is exact, so that a lost or doubled
 * wake-up shows as a hang or as a wrong number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 8 };
static int rounds = 2000;

#define MUST(x)                                                                                                        \
	do {                                                                                                               \
		int must_r = (x);                                                                                              \
		if (must_r != 0) {                                                                                             \
			printf("%s:%d: %s: %d\n", __func__, __LINE__, #x, must_r);                                                 \
			exit(1);                                                                                                   \
		}                                                                                                              \
	} while (0)
#define CHECK(x) MUST(!(x))

static void run(const char *name, void *(*fn)(void *))
{
	pthread_t t[THREADS];
	for (long i = 0; i < THREADS; i++)
		MUST(pthread_create(&t[i], NULL, fn, (void *)i));
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_join(t[i], NULL));
	if (name)
		printf("%s\n", name);
	fflush(stdout);
}

static struct timespec after(clockid_t clock, long ns)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += ns;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* ---- mutexes of all types, with time limits ---- */
static pthread_mutex_t mutexes[4] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
                                     PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP, PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};
static long counts[4];

static void *mutex_thread(void *arg)
{
	unsigned seed = (unsigned)(long)arg;
	for (int i = 0; i < rounds * 4; i++) {
		int k = i & 3, how = rand_r(&seed) % 4;
		int r = EBUSY;
		while (r == EBUSY || r == ETIMEDOUT) {
			if (how == 0)
				r = pthread_mutex_trylock(&mutexes[k]);
			else if (how == 1) {
				struct timespec t = after(CLOCK_REALTIME, 20000);
				r = pthread_mutex_timedlock(&mutexes[k], &t);
			} else if (how == 2) {
				struct timespec t = after(CLOCK_MONOTONIC, 20000);
				r = pthread_mutex_clocklock(&mutexes[k], CLOCK_MONOTONIC, &t);
			} else
				r = pthread_mutex_lock(&mutexes[k]);
			if (how == 0)
				sched_yield();
		}
		MUST(r);
		counts[k]++;
		if (k == 1) {
			MUST(pthread_mutex_lock(&mutexes[1]));
			MUST(pthread_mutex_unlock(&mutexes[1]));
		}
		if (k == 2)
			CHECK(pthread_mutex_lock(&mutexes[2]) == EDEADLK);
		MUST(pthread_mutex_unlock(&mutexes[k]));
	}
	return NULL;
}

/* ---- read-write locks of the three kinds, with time limits ---- */
static pthread_rwlock_t rwlocks[3];
static long rw_value[3][2];
static atomic_int rw_inside[3];

static int rw_lock(pthread_rwlock_t *l, int how, int write)
{
	struct timespec t;
	switch (how) {
	case 0:
		return write ? pthread_rwlock_trywrlock(l) : pthread_rwlock_tryrdlock(l);
	case 1:
		t = after(CLOCK_REALTIME, 15000);
		return write ? pthread_rwlock_timedwrlock(l, &t) : pthread_rwlock_timedrdlock(l, &t);
	case 2:
		t = after(CLOCK_MONOTONIC, 15000);
		return write ? pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &t)
		             : pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &t);
	default:
		return write ? pthread_rwlock_wrlock(l) : pthread_rwlock_rdlock(l);
	}
}

static void *rwlock_thread(void *arg)
{
	unsigned seed = (unsigned)(long)arg + 77;
	for (int i = 0; i < rounds * 3; i++) {
		int k = i % 3, write = rand_r(&seed) % 4 == 0, how = rand_r(&seed) % 6;
		int r = rw_lock(&rwlocks[k], how, write);
		if (r == EBUSY || r == ETIMEDOUT)
			continue;
		MUST(r);
		if (write) {
			CHECK(atomic_fetch_add(&rw_inside[k], 1000) == 0);
			rw_value[k][0]++;
			if (i % 16 == 0)
				sched_yield();
			rw_value[k][1]++;
			CHECK(pthread_rwlock_rdlock(&rwlocks[k]) == EDEADLK);
			atomic_fetch_sub(&rw_inside[k], 1000);
		} else {
			CHECK(atomic_fetch_add(&rw_inside[k], 1) < 1000);
			CHECK(rw_value[k][0] == rw_value[k][1]);
			if (i % 16 == 0)
				sched_yield();
			atomic_fetch_sub(&rw_inside[k], 1);
		}
		MUST(pthread_rwlock_unlock(&rwlocks[k]));
	}
	return NULL;
}

/* ---- a bounded queue: conditions with time limits, several mutex kinds ---- */
static struct queue {
	pthread_mutex_t m;
	pthread_cond_t more, less;
	int n;
	long in, out;
} queues[4];

static void queue_init(struct queue *q, int type, int mutex_shared, int cond_shared, int robust)
{
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	MUST(pthread_mutexattr_init(&ma));
	MUST(pthread_mutexattr_settype(&ma, type));
	if (mutex_shared)
		MUST(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED));
	if (robust)
		MUST(pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST));
	MUST(pthread_mutex_init(&q->m, &ma));
	MUST(pthread_condattr_init(&ca));
	MUST(pthread_condattr_setclock(&ca, CLOCK_MONOTONIC));
	if (cond_shared)
		MUST(pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED));
	MUST(pthread_cond_init(&q->more, &ca));
	MUST(pthread_cond_init(&q->less, &ca));
}

static void queue_wait(struct queue *q, pthread_cond_t *c, int i)
{
	int r;
	if (i % 3 == 0) {
		struct timespec t = after(CLOCK_MONOTONIC, 30000);
		r = pthread_cond_timedwait(c, &q->m, &t);
	} else if (i % 3 == 1) {
		struct timespec t = after(CLOCK_REALTIME, 30000);
		r = pthread_cond_clockwait(c, &q->m, CLOCK_REALTIME, &t);
	} else {
		r = pthread_cond_wait(c, &q->m);
	}
	CHECK(r == 0 || r == ETIMEDOUT);
}

static void *queue_thread(void *arg)
{
	long me = (long)arg;
	struct queue *q = &queues[me & 3];
	int put = me >> 2 & 1;
	for (int i = 0; i < rounds; i++) {
		MUST(pthread_mutex_lock(&q->m));
		if (put) {
			for (int j = 0; q->n == 2; j++)
				queue_wait(q, &q->less, i + j);
			q->n++;
			q->in++;
			MUST(i & 1 ? pthread_cond_signal(&q->more) : pthread_cond_broadcast(&q->more));
			MUST(pthread_mutex_unlock(&q->m));
		} else {
			for (int j = 0; q->n == 0; j++)
				queue_wait(q, &q->more, i + j);
			q->n--;
			q->out++;
			MUST(pthread_mutex_unlock(&q->m));
			MUST(i & 1 ? pthread_cond_broadcast(&q->less) : pthread_cond_signal(&q->less));
		}
	}
	return NULL;
}

/* ---- a ring handed round by plain waits: a lost wake-up hangs ---- */
static pthread_mutex_t ring_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ring_cond[THREADS];
static int turn;

static void *ring_thread(void *arg)
{
	long me = (long)arg;
	for (int i = 0; i < rounds; i++) {
		MUST(pthread_mutex_lock(&ring_mutex));
		while (turn != me)
			MUST(pthread_cond_wait(&ring_cond[me], &ring_mutex));
		turn = (turn + 1) % THREADS;
		MUST(pthread_cond_signal(&ring_cond[turn]));
		MUST(pthread_mutex_unlock(&ring_mutex));
	}
	return NULL;
}

/* ---- the last to leave destroys and reuses the memory ---- */
static pthread_barrier_t start;
static struct shared_object {
	pthread_barrier_t b;
	sem_t s;
	pthread_mutex_t m;
	pthread_cond_t c;
	int woken;
} *volatile object;

static void *destroy_thread(void *arg)
{
	for (int i = 0; i < rounds / 10; i++) {
		struct shared_object *o = object;
		int r = pthread_barrier_wait(&start);
		if (r == PTHREAD_BARRIER_SERIAL_THREAD) {
			o = malloc(sizeof *o);
			MUST(pthread_barrier_init(&o->b, NULL, THREADS));
			MUST(sem_init(&o->s, 0, 0));
			MUST(pthread_mutex_init(&o->m, NULL));
			MUST(pthread_cond_init(&o->c, NULL));
			o->woken = 0;
			object = o;
		} else
			CHECK(r == 0);
		pthread_barrier_wait(&start);
		o = object;
		/* all but one wait on the condition; who is woken last frees everything */
		MUST(pthread_mutex_lock(&o->m));
		if (++o->woken == THREADS)
			MUST(pthread_cond_broadcast(&o->c));
		while (o->woken < THREADS)
			MUST(pthread_cond_wait(&o->c, &o->m));
		int last = ++o->woken == 2 * THREADS;
		if (last)
			MUST(pthread_cond_destroy(&o->c));
		MUST(pthread_mutex_unlock(&o->m));
		r = pthread_barrier_wait(&o->b);
		if (r == PTHREAD_BARRIER_SERIAL_THREAD) {
			MUST(pthread_barrier_destroy(&o->b));
			memset(&o->b, 0xa5, sizeof o->b);
			for (int j = 0; j < THREADS - 1; j++)
				MUST(sem_wait(&o->s));
			memset(o, 0xa5, sizeof *o);
			free(o);
		} else {
			MUST(sem_post(&o->s)); /* it may be gone before post returns */
		}
		pthread_barrier_wait(&start);
	}
	return NULL;
}

/* ---- semaphores ---- */
static sem_t sem_full, sem_empty;
static atomic_long sem_sum;

static void *sem_thread(void *arg)
{
	long me = (long)arg;
	for (int i = 0; i < rounds; i++) {
		sem_t *from = me & 1 ? &sem_full : &sem_empty, *to = me & 1 ? &sem_empty : &sem_full;
		int r;
		do {
			struct timespec t = after(CLOCK_REALTIME, 10000);
			r = i % 4 == 0 ? sem_timedwait(from, &t) : i % 4 == 1 ? sem_trywait(from) : sem_wait(from);
			CHECK(r == 0 || errno == ETIMEDOUT || errno == EAGAIN);
			if (r != 0 && errno == EAGAIN)
				sched_yield();
		} while (r != 0);
		atomic_fetch_add(&sem_sum, me & 1 ? -1 : 1);
		MUST(sem_post(to));
	}
	return NULL;
}

/* ---- once, left by pthread_exit ---- */
static pthread_once_t *onces;
static atomic_int once_runs, once_exits;

static void once_routine(void)
{
	if (atomic_fetch_add(&once_runs, 1) % 3 == 1) {
		atomic_fetch_add(&once_exits, 1);
		pthread_exit(NULL);
	}
	sched_yield();
}

static void *once_thread(void *arg)
{
	for (int i = 0; i < rounds / 10; i++)
		MUST(pthread_once(&onces[i], once_routine));
	return arg;
}

static void test_once(void)
{
	pthread_t t;
	onces = calloc((size_t)rounds / 10, sizeof *onces);
	for (;;) {
		int before = once_exits;
		run(NULL, once_thread);
		if (once_exits - before < THREADS)
			break;
	}
	MUST(pthread_create(&t, NULL, once_thread, NULL));
	MUST(pthread_join(t, NULL));
	CHECK(once_runs - once_exits == rounds / 10);
	printf("once\n");
}

/* ---- spin ---- */
static pthread_spinlock_t spin;
static long spin_count;

static void *spin_thread(void *arg)
{
	for (int i = 0; i < rounds * 5; i++) {
		MUST(pthread_spin_lock(&spin));
		spin_count++;
		MUST(pthread_spin_unlock(&spin));
	}
	return arg;
}

static void init(void)
{
	static const int kinds[] = {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP,
	                            PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP};
	for (int k = 0; k < 3; k++) {
		pthread_rwlockattr_t a;
		MUST(pthread_rwlockattr_init(&a));
		MUST(pthread_rwlockattr_setkind_np(&a, kinds[k]));
		MUST(pthread_rwlock_init(&rwlocks[k], &a));
	}
	queue_init(&queues[0], PTHREAD_MUTEX_NORMAL, 0, 0, 0);
	queue_init(&queues[1], PTHREAD_MUTEX_RECURSIVE, 0, 1, 0);  /* shared variable, private mutex */
	queue_init(&queues[2], PTHREAD_MUTEX_ERRORCHECK, 1, 0, 1); /* private variable, shared robust mutex */
	queue_init(&queues[3], PTHREAD_MUTEX_NORMAL, 1, 1, 0);
	for (int i = 0; i < THREADS; i++)
		MUST(pthread_cond_init(&ring_cond[i], NULL));
	MUST(pthread_barrier_init(&start, NULL, THREADS));
	MUST(sem_init(&sem_full, 0, 0));
	MUST(sem_init(&sem_empty, 0, 3));
	MUST(pthread_spin_init(&spin, 0));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	init();
	run("mutex", mutex_thread);
	for (int k = 0; k < 4; k++) {
		CHECK(counts[k] == (long)rounds * THREADS);
		MUST(pthread_mutex_destroy(&mutexes[k]));
	}
	run("rwlock", rwlock_thread);
	for (int k = 0; k < 3; k++) {
		CHECK(rw_value[k][0] == rw_value[k][1] && rw_inside[k] == 0);
		MUST(pthread_rwlock_trywrlock(&rwlocks[k]));
	}
	run("queue", queue_thread);
	for (int k = 0; k < 4; k++)
		CHECK(queues[k].n == 0 && queues[k].in == queues[k].out);
	run("ring", ring_thread);
	run("destroy", destroy_thread);
	run("sem", sem_thread);
	CHECK(sem_sum == 0);
	run("spin", spin_thread);
	CHECK(spin_count == (long)rounds * 5 * THREADS);
	test_once();
	return 0;
}
