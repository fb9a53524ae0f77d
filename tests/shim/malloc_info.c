/* malloc_info.c - what malloc tells about itself: malloc_info's XML, mallinfo, malloc_stats, malloc_trim, mallopt. */
#include "check.h"
#include "blocks.h"

#include <sys/resource.h>

/* A parser for as much XML as there may be: elements, attributes with numbers and names. */
static int elements, heaps, totals, systems;

static const char *space(const char *s)
{
	return s + strspn(s, " \t\n");
}

/* One element at s: what follows it, or NULL. */
static const char *element(const char *s, int depth)
{
	char name[32] = "", attribute[32], value[64];
	int n = 0;
	if (depth > 5 || sscanf(s, "<%31[a-z]%n", name, &n) != 1)
		return NULL;
	elements++;
	heaps += strcmp(name, "heap") == 0;
	totals += strcmp(name, "total") == 0;
	systems += strcmp(name, "system") == 0;
	s += n;
	int version = 0;
	while (*space(s) != '>' && *space(s) != '/') {
		n = 0;
		if (sscanf(space(s), "%31[a-z]=\"%63[a-zA-Z0-9.]\"%n", attribute, value, &n) != 2 || n == 0)
			return NULL;
		version |= strcmp(attribute, "version") == 0 && strcmp(value, "1") == 0;
		if (strcmp(attribute, "size") == 0 && strtoull(value, NULL, 10) > (size_t)1 << 40)
			return NULL;
		s = space(s) + n;
	}
	s = space(s);
	if (depth == 0 && (strcmp(name, "malloc") != 0 || !version))
		return NULL;
	if (s[0] == '/')
		return s[1] == '>' ? s + 2 : NULL;
	for (s = space(s + 1); s[0] == '<' && s[1] != '/'; s = space(s))
		if ((s = element(s, depth + 1)) == NULL)
			return NULL;
	if (strncmp(s, "</", 2) != 0 || strncmp(s + 2, name, strlen(name)) != 0 || s[2 + strlen(name)] != '>')
		return NULL;
	return s + 3 + strlen(name);
}

static int xml(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	elements = heaps = totals = systems = 0;
	int r = malloc_info(0, f);
	fclose(f);
	const char *end = element(text, 0);
	int ok = r == 0 && end && *space(end) == 0 && elements > 5 && heaps >= 1 && totals >= 2 && systems >= 2;
	free(text);
	return ok;
}

static void *p[20000];
static int stop;

static void *churns(void *arg)
{
	unsigned r = (unsigned)(long)arg | 1;
	while (!flag_get(&stop)) {
		for (int i = 0; i < 100; i++)
			free(malloc(rnd_size(&r) & 0xffff));
		sched_yield();
	}
	return NULL;
}

static size_t resident(void)
{
	char buf[128] = "";
	FILE *f = fopen("/proc/self/statm", "r");
	EXPECT(f && fgets(buf, sizeof buf, f));
	fclose(f);
	return strtoul(strchr(buf, ' '), NULL, 10) * 4096;
}

/* Text on standard error, by a child. */
static int stats(void)
{
	int fds[2];
	char out[65536];
	EXPECT_EQ(0, pipe(fds));
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		malloc_stats();
		_exit(0);
	}
	close(fds[1]);
	read_end(fds[0], out, sizeof out);
	EXPECT(exited_with(reap(pid), 0));
	return strstr(out, "system bytes     = ") && strstr(out, "in use bytes     = ") &&
	       strstr(out, "Total (incl. mmap):");
}

int main(void)
{
	CHECK("malloc_info is XML", xml());
	CHECK_EQ("EINVAL: malloc_info with options", EINVAL, malloc_info(1, stdout));

	struct mallinfo2 before = mallinfo2();
	for (int i = 0; i < 20000; i++)
		p[i] = malloc(1000);
	struct mallinfo2 m = mallinfo2();
	CHECK("mallinfo2: what is in use grows",
	      m.uordblks >= before.uordblks + 20000000 && m.uordblks < before.uordblks + 24000000);
	CHECK("mallinfo2: arena is the sum", m.arena == m.uordblks + m.fordblks && m.arena >= 20000000);
	CHECK("malloc_info in the middle of it", xml());
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	struct mallinfo old = mallinfo();
	CHECK("mallinfo: the same",
	      old.uordblks >= (int)before.uordblks + 20000000 && old.arena >= 20000000 && old.fordblks >= 0);
	char *big = malloc((size_t)3 << 30);
	m = mallinfo2();
	CHECK("a block of 3 GiB is counted", big && m.uordblks + m.hblkhd >= (size_t)3 << 30);
	old = mallinfo();
	CHECK("malloc_info with it", xml());
	free(big);
	CHECK("malloc_stats writes to standard error", stats());

	size_t full = resident();
	for (int i = 0; i < 20000; i++)
		free(p[i]);
	int r = malloc_trim(0);
	CHECK("malloc_trim returns 0 or 1", r == 0 || r == 1);
	CHECK("it gives memory back: at least three quarters of 20 MB", resident() + 15000000 < full);
	m = mallinfo2();
	CHECK("mallinfo2: what is in use shrinks", m.uordblks < before.uordblks + 2000000);
	r = malloc_trim(1 << 20);
	CHECK("malloc_trim with something to keep", r == 0 || r == 1);
	r = malloc_trim(SIZE_MAX);
	CHECK("malloc_trim with all to keep", r == 0 || r == 1);

	int ok = 1;
	ok &= mallopt(M_TRIM_THRESHOLD, 128 * 1024) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1;
	ok &= mallopt(M_TOP_PAD, 0) == 1 && mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(M_MMAP_MAX, 100) == 1;
	ok &= mallopt(M_CHECK_ACTION, 3) == 1 && mallopt(M_ARENA_TEST, 2) == 1 && mallopt(M_ARENA_MAX, 2) == 1;
	ok &= mallopt(M_MXFAST, 64) == 1 && mallopt(M_MXFAST, 0) == 1;
	CHECK("mallopt: the keys of glibc", ok);
	CHECK("mallopt: M_MXFAST too large", mallopt(M_MXFAST, 1000) == 0 && mallopt(M_MXFAST, -1) == 0);
	CHECK("glibc: a key that nobody knows is no error", mallopt(4711, 1) == 1);

	pthread_t ts[4];
	for (long i = 0; i < 4; i++)
		ts[i] = spawn(churns, (void *)(i + 1));
	ok = 1;
	for (int i = 0; i < 100; i++) {
		ok &= xml();
		(void)mallinfo2();
		malloc_trim(0);
		if (i % 20 == 0)
			ok &= stats();
	}
	flag_set(&stop, 1);
	for (int i = 0; i < 4; i++)
		join(ts[i]);
	CHECK("all of it while threads allocate", ok);
	return check_done();
}
