/* LINK: grt
 *
 * functions.c - every function of grt.h, on main, on pthreads and on tasks made by grt_go. */
#include "../shim/check.h"
#include "grt.h"

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int count, done, cleaned;
static __thread int mine;
static pthread_key_t key;

static void adds(void *arg)
{
	mine = (int)(long)arg;
	for (int i = 0; i < 10; i++)
		grt_yield();
	pthread_mutex_lock(&m);
	count += mine;
	pthread_cond_signal(&c);
	pthread_mutex_unlock(&m);
}

static void wait_for(int *what, int value)
{
	pthread_mutex_lock(&m);
	while (*what != value)
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
}

static void cleanup(void *arg)
{
	flag_add((int *)arg, 1);
}

static void leave_from_here(void)
{
	grt_exit();
}

static void exits(void *arg)
{
	(void)arg;
	pthread_setspecific(key, &cleaned);
	pthread_cleanup_push(cleanup, &cleaned);
	leave_from_here();
	flag_add(&cleaned, 100);
	pthread_cleanup_pop(0);
}

static void *exits_pthread(void *arg)
{
	exits(arg);
	return (void *)1;
}

static void stays_on_its_thread(void *arg)
{
	(void)arg;
	grt_lock_os_thread();
	grt_lock_os_thread();
	pid_t tid = gettid();
	unsigned cpu_thread = 0, moved = 0;
	for (int i = 0; i < 200; i++) {
		/* what the kernel calls the thread: its own file */
		char link[64] = "";
		ssize_t n = readlink("/proc/thread-self", link, sizeof link - 1);
		unsigned t = 0;
		EXPECT(n > 0 && sscanf(link, "%*u/task/%u", &t) == 1);
		if (cpu_thread == 0)
			cpu_thread = t;
		moved += t != cpu_thread;
		if (i == 100)
			grt_unlock_os_thread(); /* the other one still holds */
		grt_yield();
	}
	EXPECT_EQ(0, moved);
	EXPECT_EQ(tid, gettid());
	grt_unlock_os_thread();
	grt_unlock_os_thread(); /* ignored */
	flag_set(&done, 1);
}

static int signal_blocked;

static void sees_mask(void *arg)
{
	sigset_t s;
	(void)arg;
	pthread_sigmask(SIG_BLOCK, NULL, &s);
	flag_set(&signal_blocked, sigismember(&s, SIGUSR1) ? 1 : 2);
}

static pthread_t self;

static void has_a_pthread(void *arg)
{
	(void)arg;
	self = pthread_self();
	flag_set(&done, 1);
}

int main(void)
{
	char report[512];
	sigset_t set;

	CHECK("grt_version", strcmp(grt_version(), "0.1.0") == 0);
	CHECK_EQ("the same as the header's", 0, GRT_VERSION_MAJOR * 100 + GRT_VERSION_MINOR * 10 + GRT_VERSION_PATCH - 10);
	CHECK_EQ("threads run as tasks", 0, grt_doctor_report(report, sizeof report));
	CHECK("the report says how many Ps", strstr(report, "gomaxprocs: ") != NULL);
	CHECK_EQ("a short buffer is enough to learn it", 0, grt_doctor_report(report, 4));
	CHECK_EQ("and keeps its end", 3, strlen(report));
	CHECK_EQ("grt_num_tasks: main", 1, grt_num_tasks());
	grt_yield();
	CHECK("grt_yield without others returns", 1);

	for (long i = 1; i <= 100; i++)
		EXPECT_EQ(0, grt_go(adds, (void *)i));
	CHECK("grt_num_tasks counts them", grt_num_tasks() >= 1 && grt_num_tasks() <= 101);
	wait_for(&count, 5050);
	CHECK("100 tasks of grt_go add up", 1);
	while (grt_num_tasks() > 1)
		grt_yield();
	CHECK("grt_num_tasks comes back to main", 1);
	CHECK_EQ("thread variables of main are its own", 0, mine);

	EXPECT_EQ(0, pthread_key_create(&key, cleanup));
	EXPECT_EQ(0, grt_go(exits, NULL));
	flag_wait(&cleaned, 2);
	sleep_ms(5);
	CHECK_EQ("grt_exit runs cleanup handlers and key destructors", 2, flag_get(&cleaned));
	cleaned = 0;
	CHECK("grt_exit of a pthread is pthread_exit(NULL)", join(spawn(exits_pthread, NULL)) == NULL);
	CHECK_EQ("with the same duties", 2, cleaned);

	EXPECT_EQ(0, grt_go(stays_on_its_thread, NULL));
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(0, grt_go(adds, NULL));
		grt_yield();
	}
	flag_wait(&done, 1);
	CHECK("grt_lock_os_thread keeps the kernel thread", 1);
	grt_lock_os_thread();
	join(spawn(exits_pthread, NULL));
	grt_unlock_os_thread();
	CHECK("main too, and the others go on", 1);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	EXPECT_EQ(0, grt_go(sees_mask, NULL));
	flag_wait(&signal_blocked, 1);
	CHECK_EQ("a task inherits the signal mask", 1, signal_blocked);
	done = 0;
	EXPECT_EQ(0, grt_go(has_a_pthread, NULL));
	flag_wait(&done, 1);
	CHECK("a task has a pthread_t", self != pthread_self());

	int n = grt_gomaxprocs(0);
	CHECK_EQ("grt_gomaxprocs returns the value before", n, grt_gomaxprocs(3));
	CHECK_EQ("and only asks with 0", 3, grt_gomaxprocs(0));
	EXPECT_EQ(0, grt_go(adds, (void *)1));
	grt_exit(); /* the process ends with 0 when that one has */
}
