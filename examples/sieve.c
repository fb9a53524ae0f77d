/*
 * The concurrent prime sieve: a chain of tasks, each of which lets pass what its prime does not divide.
 *
 *   cc sieve.c -lgrt -o sieve && ./sieve [N]        the first N primes, 300 by default; bench/go/examples/sieve.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

struct filter {
	grt_chan *in, *out, *stop;
	long prime;
};

static void generate(void *arg)
{
	struct filter *f = arg;
	for (long i = 2;; i++) {
		struct grt_case k[] = {GRT_CASE_SEND(f->out, &i), GRT_CASE_RECV(f->stop, NULL)};
		if (grt_select(k, 2, GRT_FOREVER) == 1)
			return;
	}
}

static void filter(void *arg)
{
	struct filter *f = arg;
	long v;
	for (;;) {
		struct grt_case in[] = {GRT_CASE_RECV(f->in, &v), GRT_CASE_RECV(f->stop, NULL)};
		if (grt_select(in, 2, GRT_FOREVER) == 1)
			return;
		if (v % f->prime == 0)
			continue;
		struct grt_case out[] = {GRT_CASE_SEND(f->out, &v), GRT_CASE_RECV(f->stop, NULL)};
		if (grt_select(out, 2, GRT_FOREVER) == 1)
			return;
	}
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 300;
	struct filter *f = calloc((size_t)n + 1, sizeof *f);
	grt_chan *stop = grt_chan_make(0, 0);
	long prime = 0, sum = 0;
	f[0] = (struct filter){.out = grt_chan_make(sizeof(long), 0), .stop = stop};
	if (grt_go(generate, &f[0]) != 0)
		return 1;
	for (int i = 1; i <= n; i++) {
		grt_chan_recv(f[i - 1].out, &prime);
		sum += prime;
		f[i] = (struct filter){f[i - 1].out, grt_chan_make(sizeof(long), 0), stop, prime};
		if (grt_go(filter, &f[i]) != 0)
			return 1;
	}
	printf("prime %d is %ld, the sum %ld\n", n, prime, sum);
	grt_chan_close(stop);
	while (grt_num_tasks() > 1)
		grt_yield();
	for (int i = 0; i <= n; i++)
		grt_chan_free(f[i].out);
	grt_chan_free(stop);
	free(f);
	return 0;
}
