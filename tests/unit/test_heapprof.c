/*
 * The heap profile's parts: stacks as libgcc's unwinder finds them, on every kind of stack; distances between samples; sampled
 * blocks in the heap, marked and found again.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 */
#include "heap/sample.h"
#include "observe/callers.h"
#include "sched/sched.h"
#include "unit.h"
#include <alloca.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { MOST = 64 };

GRT_TLS struct grt_tls grt__self; /* no scheduler */

/* Compared after the walks: `want` has the kernel's return from a handler as a frame, and what a signal interrupted as it is. */
static uintptr_t got[MOST];
static void *want[MOST];
static int ngot, nwant;

__attribute__((noinline)) static void look(void)
{
	ngot = (int)grt__callers(got, MOST);
	nwant = backtrace(want, MOST);
}

static void compare(int least)
{
	int i = 1, k = 1; /* the first is look's own, at two different calls */
	ck_assert_int_ge(nwant, least);
	while (i < ngot && k < nwant) {
		uintptr_t pc = (uintptr_t)want[k];
		if (got[i] != pc && got[i] != pc + 1) { /* a frame of the kernel's */
			k++;
			pc = k < nwant ? (uintptr_t)want[k] + 1 : 0;
		}
		ck_assert_uint_eq(got[i] - pc, got[i] - pc == 1 ? 1 : 0);
		i++, k++;
	}
	ck_assert_int_eq(i, ngot);
	ck_assert_int_ge(ngot, least);
	ck_assert_int_le(nwant - k, 1);
}

__attribute__((noinline)) static void nest(int depth, void (*fn)(void))
{
	volatile char *room = alloca((size_t)depth * 24 + 1);
	room[0] = 1;
	if (depth)
		nest(depth - 1, fn);
	else
		fn();
	room[0] = 2;
}

START_TEST(plain)
{
	nest(20, look);
	compare(21);
	nest(100, look);
	ck_assert_int_eq(ngot, MOST);
	compare(MOST - 2);
}
END_TEST

/* Its stack is realigned: the frame is found by an expression. */
__attribute__((noinline, force_align_arg_pointer)) static int realigned(int n, const char *s)
{
	_Alignas(128) volatile char room[256];
	volatile char *more = alloca((size_t)n);
	room[0] = *s;
	more[0] = room[0];
	look();
	return room[0] + more[0];
}

static void calls_realigned(void)
{
	ck_assert_int_eq(realigned(10, "a"), 2 * 'a');
}

static int order(const void *a, const void *b)
{
	if (!ngot)
		nest(3, look);
	return *(const int *)a - *(const int *)b;
}

START_TEST(kinds)
{
	int numbers[3] = {3, 1, 2};
	nest(5, calls_realigned);
	compare(7);
	ngot = 0;
	qsort(numbers, 3, sizeof *numbers, order);
	compare(6);
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
	nest(2, look);
}

static void raises(void)
{
	raise(SIGUSR1);
}

START_TEST(handlers)
{
	static char room[65536];
	stack_t alternate = {.ss_sp = room, .ss_size = sizeof room};
	struct sigaction sa = {.sa_handler = on_signal};
	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	nest(4, raises);
	compare(10);
	ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
	sa.sa_flags = SA_ONSTACK;
	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	nest(4, raises);
	compare(10);
}
END_TEST

static void *thread(void *arg)
{
	nest(6, look);
	return arg;
}

static ucontext_t back, other;
static void on_other_stack(void)
{
	nest(4, look);
}

