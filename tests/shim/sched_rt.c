/*
 * Real-time scheduling: with every thread on one CPU, priorities alone say who runs.
 * TIMEOUT: 60
 */
#include "check.h"
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { LOW = 10, MIDDLE = 20, HIGH = 30, MAIN = 40 };

static char order[64];
static int norder, flag, hogs_end;
static sem_t sem;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void note(char c)
{
	order[__atomic_fetch_add(&norder, 1, __ATOMIC_SEQ_CST)] = c;
}

static const char *noted(void)
{
	order[norder] = 0;
	norder = 0;
	return order;
}

static int make(pthread_t *t, int policy, int prio, void *(*fn)(void *), const void *arg)
{
	pthread_attr_t attr;
	struct sched_param param = {.sched_priority = prio};
	pthread_attr_init(&attr);
	EXPECT_EQ(0, pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
	EXPECT_EQ(0, pthread_attr_setschedpolicy(&attr, policy));
	int r = pthread_attr_setschedparam(&attr, &param);
	if (r == 0)
		r = pthread_create(t, &attr, fn, (void *)arg);
	pthread_attr_destroy(&attr);
	return r;
}

static void make_three(pthread_t t[3], void *(*fn)(void *))
{
	EXPECT_EQ(0, make(&t[0], SCHED_FIFO, LOW, fn, "l"));
	EXPECT_EQ(0, make(&t[1], SCHED_FIFO, HIGH, fn, "h"));
	EXPECT_EQ(0, make(&t[2], SCHED_FIFO, MIDDLE, fn, "m"));
}

static void join_three(pthread_t t[3])
{
	for (int i = 0; i < 3; i++)
		join(t[i]);
}

static void *noter(void *c)
{
	note(*(char *)c);
	return NULL;
}

static void run_order(void)
{
	pthread_t t[3];
	make_three(t, noter);
	CHECK("SCHED_FIFO: nobody of a lower priority runs while one of a higher does", norder == 0);
	join_three(t);
	CHECK("SCHED_FIFO: runnable threads run in the order of their priorities", strcmp(noted(), "hml") == 0);
}

static void *set_flag(void *arg)
{
	flag_set(&flag, 1);
	return arg;
}

/* Computes until the flag is set, 0.3 s at most. */
static void *compute(void *arg)
{
	double end = now_s() + 0.3;
	while (!flag_get(&flag) && now_s() < end)
		;
	return flag_get(&flag) ? arg : NULL;
}

static void preemption(void)
{
	pthread_t low, high;
	flag_set(&flag, 0);
	EXPECT_EQ(0, make(&low, SCHED_FIFO, LOW, compute, &flag));
	sleep_ms(5); /* it computes */
	EXPECT_EQ(0, make(&high, SCHED_FIFO, HIGH, set_flag, NULL));
	CHECK("SCHED_FIFO: a thread of a higher priority interrupts one that computes", join(low) != NULL);
	join(high);
}

static void *hog(void *arg)
{
	while (!flag_get(&hogs_end))
		;
	return arg;
}

static void *sleeper(void *arg)
{
	double start = now_s();
	for (int i = 0; i < 20; i++)
		sleep_ms(1);
	(void)arg;
	return (void *)(intptr_t)(now_s() - start < 0.3);
}

static void beside_others(void)
{
	pthread_t hogs[4], fifo;
	hogs_end = 0;
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, make(&hogs[i], SCHED_OTHER, 0, hog, NULL));
	EXPECT_EQ(0, make(&fifo, SCHED_FIFO, HIGH, sleeper, NULL));
	CHECK("SCHED_FIFO: wakes up in time beside threads of SCHED_OTHER that compute", join(fifo) != NULL);
	flag_set(&hogs_end, 1);
	for (int i = 0; i < 4; i++)
		join(hogs[i]);
}

static void *wait_sem(void *c)
{
	EXPECT_EQ(0, sem_wait(&sem));
	note(*(char *)c);
	return NULL;
}

static void *wait_mutex(void *c)
{
	EXPECT_EQ(0, pthread_mutex_lock(&mutex));
	note(*(char *)c);
	EXPECT_EQ(0, pthread_mutex_unlock(&mutex));
	return NULL;
}

static void *wait_cond(void *c)
{
	EXPECT_EQ(0, pthread_mutex_lock(&mutex));
	EXPECT_EQ(0, pthread_cond_wait(&cond, &mutex));
	note(*(char *)c);
	EXPECT_EQ(0, pthread_mutex_unlock(&mutex));
	return NULL;
}

static void waiters(void)
{
	pthread_t t[3];
	sem_init(&sem, 0, 0);
	make_three(t, wait_sem);
	sleep_ms(5); /* all wait: nobody else may run on this CPU */
	for (int i = 0; i < 3; i++) {
		sem_post(&sem);
		sleep_ms(2);
	}
	join_three(t);
	CHECK("sem_post: the waiter of the highest priority is unblocked", strcmp(noted(), "hml") == 0);

	pthread_mutex_lock(&mutex);
	make_three(t, wait_mutex);
	sleep_ms(5);
	pthread_mutex_unlock(&mutex);
	join_three(t);
	CHECK("pthread_mutex_unlock: the scheduling policy says who acquires it", strcmp(noted(), "hml") == 0);

	make_three(t, wait_cond);
	sleep_ms(5);
	for (int i = 0; i < 3; i++) {
		pthread_cond_signal(&cond);
		sleep_ms(2);
	}
	join_three(t);
	CHECK("pthread_cond_signal: the scheduling policy says who is unblocked", strcmp(noted(), "hml") == 0);
}

