/* LINK: grt
 *
 * threads_mixed.c - pthreads, C11 threads and tasks on one mutex, one condition and one channel, linked; then the same program under
 * LD_PRELOAD as well (it is its own child). */
#include "../shim/check.h"
#include "grt.h"
#include <dlfcn.h>
#include <threads.h>

enum { KINDS = 3, OF_EACH = 8, STEPS = 300 };

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static long turn, counted[KINDS];
static grt_chan *results;

/* In turns: kind 0, 1, 2, 0, ... whoever of the kind comes first. */
static void take_turns(int kind)
{
	for (int i = 0; i < STEPS / OF_EACH; i++) {
		pthread_mutex_lock(&m);
		while (turn % KINDS != kind)
			pthread_cond_wait(&c, &m);
		turn++;
		counted[kind]++;
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
		grt_chan_send(results, &(int){kind});
	}
}

static void *posix(void *arg)
{
	take_turns(0);
	return NULL;
}

static int c11(void *arg)
{
	take_turns(1);
	return 5;
}

static void task(void *arg)
{
	take_turns(2);
}

int main(int argc, char **argv)
{
	pthread_t p[OF_EACH];
	thrd_t t[OF_EACH];
	long got[KINDS] = {0};
	int kind, r;
	results = grt_chan_make(sizeof(int), 5);
	for (int i = 0; i < OF_EACH; i++) {
		EXPECT_EQ(0, pthread_create(&p[i], NULL, posix, NULL));
		EXPECT_EQ(thrd_success, thrd_create(&t[i], c11, NULL));
		EXPECT_EQ(0, grt_go(task, NULL));
	}
	for (int i = 0; i < KINDS * OF_EACH * (STEPS / OF_EACH); i++) {
		EXPECT(grt_chan_recv(results, &kind));
		got[kind]++;
	}
	for (int i = 0; i < OF_EACH; i++) {
		EXPECT_EQ(0, pthread_join(p[i], NULL));
		EXPECT_EQ(thrd_success, thrd_join(t[i], &r));
		EXPECT_EQ(5, r);
	}
	for (int i = 0; i < KINDS; i++)
		CHECK_EQ("each kind had its turns", OF_EACH * (STEPS / OF_EACH), got[i] == counted[i] ? got[i] : -1);
	if (argc == 1) {
		Dl_info info;
		char command[1024];
		EXPECT(dladdr((void *)grt_go, &info) != 0);
		fflush(stdout);
		snprintf(command, sizeof command, "LD_PRELOAD=%s %s again", info.dli_fname, argv[0]);
		CHECK_EQ("the same when it is preloaded too", 0, system(command));
	}
	return check_done();
}
