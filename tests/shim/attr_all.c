/*
 * What the attribute objects give back, and the calls of sched.h and C11 that no other test makes.
 */
#include "check.h"
#include <threads.h>

static void mutex_attrs(void)
{
	pthread_mutexattr_t a;
	int v = -1;
	pthread_mutexattr_init(&a);
	CHECK("pthread_mutexattr_gettype: default", pthread_mutexattr_gettype(&a, &v) == 0 && v == PTHREAD_MUTEX_DEFAULT);
	CHECK_EQ("pthread_mutexattr_settype: EINVAL", EINVAL, pthread_mutexattr_settype(&a, 99));
	CHECK("pthread_mutexattr_getprotocol: default",
	      pthread_mutexattr_getprotocol(&a, &v) == 0 && v == PTHREAD_PRIO_NONE);
	CHECK("pthread_mutexattr_getprotocol: what was set", pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT) == 0 &&
	                                                         pthread_mutexattr_getprotocol(&a, &v) == 0 &&
	                                                         v == PTHREAD_PRIO_INHERIT);
	CHECK("pthread_mutexattr_getpshared: default",
	      pthread_mutexattr_getpshared(&a, &v) == 0 && v == PTHREAD_PROCESS_PRIVATE);
	CHECK_EQ("pthread_mutexattr_setpshared: EINVAL", EINVAL, pthread_mutexattr_setpshared(&a, 99));
	CHECK("pthread_mutexattr_getrobust: default",
	      pthread_mutexattr_getrobust(&a, &v) == 0 && v == PTHREAD_MUTEX_STALLED);
	CHECK_EQ("pthread_mutexattr_setrobust: EINVAL", EINVAL, pthread_mutexattr_setrobust(&a, 99));
	CHECK("pthread_mutexattr_getprioceiling: within SCHED_FIFO's", pthread_mutexattr_getprioceiling(&a, &v) == 0 &&
	                                                                   v >= sched_get_priority_min(SCHED_FIFO) &&
	                                                                   v <= sched_get_priority_max(SCHED_FIFO));
	CHECK_EQ("pthread_mutexattr_destroy", 0, pthread_mutexattr_destroy(&a));
}

static void other_attrs(void)
{
	pthread_rwlockattr_t rw;
	pthread_condattr_t c;
	pthread_attr_t a;
	clockid_t clock;
	cpu_set_t set, got;
	sigset_t mask, back;
	struct sched_param p = {.sched_priority = 1000};
	int v = -1;
	pthread_rwlockattr_init(&rw);
	CHECK("pthread_rwlockattr_getpshared: default",
	      pthread_rwlockattr_getpshared(&rw, &v) == 0 && v == PTHREAD_PROCESS_PRIVATE);
	CHECK_EQ("pthread_rwlockattr_setpshared: EINVAL", EINVAL, pthread_rwlockattr_setpshared(&rw, 99));
	pthread_condattr_init(&c);
	CHECK("pthread_condattr_getclock: default", pthread_condattr_getclock(&c, &clock) == 0 && clock == CLOCK_REALTIME);
	CHECK_EQ("pthread_condattr_setclock: EINVAL: a CPU-time clock", EINVAL,
	         pthread_condattr_setclock(&c, CLOCK_PROCESS_CPUTIME_ID));
	CHECK_EQ("pthread_condattr_setpshared: EINVAL", EINVAL, pthread_condattr_setpshared(&c, 99));

	pthread_attr_init(&a);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CHECK("pthread_attr_getaffinity_np: none set: all",
	      pthread_attr_getaffinity_np(&a, sizeof got, &got) == 0 && CPU_COUNT(&got) == CPU_SETSIZE);
	CHECK("pthread_attr_getaffinity_np: what was set", pthread_attr_setaffinity_np(&a, sizeof set, &set) == 0 &&
	                                                       pthread_attr_getaffinity_np(&a, sizeof got, &got) == 0 &&
	                                                       CPU_EQUAL(&set, &got));
	CHECK_EQ("pthread_attr_getsigmask_np: none set", PTHREAD_ATTR_NO_SIGMASK_NP, pthread_attr_getsigmask_np(&a, &back));
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHECK("pthread_attr_getsigmask_np: what was set", pthread_attr_setsigmask_np(&a, &mask) == 0 &&
	                                                      pthread_attr_getsigmask_np(&a, &back) == 0 &&
	                                                      sigismember(&back, SIGUSR1) == 1);
	CHECK_EQ("pthread_attr_setschedpolicy: EINVAL", EINVAL, pthread_attr_setschedpolicy(&a, 99));
	CHECK_EQ("pthread_attr_setinheritsched: EINVAL", EINVAL, pthread_attr_setinheritsched(&a, 99));
	CHECK_EQ("pthread_attr_setscope: ENOTSUP", ENOTSUP, pthread_attr_setscope(&a, PTHREAD_SCOPE_PROCESS));
	CHECK_EQ("pthread_attr_setscope: EINVAL", EINVAL, pthread_attr_setscope(&a, 99));
	CHECK_EQ("pthread_attr_setdetachstate: EINVAL", EINVAL, pthread_attr_setdetachstate(&a, 99));
	CHECK_EQ("pthread_attr_setstacksize: EINVAL", EINVAL, pthread_attr_setstacksize(&a, 1));
	pthread_attr_setschedpolicy(&a, SCHED_FIFO);
	CHECK_EQ("pthread_attr_setschedparam: EINVAL", EINVAL, pthread_attr_setschedparam(&a, &p));
	pthread_attr_destroy(&a);
}

