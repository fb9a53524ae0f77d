/* atfork.c - the order and the reach of pthread_atfork handlers. */
#include "check.h"

static char order[64];

static void put(char ch)
{
	size_t n = strlen(order);
	order[n] = ch;
	order[n + 1] = 0;
}

static void p1(void)
{
	put('1');
}
static void p2(void)
{
	put('2');
}
static void a1(void)
{
	put('a');
}
static void a2(void)
{
	put('b');
}
static void c1(void)
{
	put('x');
}
static void c2(void)
{
	put('y');
}

/* the classical use: take a lock over fork */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int stop;

static void take(void)
{
	pthread_mutex_lock(&lock);
}
static void give(void)
{
	pthread_mutex_unlock(&lock);
}

static void *busy(void *arg)
{
	(void)arg;
	while (!flag_get(&stop)) {
		pthread_mutex_lock(&lock);
		sched_yield();
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *forks(void *arg)
{
	(void)arg;
	pid_t pid = fork();
	if (pid == 0)
		_exit(strcmp(order, "21xy") == 0 ? 5 : 6);
	return (void *)(long)reap(pid);
}

static __attribute__((noinline)) void vforks(void)
{
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	reap(pid);
}

static void *touches(void *arg)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

int main(void)
{
	pthread_t ts[4];
	pid_t pid;
	int ok = 1;

	CHECK_EQ("pthread_atfork returns 0", 0, pthread_atfork(p1, a1, c1));
	EXPECT_EQ(0, pthread_atfork(p2, a2, c2));
	EXPECT_EQ(0, pthread_atfork(NULL, NULL, NULL));
	pid = fork();
	if (pid == 0)
		_exit(strcmp(order, "21xy") == 0 ? 5 : 6);
	CHECK("the child runs prepare in reverse and child in order", exited_with(reap(pid), 5));
	CHECK("the parent runs prepare in reverse and parent in order", strcmp(order, "21ab") == 0);

	order[0] = 0;
	CHECK("the same when a thread forks: the child", exited_with((int)(long)join(spawn(forks, NULL)), 5));
	CHECK("the same when a thread forks: the parent", strcmp(order, "21ab") == 0);

	order[0] = 0;
	vforks();
	CHECK("vfork runs none", order[0] == 0);
	pid = _Fork();
	if (pid == 0)
		_exit(order[0] == 0 ? 0 : 1);
	CHECK("_Fork runs none, in the child", exited_with(reap(pid), 0));
	CHECK("_Fork runs none, in the parent", order[0] == 0);

	EXPECT_EQ(0, pthread_atfork(take, give, give));
	for (int i = 0; i < 4; i++)
		ts[i] = spawn(busy, NULL);
	for (int i = 0; i < 50; i++) {
		order[0] = 0;
		pid = fork();
		if (pid == 0) {
			pthread_mutex_lock(&lock);
			pthread_mutex_unlock(&lock);
			pthread_t t;
			void *v = NULL;
			if (pthread_create(&t, NULL, touches, (void *)3) != 0)
				_exit(2);
			pthread_join(t, &v);
			_exit((int)(long)v);
		}
		ok &= exited_with(reap(pid), 3);
	}
	flag_set(&stop, 1);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	CHECK("a lock taken by prepare is usable in 50 children", ok);
	return check_done();
}
