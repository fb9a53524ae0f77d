/*
 * PROCS: 1 2
 * CFLAGS: -fno-builtin
 * What was freed does not lie beside a new large mapping at the peak: it goes back before.
 */
#define _GNU_SOURCE
#include "../shim/check.h"

enum { MIB = 1 << 20 };

static long peak(void)
{
	char line[200];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	EXPECT(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

static void use_and_free(size_t n)
{
	char *p = malloc(n);
	EXPECT(p);
	memset(p, 1, n);
	free(p);
}

int main(void)
{
	long before = peak();
	use_and_free(30 * MIB); /* not a mapping of its own */
	char *p = malloc(64 * MIB);
	EXPECT(p);
	memset(p, 2, 64 * MIB);
	CHECK("malloc", peak() - before < 72l * MIB);
	use_and_free(30 * MIB);
	EXPECT(p = realloc(p, 128 * MIB));
	memset(p, 3, 128 * MIB);
	CHECK("realloc", peak() - before < 136l * MIB);
	free(p);
	return check_failures != 0;
}
