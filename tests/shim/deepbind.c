/*
 * LDFLAGS: -rdynamic
 * deepbind.c - a library loaded with RTLD_DEEPBIND, as PHP loads its modules: its own names come first, and the program and the library
 * free each other's memory, lock the same mutex and make threads.
 */
#include "check.h"

#include <dlfcn.h>

const char *name(void);

const char *name(void)
{
	return "the program's";
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static int n;

static void *counts(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&m);
		n++;
		pthread_mutex_unlock(&m);
	}
	return arg;
}

static void with(const char *what, int mode)
{
	void *h = dlopen("./deepbind.so", mode);
	const char *(*its_name)(void) = (const char *(*)(void))(h ? dlsym(h, "deep_name") : NULL);
	char *(*copy)(char *) = (char *(*)(char *))(h ? dlsym(h, "deep_copy") : NULL);
	int (*thread)(pthread_mutex_t *, int *, int) =
		(int (*)(pthread_mutex_t *, int *, int))(h ? dlsym(h, "deep_thread") : NULL);
	printf("%s\n", what);
	if (!its_name || !copy || !thread) {
		CHECK("the library is there", 0);
		return;
	}
	CHECK("its own name comes first", strcmp(its_name(), "the library's") == 0);
	for (int i = 0; i < 2; i++) {
		char *text = copy(strcpy(malloc(40), "made by the program"));
		printf("%s\n", text);
		free(text);
	}
	pthread_t t[3];
	n = 0;
	for (int i = 0; i < 3; i++)
		t[i] = spawn(counts, NULL);
	CHECK_EQ("its threads", 0, thread(&m, &n, 20000));
	for (int i = 0; i < 3; i++)
		join(t[i]);
	CHECK_EQ("one mutex", 5 * 20000, n);
	dlclose(h);
}

int main(void)
{
	with("bound at once", RTLD_NOW | RTLD_DEEPBIND);
	with("bound when called", RTLD_LAZY | RTLD_GLOBAL | RTLD_DEEPBIND);
	return check_done();
}
