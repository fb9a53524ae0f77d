/* tls.c - __thread variables of the program. */
#include "check.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>

static __thread int number = 77;
static __thread int zero;
static __thread char text[32] = "initial";
static __thread struct {
	double d;
	int *self;
	char pad[100];
} record = {2.5, NULL, "pad"};
static __thread __attribute__((aligned(64))) char aligned[64] = "aligned";
__thread int exported = 5;

static int is_fresh(void)
{
	return number == 77 && zero == 0 && strcmp(text, "initial") == 0 && record.d == 2.5 && record.self == NULL &&
	       strcmp(record.pad, "pad") == 0 && strcmp(aligned, "aligned") == 0 && exported == 5 && errno == 0;
}

static void dirty(int n)
{
	number = n;
	zero = n + 1;
	snprintf(text, sizeof text, "thread %d", n);
	record.d = n;
	record.self = &number;
	memset(record.pad, n, sizeof record.pad);
	memset(aligned, n, sizeof aligned);
	exported = -n;
	errno = n % 100 + 1;
}

static int is_dirty(int n)
{
	char want[32];
	int e = errno;
	snprintf(want, sizeof want, "thread %d", n);
	errno = e;
	return number == n && zero == n + 1 && strcmp(text, want) == 0 && record.d == n && record.self == &number &&
	       exported == -n && errno == n % 100 + 1;
}

static void *fresh_then_dirty(void *arg)
{
	long bad = !is_fresh();
	dirty((int)(long)arg);
	return (void *)bad;
}

static void *keeps(void *arg)
{
	int n = (int)(long)arg;
	int *address = &number;
	if (!is_fresh())
		return (void *)1;
	dirty(n);
	for (int i = 0; i < 300; i++) {
		sched_yield();
		if (i % 50 == 0) {
			sleep_ms(1);
			errno = n % 100 + 1;
		}
		if (!is_dirty(n) || address != &number)
			return (void *)2;
	}
	return NULL;
}

static void *aligned_address(void *arg)
{
	(void)arg;
	return (void *)((unsigned long)aligned % 64);
}

static int *of_child;

static void *publishes(void *arg)
{
	int *phase = (int *)arg;
	of_child = &number;
	flag_set(phase, 1);
	flag_wait(phase, 2);
	return (void *)(long)number;
}

/* libc's own per-thread tables: ctype, locale, strerror, strtok, the printf of doubles */
static void *uses_libc(void *arg)
{
	char buf[64], line[] = "a,b,c", *rest;
	double x = 0.1 + (double)(long)arg;
	int n = 0;
	snprintf(buf, sizeof buf, "%g", x);
	if (strtod(buf, NULL) != strtod("0.1", NULL) + (double)(long)arg && fabs(strtod(buf, NULL) - x) > 1e-3)
		return (void *)1;
	for (char *p = strtok_r(line, ",", &rest); p; p = strtok_r(NULL, ",", &rest))
		n += p[0];
	if (n != 'a' + 'b' + 'c' || !isalpha('q') || toupper('q') != 'Q')
		return (void *)2;
	if (strcmp(strerror(ENOENT), "No such file or directory") != 0)
		return (void *)3;
	if (localeconv()->decimal_point[0] != '.')
		return (void *)4;
	return NULL;
}

int main(void)
{
	pthread_t ts[64];
	int ok = 1, phase = 0;

	CHECK("main sees the initial values", is_fresh());
	dirty(-1);
	for (long i = 0; i < 300; i++)
		ok &= join(spawn(fresh_then_dirty, (void *)(i + 1))) == NULL;
	CHECK("each of 300 threads, one after the other, sees the initial values", ok);
	for (long i = 0; i < 64; i++)
		ts[i] = spawn(keeps, (void *)(i + 1));
	for (int i = 0; i < 64; i++)
		ok &= join(ts[i]) == NULL;
	CHECK("64 threads at once keep their own values and addresses", ok);
	CHECK("main's values are unchanged", number == -1 && zero == 0 && exported == 1);
	CHECK("alignment of 64 is kept in main", (unsigned long)aligned % 64 == 0);
	for (int i = 0; i < 8; i++)
		ok &= join(spawn(aligned_address, NULL)) == NULL;
	CHECK("alignment of 64 is kept in threads", ok);

	ts[0] = spawn(publishes, &phase);
	flag_wait(&phase, 1);
	CHECK("another thread's variable is readable by its address", *of_child == 77);
	*of_child = 99;
	flag_set(&phase, 2);
	CHECK_EQ("and writable", 99, (long)join(ts[0]));

	for (long i = 0; i < 64; i++)
		ts[i] = spawn(uses_libc, (void *)i);
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(0, (long)join(ts[i]));
	CHECK("libc's per-thread state works in 64 threads", 1);
	return check_done();
}
