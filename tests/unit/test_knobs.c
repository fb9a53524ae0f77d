/*
 * GODEBUG, GOMAXPROCS, GOTRACEBACK: what is taken, what is refused, what is said about it.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 */
#include "observe/knobs.h"
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void parse(const char *a, const char *b, const char *c)
{
	char *env[] = {(char *)"HOME=/", (char *)a, (char *)b, (char *)c, NULL};
	grt__knobs_parse(env);
}

/* What grt__knobs_complain writes to standard error. */
static char *complaints(int procs)
{
	static char text[2048];
	int saved = dup(2), fd = memfd_create("stderr", 0);
	dup2(fd, 2);
	grt__knobs_complain(procs);
	dup2(saved, 2);
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	close(saved);
	return text;
}

START_TEST(defaults)
{
	grt__knobs_parse(NULL);
	ck_assert_int_eq(grt__knobs.gomaxprocs, 0);
	ck_assert_int_eq(grt__knobs.schedtrace_ms, 0);
	ck_assert_int_eq(grt__knobs.traceback, KNOB_TRACEBACK_SINGLE);
	parse("GODEBUG=", "GOMAXPROCS=", "GOTRACEBACK=");
	ck_assert_int_eq(grt__knobs.gomaxprocs, 0);
	ck_assert_int_eq(grt__knobs.traceback, KNOB_TRACEBACK_SINGLE);
	ck_assert_str_eq(complaints(2), "");
}
END_TEST

START_TEST(good)
{
	parse("GODEBUG=gctrace=1,schedtrace=1000,foo,scheddetail=1,,asyncpreemptoff=0,preemptstress=1", "GOMAXPROCS=7",
	      "GOTRACEBACK=system");
	ck_assert_int_eq(grt__knobs.schedtrace_ms, 1000);
	ck_assert(grt__knobs.scheddetail);
	ck_assert(!grt__knobs.asyncpreemptoff);
	ck_assert(grt__knobs.preemptstress);
	ck_assert_int_eq(grt__knobs.gomaxprocs, 7);
	ck_assert_int_eq(grt__knobs.traceback, KNOB_TRACEBACK_SYSTEM);
	ck_assert_str_eq(complaints(2), "");
}
END_TEST

START_TEST(giving_back)
{
	grt__knobs_parse(NULL);
	ck_assert(grt__knobs.madvdontneed && !grt__knobs.scavtrace);
	parse("GODEBUG=madvdontneed=0,scavtrace=1", "A=", "B=");
	ck_assert(!grt__knobs.madvdontneed && grt__knobs.scavtrace);
	parse("GODEBUG=madvdontneed=1,scavtrace=0", "A=", "B=");
	ck_assert(grt__knobs.madvdontneed && !grt__knobs.scavtrace);
	parse("GODEBUG=madvdontneed=no,scavtrace=yes", "A=", "B=");
	ck_assert(grt__knobs.madvdontneed && !grt__knobs.scavtrace);
	ck_assert_str_eq(complaints(2), "libgrt: GODEBUG: madvdontneed: invalid value \"no\", using 1\n"
	                                "libgrt: GODEBUG: scavtrace: invalid value \"yes\", using 0\n");
}
END_TEST

START_TEST(order)
{
	/* within GODEBUG the last counts, of two variables of one name the first */
	parse("GODEBUG=schedtrace=1,schedtrace=20", "GODEBUG=schedtrace=3", "GODEBUGX=schedtrace=4");
	ck_assert_int_eq(grt__knobs.schedtrace_ms, 20);
	parse("GOMAXPROCS=1024", "GOMAXPROCS=3", "XGOMAXPROCS=4");
	ck_assert_int_eq(grt__knobs.gomaxprocs, 1024);
}
END_TEST

START_TEST(bad_gomaxprocs)
{
	static const char *const bad[] = {"0", "-1", "1025", "2x", "x", " 2", "2 ", "+2", "1e1", "99999999999999999999"};
	for (size_t i = 0; i < GRT_COUNT(bad); i++) {
		char var[64], want[128];
		snprintf(var, sizeof var, "GOMAXPROCS=%s", bad[i]);
		snprintf(want, sizeof want, "libgrt: GOMAXPROCS: invalid value \"%s\", using 2\n", bad[i]);
		parse(var, "A=", "B=");
		ck_assert_int_eq(grt__knobs.gomaxprocs, 0);
		ck_assert_str_eq(complaints(2), want);
		ck_assert_str_eq(complaints(2), ""); /* said once */
	}
}
END_TEST

START_TEST(bad_godebug)
{
	parse("GODEBUG=schedtrace=abc,scheddetail=,asyncpreemptoff=-1,unknown=zzz,preemptstress",
	      "A=", "GOTRACEBACK=bogus");
	ck_assert_int_eq(grt__knobs.schedtrace_ms, 0);
	ck_assert(!grt__knobs.scheddetail);
	ck_assert_str_eq(complaints(2), "libgrt: GODEBUG: schedtrace: invalid value \"abc\", using 0\n"
	                                "libgrt: GODEBUG: scheddetail: invalid value \"\", using 0\n"
	                                "libgrt: GODEBUG: asyncpreemptoff: invalid value \"-1\", using 0\n"
	                                "libgrt: GOTRACEBACK: invalid value \"bogus\", using single\n");
}
END_TEST

