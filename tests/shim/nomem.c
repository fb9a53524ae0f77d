/* nomem.c - memory exhausted at pthread_create: EAGAIN, and nothing is lost by it. */
#include "check.h"

#include <sys/resource.h>

static int release;

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

static void *works(void *arg)
{
	return arg;
}

/* In a process of its own: the limit is on the address space, and how much of it is in use depends
 * on the machine; what matters is that creation fails with EAGAIN in the end, and works again. */
static int as_child(void)
{
	enum { MOST = 4096 };
	static pthread_t ts[MOST];
	struct rlimit rl, old;
	pthread_attr_t a;
	pthread_t t;
	int n, rc = 0, first = 0, bad = 0;

	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 64UL << 20));
	join(spawn(works, NULL));
	EXPECT_EQ(0, getrlimit(RLIMIT_AS, &old));
	rl = old;
	rl.rlim_cur = address_space() + (512UL << 20);
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &rl));
	for (int round = 0; round < 3; round++) {
		flag_set(&release, 0);
		for (n = 0; n < MOST; n++)
			if ((rc = pthread_create(&ts[n], &a, waits, (void *)(long)n)) != 0)
				break;
		bad |= n == 0 || n == MOST || rc != EAGAIN;
		/* again and again: nothing is lost by failing */
		for (int i = 0; i < 100; i++)
			bad |= (pthread_create(&t, &a, works, NULL) != EAGAIN) << 1;
		flag_set(&release, 1);
		for (int i = 0; i < n; i++)
			bad |= ((long)join(ts[i]) != i) << 2;
		if (round == 0)
			first = n;
		/* as many as the first time, give or take what caches keep */
		bad |= (n < first - 1) << 3;
	}
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 1UL << 40));
	bad |= (pthread_create(&t, &a, works, NULL) != EAGAIN) << 4;
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &old));
	bad |= ((long)join(spawn(works, (void *)5)) != 5) << 5;
	return bad;
}

int main(int argc, char **argv)
{
	char out[512];
	int status;
	(void)argv;
	if (argc > 1)
		return as_child() | (check_done() << 6);
	status = run_self("limited", out, sizeof out);
	CHECK("the child ends by itself", WIFEXITED(status));
	CHECK("EAGAIN: pthread_create when address space runs out", !(WEXITSTATUS(status) & 1));
	CHECK("EAGAIN: every further time", !(WEXITSTATUS(status) & 2));
	CHECK("the threads that could be made are unharmed", !(WEXITSTATUS(status) & 4));
	CHECK("as many can be made again afterwards", !(WEXITSTATUS(status) & 8));
	CHECK("EAGAIN: a stack of 1 TiB", !(WEXITSTATUS(status) & 16));
	CHECK("it works again without the limit", !(WEXITSTATUS(status) & 32));
	CHECK("nothing unexpected", !(WEXITSTATUS(status) & 64));
	return check_done();
}
