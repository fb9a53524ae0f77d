/*
 * PROCS: 8
 * TIMEOUT: 60
 * CFLAGS: -fno-builtin
 * malloc and free take no lock in their steady state: 64 tasks on 8 Ps, each with blocks of its own, and then each freeing what another
 * has allocated; the locks of the heap that were taken are counted (malloc_stats). Seen: 100 and 12,000 for a million calls, the latter
 * when lists of freed slots come back to their owner: his own lock, which nobody else wants.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <fcntl.h>
#include <malloc.h>

enum { TASKS = 64, BLOCKS = 64, ROUNDS = 400, WARM = 20 };

static pthread_barrier_t gate, turn; /* of all and main; of the tasks */
static void *shared[TASKS][BLOCKS];
static int remote;

/* The count in malloc_stats. */
static unsigned long long locks(void)
{
	char text[16384], *at;
	int fds[2], saved = dup(2);
	EXPECT_EQ(0, pipe(fds));
	fcntl(fds[0], F_SETPIPE_SZ, 65536);
	dup2(fds[1], 2);
	close(fds[1]);
	malloc_stats();
	dup2(saved, 2);
	close(saved);
	read_end(fds[0], text, sizeof text);
	at = strstr(text, "locks taken");
	EXPECT(at);
	return at ? strtoull(strchr(at, '=') + 1, NULL, 10) : 0;
}

static void round_of(int k, unsigned *r)
{
	for (int i = 0; i < BLOCKS; i++)
		shared[k][i] = memset(malloc((size_t)(16 + rand_r(r) % 500)), k, 16);
	if (remote)
		pthread_barrier_wait(&turn);
	int of = remote ? (k + 1) % TASKS : k;
	for (int i = 0; i < BLOCKS; i++)
		free(shared[of][i]);
	if (remote)
		pthread_barrier_wait(&turn);
}

static void *task(void *arg)
{
	int k = (int)(long)arg;
	unsigned r = (unsigned)k + 1;
	for (int i = 0; i < WARM; i++)
		round_of(k, &r);
	for (int phase = 0; phase < 2; phase++)
		pthread_barrier_wait(&gate);
	for (int i = 0; i < ROUNDS; i++)
		round_of(k, &r);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return NULL;
}

/* Locks per million of calls. */
static double rate(void)
{
	pthread_t t[TASKS];
	for (long k = 0; k < TASKS; k++)
		t[k] = spawn(task, (void *)k);
	pthread_barrier_wait(&gate);
	unsigned long long before = locks();
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	unsigned long long taken = locks() - before;
	pthread_barrier_wait(&gate);
	for (int k = 0; k < TASKS; k++)
		join(t[k]);
	return (double)taken * 1e6 / (2.0 * TASKS * BLOCKS * ROUNDS);
}

int main(void)
{
	pthread_barrier_init(&gate, NULL, TASKS + 1);
	pthread_barrier_init(&turn, NULL, TASKS);
	for (remote = 0; remote < 2; remote++) {
		double n = rate();
		printf("%s: %.0f locks for a million calls\n", remote ? "each frees another's" : "each frees its own", n);
		CHECK(remote ? "each frees another's" : "each frees its own", n < (remote ? 1e5 : 2e3));
	}
	return check_done();
}
