/* LINK: grt
 *
 * tasks.c - stack sizes, names, task-local values, limits and marks of grt.h, and the end of a program whose tasks all sleep. */
#include "../shim/check.h"
#include "misuse.h"
#include <poll.h>
#include <sys/resource.h>

static grt_wait_group wg;
static char name[16];
static void *local;
static uint64_t id;
static size_t stack;

static void looks(void *arg)
{
	pthread_attr_t attr;
	grt_task_name(name);
	local = grt_task_local();
	grt_set_task_local(arg);
	id = grt_task_id();
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstacksize(&attr, &stack);
	pthread_attr_destroy(&attr);
	grt_wait_group_done(&wg);
}

static void properties(void)
{
	grt_set_task_name("a name that is too long");
	grt_set_task_local(&wg);
	grt_wait_group_add(&wg, 1);
	EXPECT_EQ(0, grt_go_stack(looks, &id, 100000));
	grt_wait_group_wait(&wg);
	CHECK("a task has its maker's name, cut at 15", strcmp(name, "a name that is ") == 0);
	CHECK("its local value is NULL at first", local == NULL && grt_task_local() == &wg);
	CHECK("it has a number; main is 1", id > 1 && grt_task_id() == 1);
	CHECK("its stack is as large as asked for, in whole pages", stack >= 100000 && stack < 100000 + 3 * 4096);
	errno = 0;
	CHECK("a stack too small is refused", grt_go_stack(looks, NULL, 1000) == -1 && errno == EINVAL);
	errno = 0;
	CHECK("an absurd one too", grt_go_stack(looks, NULL, SIZE_MAX / 2) == -1 && errno == EINVAL);
	CHECK("CPUs", grt_num_cpu() >= 1 && grt_num_cpu() <= sysconf(_SC_NPROCESSORS_CONF));
	CHECK("the limit of kernel threads is asked for, and set",
	      grt_set_max_threads(0) == 10000 && grt_set_max_threads(50) == 10000 && grt_set_max_threads(10000) == 50);
}

/* A raw system call that libgrt does not see, marked: with one P the other task goes on meanwhile. */
static int fd[2];

static void writes(void *arg)
{
	EXPECT_EQ(1, write(fd[1], "x", 1));
}

static long raw_poll(struct pollfd *p)
{
	long r;
#ifdef __x86_64__
	__asm__ volatile("syscall" : "=a"(r) : "a"(7), "D"(p), "S"(1), "d"(-1) : "rcx", "r11", "memory");
#else
	r = poll(p, 1, -1);
#endif
	return r;
}

static void marks(void)
{
	struct pollfd p;
	EXPECT_EQ(0, pipe(fd));
	for (int i = 0; i < 3; i++) {
		char c;
		p = (struct pollfd){.fd = fd[0], .events = POLLIN};
		grt_go(writes, NULL);
		grt_block_begin();
		grt_block_begin();
		EXPECT_EQ(1, raw_poll(&p));
		grt_block_end();
		grt_block_end();
		EXPECT_EQ(1, read(fd[0], &c, 1));
	}
	CHECK("others run while a marked call sleeps", 1);
	grt_block_begin();
	free(malloc(100));
	grt_yield();
	EXPECT_EQ(0, write(fd[1], "", 0));
	grt_block_end();
	grt_block_end();
	CHECK("a section that was ended by entering libgrt, and one end too many", 1);
	close(fd[0]);
	close(fd[1]);
}

/* ---- nobody can go on ---- */

static void waits(void *c)
{
	grt_chan_recv(c, NULL);
}

static void deadlock(void)
{
	grt_chan *c = grt_chan_make(1, 0);
	grt_go(waits, c);
	grt_go(waits, NULL);
	grt_chan_recv(c, NULL);
}

static void *locks(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

static void mixed_deadlock(void)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	static grt_wait_group none;
	pthread_t t;
	pthread_mutex_lock(&m);
	pthread_create(&t, NULL, locks, &m);
	grt_wait_group_add(&none, 1);
	grt_wait_group_wait(&none);
}

static void ignores(int sig)
{
	(void)sig;
}

static void saved_by_handler(void)
{
	struct sigaction sa = {.sa_handler = ignores};
	sigaction(SIGUSR1, &sa, NULL);
	deadlock();
}

static void reads(void *arg)
{
	char c;
	int none[2];
	pipe(none);
	read(none[0], &c, 1);
}

static void saved_by_read(void)
{
	grt_go(reads, NULL);
	deadlock();
}

static void fires(void *arg)
{
	_exit(7);
}

static void saved_by_timer(void)
{
	grt_after_func(300 * GRT_MILLISECOND, fires, NULL);
	deadlock();
}

/* Still there after half a second. */
static int hangs(void (*fn)(void))
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		fn();
		_exit(0);
	}
	usleep(500000);
	int alive = waitpid(pid, &status, WNOHANG) == 0;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return alive;
}

int main(void)
{
	static char text[65536];
	properties();
	marks();
	int status = child_of(deadlock, text, sizeof text);
	CHECK_EQ("all tasks asleep: exit status 2", 2, status);
	CHECK("and the words",
	      strstr(text, "fatal error: all tasks are asleep - deadlock!\n\ngoroutine 1 [chan receive") == text);
	CHECK("and every stack", strstr(text, "[chan receive (nil chan)") && strstr(text, "waits("));
	status = child_of(mixed_deadlock, text, sizeof text);
	CHECK("pthreads and their mutexes count as well",
	      status == 2 && strstr(text, "asleep - deadlock!") && strstr(text, "sync.Mutex.Lock"));
	CHECK("not while a handler could run", hangs(saved_by_handler));
	CHECK("not while a task is in a system call", hangs(saved_by_read));
	CHECK_EQ("not while a timer runs", 7, child_of(saved_by_timer, text, sizeof text));
	return check_done();
}
