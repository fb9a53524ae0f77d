/* Reads heap profiles, as grt_write_heap_profile writes them. The program is linked with -rdynamic, so that its functions have names. */
#ifndef PROFILE_H
#define PROFILE_H

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct site {
	double blocks, bytes, ever, ever_bytes;
};

struct profile {
	char *text;
	struct site sum; /* of the first line */
	double rate;
};

/* All of a file, NUL-terminated; the profile that it is. False: it is none. */
static inline int profile_read(int fd, struct profile *p)
{
	off_t n = lseek(fd, 0, SEEK_END);
	p->text = mmap(NULL, (size_t)n + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (n <= 0 || pread(fd, p->text, (size_t)n, 0) != n)
		return 0;
	return sscanf(p->text, "heap profile: %lf: %lf [%lf: %lf] @ heap_v2/%lf\n", &p->sum.blocks, &p->sum.bytes,
	              &p->sum.ever, &p->sum.ever_bytes, &p->rate) == 5 &&
	       strstr(p->text, "\nMAPPED_LIBRARIES:\n") != NULL;
}

static inline int profile_take(struct profile *p)
{
	int (*get)(int) = (int (*)(int))dlsym(RTLD_DEFAULT, "grt_write_heap_profile");
	int fd = memfd_create("profile", 0), good = get && fd >= 0 && get(fd) == 0 && profile_read(fd, p);
	close(fd);
	return good;
}

static inline void profile_drop(struct profile *p)
{
	munmap(p->text, strlen(p->text) + 1);
}

static inline int is_in(const char *frame, const char *function)
{
	Dl_info info;
	return dladdr((void *)(strtoul(frame, NULL, 16) - 1), &info) && info.dli_sname && !strcmp(info.dli_sname, function);
}

/* "bytes: count [...]" as they would be without sampling. */
static inline void unsample(double *blocks, double *bytes, double rate)
{
	if (*blocks <= 0 || rate <= 1)
		return;
	double k = 1 / (1 - exp(-*bytes / *blocks / rate));
	*blocks *= k;
	*bytes *= k;
}

/* What was allocated by a function, or in what it called; NULL: by all. *top, if not NULL: the most bytes that live of one stack. */
static inline struct site profile_of(const struct profile *p, const char *function, double *top)
{
	struct site sum = {0, 0, 0, 0}, s;
	const char *line = strchr(p->text, '\n') + 1, *end = strstr(p->text, "\nMAPPED_LIBRARIES:");
	double most = 0;
	for (; line < end; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "%lf: %lf [%lf: %lf] @", &s.blocks, &s.bytes, &s.ever, &s.ever_bytes) != 4)
			continue;
		int found = !function;
		for (const char *at = strchr(line, '@'); !found && *at != '\n'; at = strpbrk(at + 1, " \n"))
			found = *at == ' ' && is_in(at + 1, function);
		if (!found)
			continue;
		unsample(&s.blocks, &s.bytes, p->rate);
		unsample(&s.ever, &s.ever_bytes, p->rate);
		most = s.bytes > most ? s.bytes : most;
		sum.blocks += s.blocks, sum.bytes += s.bytes;
		sum.ever += s.ever, sum.ever_bytes += s.ever_bytes;
	}
	if (top)
		*top = most;
	return sum;
}

#endif
