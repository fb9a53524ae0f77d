/*
 * PROCS: 1 2 8
 * TIMEOUT: 60
 * LDFLAGS: -rdynamic -ldl -lm
 * CFLAGS: -D_GNU_SOURCE
 * GODEBUG=memprofile: the file is there after the end, by exit, by return from main, by the last thread's end, with %p as the process's
 * number, in children too; not after _exit, not with memprofilerate=0's samples; and a file that cannot be written is said and changes nothing.
 */
#include "../shim/profile.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/memprofile.XXXXXX";
static int bad;

__attribute__((noinline)) void *leaks_here(size_t n)
{
	void *volatile p = malloc(n);
	return p;
}

static void *thread(void *arg)
{
	for (int i = 0; i < 100; i++)
		leaks_here(1000);
	return arg;
}

static int as_child(const char *how)
{
	pthread_t t;
	for (int i = 0; i < 100; i++)
		leaks_here(1000);
	if (!strcmp(how, "exit"))
		exit(5);
	if (!strcmp(how, "_exit"))
		_exit(5);
	if (!strcmp(how, "thread")) {
		if (pthread_create(&t, NULL, thread, NULL) != 0)
			return 1;
		pthread_exit(NULL);
	}
	if (!strcmp(how, "fork")) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			thread(NULL);
			exit(0);
		}
		waitpid(pid, &status, 0);
		return status ? 1 : 5;
	}
	return 5;
}

/* Its exit status, number, and what it said. */
static int run(const char *how, const char *setting, pid_t *pid, char *said, size_t size)
{
	int status, fds[2];
	ssize_t n, have = 0;
	if (pipe(fds) != 0)
		_exit(3);
	*pid = fork();
	if (*pid == 0) {
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		setenv("GODEBUG", setting, 1);
		execl("/proc/self/exe", "self", how, (char *)NULL);
		_exit(9);
	}
	close(fds[1]);
	while ((n = read(fds[0], said + have, size - 1 - (size_t)have)) > 0)
		have += n;
	said[have] = '\0';
	close(fds[0]);
	waitpid(*pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void check(int good, const char *how, const char *what)
{
	if (good)
		return;
	printf("%s: %s\n", how, what);
	bad = 1;
}

/* Bytes in blocks of 1000 that live, by the file with this number; -1: no file; -2: a profile without blocks. The file is gone then. */
static double leaked(pid_t pid)
{
	char path[100];
	struct profile p;
	double bytes = -1;
	snprintf(path, sizeof path, "%s/%%%d.prof", folder, (int)pid);
	int fd = open(path, O_RDONLY);
	if (fd >= 0 && profile_read(fd, &p)) {
		bytes = p.sum.ever ? 0 : -2;
		for (const char *line = p.text; *line != '\n'; line = strchr(line, '\n') + 1) { /* an empty one ends them */
			double blocks, sum;
			if (sscanf(line, "%lf: %lf [", &blocks, &sum) == 2 && sum == blocks * 1000)
				bytes += sum;
		}
		profile_drop(&p);
	}
	close(fd);
	unlink(path);
	return bytes;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *how;
		int status;
		double bytes;
	} ways[] = {
		{"exit", 5, 100000}, {"return", 5, 100000}, {"thread", 0, 200000}, {"_exit", 5, -1}, {"fork", 5, 100000}};
	char setting[200], said[4096];
	pid_t pid;
	if (argc > 1)
		return as_child(argv[1]);
	if (!mkdtemp(folder))
		return 2;
	snprintf(setting, sizeof setting, "memprofilerate=1,memprofile=%s/%%%%%%p.prof", folder);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		check(run(ways[i].how, setting, &pid, said, sizeof said) == ways[i].status, ways[i].how, "the exit status");
		double bytes = leaked(pid);
		if (bytes != ways[i].bytes)
			printf("%s: %.0f bytes, not %.0f\n", ways[i].how, bytes, ways[i].bytes), bad = 1;
		check(!*said, ways[i].how, said);
	}
	snprintf(setting, sizeof setting, "memprofilerate=0,memprofile=%s/%%%%%%p.prof", folder);
	run("return", setting, &pid, said, sizeof said);
	check(leaked(pid) == -2, "rate 0", "a profile without a block");
	snprintf(setting, sizeof setting, "memprofile=%s/none/x", folder);
	check(run("return", setting, &pid, said, sizeof said) == 5, "no such folder", "the exit status");
	check(strstr(said, "memprofile: cannot write") != NULL, "no such folder", said);
	snprintf(setting, sizeof setting, "rm -rf %s", folder);
	check(system(setting) == 0, "rm", "failed");
	puts(bad ? "failed" : "ok");
	return bad;
}
