/* names.c - thread names, ids, yield. */
#include "check.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static int phase;

static void *named(void *arg)
{
	char buf[32];
	(void)arg;
	EXPECT_EQ(0, pthread_setname_np(pthread_self(), "worker-0123456"));
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	EXPECT(strcmp(buf, "worker-0123456") == 0);
	flag_set(&phase, 1);
	flag_wait(&phase, 2);
	memset(buf, 0, sizeof buf);
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	return (void *)(long)strcmp(buf, "renamed");
}

static void *name_by_prctl(void *arg)
{
	char buf[32] = "";
	(void)arg;
	EXPECT_EQ(0, prctl(PR_SET_NAME, "by-prctl"));
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	EXPECT(strcmp(buf, "by-prctl") == 0);
	memset(buf, 0, sizeof buf);
	EXPECT_EQ(0, prctl(PR_GET_NAME, buf));
	return (void *)(long)strcmp(buf, "by-prctl");
}

static void *inherits_name(void *arg)
{
	(void)arg;
	char buf[32] = "";
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	return (void *)(long)strcmp(buf, "main-name");
}

static pid_t tids[64];
static pthread_barrier_t barrier;

static void *tid_is_stable(void *arg)
{
	pid_t *mine = (pid_t *)arg;
	*mine = gettid();
	for (int i = 0; i < 200; i++) {
		if (gettid() != *mine || (pid_t)syscall(SYS_gettid) != *mine)
			return (void *)1;
		sched_yield();
		if (i == 100)
			pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static int turn;

static void *yields_until_turn(void *arg)
{
	/* nothing but sched_yield: must not starve the one whose turn it is */
	for (int i = 0; i < 20; i++) {
		while (flag_get(&turn) % 4 != (int)(long)arg)
			EXPECT_EQ(0, sched_yield());
		flag_add(&turn, 1);
	}
	return NULL;
}

int main(void)
{
	char buf[32] = "";
	pthread_t t, ts[64];
	int ok = 1;

	phase = 0;
	t = spawn(named, NULL);
	flag_wait(&phase, 1);
	EXPECT_EQ(0, pthread_getname_np(t, buf, sizeof buf));
	CHECK("pthread_getname_np of another thread", strcmp(buf, "worker-0123456") == 0);
	CHECK_EQ("ERANGE: a name of 16 characters", ERANGE, pthread_setname_np(t, "0123456789abcdef"));
	CHECK_EQ("a name of 15 characters", 0, pthread_setname_np(t, "0123456789abcde"));
	CHECK_EQ("ERANGE: pthread_getname_np with a small buffer", ERANGE, pthread_getname_np(t, buf, 15));
	CHECK_EQ("pthread_setname_np of another thread", 0, pthread_setname_np(t, "renamed"));
	flag_set(&phase, 2);
	CHECK("it sees the new name", join(t) == NULL);

	EXPECT_EQ(0, pthread_setname_np(pthread_self(), "main-name"));
	memset(buf, 0, sizeof buf);
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	CHECK("main's own name", strcmp(buf, "main-name") == 0);
	CHECK("a thread inherits its creator's name", join(spawn(inherits_name, NULL)) == NULL);
	CHECK("prctl(PR_SET_NAME) is the thread's own name", join(spawn(name_by_prctl, NULL)) == NULL);
	memset(buf, 0, sizeof buf);
	EXPECT_EQ(0, pthread_getname_np(pthread_self(), buf, sizeof buf));
	CHECK("and left main's alone", strcmp(buf, "main-name") == 0);

	CHECK("gettid of main is getpid", gettid() == getpid());
	pthread_barrier_init(&barrier, NULL, 64);
	for (int i = 0; i < 64; i++)
		ts[i] = spawn(tid_is_stable, &tids[i]);
	for (int i = 0; i < 64; i++)
		ok &= join(ts[i]) == NULL;
	CHECK("gettid does not change while a thread lives", ok);
	for (int i = 0; i < 64; i++) {
		ok &= tids[i] > 0 && tids[i] != getpid();
		for (int k = 0; k < i; k++)
			ok &= tids[i] != tids[k];
	}
	CHECK("64 live threads have 64 ids, none that of main", ok);

	for (long i = 0; i < 4; i++)
		ts[i] = spawn(yields_until_turn, (void *)i);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	CHECK_EQ("sched_yield lets the others run", 80, turn);
	return check_done();
}
