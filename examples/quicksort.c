/*
 * Parallel quicksort: the larger parts are sorted by tasks of their own.
 *
 *   cc quicksort.c -lgrt -o quicksort && ./quicksort [N]      1,000,000 numbers; bench/go/examples/quicksort.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

struct part {
	uint32_t *a;
	long n;
};

static grt_wait_group parts;

static void sort(uint32_t *a, long n);

static void sort_part(void *arg)
{
	struct part *p = arg;
	sort(p->a, p->n);
	free(p);
	grt_wait_group_done(&parts);
}

static void sort(uint32_t *a, long n)
{
	while (n > 1) {
		uint32_t pivot = a[n / 2];
		long i = 0, j = n - 1;
		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				uint32_t t = a[i];
				a[i++] = a[j];
				a[j--] = t;
			}
		}
		struct part left = {a, j + 1};
		if (left.n > 4096) {
			struct part *p = malloc(sizeof *p);
			*p = left;
			grt_wait_group_add(&parts, 1);
			if (grt_go(sort_part, p) != 0)
				sort_part(p);
		} else {
			sort(left.a, left.n);
		}
		a += i;
		n -= i;
	}
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000000;
	uint32_t *a = malloc((size_t)n * sizeof *a), x = 2463534242u;
	for (long i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		a[i] = x;
	}
	sort(a, n);
	grt_wait_group_wait(&parts);
	long wrong = 0;
	for (long i = 1; i < n; i++)
		wrong += a[i - 1] > a[i];
	printf("%ld numbers, %ld out of order, the middle one is %u\n", n, wrong, a[n / 2]);
	free(a);
	return wrong != 0;
}
