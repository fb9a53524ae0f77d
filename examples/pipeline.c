/*
 * A pipeline with bounded fan-out: one task numbers the jobs, eight work on them, one collects; a context ends all of it early.
 *
 *   cc pipeline.c -lgrt -o pipeline && ./pipeline [JOBS]       20,000 by default; bench/go/examples/pipeline.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 8 };

struct result {
	long job;
	uint64_t hash;
};

static grt_chan *jobs, *results;
static grt_context *ctx;
static grt_wait_group workers;
static long njobs;

static void number_them(void *arg)
{
	(void)arg;
	GRT_DEFER((void (*)(void *))grt_chan_close, jobs);
	for (long i = 0; i < njobs; i++) {
		struct grt_case k[] = {GRT_CASE_SEND(jobs, &i), GRT_CASE_RECV(grt_context_done(ctx), NULL)};
		if (grt_select(k, 2, GRT_FOREVER) == 1)
			return;
	}
}

static void work(void *arg)
{
	long job;
	(void)arg;
	GRT_DEFER((void (*)(void *))grt_wait_group_done, &workers);
	while (grt_chan_recv(jobs, &job)) {
		struct result r = {job, 14695981039346656037u};
		for (int i = 0; i < 100; i++)
			r.hash = (r.hash ^ (uint64_t)(job + i)) * 1099511628211u;
		struct grt_case k[] = {GRT_CASE_SEND(results, &r), GRT_CASE_RECV(grt_context_done(ctx), NULL)};
		if (grt_select(k, 2, GRT_FOREVER) == 1)
			return;
	}
}

static void close_results(void *arg)
{
	(void)arg;
	grt_wait_group_wait(&workers);
	grt_chan_close(results);
}

/* Runs it until `enough` results have come; how many came. */
static long run(long enough, uint64_t *sum)
{
	struct result r;
	long n = 0;
	ctx = grt_context_with_cancel(NULL);
	jobs = grt_chan_make(sizeof(long), 0);
	results = grt_chan_make(sizeof(struct result), 16);
	grt_go(number_them, NULL);
	grt_wait_group_add(&workers, WORKERS);
	for (int i = 0; i < WORKERS; i++)
		grt_go(work, NULL);
	grt_go(close_results, NULL);
	while (grt_chan_recv(results, &r)) {
		*sum += r.hash;
		if (++n == enough)
			grt_context_cancel(ctx);
		if (n >= enough)
			break;
	}
	while (grt_chan_recv(results, &r)) {
	}
	while (grt_num_tasks() > 1)
		grt_yield();
	grt_context_free(ctx);
	grt_chan_free(jobs);
	grt_chan_free(results);
	return n;
}

int main(int argc, char **argv)
{
	uint64_t sum = 0, part = 0;
	njobs = argc > 1 ? atol(argv[1]) : 20000;
	printf("%ld results", run(njobs + 1, &sum));
	printf(", sum %016llx\n", (unsigned long long)sum);
	printf("cancelled after %ld\n", run(njobs / 2, &part));
	return 0;
}
