/*
 * startup [-p PRELOAD] N PROGRAM [ARG...]: from posix_spawn to the reaped exit, the median of N.
 *
 * PRELOAD reaches the measured program only, so this one always runs on glibc alone.  Prints
 * "startup value ns"; a child that does not exit with 0 is an error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Returns the child's time, or -1 after saying what went wrong. */
static int64_t spawn_once(char **argv, char **env)
{
	pid_t pid;
	int64_t t0 = now();
	int status, err = posix_spawn(&pid, argv[0], NULL, NULL, argv, env);

	if (err != 0) {
		fprintf(stderr, "startup: %s: %s\n", argv[0], strerror(err));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			perror("startup: waitpid");
			return -1;
		}
	t0 = now() - t0;
	if (status != 0) {
		fprintf(stderr, "startup: %s: wait status %#x\n", argv[0], status);
		return -1;
	}
	return t0;
}

int main(int argc, char **argv)
{
	int64_t *took;
	long n;
	int c;

	unsetenv("LD_PRELOAD");
	while ((c = getopt(argc, argv, "+p:")) != -1)
		if (c != 'p' || setenv("LD_PRELOAD", optarg, 1) != 0)
			return 2;
	if (argc - optind < 2 || (n = atol(argv[optind])) < 1) {
		fprintf(stderr, "usage: startup [-p PRELOAD] N PROGRAM [ARG...]\n");
		return 2;
	}
	took = calloc(n, sizeof *took);
	if (took == NULL)
		return 1;
	for (long i = -5; i < n; i++) { /* five to warm the page cache */
		int64_t t = spawn_once(argv + optind + 1, environ);

		if (t < 0)
			return 1;
		if (i >= 0)
			took[i] = t;
	}
	qsort(took, n, sizeof *took, by_value);
	printf("startup %ld ns\n", (long)took[n / 2]);
	free(took);
	return 0;
}
