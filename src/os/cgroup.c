/* Limits of the control group that the process is in, both kinds of hierarchy. The heap asks on small stacks, so the texts lie elsewhere. */
#include "os/os.h"
#include <limits.h>
#include <string.h>

static const char *parse_long(const char *s, long *v)
{
	while (*s == ' ' || *s == '\n')
		s++;
	for (*v = 0; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *s - '0', v))
			*v = LONG_MAX;
	return s;
}

struct texts {
	char lines[4096], at[4000];
};

/* Calls fn with the contents of `file` in the group at `path` below `mount`, and in each above it, up to the mount's root. A namespace or a
 * container may show another root than the path is counted from: then its files are what there is. */
static void each_above(struct texts *t, const char *mount, const char *path, const char *file,
                       void (*fn)(const char *value, void *arg), void *arg)
{
	char *at = t->at, value[64];
	size_t root = strlen(mount), n = grt__format(at, sizeof t->at - 64, "%s%s", mount, path);
	for (;;) {
		while (n > root && at[n - 1] == '/')
			n--;
		grt__format(at + n, sizeof t->at - n, "/%s", file);
		if (grt__os_read_file(at, value, sizeof value) > 0)
			fn(value, arg);
		if (n <= root)
			return;
		while (n > root && at[n - 1] != '/')
			n--;
	}
}

/* Whether the names of a hierarchy's controllers, up to a colon, have this one. */
static bool has_controller(const char *names, const char *controller)
{
	size_t len = strlen(controller);
	while (*names && *names != ':') {
		size_t n = strcspn(names, ",:");
		if (n == len && !strncmp(names, controller, n))
			return true;
		names += n + (names[n] == ',');
	}
	return false;
}

/* A line of /proc/self/cgroup is number:controllers:path; version 2 has no controllers there. */
static void each_limit(const char *controller, const char *file_v2, const char *file_v1,
                       void (*fn)(const char *value, void *arg), void *arg)
{
	char mount[64];
	struct texts *t = grt__os_alloc(sizeof *t);
	if (!t)
		return;
	grt__format(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
	if (grt__os_read_file("/proc/self/cgroup", t->lines, sizeof t->lines) <= 0)
		t->lines[0] = '\0';
	for (char *p = t->lines, *end; *p; p = end) {
		end = strchrnul(p, '\n');
		if (*end)
			*end++ = '\0';
		char *names = strchr(p, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			continue;
		if (!strncmp(p, "0::", 3))
			each_above(t, "/sys/fs/cgroup", path + 1, file_v2, fn, arg);
		else if (file_v1 && has_controller(names + 1, controller))
			each_above(t, mount, path + 1, file_v1, fn, arg);
	}
	grt__os_free(t, sizeof *t);
}

/* "quota period" in microseconds, or "max period". */
static void least_quota(const char *value, void *arg)
{
	int *quota = arg;
	long max, period;
	if (value[0] == 'm')
		return;
	parse_long(parse_long(value, &max), &period);
	int q = period > 0 ? (int)((max + period - 1) / period) : 0;
	if (q > 0 && (!*quota || q < *quota))
		*quota = q;
}

int grt__os_cgroup_cpus(void)
{
	int quota = 0;
	char value[64];
	each_limit("cpu", "cpu.max", NULL, least_quota, &quota);
	if (!quota && grt__os_read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", value, sizeof value) > 0 &&
	    value[0] != '-') {
		long max, period;
		parse_long(value, &max);
		if (grt__os_read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", value, sizeof value) > 0) {
			parse_long(value, &period);
			quota = period > 0 ? (int)((max + period - 1) / period) : 0;
		}
	}
	return quota;
}

/* Bytes, or "max"; version 1 says a number next to LONG_MAX for none. */
static void least_memory(const char *value, void *arg)
{
	size_t *least = arg;
	long bytes;
	if (value[0] < '0' || value[0] > '9')
		return;
	parse_long(value, &bytes);
	if (bytes < LONG_MAX / 2 && (size_t)bytes < *least)
		*least = (size_t)bytes;
}

size_t grt__os_cgroup_memory(void)
{
	size_t least = SIZE_MAX;
	each_limit("memory", "memory.max", "memory.limit_in_bytes", least_memory, &least);
	return least;
}