static void scheduling(void)
{
	struct sched_param p = {0};
	struct timespec ts;
	CHECK("sched_get_priority_max, min", sched_get_priority_max(SCHED_FIFO) - sched_get_priority_min(SCHED_FIFO) >= 31);
	CHECK("sched_get_priority_max: EINVAL", sched_get_priority_max(99) == -1 && errno == EINVAL);
	CHECK("sched_get_priority_min: EINVAL", sched_get_priority_min(99) == -1 && errno == EINVAL);
	CHECK_EQ("sched_setparam", 0, sched_setparam(0, &p));
	p.sched_priority = 7;
	CHECK("sched_setparam: EINVAL: SCHED_OTHER has one priority", sched_setparam(0, &p) == -1 && errno == EINVAL);
	CHECK("sched_setparam: ESRCH", sched_setparam(0x3ffffff, &p) == -1 && errno == ESRCH);
	CHECK("sched_getparam: ESRCH", sched_getparam(0x3ffffff, &p) == -1 && errno == ESRCH);
	CHECK("sched_getscheduler: ESRCH", sched_getscheduler(0x3ffffff) == -1 && errno == ESRCH);
	CHECK("sched_getscheduler: EINVAL", sched_getscheduler(-1) == -1 && errno == EINVAL);
	CHECK("sched_setscheduler: EINVAL: no such policy", sched_setscheduler(0, 99, &p) == -1 && errno == EINVAL);
	CHECK("sched_rr_get_interval: ESRCH", sched_rr_get_interval(0x3ffffff, &ts) == -1 && errno == ESRCH);
	CHECK("sched_setaffinity: EINVAL: no CPU",
	      sched_setaffinity(0, sizeof(cpu_set_t), &(cpu_set_t){0}) == -1 && errno == EINVAL);
}

static mtx_t m;
static cnd_t c;
static tss_t key;
static int ready, destroyed;

static void gone(void *value)
{
	(void)value;
	flag_add(&destroyed, 1);
}

static int c11_waiter(void *arg)
{
	tss_set(key, arg);
	mtx_lock(&m);
	while (!ready)
		cnd_wait(&c, &m);
	mtx_unlock(&m);
	return 5;
}

static void c11(void)
{
	thrd_t t;
	int r = 0;
	EXPECT_EQ(thrd_success, mtx_init(&m, mtx_plain));
	EXPECT_EQ(thrd_success, cnd_init(&c));
	EXPECT_EQ(thrd_success, tss_create(&key, gone));
	ready = 0;
	destroyed = 0;
	EXPECT_EQ(thrd_success, thrd_create(&t, c11_waiter, &ready));
	mtx_lock(&m);
	ready = 1;
	CHECK_EQ("cnd_signal", thrd_success, cnd_signal(&c));
	mtx_unlock(&m);
	CHECK("thrd_join: the result", thrd_join(t, &r) == thrd_success && r == 5);
	CHECK_EQ("tss_create: the destructor ran", 1, flag_get(&destroyed));
	tss_set(key, &ready);
	tss_delete(key);
	CHECK_EQ("tss_delete: calls no destructor", 1, flag_get(&destroyed));
	cnd_destroy(&c);
	mtx_destroy(&m);
}

static void *all(void *arg)
{
	mutex_attrs();
	other_attrs();
	scheduling();
	c11();
	return arg;
}

int main(void)
{
	sigset_t a, b, r;
	all(NULL);
	join(spawn(all, NULL));
	sigemptyset(&a);
	sigaddset(&a, SIGUSR1);
	sigfillset(&b);
	CHECK("sigandset", sigandset(&r, &a, &b) == 0 && sigismember(&r, SIGUSR1) && !sigismember(&r, SIGUSR2));
	CHECK("sigorset, sigisemptyset", sigorset(&r, &a, &a) == 0 && !sigisemptyset(&r) && sigismember(&r, SIGUSR1));
	CHECK("sigaddset: EINVAL", sigaddset(&a, 1000) == -1 && errno == EINVAL);
	return check_done();
}
