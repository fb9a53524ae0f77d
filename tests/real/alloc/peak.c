/*
 * peak FILE LIBRARY COMMAND...: runs a command with a library preloaded, if there is one, and ends as it does. FILE gets
 * a line "SECONDS CPU-SECONDS KIB": the time that passed, the CPU time of the command and of all that it waited for, and the
 * largest peak of one of them. A small process, because what a child held before its exec counts in its peak as well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(const struct timeval *tv)
{
	return tv->tv_sec + tv->tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct timespec from, to;
	struct rusage ru;
	int status;
	pid_t pid;
	FILE *f;

	if (argc < 4)
		return 125;
	clock_gettime(CLOCK_MONOTONIC, &from);
	pid = fork();
	if (pid < 0)
		return 125;
	if (pid == 0) {
		if (argv[2][0] != '\0')
			setenv("LD_PRELOAD", argv[2], 1);
		execvp(argv[3], argv + 3);
		fprintf(stderr, "%s: %s\n", argv[3], strerror(errno));
		_exit(127);
	}
	while (wait4(pid, &status, 0, &ru) < 0)
		if (errno != EINTR)
			return 125;
	clock_gettime(CLOCK_MONOTONIC, &to);
	f = fopen(argv[1], "w");
	if (f == NULL)
		return 125;
	fprintf(f, "%.3f %.3f %ld\n", to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9,
	        seconds(&ru.ru_utime) + seconds(&ru.ru_stime), ru.ru_maxrss);
	if (fclose(f) != 0)
		return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
