/*
 * The dining philosophers: each fork is a mutex; everybody takes the lower-numbered one first, and nobody starves.
 *
 *   cc philosophers.c -lgrt -o philosophers && ./philosophers [MEALS]      1000 each; bench/go/examples/philosophers.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEATS = 5 };

static grt_mutex forks[SEATS];
static long eaten[SEATS], meals = 1000;
static grt_wait_group table;

static void dine(void *arg)
{
	int me = (int)(intptr_t)arg, left = me, right = (me + 1) % SEATS;
	grt_mutex *first = &forks[left < right ? left : right], *second = &forks[left < right ? right : left];
	GRT_DEFER((void (*)(void *))grt_wait_group_done, &table);
	for (long i = 0; i < meals; i++) {
		grt_mutex_lock(first);
		grt_mutex_lock(second);
		eaten[me]++;
		grt_yield(); /* eats */
		grt_mutex_unlock(second);
		grt_mutex_unlock(first);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		meals = atol(argv[1]);
	grt_wait_group_add(&table, SEATS);
	for (long i = 0; i < SEATS; i++)
		if (grt_go(dine, (void *)i) != 0)
			return 1;
	grt_wait_group_wait(&table);
	for (int i = 0; i < SEATS; i++)
		printf("philosopher %d ate %ld times\n", i, eaten[i]);
	return 0;
}
