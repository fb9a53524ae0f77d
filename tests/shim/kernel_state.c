/* kernel_state.c - what the kernel keeps for each thread: affinity, scheduling, nice value, prctl; set for oneself and for others. */
#include "check.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static cpu_set_t all, one;
static int phase, stop;
static pid_t tid;

static int ncpus(pthread_t t)
{
	cpu_set_t s;
	EXPECT_EQ(0, pthread_getaffinity_np(t, sizeof s, &s));
	return CPU_COUNT(&s);
}

static void *reports(void *arg)
{
	(void)arg;
	return (void *)(long)ncpus(pthread_self());
}

static void *parks(void *arg)
{
	pthread_mutex_t *m = (pthread_mutex_t *)arg;
	tid = gettid();
	flag_set(&phase, 1);
	pthread_mutex_lock(m);
	pthread_mutex_unlock(m);
	return (void *)(long)ncpus(pthread_self());
}

static void *spins(void *arg)
{
	(void)arg;
	tid = gettid();
	flag_set(&phase, 1);
	while (!flag_get(&stop))
		;
	return (void *)(long)ncpus(pthread_self());
}

static void *reads(void *arg)
{
	char c;
	tid = gettid();
	flag_set(&phase, 1);
	EXPECT_EQ(1, read(*(int *)arg, &c, 1));
	return (void *)(long)ncpus(pthread_self());
}

static void others(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	int fd[2], policy, old;
	struct sched_param sp;
	pthread_t t;

	phase = 0;
	pthread_mutex_lock(&m);
	t = spawn(parks, &m);
	flag_wait(&phase, 1);
	sleep_ms(5);
	CHECK_EQ("affinity of a thread that waits", CPU_COUNT(&all), ncpus(t));
	CHECK_EQ("is set", 0, pthread_setaffinity_np(t, sizeof one, &one));
	CHECK_EQ("and in force", 1, ncpus(t));
	CHECK_EQ("by its id as well", 0, sched_setaffinity(tid, sizeof all, &all));
	CHECK_EQ("and back", CPU_COUNT(&all), ncpus(t));
	CHECK_EQ("its policy", 0, pthread_getschedparam(t, &policy, &sp));
	CHECK("is the default", policy == SCHED_OTHER && sp.sched_priority == 0);
	CHECK_EQ("EINVAL: no such policy", EINVAL, pthread_setschedparam(t, 77, &sp));
	sp.sched_priority = 5;
	CHECK_EQ("EINVAL: a priority that the policy has not", EINVAL, pthread_setschedparam(t, SCHED_OTHER, &sp));
	CHECK_EQ("EINVAL: pthread_setschedprio", EINVAL, pthread_setschedprio(t, 5));
	sp.sched_priority = 0;
	CHECK_EQ("SCHED_BATCH", 0, pthread_setschedparam(t, SCHED_BATCH, &sp));
	CHECK_EQ("its policy", 0, pthread_getschedparam(t, &policy, &sp));
	CHECK_EQ("is what was set", SCHED_BATCH, policy);
	CHECK_EQ("by its id as well", SCHED_BATCH, sched_getscheduler(tid));
	CHECK_EQ("mine is not", SCHED_OTHER, sched_getscheduler(0));
	CPU_ZERO(&one);
	CHECK_EQ("EINVAL: an empty set", EINVAL, pthread_setaffinity_np(t, sizeof one, &one));
	for (old = 0; !CPU_ISSET(old, &all);)
		old++;
	CPU_SET(old, &one);
	pthread_mutex_unlock(&m);
	CHECK_EQ("it saw the last one", CPU_COUNT(&all), (long)join(t));

	phase = 0;
	t = spawn(spins, NULL);
	flag_wait(&phase, 1);
	CHECK_EQ("affinity of a thread that computes", 0, pthread_setaffinity_np(t, sizeof one, &one));
	CHECK_EQ("is in force", 1, ncpus(t));
	clockid_t clock;
	struct timespec a, b;
	CHECK_EQ("pthread_getcpuclockid", 0, pthread_getcpuclockid(t, &clock));
	EXPECT_EQ(0, clock_gettime(clock, &a));
	sleep_ms(60);
	EXPECT_EQ(0, clock_gettime(clock, &b));
	CHECK("its clock runs", b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec);
	flag_set(&stop, 1);
	CHECK_EQ("it saw it", 1, (long)join(t));

	phase = 0;
	EXPECT_EQ(0, pipe(fd));
	t = spawn(reads, &fd[0]);
	flag_wait(&phase, 1);
	sleep_ms(5);
	CHECK_EQ("affinity of a thread that reads", 0, pthread_setaffinity_np(t, sizeof one, &one));
	CHECK_EQ("is in force", 1, ncpus(t));
	CHECK_EQ("setpriority by its id", 0, setpriority(PRIO_PROCESS, (id_t)tid, 3));
	CHECK_EQ("getpriority by its id", 3, getpriority(PRIO_PROCESS, (id_t)tid));
	CHECK_EQ("mine is another", 0, getpriority(PRIO_PROCESS, 0));
	EXPECT_EQ(1, write(fd[1], "x", 1));
	CHECK_EQ("it saw it", 1, (long)join(t));
	close(fd[0]);
	close(fd[1]);
}

