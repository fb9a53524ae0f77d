/* seccomp_inherit.c - a filter, no_new_privs and lost capabilities are one thread's own and its children's, not its sisters'. */
#include "check.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Refuses getppid. */
static int install(unsigned flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof f / sizeof f[0], f};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void *refused(void *arg)
{
	(void)arg;
	return (void *)(long)(syscall(SYS_getppid) == -1 && errno == EXDEV);
}

static void *with_child(void *arg)
{
	return (void *)((long)refused(arg) + 10 * (long)join(spawn(refused, NULL)));
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int turn;

/* Takes turns with a sister that is in another kernel state. */
static void *takes_turns(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&m);
		while (turn != me)
			pthread_cond_wait(&c, &m);
		turn = !me;
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static int phase;

static void *stays(void *arg)
{
	flag_wait(&phase, 1);
	return refused(arg);
}

static void *sandboxed(void *arg)
{
	(void)arg;
	EXPECT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	EXPECT_EQ(0, install(0));
	CHECK_EQ("refused to itself", 1, (long)refused(NULL));
	CHECK_EQ("to a child and a grandchild", 11, (long)join(spawn(with_child, NULL)));
	pthread_t t = spawn(takes_turns, (void *)1);
	takes_turns((void *)0);
	join(t);
	return NULL;
}

static void *no_new_privs(void *arg)
{
	(void)arg;
	return (void *)(long)prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static void *sets_it(void *arg)
{
	EXPECT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return (void *)((long)no_new_privs(arg) + 10 * (long)join(spawn(no_new_privs, NULL)));
}

static void *bounded(void *arg)
{
	(void)arg;
	return (void *)(long)(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0) == 0);
}

static void *drops(void *arg)
{
	EXPECT_EQ(0, prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	return (void *)((long)bounded(arg) + 10 * (long)join(spawn(bounded, NULL)));
}

/* A process of its own: a thread with a filter that the caller has not is in the way of TSYNC. */
static int all_threads(void)
{
	pthread_t before = spawn(stays, NULL);
	EXPECT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK_EQ("TSYNC", 0, install(SECCOMP_FILTER_FLAG_TSYNC));
	flag_set(&phase, 1);
	CHECK_EQ("refused to one that was there", 1, (long)join(before));
	CHECK_EQ("and to those that come", 11, (long)join(spawn(with_child, NULL)));
	return check_done();
}

int main(int argc, char **argv)
{
	char out[256];
	(void)argv;
	if (argc > 1)
		return all_threads();
	CHECK_EQ("no_new_privs: its own, and its child's", 11, (long)join(spawn(sets_it, NULL)));
	CHECK_EQ("not main's", 0, (long)no_new_privs(NULL));
	CHECK_EQ("nor that of main's children", 0, (long)join(spawn(no_new_privs, NULL)));
	if (geteuid() == 0) {
		CHECK_EQ("a capability dropped: its own, and its child's", 11, (long)join(spawn(drops, NULL)));
		CHECK_EQ("not main's children's", (long)bounded(NULL), (long)join(spawn(bounded, NULL)));
	}
	join(spawn(sandboxed, NULL));
	CHECK_EQ("a filter is not main's", 0, (long)refused(NULL));
	CHECK_EQ("nor that of main's children", 0, (long)join(spawn(with_child, NULL)));
	CHECK("for all threads at once", exited_with(run_self("all", out, sizeof out), 0));
	fputs(out, stdout);
	return check_done();
}
