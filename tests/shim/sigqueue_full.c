/* sigqueue_full.c - the user's queue of signals is full (RLIMIT_SIGPENDING): threads are made, block in the kernel, sleep and wake each
 * other all the same. */
#include "check.h"

#include <sys/resource.h>

enum { N = 6 };
static int pipes[N][2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int sum;

static void *reads(void *arg)
{
	char c = 0;
	EXPECT_EQ(1, read(pipes[(long)arg][0], &c, 1));
	sleep_ms(2);
	pthread_mutex_lock(&lock);
	sum += c;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(void)
{
	struct rlimit none = {0, 0};
	pthread_t t[N];
	EXPECT_EQ(0, setrlimit(RLIMIT_SIGPENDING, &none));
	for (int round = 0; round < 5; round++) {
		sum = 0;
		for (int i = 0; i < N; i++) {
			EXPECT_EQ(0, pipe(pipes[i]));
			t[i] = spawn(reads, (void *)(long)i);
		}
		sleep_ms(round % 2 ? 30 : 0);
		for (int i = 0; i < N; i++)
			EXPECT_EQ(1, write(pipes[i][1], "\1", 1));
		pthread_mutex_lock(&lock);
		while (sum < N)
			pthread_cond_wait(&cond, &lock);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < N; i++) {
			join(t[i]);
			close(pipes[i][0]);
			close(pipes[i][1]);
		}
		CHECK_EQ("threads block, sleep and wake each other", N, sum);
	}
	return check_done();
}
