/*
 * The lock-rank checker: locks in the declared order pass, any other order is fatal. The fatal ones in debug builds only.
 */
#include "base/lock.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>

static struct grt_held held;
static struct grt_lock low = GRT_LOCK_INIT(GRT_RANK_BUCKET), high = GRT_LOCK_INIT(GRT_RANK_SCHED);

static struct grt_held *held_table(void)
{
	return &held;
}

START_TEST(in_order)
{
	for (int i = 0; i < 3; i++) {
		grt_lock(&low);
		grt_lock(&high);
		ck_assert(!grt_trylock(&high));
		grt_unlock(&high);
		grt_unlock(&low);
	}
	ck_assert_uint_eq(held.ranks, 0);
}
END_TEST

START_TEST(released_out_of_order)
{
	grt_lock(&low);
	grt_lock(&high);
	grt_unlock(&low);
	grt_unlock(&high);
	ck_assert_uint_eq(held.ranks, 0);
	grt_lock(&low);
	grt_unlock(&low);
}
END_TEST

#if GRT_DEBUG >= 1
static struct grt_lock high_twin = GRT_LOCK_INIT(GRT_RANK_SCHED);

START_TEST(against_the_order)
{
	grt_lock(&high);
	grt_lock(&low);
}
END_TEST

START_TEST(equal_rank)
{
	grt_lock(&high);
	grt_lock(&high_twin);
}
END_TEST

START_TEST(trylock_against_the_order)
{
	grt_lock(&high);
	grt_trylock(&low);
}
END_TEST
#endif

int main(void)
{
	grt__lock_held_hook = held_table;
	Suite *suite = suite_create("lock_rank");
	TCase *tc = tcase_create("rank");
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, released_out_of_order);
#if GRT_DEBUG >= 1
	tcase_add_test_raise_signal(tc, against_the_order, SIGABRT);
	tcase_add_test_raise_signal(tc, equal_rank, SIGABRT);
	tcase_add_test_raise_signal(tc, trylock_against_the_order, SIGABRT);
#endif
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
