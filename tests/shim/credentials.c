/*
 * The setuid family changes every thread of the process, or none: each thread reads its own ids from the kernel. As root it
 * really changes them (in children); as another user the refusals are compared.
 * CFLAGS: -D_GNU_SOURCE
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6 };

static void ids(const char *who)
{
	char line[256];
	FILE *f = fopen("/proc/thread-self/status", "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "Uid:", 4) == 0 || strncmp(line, "Gid:", 4) == 0 || strncmp(line, "Groups:", 7) == 0)
			printf("%s %s", who, line);
	if (f != NULL)
		fclose(f);
	else
		perror(who);
}

static pthread_barrier_t changed;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *waiting(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&changed);
	pthread_mutex_lock(&turn);
	ids("waiting");
	pthread_mutex_unlock(&turn);
	return NULL;
}

static void *in_read(void *arg)
{
	char c;
	(void)!read(*(int *)arg, &c, 1);
	pthread_mutex_lock(&turn);
	ids("reading");
	pthread_mutex_unlock(&turn);
	return NULL;
}

static volatile int stop;

static void *spinning(void *arg)
{
	(void)arg;
	while (!stop)
		;
	pthread_mutex_lock(&turn);
	ids("spinning");
	pthread_mutex_unlock(&turn);
	return NULL;
}

#define T(call)                                                                                                        \
	do {                                                                                                               \
		errno = 77;                                                                                                    \
		int r_ = (call);                                                                                               \
		int e_ = errno;                                                                                                \
		printf("%s = %d, errno %d\n", #call, r_, e_);                                                                  \
	} while (0)

static void root_to_user(void)
{
	gid_t g[] = {1001, 1002};
	T(setgroups(2, g));
	T(initgroups("daemon", 1003));
	T(setregid(1, 1));
	T(setresgid(1, 2, 3));
	T(seteuid(12));
	T(seteuid(0));
	T(setegid(-1));
	T(setresuid(5, 6, 7));
	T(setuid(0));
	T(setgroups(2, g));
	T(setreuid(-1, 5));
}

static void drop(void)
{
	T(setgid(65534));
	T(setuid(65534));
	T(setuid(0));
	T(seteuid(0));
	T(setgid(0));
	T(initgroups("root", 0));
}

static void in_child(void (*change)(void), int threads)
{
	int st;
	fflush(stdout);
	pid_t pid = fork();
	if (pid != 0) {
		waitpid(pid, &st, 0);
		printf("status %d\n", st);
		return;
	}
	pthread_t t[THREADS], r, s;
	int p[2];
	if (pipe(p) != 0)
		_exit(1);
	pthread_barrier_init(&changed, NULL, THREADS + 1);
	if (threads) {
		for (int i = 0; i < THREADS; i++)
			pthread_create(&t[i], NULL, waiting, NULL);
		pthread_create(&r, NULL, in_read, &p[0]);
		pthread_create(&s, NULL, spinning, NULL);
		usleep(20000);
	}
	change();
	ids("main");
	if (threads) {
		pthread_barrier_wait(&changed);
		for (int i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
		(void)!write(p[1], "x", 1);
		pthread_join(r, NULL);
		stop = 1;
		pthread_join(s, NULL);
	}
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (int threads = 0; threads < 2; threads++) {
		in_child(root_to_user, threads);
		in_child(drop, threads);
	}
	return 0;
}
