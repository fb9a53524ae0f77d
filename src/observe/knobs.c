#include "observe/knobs.h"
#include "base/throw.h"
#include <limits.h>
#include <string.h>

enum { MAX_PROCS = 1024, MAX_MS = 1 << 30, MEM_PROFILE_RATE = 512 << 10 };

struct grt_knobs grt__knobs = {.traceback = KNOB_TRACEBACK_SINGLE, .memprofilerate = MEM_PROFILE_RATE};

static void complain(const char *name, bool heap, const char *value, size_t len)
{
	if (grt__knobs.nbad == KNOBS_BAD)
		return;
	grt__knobs.bad[grt__knobs.nbad].name = name;
	grt__knobs.bad[grt__knobs.nbad].heap = heap;
	char *to = grt__knobs.bad[grt__knobs.nbad++].value;
	size_t room = sizeof grt__knobs.bad[0].value;
	for (size_t i = 0; i < len && i + 1 < room; i++)
		*to++ = value[i] >= ' ' && value[i] < 127 ? value[i] : '?';
	*to = '\0';
}

/* Decimal digits only, all of them, in lo..hi. */
static bool number(const char *s, size_t len, long lo, long hi, long *v)
{
	long n = 0;
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
		if (n > hi)
			return false;
	}
	*v = n;
	return n >= lo;
}

static bool is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(s, word, len);
}

/* A copy: programs write their titles over the environment. */
static void set_memprofile(const char *value, size_t len)
{
	static char name[PATH_MAX];
	if (len >= sizeof name) {
		complain("GODEBUG: memprofile", true, value, len);
		return;
	}
	memcpy(name, value, len);
	name[len] = '\0';
	grt__knobs.memprofile = len ? name : NULL;
}

static void parse_godebug_one(const char *key, size_t key_len, const char *value, size_t len)
{
	long n;
	if (is(key, key_len, "schedtrace")) {
		if (number(value, len, 0, MAX_MS, &n))
			grt__knobs.schedtrace_ms = (int)n;
		else
			complain("GODEBUG: schedtrace", false, value, len);
		return;
	}
	if (is(key, key_len, "memprofilerate")) {
		if (number(value, len, 0, INT32_MAX, &n))
			grt__knobs.memprofilerate = (size_t)n;
		else
			complain("GODEBUG: memprofilerate", true, value, len);
		return;
	}
	if (is(key, key_len, "memprofile")) {
		set_memprofile(value, len);
		return;
	}
	static const struct {
		const char *key, *name;
		size_t offset;
		bool heap;
	} flags[] = {
		{"scheddetail", "GODEBUG: scheddetail", offsetof(struct grt_knobs, scheddetail), false},
		{"asyncpreemptoff", "GODEBUG: asyncpreemptoff", offsetof(struct grt_knobs, asyncpreemptoff), false},
		{"preemptstress", "GODEBUG: preemptstress", offsetof(struct grt_knobs, preemptstress), false},
		{"hardened", "GODEBUG: hardened", offsetof(struct grt_knobs, hardened), true},
		{"zerofree", "GODEBUG: zerofree", offsetof(struct grt_knobs, zerofree), true},
		{"efence", "GODEBUG: efence", offsetof(struct grt_knobs, efence), true},
		{"allocfreetrace", "GODEBUG: allocfreetrace", offsetof(struct grt_knobs, allocfreetrace), true},
		{"madvdontneed", "GODEBUG: madvdontneed", offsetof(struct grt_knobs, madvdontneed), true},
		{"hugepages", "GODEBUG: hugepages", offsetof(struct grt_knobs, hugepages), true},
		{"scavtrace", "GODEBUG: scavtrace", offsetof(struct grt_knobs, scavtrace), true},
	};
	for (size_t i = 0; i < GRT_COUNT(flags); i++) {
		if (!is(key, key_len, flags[i].key))
			continue;
		if (number(value, len, 0, MAX_MS, &n))
			*(bool *)((char *)&grt__knobs + flags[i].offset) = n != 0;
		else
			complain(flags[i].name, flags[i].heap, value, len);
		return;
	}
	/* Another key is one of Go's that means nothing here, or of a later version. */
}

static void parse_godebug(const char *s)
{
	while (*s) {
		const char *end = strchrnul(s, ','), *eq = memchr(s, '=', (size_t)(end - s));
		if (eq)
			parse_godebug_one(s, (size_t)(eq - s), eq + 1, (size_t)(end - eq - 1));
		s = *end ? end + 1 : end;
	}
}

static void parse_gotraceback(const char *s)
{
	static const char *const words[] = {"none", "single", "all", "system", "crash"};
	size_t len = strlen(s);
	long n;
	if (len == 0)
		return;
	for (size_t i = 0; i < GRT_COUNT(words); i++)
		if (is(s, len, words[i])) {
			grt__knobs.traceback = (uint8_t)i;
			return;
		}
	if (number(s, len, 0, MAX_MS, &n)) /* as in Go: 0 none, 1 all, 2 system */
		grt__knobs.traceback = n == 0 ? KNOB_TRACEBACK_NONE : n == 1 ? KNOB_TRACEBACK_ALL : KNOB_TRACEBACK_SYSTEM;
	else
		complain("GOTRACEBACK", false, s, len);
}

