/*
 * What the programs of bench/ share: dying, time, threads and their errors, growing counts, and the choice of a mode.
 *
 * Output of every mode is one line per figure, "name value unit". Each mode repeats its loop with a growing count
 * until one repetition lasts BENCH_MS milliseconds (400 by default) and reports that repetition.
 * Each mode counts what it did; a wrong count is an error, with exit status 1 and no figure.
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct mode {
	const char *name;
	void (*run)(long given);
	const char *what;
};

static inline void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* For pthread calls, which return their error. */
static inline void must(int err, const char *what)
{
	if (err != 0)
		die("%s: %s", what, strerror(err));
}

static inline void must_equal(long got, long want, const char *what)
{
	if (got != want)
		die("%s: %ld instead of %ld", what, got, want);
}

static inline int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static inline void start(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	must(pthread_create(t, attr, fn, arg), "pthread_create");
}

static inline void join(pthread_t t)
{
	void *ret;

	must(pthread_join(t, &ret), "pthread_join");
	if (ret != NULL)
		die("pthread_join: not the thread's result");
}

static inline void wait_sem(sem_t *s)
{
	while (sem_wait(s) != 0)
		if (errno != EINTR)
			die("sem_wait: %s", strerror(errno));
}

static inline void post_sem(sem_t *s)
{
	if (sem_post(s) != 0)
		die("sem_post: %s", strerror(errno));
}

static inline int64_t budget(void)
{
	const char *ms = getenv("BENCH_MS");

	return (ms != NULL && atol(ms) > 0 ? atol(ms) : 400) * INT64_C(1000000);
}

/*
 * Runs once(n) with a growing n until it lasts the budget; returns its nanoseconds per unit of n.
 * An n given on the command line is run as it is.
 */
static inline double calibrate(int64_t (*once)(long n), long n, long given)
{
	int64_t want = budget(), took;
	double grow;

	if (given > 0)
		return (double)once(given) / given;
	for (;;) {
		took = once(n);
		if (took >= want)
			return (double)took / n;
		grow = took > 0 ? 1.2 * want / took : 100;
		n *= grow < 1.5 ? 1.5 : grow > 100 ? 100 : grow;
	}
}

static inline int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* PROGRAM MODE [N] */
static inline int run_mode(int argc, char **argv, const struct mode *modes, size_t n)
{
	if (argc == 2 || argc == 3)
		for (size_t i = 0; i < n; i++)
			if (strcmp(argv[1], modes[i].name) == 0) {
				modes[i].run(argc == 3 ? atol(argv[2]) : 0);
				if (fflush(stdout) != 0)
					die("standard output: %s", strerror(errno));
				return 0;
			}
	fprintf(stderr, "usage: %s MODE [N]\n", program_invocation_short_name);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  %-9s %s\n", modes[i].name, modes[i].what);
	return 2;
}

#endif
