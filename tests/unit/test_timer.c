/*
 * The heap of timers: the first is the earliest, no matter in which order they come and go, and each right spine is short.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 */
#include "sched/timer.c"
#include "unit.h"
#include <stdlib.h>
#include <string.h>

enum { N = 3000 };

/* What else timer.c wants, so that it comes without the rest of the scheduler. */
GRT_TLS struct grt_tls grt__self;
struct grt_sched grt__sched;
uint32_t grt__clock_sets;

void grt__clock_watch(void)
{
}

static int64_t clock_offset;

int64_t grt__deadline_mono(int64_t deadline)
{
	return deadline < 0 ? -deadline + clock_offset : deadline;
}

struct m *grt__enter_slow(struct m *mp)
{
	return mp;
}

void grt__leave_slow(bool act)
{
	(void)act;
}

void grt__m_look_own(struct m *mp)
{
	(void)mp;
}

void grt__sysmon_promise(int64_t when)
{
	(void)when;
}

static struct grt_timer timer[N];
static struct p p;

/* How many there are from t on; everything that a merge counts on. */
static uint32_t check_from(const struct grt_timer *t, const struct grt_timer *up)
{
	uint32_t n = 0;
	for (; t; up = t, t = t->right) {
		ck_assert_ptr_eq(t->up, up);
		ck_assert(!up || t->when >= up->when);
		ck_assert_uint_ge(rank(t->left), rank(t->right));
		ck_assert_uint_eq(t->rank, rank(t->right) + 1);
		n += 1 + check_from(t->left, t);
	}
	return n;
}

static int64_t earliest(void)
{
	int64_t first = GRT_FOREVER;
	for (int i = 0; i < N; i++)
		if (timer[i].rank && timer[i].when < first)
			first = timer[i].when;
	return first;
}

static void check_all(void)
{
	ck_assert_uint_eq(check_from(p.timers, NULL), p.ntimers);
	ck_assert_int_eq(p.timer0, earliest());
	uint32_t spine = rank(p.timers);
	ck_assert(spine <= 1 || (1u << spine) - 1 <= p.ntimers);
}

START_TEST(any_order)
{
	unsigned r = 3;
	p = (struct p){.timer0 = GRT_FOREVER};
	memset(timer, 0, sizeof timer);
	for (int i = 0; i < 200000; i++) {
		struct grt_timer *t = rand_r(&r) % 8 ? &timer[rand_r(&r) % N] : p.timers;
		if (!t)
			continue;
		if (t->rank) {
			remove_locked(&p, t);
		} else {
			t->when =
				i / 20000 % 2 ? i : rand_r(&r) % 1000; /* later and later, or all over the place, with equal ones */
			insert_locked(&p, t);
		}
		if (i % 500 == 0)
			check_all();
	}
	while (p.timers) {
		ck_assert_int_eq(p.timers->when, p.timer0);
		remove_locked(&p, p.timers);
	}
	ck_assert_uint_eq(p.ntimers, 0);
	ck_assert_int_eq(p.timer0, GRT_FOREVER);
}
END_TEST

/* Every other one is removed from the middle of a heap that was made in one order. */
START_TEST(one_order)
{
	for (int sign = -1; sign <= 1; sign++) {
		p = (struct p){.timer0 = GRT_FOREVER};
		memset(timer, 0, sizeof timer);
		for (int i = 0; i < N; i++) {
			timer[i].when = 10000 + sign * i;
			insert_locked(&p, &timer[i]);
		}
		check_all();
		for (int i = 0; i < N; i += 2)
			remove_locked(&p, &timer[i]);
		check_all();
		int64_t last = 0;
		for (int n = N / 2; n > 0; n--) {
			ck_assert_int_ge(p.timers->when, last);
			last = p.timers->when;
			remove_locked(&p, p.timers);
		}
		check_all();
	}
}
END_TEST

/* Those of the wall clock move when it is set, the others stay; none is lost. */
START_TEST(clock_is_set)
{
	unsigned r = 11;
	p = (struct p){.timer0 = GRT_FOREVER};
	grt_lock_init(&p.timers_lock, GRT_RANK_TIMERS);
	memset(timer, 0, sizeof timer);
	clock_offset = 0;
	for (int i = 0; i < N; i++) {
		timer[i].when = 1 + rand_r(&r) % 100000;
		timer[i].real = i % 3 ? 0 : -timer[i].when;
		insert_locked(&p, &timer[i]);
	}
	for (int round = 1; round < 5; round++) {
		clock_offset = round % 2 ? 50000 * round : -30000 * round;
		clock_set(&p);
		check_all();
		ck_assert_uint_eq(p.ntimers, N);
		for (int i = 0; i < N; i++)
			ck_assert(!timer[i].real || timer[i].when == -timer[i].real + clock_offset);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("timer");
	TCase *c = tcase_create("timer");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, any_order);
	tcase_add_test(c, one_order);
	tcase_add_test(c, clock_is_set);
	suite_add_tcase(s, c);
	return run_suite(s);
}