START_TEST(stacks)
{
	static char room[65536];
	pthread_t t;
	ck_assert_int_eq(pthread_create(&t, NULL, thread, NULL), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	compare(8);
	ck_assert_int_eq(getcontext(&other), 0);
	other.uc_stack.ss_sp = room;
	other.uc_stack.ss_size = sizeof room;
	other.uc_link = &back;
	makecontext(&other, on_other_stack, 0);
	ck_assert_int_eq(swapcontext(&back, &other), 0);
	compare(6);
}
END_TEST

/* ---- distances ---- */

START_TEST(distances)
{
	static const size_t rates[] = {512 << 10, 4096, 100};
	enum { N = 200000 };
	struct mcache *c = calloc(1, sizeof *c);
	c->rand = 12345;
	for (size_t r = 0; r < GRT_COUNT(rates); r++) {
		double sum = 0;
		int below_median = 0, above_five = 0;
		grt__sample_rate = rates[r];
		for (int i = 0; i < N; i++) {
			grt__sample_next(c);
			ck_assert_int_ge(c->sample, 1);
			sum += (double)c->sample;
			below_median += (double)c->sample <= (double)rates[r] * 0.693147 + 1;
			above_five += (double)c->sample > (double)rates[r] * 5;
		}
		double mean = sum / N / (double)rates[r];
		ck_assert(mean > 0.985 && mean < 1.02);
		ck_assert(below_median > N * 0.485 && below_median < N * 0.52);
		ck_assert(above_five > N * 0.0055 && above_five < N * 0.008); /* exp(-5) = 0.0067 */
	}
	grt__sample_rate = 0;
	grt__sample_next(c);
	ck_assert_int_gt(c->sample, (int64_t)1 << 60);
	grt__sample_rate = 1;
	grt__sample_next(c);
	ck_assert_int_lt(c->sample, 0);
	free(c);
}
END_TEST

/* ---- blocks ---- */

static size_t last_n, freed_n;
static uint32_t tag = 7, freed_tag;
static const void *freed_p;

static uint32_t on_alloc(size_t n)
{
	last_n = n;
	return tag;
}

static void on_free(uint32_t t, const void *p, size_t n)
{
	freed_tag = t;
	freed_p = p;
	freed_n = n;
}

static void check_block(struct mcache *c, char *p, size_t n, size_t align)
{
	struct grt_sample around;
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % align, 0);
	ck_assert_uint_eq(last_n, n);
	ck_assert_uint_ge(grt__heap_size(p), n);
	memset(p, 0xff, grt__heap_size(p)); /* all of it is ours */
	around = grt__sample_around(n ? p + n - 1 : p);
	ck_assert_ptr_eq(around.p, p);
	ck_assert_uint_eq(around.tag, tag);
	freed_tag = 0;
	cache_free(c, span_of(p), p);
	ck_assert_uint_eq(freed_tag, tag);
	ck_assert_uint_eq(freed_n, around.n);
	ck_assert_ptr_eq(freed_p, p);
	ck_assert_uint_eq(grt__sample_around(p).tag, 0);
}

START_TEST(blocks)
{
	grt__sample_rate = 1;
	grt__sample_alloc_hook = on_alloc;
	grt__sample_free_hook = on_free;
	struct mcache *c = grt__cache_get(true), *remote = grt__cache_get(true);
	ck_assert_ptr_nonnull(c);
	for (size_t n = 0; n < 40000; n += n < 2000 ? 1 : 97) {
		tag++;
		check_block(c, cache_alloc(c, n), n, 16);
		check_block(remote, cache_alloc(c, n), n, 16);
	}
	for (size_t align = 32; align <= 1 << 20; align *= 2)
		for (size_t n = 1; n < 100000; n = n * 3 + 1) {
			char *p = grt__cache_aligned(c, n, align);
			ck_assert_uint_ge(last_n, n);
			check_block(c, p, last_n, align);
		}
	for (size_t n = 1; n < 100 << 20; n = n * 2 + 1) { /* grows in its place or not: its sample goes with it */
		char *p = cache_alloc(c, n), *q;
		memset(p, 1, n);
		q = grt__cache_realloc(c, p, n * 2);
		ck_assert(q && q[0] == 1 && q[n - 1] == 1);
		struct grt_sample s = grt__sample_around(q);
		ck_assert_ptr_eq(s.p, q);
		ck_assert(s.n >= n * 2 || q == p);
		struct span *at = span_of(q);
		grt__cache_free_slow(c, at, q);
		ck_assert_ptr_eq(freed_p, q);
		ck_assert_uint_eq(freed_n, s.n);
	}
	tag = 0; /* the hook does not want it */
	char *p = cache_alloc(c, 100);
	ck_assert_uint_ge(grt__heap_size(p), 100);
	ck_assert_uint_eq(grt__sample_around(p).tag, 0);
	freed_p = NULL;
	cache_free(c, span_of(p), p);
	ck_assert_ptr_null(freed_p);
}
END_TEST

