/*
 * A million tasks: each waits for a word, adds its number to a sum and ends.
 *
 *   cc million.c -lgrt -o million && ./million [TASKS]      100,000 by default; bench/go/examples/million.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

static grt_chan *word;
static grt_wait_group tasks;
static long sum;

static void wait_and_add(void *arg)
{
	grt_chan_recv(word, NULL);
	__atomic_add_fetch(&sum, (long)(intptr_t)arg, __ATOMIC_RELAXED);
	grt_wait_group_done(&tasks);
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100000;
	word = grt_chan_make(0, 0);
	for (long i = 0; i < n; i++) {
		grt_wait_group_add(&tasks, 1);
		if (grt_go_stack(wait_and_add, (void *)i, 65536) != 0) {
			perror("grt_go_stack");
			return 1;
		}
	}
	grt_chan_close(word);
	grt_wait_group_wait(&tasks);
	printf("%ld tasks, sum %ld\n", n, sum);
	return 0;
}
