/* locked.c - mlockall: the stacks of threads are memory at once, and no more of it than libc would take. Needs root. */
#include "check.h"

#include <sys/mman.h>

static int release;

static void *waits(void *arg)
{
	flag_wait(&release, 1);
	return arg;
}

/* kB of locked memory. */
static long locked(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "VmLck:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	fclose(f);
	return kb;
}

int main(void)
{
	enum { N = 17 };
	pthread_t ts[N];
	pthread_attr_t a;
	long sum = 0;
	if (geteuid() != 0) {
		puts("not root");
		return 0;
	}
	EXPECT_EQ(0, pthread_attr_init(&a));
	EXPECT_EQ(0, pthread_attr_setstacksize(&a, 1 << 20));
	EXPECT_EQ(0, pthread_create(&ts[0], &a, waits, (void *)1));
	CHECK_EQ("mlockall", 0, mlockall(MCL_CURRENT | MCL_FUTURE));
	long before = locked();
	for (int i = 1; i < N; i++)
		EXPECT_EQ(0, pthread_create(&ts[i], &a, waits, (void *)1));
	long more = locked() - before;
	CHECK("16 stacks of 1 MiB are locked, and little else", more >= 15 << 10 && more < 20 << 10);
	flag_set(&release, 1);
	for (int i = 0; i < N; i++)
		sum += (long)join(ts[i]);
	CHECK_EQ("they run", N, sum);
	return check_done();
}
