/*
 * A ring of tasks: a number goes round, and each adds one.
 *
 *   cc ring.c -lgrt -o ring && ./ring [TASKS [ROUNDS]]        100,000 and 3; bench/go/examples/ring.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

static grt_chan **c;
static grt_wait_group tasks;

static void pass_on(void *arg)
{
	long i = (long)(intptr_t)arg, v;
	while (grt_chan_recv(c[i], &v)) {
		v++;
		grt_chan_send(c[i + 1], &v);
	}
	grt_chan_close(c[i + 1]);
	grt_wait_group_done(&tasks);
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100000, rounds = argc > 2 ? atol(argv[2]) : 3, v = 0;
	c = calloc((size_t)n + 1, sizeof *c);
	for (long i = 0; i <= n; i++)
		c[i] = grt_chan_make(sizeof(long), i == n);
	for (long i = 0; i < n; i++) {
		grt_wait_group_add(&tasks, 1);
		if (grt_go_stack(pass_on, (void *)i, 65536) != 0) {
			perror("grt_go_stack");
			return 1;
		}
	}
	for (long i = 0; i < rounds; i++) {
		grt_chan_send(c[0], &v);
		grt_chan_recv(c[n], &v);
	}
	grt_chan_close(c[0]);
	grt_wait_group_wait(&tasks);
	printf("%ld tasks, %ld rounds: %ld\n", n, rounds, v);
	for (long i = 0; i <= n; i++)
		grt_chan_free(c[i]);
	free(c);
	return 0;
}