static void *yielder(void *c)
{
	for (int i = 0; i < 4; i++) {
		note(*(char *)c);
		sched_yield();
	}
	return NULL;
}

static void *report(void *out)
{
	struct sched_param p;
	((int *)out)[0] = sched_getscheduler(0);
	sched_getparam(0, &p);
	((int *)out)[1] = p.sched_priority;
	return NULL;
}

static int alternating(const char *s)
{
	for (int i = 1; i < 8; i++)
		if (s[i] == s[i - 1])
			return 0;
	return strlen(s) == 8;
}

static void yields_and_inherits(void)
{
	pthread_t a, b;
	int got[2];
	struct sched_param p = {.sched_priority = MAIN};
	EXPECT_EQ(0, make(&a, SCHED_FIFO, LOW, yielder, "a"));
	EXPECT_EQ(0, make(&b, SCHED_FIFO, LOW, yielder, "b"));
	join(a);
	join(b);
	CHECK("sched_yield: goes to the tail of the list of its priority", alternating(noted()));

	join(spawn(report, got));
	CHECK("pthread_create: policy and priority are inherited", got[0] == SCHED_FIFO && got[1] == MAIN);
	EXPECT_EQ(0, make(&a, SCHED_RR, MIDDLE, report, got));
	join(a);
	CHECK("pthread_create: or as the attributes say", got[0] == SCHED_RR && got[1] == MIDDLE);
	EXPECT_EQ(0, sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p));
	join(spawn(report, got));
	CHECK("SCHED_RESET_ON_FORK: not inherited", got[0] == SCHED_OTHER && got[1] == 0);
	EXPECT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &p));
}

static void *wait_report(void *out)
{
	EXPECT_EQ(0, sem_wait(&sem));
	return report(out);
}

static void changes(void)
{
	pthread_t t;
	int got[2], policy;
	struct timespec interval = {0, 0};
	struct sched_param p = {.sched_priority = HIGH};
	EXPECT_EQ(0, make(&t, SCHED_OTHER, 0, wait_report, got));
	sleep_ms(5);
	CHECK_EQ("pthread_setschedparam of a thread that waits", 0, pthread_setschedparam(t, SCHED_RR, &p));
	CHECK("pthread_getschedparam tells it",
	      pthread_getschedparam(t, &policy, &p) == 0 && policy == SCHED_RR && p.sched_priority == HIGH);
	CHECK_EQ("pthread_setschedprio", 0, pthread_setschedprio(t, LOW));
	CHECK("pthread_getschedparam tells it too",
	      pthread_getschedparam(t, &policy, &p) == 0 && policy == SCHED_RR && p.sched_priority == LOW);
	p.sched_priority = 0;
	CHECK_EQ("pthread_setschedparam: EINVAL for a priority that the policy has not", EINVAL,
	         pthread_setschedparam(t, SCHED_FIFO, &p));
	CHECK_EQ("pthread_setschedparam: EINVAL for no policy", EINVAL, pthread_setschedparam(t, 77, &p));
	CHECK_EQ("pthread_setschedprio: EINVAL", EINVAL, pthread_setschedprio(t, 1000));
	sem_post(&sem);
	join(t);
	CHECK("the thread sees it", got[0] == SCHED_RR && got[1] == LOW);
	CHECK("sched_rr_get_interval", sched_rr_get_interval(0, &interval) == 0);
	CHECK("pthread_create: EINVAL for a priority that the policy has not",
	      make(&t, SCHED_FIFO, 0, noter, "") == EINVAL);
	CHECK("pthread_attr_setschedparam or pthread_create: EINVAL for one that is too high",
	      make(&t, SCHED_RR, 100, noter, "") == EINVAL);
}

/* ---- protocols of mutexes ---- */

static pthread_mutex_t pi, pp;

static void *holder(void *arg)
{
	EXPECT_EQ(0, pthread_mutex_lock(&pi));
	sem_post(&sem);
	for (volatile int i = 0; i < 1000000; i++)
		;
	EXPECT_EQ(0, pthread_mutex_unlock(&pi));
	return arg;
}

static void *wants_it(void *arg)
{
	EXPECT_EQ(0, pthread_mutex_lock(&pi));
	flag_set(&flag, 1);
	EXPECT_EQ(0, pthread_mutex_unlock(&pi));
	return arg;
}

