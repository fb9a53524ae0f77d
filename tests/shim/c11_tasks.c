/* c11_tasks.c - threads of <threads.h> are the same threads as those of <pthread.h>, whoever makes or joins them. */
#include "check.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <threads.h>

static int go, order[8], norder;

static int negative(void *arg)
{
	(void)arg;
	return -5;
}

static int own_name(void *arg)
{
	char name[16] = "";
	EXPECT_EQ(0, pthread_setname_np(thrd_current(), "worker"));
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
	*(int *)arg = strcmp(name, "worker") == 0;
	return thrd_equal(thrd_current(), pthread_self());
}

static void *as_pthread(void *arg)
{
	thrd_exit((int)(intptr_t)arg);
}

static int spins(void *arg)
{
	(void)arg;
	while (!flag_get(&go))
		thrd_yield();
	return 1;
}

static int dies_waiting(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

static int in_order(void *arg)
{
	order[flag_add(&norder, 1) - 1] = (int)(intptr_t)arg;
	return 0;
}

int main(void)
{
	thrd_t t[8];
	pthread_t p;
	void *value;
	int res = 0, named = 0;

	EXPECT_EQ(thrd_success, thrd_create(&t[0], negative, NULL));
	EXPECT_EQ(0, pthread_join(t[0], &value));
	CHECK_EQ("pthread_join of a thrd_t: the int, widened", -5, (intptr_t)value);
	EXPECT_EQ(thrd_success, thrd_create(&t[0], negative, NULL));
	CHECK_EQ("thrd_join without a place for the result", thrd_success, thrd_join(t[0], NULL));
	EXPECT_EQ(thrd_success, thrd_create(&t[0], own_name, &named));
	EXPECT_EQ(thrd_success, thrd_join(t[0], &res));
	CHECK("thrd_current is pthread_self, and has a name", res && named);
	p = spawn(as_pthread, (void *)7);
	EXPECT_EQ(thrd_success, thrd_join(p, &res));
	CHECK_EQ("thrd_exit and thrd_join of a pthread_t", 7, res);

	for (int i = 0; i < 4; i++)
		EXPECT_EQ(thrd_success, thrd_create(&t[i], spins, NULL));
	thrd_yield();
	flag_set(&go, 1);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(thrd_success, thrd_join(t[i], NULL));
	CHECK("threads that spin with thrd_yield let others run", 1);

	EXPECT_EQ(thrd_success, thrd_create(&t[0], dies_waiting, NULL));
	EXPECT_EQ(0, pthread_cancel(t[0]));
	EXPECT_EQ(0, pthread_join(t[0], &value));
	CHECK("pthread_cancel of a thrd_t", value == PTHREAD_CANCELED);

	/* No standard says so; a kernel does it, and programs count on it without knowing. */
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(thrd_success, thrd_create(&t[i], in_order, (void *)(intptr_t)i));
		sleep_ms(1);
	}
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(thrd_success, thrd_join(t[i], NULL));
	CHECK("all have run", norder == 8);

	EXPECT_EQ(thrd_success, thrd_create(&t[0], negative, NULL));
	EXPECT_EQ(thrd_success, thrd_join(t[0], NULL));
	CHECK_EQ("pthread_detach: ESRCH after the join", ESRCH, pthread_detach(t[0]));
	return check_done();
}
