// LDFLAGS: -lm
/* thread_state.c - what else is a thread's own: errno, locale, rounding mode, stdio locks. */
#include "check.h"

#include <fenv.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <wchar.h>

static void *keeps_errno(void *arg)
{
	int n = (int)(long)arg;
	if (errno != 0)
		return (void *)1;
	errno = n;
	int *where = &errno;
	for (int i = 0; i < 200; i++) {
		sched_yield();
		if (errno != n || where != &errno)
			return (void *)2;
	}
	return NULL;
}

static locale_t utf8;

static void *keeps_locale(void *arg)
{
	int mine = (int)(long)arg % 2;
	if (MB_CUR_MAX != 1)
		return (void *)1;
	if (mine)
		uselocale(utf8);
	for (int i = 0; i < 100; i++) {
		wchar_t w = 0;
		mbstate_t st;
		memset(&st, 0, sizeof st);
		size_t n = mbrtowc(&w, "\xc3\xa9", 2, &st);
		if (mine ? (n != 2 || w != 0xe9 || MB_CUR_MAX != 6) : MB_CUR_MAX != 1)
			return (void *)2;
		if (strcmp(nl_langinfo(CODESET), mine ? "UTF-8" : "ANSI_X3.4-1968") != 0)
			return (void *)3;
		sched_yield();
	}
	if (uselocale(NULL) != (mine ? utf8 : LC_GLOBAL_LOCALE))
		return (void *)4;
	return NULL;
}

static const int modes[4] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

static void *keeps_rounding(void *arg)
{
	int k = (int)(long)arg % 4;
	volatile double one = 1.0, three = 3.0;
	if (fegetround() != FE_TONEAREST)
		return (void *)1;
	fesetround(modes[k]);
	double first = one / three;
	feraiseexcept(k & 1 ? FE_OVERFLOW : FE_DIVBYZERO);
	for (int i = 0; i < 200; i++) {
		sched_yield();
		if (fegetround() != modes[k] || one / three != first)
			return (void *)2;
		if (i % 100 == 0)
			sleep_ms(1);
	}
	if (lrint(2.5) != (modes[k] == FE_UPWARD ? 3 : 2))
		return (void *)3;
	if (!fetestexcept(k & 1 ? FE_OVERFLOW : FE_DIVBYZERO))
		return (void *)4;
	return NULL;
}

static void *inherits_rounding(void *arg)
{
	(void)arg;
	return (void *)(long)fegetround();
}

static int phase;
static FILE *file;

static void *owns_stream(void *arg)
{
	(void)arg;
	flockfile(file);
	flockfile(file);
	flag_set(&phase, 1);
	flag_wait(&phase, 2);
	fprintf(file, "one ");
	sched_yield();
	fprintf(file, "two\n");
	funlockfile(file);
	flag_set(&phase, 3);
	sleep_ms(50);
	fprintf(file, "three\n");
	funlockfile(file);
	return NULL;
}

static void *prints_lines(void *arg)
{
	int n = (int)(long)arg;
	for (int i = 0; i < 200; i++) {
		flockfile(file);
		fprintf(file, "%d", n);
		if (i % 20 == 0)
			sched_yield();
		fprintf(file, ".%d", n);
		putc_unlocked('\n', file);
		funlockfile(file);
		fprintf(file, "%d+%d\n", n, n);
	}
	return NULL;
}

static void stdio(void)
{
	pthread_t t, ts[16];
	char line[64];
	int a, b, lines = 0, bad = 0;
	char sep;

	file = tmpfile();
	EXPECT(file != NULL);
	t = spawn(owns_stream, NULL);
	flag_wait(&phase, 1);
	CHECK("ftrylockfile of a stream that another holds twice", ftrylockfile(file) != 0);
	flag_set(&phase, 2);
	flag_wait(&phase, 3);
	CHECK("ftrylockfile when it is still held once", ftrylockfile(file) != 0);
	fprintf(file, "four\n");
	join(t);
	CHECK("ftrylockfile of a free stream", ftrylockfile(file) == 0);
	CHECK("ftrylockfile again by the owner", ftrylockfile(file) == 0);
	funlockfile(file);
	funlockfile(file);
	rewind(file);
	EXPECT(fgets(line, sizeof line, file) != NULL);
	CHECK("flockfile keeps two calls together", strcmp(line, "one two\n") == 0);
	EXPECT(fgets(line, sizeof line, file) != NULL);
	CHECK("a nested flockfile holds until the last funlockfile", strcmp(line, "three\n") == 0);
	fclose(file);

	file = tmpfile();
	for (long i = 0; i < 16; i++)
		ts[i] = spawn(prints_lines, (void *)i);
	for (int i = 0; i < 16; i++)
		join(ts[i]);
	rewind(file);
	while (fgets(line, sizeof line, file)) {
		lines++;
		bad += sscanf(line, "%d%c%d", &a, &sep, &b) != 3 || a != b;
	}
	CHECK_EQ("16 threads write 6400 lines to one stream", 6400, lines);
	CHECK_EQ("none is torn", 0, bad);
	fclose(file);
}

static void all(const char *clause, void *(*fn)(void *))
{
	pthread_t ts[32];
	long bad = 0;
	for (long i = 0; i < 32; i++)
		ts[i] = spawn(fn, (void *)(i + 1));
	for (int i = 0; i < 32; i++)
		bad |= (long)join(ts[i]);
	CHECK_EQ(clause, 0, bad);
}

int main(void)
{
	errno = 0;
	all("errno is each thread's own", keeps_errno);
	utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
	CHECK("newlocale C.UTF-8", utf8 != (locale_t)0);
	if (utf8)
		all("uselocale is each thread's own, the global one where none was set", keeps_locale);
	all("rounding mode and exception flags are each thread's own", keeps_rounding);
	CHECK_EQ("main's rounding mode is unchanged", FE_TONEAREST, fegetround());
	fesetround(FE_UPWARD);
	CHECK_EQ("a thread inherits its creator's rounding mode", FE_UPWARD, (long)join(spawn(inherits_rounding, NULL)));
	fesetround(FE_TONEAREST);
	stdio();
	return check_done();
}