static void parse_gomaxprocs(const char *s)
{
	long n;
	size_t len = strlen(s);
	if (len == 0)
		return;
	if (number(s, len, 1, MAX_PROCS, &n))
		grt__knobs.gomaxprocs = (int)n;
	else
		complain("GOMAXPROCS", false, s, len);
}

/* Digits and a unit of B, KiB, MiB, GiB, TiB or none; or "off". */
static void parse_gomemlimit(const char *s)
{
	static const char *const units[] = {"", "B", "KiB", "MiB", "GiB", "TiB"};
	size_t digits = strspn(s, "0123456789"), n = 0;
	grt__knobs.memlimit_given = *s != '\0';
	if (!*s || !strcmp(s, "off"))
		return;
	bool good = digits > 0;
	for (size_t i = 0; i < digits; i++)
		good = good && !__builtin_mul_overflow(n, 10, &n) && !__builtin_add_overflow(n, (size_t)(s[i] - '0'), &n);
	for (size_t i = 0; i < GRT_COUNT(units); i++)
		if (good && !strcmp(s + digits, units[i])) {
			unsigned shift = i > 1 ? 10 * (unsigned)(i - 1) : 0;
			grt__knobs.memlimit = n > SIZE_MAX >> shift ? SIZE_MAX : n << shift;
			return;
		}
	complain("GOMEMLIMIT", true, s, strlen(s));
}

/* What else is in there is libc's, and so are complaints. 2 asks for pages of hugetlbfs, which is not done here. */
static void parse_tunables(const char *s)
{
	static const char name[] = "glibc.malloc.hugetlb=";
	while (*s) {
		const char *end = strchrnul(s, ':');
		if (!strncmp(s, name, sizeof name - 1) && is(s + sizeof name - 1, (size_t)(end - s) - (sizeof name - 1), "1"))
			grt__knobs.hugepages = true;
		s = *end ? end + 1 : end;
	}
}

static void parse_preload(const char *s)
{
	grt__knobs.preloaded = strstr(s, "libgrt") != NULL;
}

void grt__knobs_parse(char *const *envp)
{
	static const struct {
		const char *name;
		void (*parse)(const char *);
	} vars[] = {
		{"LD_PRELOAD=", parse_preload},    {"GLIBC_TUNABLES=", parse_tunables}, /* before GODEBUG, which may say no */
		{"GODEBUG=", parse_godebug},       {"GOTRACEBACK=", parse_gotraceback},
		{"GOMAXPROCS=", parse_gomaxprocs}, {"GOMEMLIMIT=", parse_gomemlimit},
	};
	memset(&grt__knobs, 0, sizeof grt__knobs);
	grt__knobs.memlimit = SIZE_MAX;
	grt__knobs.memprofilerate = MEM_PROFILE_RATE;
	grt__knobs.madvdontneed = true;
	grt__knobs.parsed = true;
	grt__knobs.traceback = KNOB_TRACEBACK_SINGLE;
	for (size_t i = 0; i < GRT_COUNT(vars); i++) {
		size_t len = strlen(vars[i].name);
		for (char *const *e = envp; e && *e; e++)
			if (!strncmp(*e, vars[i].name, len)) { /* the first one counts, as for getenv */
				vars[i].parse(*e + len);
				break;
			}
	}
}

static void say(const char *name, const char *value, int procs)
{
	if (!strcmp(name, "GOMAXPROCS"))
		grt__print("libgrt: GOMAXPROCS: invalid value \"%s\", using %d\n", value, procs);
	else if (!strcmp(name, "GOMEMLIMIT"))
		grt__print("libgrt: GOMEMLIMIT: invalid value \"%s\", using off\n", value);
	else if (!strcmp(name, "GODEBUG: memprofilerate"))
		grt__print("libgrt: %s: invalid value \"%s\", using %d\n", name, value, MEM_PROFILE_RATE);
	else if (!strcmp(name, "GODEBUG: memprofile"))
		grt__print("libgrt: %s: file name too long\n", name);
	else if (!strcmp(name, "GOTRACEBACK"))
		grt__print("libgrt: GOTRACEBACK: invalid value \"%s\", using single\n", value);
	else
		grt__print("libgrt: %s: invalid value \"%s\", using %d\n", name, value, !strcmp(name, "GODEBUG: madvdontneed"));
}

void grt__knobs_complain(int procs)
{
	for (int i = 0; i < grt__knobs.nbad; i++)
		say(grt__knobs.bad[i].name, grt__knobs.bad[i].value, procs);
	grt__knobs.nbad = 0;
}

void grt__knobs_complain_heap(void)
{
	int kept = 0;
	for (int i = 0; i < grt__knobs.nbad; i++)
		if (grt__knobs.bad[i].heap)
			say(grt__knobs.bad[i].name, grt__knobs.bad[i].value, 0);
		else
			grt__knobs.bad[kept++] = grt__knobs.bad[i];
	grt__knobs.nbad = (uint8_t)kept;
}