static void *niced(void *arg)
{
	(void)arg;
	long r = getpriority(PRIO_PROCESS, 0);
	errno = 0;
	if (r != 0 || nice(4) != 4)
		return (void *)1;
	if (getpriority(PRIO_PROCESS, 0) != 4 || getpriority(PRIO_PROCESS, (id_t)gettid()) != 4)
		return (void *)2;
	if (syscall(SYS_getpriority, PRIO_PROCESS, gettid()) != 16)
		return (void *)3;
	return NULL;
}

static void *priority(void *arg)
{
	(void)arg;
	return (void *)(long)getpriority(PRIO_PROCESS, 0);
}

static void *inherits(void *arg)
{
	(void)arg;
	EXPECT_EQ(0, sched_setaffinity(0, sizeof one, &one));
	EXPECT_EQ(0, setpriority(PRIO_PROCESS, 0, 2));
	return (void *)((long)join(spawn(reports, NULL)) * 100 + (long)join(spawn(priority, NULL)));
}

static void *slack(void *arg)
{
	(void)arg;
	long before = prctl(PR_GET_TIMERSLACK);
	EXPECT_EQ(0, prctl(PR_SET_TIMERSLACK, 12345, 0, 0, 0));
	for (int i = 0; i < 50; i++) {
		sched_yield();
		if (prctl(PR_GET_TIMERSLACK) != 12345)
			return (void *)1;
	}
	return (void *)(long)(before != 50000);
}

static void own(void)
{
	long bad = 0;
	for (int i = 0; i < 50; i++)
		bad |= (long)join(spawn(niced, NULL));
	CHECK_EQ("a nice value is the thread's own, 50 times", 0, bad);
	CHECK_EQ("main's is unchanged", 0, getpriority(PRIO_PROCESS, (id_t)getpid()));
	for (int i = 0; i < 20; i++)
		bad |= (long)join(spawn(slack, NULL));
	CHECK_EQ("timer slack is the thread's own", 0, bad);
	CHECK_EQ("a thread inherits affinity and nice value", 102, (long)join(spawn(inherits, NULL)));
	CHECK_EQ("the next has main's", CPU_COUNT(&all), (long)join(spawn(reports, NULL)));
	CHECK_EQ("both", 0, (long)join(spawn(priority, NULL)));
}

static void attributes(void)
{
	pthread_attr_t a;
	pthread_t t;
	struct sched_param sp = {.sched_priority = 0};
	cpu_set_t none;

	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED));
	EXPECT_EQ(0, pthread_attr_setschedparam(&a, &sp));
	CHECK_EQ("an explicit default policy", 0, pthread_create(&t, &a, reports, NULL));
	CHECK_EQ("changes nothing", CPU_COUNT(&all), (long)join(t));
	CPU_ZERO(&none);
	CPU_SET(1000, &none);
	EXPECT_EQ(0, pthread_attr_setaffinity_np(&a, sizeof none, &none));
	CHECK_EQ("EINVAL: no CPU of the set exists", EINVAL, pthread_create(&t, &a, reports, NULL));
	pthread_attr_destroy(&a);
}

int main(void)
{
	int cpu;
	EXPECT_EQ(0, sched_getaffinity(0, sizeof all, &all));
	for (cpu = 0; !CPU_ISSET(cpu, &all);)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	others();
	own();
	attributes();
	EXPECT_EQ(0, sched_setaffinity(getpid(), sizeof one, &one));
	CHECK_EQ("main's affinity is inherited too", 1, (long)join(spawn(reports, NULL)));
	CHECK_EQ("main's own", 1, ncpus(pthread_self()));
	return check_done();
}
