/* robust_kill.c - a process is killed while it holds process-shared locks, with threads of this one waiting for them. */
#include "check.h"

#include <semaphore.h>
#include <stdbool.h>
#include <sys/mman.h>

struct shared {
	pthread_mutex_t robust, robust_pi, pi, plain;
	pthread_rwlock_t rw;
	sem_t held, sem;
};

static struct shared *sh;
static int entered;

static void *holds(void *arg)
{
	EXPECT_EQ(0, pthread_mutex_lock(&sh->robust));
	EXPECT_EQ(0, pthread_mutex_lock(&sh->robust_pi));
	EXPECT_EQ(0, pthread_mutex_lock(&sh->pi));
	EXPECT_EQ(0, pthread_mutex_lock(&sh->plain));
	EXPECT_EQ(0, pthread_rwlock_wrlock(&sh->rw));
	EXPECT_EQ(0, sem_wait(&sh->sem));
	sem_post(&sh->held);
	for (;;)
		pause();
	return arg;
}

static void *locks(void *arg)
{
	flag_add(&entered, 1);
	return (void *)(long)pthread_mutex_lock((pthread_mutex_t *)arg);
}

static int try_for(pthread_mutex_t *m, long ms)
{
	struct timespec end = in_ms(CLOCK_REALTIME, ms);
	return pthread_mutex_timedlock(m, &end);
}

static void make(void)
{
	pthread_mutexattr_t a;
	pthread_rwlockattr_t ra;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_mutex_init(&sh->plain, &a));
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	EXPECT_EQ(0, pthread_mutex_init(&sh->pi, &a));
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	EXPECT_EQ(0, pthread_mutex_init(&sh->robust_pi, &a));
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_NONE);
	EXPECT_EQ(0, pthread_mutex_init(&sh->robust, &a));
	pthread_rwlockattr_init(&ra);
	pthread_rwlockattr_setpshared(&ra, PTHREAD_PROCESS_SHARED);
	EXPECT_EQ(0, pthread_rwlock_init(&sh->rw, &ra));
	EXPECT_EQ(0, sem_init(&sh->held, 1, 0));
	EXPECT_EQ(0, sem_init(&sh->sem, 1, 1));
}

static void killed(bool by_thread)
{
	make();
	pid_t pid = fork();
	if (pid == 0) {
		if (by_thread)
			join(spawn(holds, NULL));
		holds(NULL);
	}
	while (sem_wait(&sh->held) != 0)
		;
	entered = 0;
	pthread_t a = spawn(locks, &sh->robust), b = spawn(locks, &sh->robust_pi);
	flag_wait(&entered, 2);
	sleep_ms(10);
	if (pid > 1)
		kill(pid, SIGKILL);
	CHECK("the owner's process is killed", killed_by(reap(pid), SIGKILL));
	CHECK_EQ("EOWNERDEAD: a thread that waited for a robust mutex", EOWNERDEAD, (long)join(a));
	CHECK_EQ("EOWNERDEAD: for a robust priority-inheriting one", EOWNERDEAD, (long)join(b));
	CHECK_EQ("EOWNERDEAD: again, as those threads ended too", EOWNERDEAD, try_for(&sh->robust, 5000));
	CHECK_EQ("unlocked without consistent", 0, pthread_mutex_unlock(&sh->robust));
	CHECK_EQ("ENOTRECOVERABLE", ENOTRECOVERABLE, try_for(&sh->robust, 5000));
	CHECK_EQ("ETIMEDOUT: a priority-inheriting one", ETIMEDOUT, try_for(&sh->pi, 50));
	CHECK_EQ("ETIMEDOUT: a plain one", ETIMEDOUT, try_for(&sh->plain, 50));
	CHECK_EQ("EBUSY: a lock for writing", EBUSY, pthread_rwlock_tryrdlock(&sh->rw));
	CHECK("EAGAIN: a semaphore", sem_trywait(&sh->sem) == -1 && errno == EAGAIN);
}

int main(void)
{
	sh = (struct shared *)mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	killed(false);
	killed(true);
	return check_done();
}
