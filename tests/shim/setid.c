/* setid.c - the set*id family is the whole process's, in whatever state the threads are. */
#include "check.h"

#include <grp.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int stop, started, p[2];

static void *parks(void *arg)
{
	flag_add(&started, 1);
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return arg;
}

static void *spins(void *arg)
{
	flag_add(&started, 1);
	while (!flag_get(&stop))
		;
	return arg;
}

static void *reads(void *arg)
{
	char ch;
	(void)arg;
	flag_add(&started, 1);
	return (void *)(long)read(p[0], &ch, 1);
}

static void *sets(void *arg)
{
	(void)arg;
	long bad = 0;
	for (int i = 0; i < 10; i++) {
		bad |= setgid(getgid());
		bad |= setuid(getuid());
		bad |= setegid(getegid());
		bad |= seteuid(geteuid());
		bad |= setregid((gid_t)-1, (gid_t)-1);
		bad |= setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1);
	}
	return (void *)bad;
}

/* In a child, so that it can give its rights up: every thread must have lost them. */
static int phase;

static void *sees_uid(void *arg)
{
	(void)arg;
	flag_add(&started, 1);
	flag_wait(&phase, 1);
	return (void *)(long)(syscall(SYS_geteuid) * 10 + syscall(SYS_getegid));
}

static void *drops(void *arg)
{
	(void)arg;
	return (void *)(long)(setgid(65534) || setuid(65534));
}

static int gives_up(void)
{
	pthread_t ts[8], t;
	int bad = 0;
	started = phase = 0;
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(sees_uid, NULL);
	flag_wait(&started, 8);
	t = spawn(drops, NULL);
	bad |= join(t) != NULL;
	flag_set(&phase, 1);
	for (int i = 0; i < 8; i++)
		bad |= (long)join(ts[i]) != 65534 * 11;
	/* a later thread too */
	bad |= (long)join(spawn(sees_uid, NULL)) != 65534 * 11;
	bad |= syscall(SYS_geteuid) != 65534;
	bad |= setuid(0) == 0;
	return bad;
}

int main(void)
{
	pthread_t ts[16], s[4];
	gid_t groups[64];
	int n, bad = 0;

	EXPECT_EQ(0, pipe(p));
	pthread_mutex_lock(&held);
	for (int i = 0; i < 4; i++) {
		ts[3 * i] = spawn(parks, NULL);
		ts[3 * i + 1] = spawn(spins, NULL);
		ts[3 * i + 2] = spawn(reads, NULL);
	}
	flag_wait(&started, 12);
	CHECK_EQ("setgid(getgid()) with threads parked, spinning and blocked", 0, setgid(getgid()));
	CHECK_EQ("setuid(getuid())", 0, setuid(getuid()));
	for (int i = 0; i < 4; i++)
		s[i] = spawn(sets, NULL);
	for (int i = 0; i < 4; i++)
		bad |= (long)join(s[i]) != 0;
	CHECK_EQ("four threads at once set their own ids", 0, bad);
	n = getgroups(64, groups);
	EXPECT(n >= 0);
	if (geteuid() == 0)
		EXPECT_EQ(0, setgroups((size_t)n, groups));
	CHECK("setgroups to the same", 1);
	errno = 0;
	CHECK("EINVAL: setresuid out of range is for the kernel to say",
	      geteuid() != 0 ? 1 : setegid((gid_t)-1) == -1 && errno == EINVAL);
	flag_set(&stop, 1);
	EXPECT_EQ(4, write(p[1], "1234", 4));
	pthread_mutex_unlock(&held);
	for (int i = 0; i < 12; i++)
		join(ts[i]);

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(geteuid() == 0 ? gives_up() : 0);
	CHECK("POSIX: setuid by one thread is seen by all, living and later", exited_with(reap(pid), 0));
	return check_done();
}
