#!/bin/bash
# A program of gcc -fopenmp: parallel loops, tasks, critical sections, barriers, nested teams.
# PACKAGES: gcc
. "$(dirname "$0")/common.sh"
command -v cc >/dev/null || skip "no C compiler"
cat >"$T/p.c" <<'SRC'
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static long fib(int n)
{
	long a, b;
	if (n < 2)
		return n;
#pragma omp task shared(a) if (n > 10)
	a = fib(n - 1);
#pragma omp task shared(b) if (n > 10)
	b = fib(n - 2);
#pragma omp taskwait
	return a + b;
}

int main(void)
{
	enum { N = 1000000 };
	double *x = malloc(N * sizeof *x), sum = 0;
	long count = 0, f = 0, order = 0, nested = 0;
	int bad = 0;

	omp_set_num_threads(8);
#pragma omp parallel for schedule(dynamic, 1000)
	for (int i = 0; i < N; i++)
		x[i] = i % 1000;
#pragma omp parallel for reduction(+ : sum)
	for (int i = 0; i < N; i++)
		sum += x[i];
#pragma omp parallel for
	for (int i = 0; i < 20000; i++)
#pragma omp critical
		count++;
#pragma omp parallel
	for (int i = 0; i < 200; i++) {
#pragma omp single
		order++;
#pragma omp barrier
		if (order != i + 1)
			bad = 1;
#pragma omp barrier
	}
#pragma omp parallel
#pragma omp single
	f = fib(20);
	omp_set_max_active_levels(2);
#pragma omp parallel num_threads(4)
#pragma omp parallel num_threads(3)
#pragma omp atomic
	nested++;
	printf("%.0f %ld %d %ld %ld\n", sum, count, bad, f, nested);
	free(x);
	return 0;
}
SRC
cc -O2 -fopenmp -o "$T/p" "$T/p.c" 2>"$T/cc.err" || skip "cc -fopenmp does not work"
for policy in '' active passive; do
	export OMP_WAIT_POLICY=$policy
	[ -n "$policy" ] || unset OMP_WAIT_POLICY
	both "$T/p"
	ok "OMP_WAIT_POLICY=$policy"
	[ "$(cat "$T/grt.out")" = "499500000 20000 0 6765 12" ] || fail "wrong result: $(cat "$T/grt.out")"
done
