/* lib_malloc_early.c - allocates wherever a library can: before main, after it, in thread_local destructors' place. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *block[200];
static int errors;

static int resolved(void)
{
	return 42;
}

static int (*resolve(void))(void)
{
	return resolved; /* nothing is relocated yet: it allocates nothing */
}

int malloc_early_ifunc(void) __attribute__((ifunc("resolve")));

static void *from_resolver;

/* Asked for by dlsym only, so that everything is relocated: it allocates, while the loader holds its locks. */
static int (*resolve_late(void))(void)
{
	free(from_resolver);
	from_resolver = calloc(1, 3000);
	return from_resolver ? resolved : NULL;
}

int malloc_early_late(void) __attribute__((ifunc("resolve_late")));

/* before the constructors of the program and of those without a priority */
static __attribute__((constructor(101))) void first(void)
{
	for (int i = 0; i < 200; i++) {
		block[i] = malloc((size_t)i * i);
		errors += block[i] == NULL;
		memset(block[i], i, (size_t)i * i);
	}
	for (int i = 0; i < 100; i++)
		block[i] = realloc(block[i], (size_t)i * i * 2 + 1);
	errors += malloc_usable_size(block[199]) < 199 * 199;
}

/* Frees what the first constructor allocated; how much was wrong. */
int malloc_early_check(void)
{
	for (int i = 0; i < 200; i++) {
		for (int k = 0; k < i * i; k += 7)
			errors += block[i][k] != (char)i;
		free(block[i]);
		block[i] = NULL;
	}
	return errors;
}

static void *kept;

/* after main, after its atexit functions */
static __attribute__((destructor)) void last(void)
{
	static const char ok[] = "ok: the destructor of a library allocates and frees\n";
	char *p = malloc(100000);
	free(kept);
	kept = realloc(p, 10);
	if (kept && write(1, ok, sizeof ok - 1) < 0)
		_exit(3);
	free(kept);
}

void malloc_early_keep(void *p)
{
	kept = p;
}
