/* nproc.c - RLIMIT_NPROC: pthread_create fails with EAGAIN when it is reached, at the first thread or later, and threads that could be
 * made run. A runtime that needs threads of its own does without them. Needs root, to become a user that has no other processes. */
#include "check.h"

#include <sys/resource.h>

enum { MOST = 64, USER = 754321 };

static int fds[2], release;

static void *writes(void *arg)
{
	EXPECT_EQ(2, write(fds[1], "x\n", 2));
	return arg;
}

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

static void limit(rlim_t n)
{
	struct rlimit rl = {n, n};
	EXPECT_EQ(0, setrlimit(RLIMIT_NPROC, &rl));
}

/* With room for that many threads beside main: 0 all is well, 1 EAGAIN at the first, more: a failure. */
static int first(int room)
{
	char line[8];
	pthread_t t;
	limit((rlim_t)room + 1);
	EXPECT_EQ(0, setuid(USER));
	EXPECT_EQ(0, pipe(fds));
	int rc = pthread_create(&t, NULL, writes, NULL);
	if (rc == 0) {
		EXPECT_EQ(2, read(fds[0], line, 2)); /* only the other thread can end it */
		join(t);
	}
	return (rc == EAGAIN) | (rc != 0 && rc != EAGAIN) << 1 | check_done() << 2;
}

/* The limit comes when threads exist. How many more can be made is the runtime's affair; all that could are joined. */
static int later(void)
{
	static pthread_t ts[MOST];
	pthread_t t;
	int n, bad = 0;
	EXPECT_EQ(0, setuid(USER));
	t = spawn(waits, NULL);
	limit(1);
	for (n = 0; n < MOST; n++) {
		int rc = pthread_create(&ts[n], NULL, waits, (void *)(long)n);
		if (rc != 0) {
			bad |= rc != EAGAIN;
			break;
		}
	}
	flag_set(&release, 1);
	for (int i = 0; i < n; i++)
		bad |= ((long)join(ts[i]) != i) << 1;
	join(t);
	return bad | check_done() << 2;
}

int main(int argc, char **argv)
{
	char clause[64], out[256];
	if (geteuid() != 0) {
		puts("not root");
		return 0;
	}
	if (argc > 1)
		return *argv[1] == 'l' ? later() : first(atoi(argv[1]));
	for (int room = 0; room < 4; room++) {
		snprintf(clause, sizeof clause, "%d", room);
		int status = run_self(clause, out, sizeof out);
		snprintf(clause, sizeof clause, "room for %d: the first thread %s", room,
		         room ? "runs" : "is refused with EAGAIN");
		CHECK(clause, exited_with(status, room == 0));
	}
	CHECK("the limit is reached in the middle: EAGAIN or a thread that runs",
	      exited_with(run_self("later", out, sizeof out), 0));
	return check_done();
}