static void inheritance(void)
{
	pthread_t low, middle, high;
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	EXPECT_EQ(0, pthread_mutex_init(&pi, &a));
	flag_set(&flag, 0);
	sem_init(&sem, 0, 0);
	EXPECT_EQ(0, make(&low, SCHED_FIFO, LOW, holder, NULL));
	sem_wait(&sem);
	EXPECT_EQ(0, make(&middle, SCHED_FIFO, MIDDLE, compute, &flag));
	EXPECT_EQ(0, make(&high, SCHED_FIFO, HIGH, wants_it, NULL));
	CHECK("PTHREAD_PRIO_INHERIT: the holder runs before one of the middle while one of a higher priority waits",
	      join(middle) != NULL);
	join(low);
	join(high);
	pthread_mutex_destroy(&pi);
}

static void *protected(void *arg)
{
	int *got = arg, old;
	got[0] = pthread_mutex_lock(&pp);
	report(&got[1]);
	got[3] = pthread_mutex_unlock(&pp);
	report(&got[4]);
	got[6] = pthread_mutex_setprioceiling(&pp, HIGH, &old) == 0 ? old : -1;
	return NULL;
}

static void *too_high(void *arg)
{
	*(int *)arg = pthread_mutex_lock(&pp);
	return NULL;
}

static void ceiling(void)
{
	pthread_t t;
	int got[7], ceiling;
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	CHECK_EQ("pthread_mutexattr_setprotocol: EINVAL", EINVAL, pthread_mutexattr_setprotocol(&a, 17));
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_PROTECT);
	CHECK_EQ("pthread_mutexattr_setprioceiling: EINVAL", EINVAL, pthread_mutexattr_setprioceiling(&a, 1000));
	CHECK_EQ("pthread_mutexattr_setprioceiling", 0, pthread_mutexattr_setprioceiling(&a, MIDDLE));
	EXPECT_EQ(0, pthread_mutex_init(&pp, &a));
	CHECK("pthread_mutex_getprioceiling", pthread_mutex_getprioceiling(&pp, &ceiling) == 0 && ceiling == MIDDLE);
	EXPECT_EQ(0, make(&t, SCHED_FIFO, LOW, protected, got));
	join(t);
	CHECK("PTHREAD_PRIO_PROTECT: the holder has the ceiling as its priority", got[0] == 0 && got[2] == MIDDLE);
	CHECK("PTHREAD_PRIO_PROTECT: and its own again afterwards", got[3] == 0 && got[5] == LOW);
	CHECK_EQ("pthread_mutex_setprioceiling tells the old one", MIDDLE, got[6]);
	CHECK("pthread_mutex_getprioceiling tells the new one",
	      pthread_mutex_getprioceiling(&pp, &ceiling) == 0 && ceiling == HIGH);
	EXPECT_EQ(0, make(&t, SCHED_FIFO, HIGH + 1, too_high, got));
	join(t);
	CHECK_EQ("pthread_mutex_lock: EINVAL for a priority above the ceiling", EINVAL, got[0]);
	pthread_mutex_destroy(&pp);
}

static void unprivileged(void)
{
	pthread_t t;
	struct sched_param p = {.sched_priority = MAIN};
	struct rlimit none = {0, 0};
	pid_t pid;
	fflush(stdout);
	if ((pid = fork()) == 0) {
		struct sched_param other = {0};
		EXPECT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &other));
		setrlimit(RLIMIT_RTPRIO, &none);
		EXPECT_EQ(0, setuid(65534));
		CHECK_EQ("pthread_create: EPERM for a policy that the caller may not use", EPERM,
		         make(&t, SCHED_FIFO, LOW, noter, ""));
		CHECK_EQ("pthread_setschedparam: EPERM", EPERM, pthread_setschedparam(pthread_self(), SCHED_RR, &p));
		CHECK("sched_setscheduler: EPERM", sched_setscheduler(0, SCHED_RR, &p) == -1 && errno == EPERM);
		join(spawn(noter, "x"));
		CHECK("and threads can be made still", strcmp(noted(), "x") == 0);
		_exit(check_done());
	}
	EXPECT_EQ(0, reap(pid));
}

static void *in_fork(void *arg)
{
	pid_t pid = fork();
	if (pid == 0) {
		int got[2];
		report(got);
		CHECK("fork: the child of a SCHED_FIFO thread has its policy", got[0] == SCHED_FIFO && got[1] == MIDDLE);
		sleep_ms(2);
		join(spawn(noter, "c"));
		CHECK("fork: and makes threads", strcmp(noted(), "c") == 0);
		_exit(check_done());
	}
	EXPECT_EQ(0, reap(pid));
	return arg;
}

int main(void)
{
	cpu_set_t one = first_cpu();
	struct sched_param p = {.sched_priority = MAIN};
	pthread_t t;
	EXPECT_EQ(0, sched_setaffinity(0, sizeof one, &one));
	join(spawn(noter, "x"));
	noted();
	if (sched_setscheduler(0, SCHED_FIFO, &p) < 0) {
		puts("SKIP real-time scheduling is not permitted here");
		return 77;
	}
	run_order();
	preemption();
	waiters();
	beside_others();
	yields_and_inherits();
	changes();
	inheritance();
	ceiling();
	unprivileged();
	fflush(stdout);
	EXPECT_EQ(0, make(&t, SCHED_FIFO, MIDDLE, in_fork, NULL));
	join(t);
	return check_done();
}