START_TEST(hostile)
{
	/* long, binary, many: kept short, printable, bounded */
	char var[4096] = "GOMAXPROCS=";
	memset(var + 11, 'y', 3000);
	var[20] = '\n';
	parse(var, "A=", "B=");
	ck_assert_int_lt(strlen(complaints(2)), 128);
	ck_assert_ptr_eq(strchr(complaints(2), '\n'), NULL);
	strcpy(var, "GODEBUG=");
	for (int i = 0; i < 100; i++)
		strcat(var, "schedtrace=?,");
	parse(var, "A=", "B=");
	ck_assert_int_le(grt__knobs.nbad, KNOBS_BAD);
}
END_TEST

START_TEST(traceback_levels)
{
	static const struct {
		const char *var;
		int level;
	} t[] = {{"GOTRACEBACK=none", KNOB_TRACEBACK_NONE}, {"GOTRACEBACK=single", KNOB_TRACEBACK_SINGLE},
	         {"GOTRACEBACK=all", KNOB_TRACEBACK_ALL},   {"GOTRACEBACK=crash", KNOB_TRACEBACK_CRASH},
	         {"GOTRACEBACK=0", KNOB_TRACEBACK_NONE},    {"GOTRACEBACK=1", KNOB_TRACEBACK_ALL},
	         {"GOTRACEBACK=2", KNOB_TRACEBACK_SYSTEM},  {"GOTRACEBACK=NONE", KNOB_TRACEBACK_SINGLE}};
	for (size_t i = 0; i < GRT_COUNT(t); i++) {
		parse("A=", t[i].var, "B=");
		ck_assert_int_eq(grt__knobs.traceback, t[i].level);
	}
}
END_TEST

START_TEST(memprofile)
{
	char title[] = "GODEBUG=memprofilerate=100,memprofile=/tmp/a b.%p,hardened=1", name[6000] = "GODEBUG=memprofile=";
	parse("A=", "B=", NULL);
	ck_assert_uint_eq(grt__knobs.memprofilerate, 512 << 10);
	ck_assert_ptr_null(grt__knobs.memprofile);
	parse(title, "B=", NULL);
	memset(title, 'x', sizeof title - 1); /* as setproctitle */
	ck_assert_uint_eq(grt__knobs.memprofilerate, 100);
	ck_assert_str_eq(grt__knobs.memprofile, "/tmp/a b.%p");
	ck_assert(grt__knobs.hardened);
	parse("GODEBUG=memprofilerate=0,memprofile=", "B=", NULL);
	ck_assert_uint_eq(grt__knobs.memprofilerate, 0);
	ck_assert_ptr_null(grt__knobs.memprofile);
	parse("GODEBUG=memprofilerate=2147483647", "B=", NULL);
	ck_assert_uint_eq(grt__knobs.memprofilerate, INT32_MAX);
	ck_assert_str_eq(complaints(2), "");
	parse("GODEBUG=memprofilerate=2147483648", "B=", NULL);
	ck_assert_uint_eq(grt__knobs.memprofilerate, 512 << 10);
	ck_assert_str_eq(complaints(2), "libgrt: GODEBUG: memprofilerate: invalid value \"2147483648\", using 524288\n");
	memset(name + strlen(name), 'y', 5000);
	parse(name, "B=", NULL);
	ck_assert_ptr_null(grt__knobs.memprofile);
	ck_assert_str_eq(complaints(2), "libgrt: GODEBUG: memprofile: file name too long\n");
}
END_TEST

START_TEST(memlimit)
{
	static const struct {
		const char *var;
		size_t bytes;
		bool bad;
	} cases[] = {
		{"GOMEMLIMIT=", SIZE_MAX, false},      {"GOMEMLIMIT=off", SIZE_MAX, false},
		{"GOMEMLIMIT=1000", 1000, false},      {"GOMEMLIMIT=17B", 17, false},
		{"GOMEMLIMIT=3KiB", 3 << 10, false},   {"GOMEMLIMIT=90MiB", 90 << 20, false},
		{"GOMEMLIMIT=2TiB", 2ul << 40, false}, {"GOMEMLIMIT=99999999TiB", SIZE_MAX, false},
		{"GOMEMLIMIT=-1", SIZE_MAX, true},     {"GOMEMLIMIT=1MB", SIZE_MAX, true},
		{"GOMEMLIMIT=MiB", SIZE_MAX, true},    {"GOMEMLIMIT=99999999999999999999", SIZE_MAX, true},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		parse(cases[i].var, "GODEBUG=hardened=1,zerofree=0,efence=1", NULL);
		ck_assert_uint_eq(grt__knobs.memlimit, cases[i].bytes);
		ck_assert_int_eq(grt__knobs.nbad, cases[i].bad);
		ck_assert(grt__knobs.hardened && grt__knobs.efence && !grt__knobs.zerofree && !grt__knobs.allocfreetrace);
	}
	parse("GOMEMLIMIT=much", NULL, NULL);
	ck_assert_str_eq(complaints(1), "libgrt: GOMEMLIMIT: invalid value \"much\", using off\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("knobs");
	TCase *tc = tcase_create("knobs");
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, memlimit);
	tcase_add_test(tc, memprofile);
	tcase_add_test(tc, good);
	tcase_add_test(tc, giving_back);
	tcase_add_test(tc, order);
	tcase_add_test(tc, bad_gomaxprocs);
	tcase_add_test(tc, bad_godebug);
	tcase_add_test(tc, hostile);
	tcase_add_test(tc, traceback_levels);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