/* What is no block, and what is one no more. */
START_TEST(wild)
{
	grt__sample_rate = 1;
	grt__sample_alloc_hook = on_alloc;
	grt__sample_free_hook = on_free;
	struct mcache *c = grt__cache_get(true);
	char *p = cache_alloc(c, 100), *q = cache_alloc(c, 100);
	memcpy(q, p - 16, 100); /* a head of somebody else's */
	if (_i == 0)
		cache_free(c, span_of(p), p + 16);
	else if (_i == 1)
		cache_free(c, span_of(q), q + 16);
	else if (_i == 2)
		cache_free(c, span_of(p), p - 8);
	else if (_i == 3)
		cache_free(c, span_of(p), p);
	if (_i == 3)
		cache_free(c, span_of(p), p);
}
END_TEST

/* ---- trails ---- */

static struct stack {
	uintptr_t pc[MOST];
	unsigned n;
} seen[2000];
static uint32_t nseen, asked;

/* But for the innermost, which is the call itself. */
static uint32_t number_of(const uintptr_t *pc, unsigned n)
{
	uint32_t i = 0;
	asked++;
	while (i < nseen && (seen[i].n != n || memcmp(seen[i].pc + 1, pc + 1, (n - 1) * sizeof *pc) != 0))
		i++;
	if (i == nseen) {
		ck_assert_uint_lt(nseen++, sizeof seen / sizeof *seen);
		seen[i].n = n;
		memcpy(seen[i].pc, pc, n * sizeof *pc);
	}
	return i + 1;
}

/* Twice, so that the second is the trail's; both as a walk that was made. */
__attribute__((noinline)) static void ask(void)
{
	for (int i = 0; i < 2; i++) {
		uint32_t tag = grt__callers_tag(number_of);
		uintptr_t pc[MOST];
		unsigned n = grt__callers(pc, MOST);
		ck_assert_uint_eq(tag, number_of(pc, n));
	}
}

/* Frames of the same size at the same place, others that are found by the frame pointer, in every order. */
__attribute__((noinline)) static void path(unsigned bits, int depth);

__attribute__((noinline)) static void left(unsigned bits, int depth)
{
	path(bits, depth);
	__asm__ volatile("");
}

__attribute__((noinline)) static void right(unsigned bits, int depth)
{
	path(bits, depth);
	__asm__ volatile("nop");
}

__attribute__((noinline)) static void roomy(unsigned bits, int depth)
{
	volatile char *room = alloca((bits & 1) * 16 + 16);
	room[0] = 1;
	path(bits >> 1, depth);
	room[0] = 2;
}

__attribute__((noinline)) static void path(unsigned bits, int depth)
{
	if (!depth)
		ask();
	else if (bits % 3 == 0)
		left(bits / 3, depth - 1);
	else if (bits % 3 == 1)
		right(bits / 3, depth - 1);
	else
		roomy(bits / 3, depth - 1);
	__asm__ volatile("");
}

START_TEST(trails)
{
	unsigned r = 3;
	grt__callers_init();
	for (int i = 0; i < 20000; i++)
		path((unsigned)rand_r(&r), (int)(rand_r(&r) % 5));
	ck_assert_uint_gt(nseen, 100);
	uint32_t before = asked;
	for (int i = 0; i < 1000; i++)
		path(0, 3);
	ck_assert_uint_le(asked - before, 2000 + 1); /* the walks that were made, not the trails */
	grt__callers_forget();
	before = asked;
	path(0, 3);
	ck_assert_uint_eq(asked - before, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heapprof");
	TCase *tc = tcase_create("heapprof");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, plain);
	tcase_add_test(tc, kinds);
	tcase_add_test(tc, handlers);
	tcase_add_test(tc, stacks);
	tcase_add_test(tc, distances);
	tcase_add_test(tc, blocks);
	tcase_add_test(tc, trails);
	tcase_add_loop_test_raise_signal(tc, wild, SIGABRT, 0, 4);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
