/* mutex_shared.c - what is glibc's own: process-shared, robust and priority-inheriting mutexes.
 *
 * They are used together with private ones, by threads and over fork. */
#include "check.h"

#include <semaphore.h>
#include <sys/mman.h>

struct shared {
	pthread_mutex_t m, robust;
	pthread_cond_t c;
	pthread_barrier_t b;
	pthread_rwlock_t rw;
	sem_t s;
	int turn, count;
};

static struct shared *sh;
static pthread_mutex_t robust, pi, prot;

static void *dies_holding(void *arg)
{
	EXPECT_EQ(0, pthread_mutex_lock((pthread_mutex_t *)arg));
	return NULL;
}

static int entered;

static void *waits_for_owner(void *arg)
{
	flag_set(&entered, 1);
	return (void *)(long)pthread_mutex_lock((pthread_mutex_t *)arg);
}

static void *dies_late(void *arg)
{
	EXPECT_EQ(0, pthread_mutex_lock((pthread_mutex_t *)arg));
	flag_set(&entered, 1);
	sleep_ms(60);
	return NULL;
}

static long counter;

static void *counts(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		EXPECT_EQ(0, pthread_mutex_lock((pthread_mutex_t *)arg));
		long c = counter;
		if (i % 50 == 0)
			sched_yield();
		counter = c + 1;
		EXPECT_EQ(0, pthread_mutex_unlock((pthread_mutex_t *)arg));
	}
	return NULL;
}

static void robust_threads(void)
{
	pthread_mutexattr_t a;
	pthread_t t, d;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	EXPECT_EQ(0, pthread_mutex_init(&robust, &a));
	join(spawn(dies_holding, &robust));
	CHECK_EQ("EOWNERDEAD: the owner of a robust mutex has ended", EOWNERDEAD, pthread_mutex_lock(&robust));
	CHECK_EQ("pthread_mutex_consistent", 0, pthread_mutex_consistent(&robust));
	CHECK_EQ("unlock", 0, pthread_mutex_unlock(&robust));
	CHECK_EQ("usable again", 0, pthread_mutex_lock(&robust));
	CHECK_EQ("EINVAL: consistent of a consistent one", EINVAL, pthread_mutex_consistent(&robust));
	pthread_mutex_unlock(&robust);

	entered = 0;
	d = spawn(dies_late, &robust);
	flag_wait(&entered, 1);
	t = spawn(waits_for_owner, &robust);
	CHECK_EQ("EOWNERDEAD: one that waits when the owner ends", EOWNERDEAD, (long)join(t));
	join(d);
	CHECK_EQ("EOWNERDEAD again: that one ended too", EOWNERDEAD, pthread_mutex_lock(&robust));
	pthread_mutex_unlock(&robust);
	CHECK_EQ("ENOTRECOVERABLE: unlocked without consistent", ENOTRECOVERABLE, pthread_mutex_lock(&robust));
	CHECK_EQ("destroy", 0, pthread_mutex_destroy(&robust));
	pthread_mutexattr_destroy(&a);
}

static void protocols(void)
{
	pthread_mutexattr_t a;
	pthread_t ts[8];

	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	EXPECT_EQ(0, pthread_mutex_init(&pi, &a));
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(counts, &pi);
	for (int i = 0; i < 8; i++)
		join(ts[i]);
	CHECK_EQ("a priority-inheriting mutex excludes 8 threads", 16000, counter);
	EXPECT_EQ(0, pthread_mutex_lock(&pi));
	CHECK_EQ("EDEADLK: errorcheck and priority-inheriting", EDEADLK, pthread_mutex_lock(&pi));
	EXPECT_EQ(0, pthread_mutex_unlock(&pi));
	CHECK_EQ("EPERM: unlock of a free one", EPERM, pthread_mutex_unlock(&pi));
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_NONE);
	EXPECT_EQ(0, pthread_mutex_init(&prot, &a));
	counter = 0;
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(counts, &prot);
	for (int i = 0; i < 8; i++)
		join(ts[i]);
	CHECK_EQ("a process-shared mutex excludes 8 threads", 16000, counter);
	pthread_mutexattr_destroy(&a);
}

static void *child_thread(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&sh->m);
		while (sh->turn != 1)
			pthread_cond_wait(&sh->c, &sh->m);
		sh->count++;
		sh->turn = 0;
		pthread_cond_broadcast(&sh->c);
		pthread_mutex_unlock(&sh->m);
	}
	pthread_rwlock_rdlock(&sh->rw);
	pthread_rwlock_unlock(&sh->rw);
	sem_post(&sh->s);
	pthread_barrier_wait(&sh->b);
	return NULL;
}

static void *parent_thread(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&sh->m);
		while (sh->turn != 0)
			pthread_cond_wait(&sh->c, &sh->m);
		sh->count++;
		sh->turn = 1;
		pthread_cond_broadcast(&sh->c);
		pthread_mutex_unlock(&sh->m);
	}
	EXPECT_EQ(0, sem_wait(&sh->s));
	pthread_rwlock_wrlock(&sh->rw);
	pthread_rwlock_unlock(&sh->rw);
	pthread_barrier_wait(&sh->b);
	return NULL;
}

static void between_processes(void)
{
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	pthread_barrierattr_t ba;
	pthread_rwlockattr_t ra;
	pid_t pid;

	sh = (struct shared *)mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_mutex_init(&sh->m, &ma));
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	EXPECT_EQ(0, pthread_mutex_init(&sh->robust, &ma));
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_cond_init(&sh->c, &ca));
	pthread_barrierattr_init(&ba);
	pthread_barrierattr_setpshared(&ba, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_barrier_init(&sh->b, &ba, 2));
	pthread_rwlockattr_init(&ra);
	pthread_rwlockattr_setpshared(&ra, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_rwlock_init(&sh->rw, &ra));
	EXPECT_EQ(0, sem_init(&sh->s, 1, 0));

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		join(spawn(child_thread, NULL));
		_exit(pthread_mutex_lock(&sh->robust) == 0 ? 3 : 4);
	}
	join(spawn(parent_thread, NULL));
	CHECK("the child ends holding a robust mutex", exited_with(reap(pid), 3));
	CHECK_EQ("two processes take turns by shared mutex and cond", 400, sh->count);
	CHECK_EQ("EOWNERDEAD: the owner's process has ended", EOWNERDEAD, pthread_mutex_lock(&sh->robust));
	EXPECT_EQ(0, pthread_mutex_consistent(&sh->robust));
	EXPECT_EQ(0, pthread_mutex_unlock(&sh->robust));
}

int main(void)
{
	robust_threads();
	protocols();
	between_processes();
	return check_done();
}
