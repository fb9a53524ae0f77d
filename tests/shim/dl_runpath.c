/*
 * Loads ./dl_runpath_caller.so and ./dl_runpath_inner.so.
 * dlopen looks at the library that calls it: its RUNPATH, its $ORIGIN. The plugin "caller" has RUNPATH $ORIGIN, the program
 * has none. "inner" has thread-local variables, whose constructor and every thread must find them initialised.
 * CFLAGS: -D_GNU_SOURCE
 */
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char here[4096], buf[4200];

static char *beside(const char *name)
{
	snprintf(buf, sizeof buf, "%s/%s", here, name);
	return buf;
}

static void error(const char *what)
{
	char *e = dlerror();
	printf("%s: %s\n", what, e == NULL ? "no error" : strstr(e, "dl_runpath") != NULL ? strstr(e, "dl_runpath") : e);
}

static int (*value)(void);
static pthread_barrier_t loaded;

static void *early(void *arg) /* made before inner is loaded */
{
	(void)arg;
	pthread_barrier_wait(&loaded);
	return (void *)(long)value();
}

static void *late(void *arg)
{
	(void)arg;
	return (void *)(long)value();
}

static void *all(void *arg)
{
	pthread_t t[4];
	void *r;

	printf("---- %s\n", (char *)arg);
	pthread_barrier_init(&loaded, NULL, 4);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, early, NULL);
	printf("%d\n", dlopen("dl_runpath_inner.so", RTLD_NOW) != NULL);
	error("the program has no RUNPATH");
	printf("%d\n", dlopen("$ORIGIN/no-such.so", RTLD_NOW) != NULL);
	printf("%d\n", dlopen(beside("dl_runpath_none.so"), RTLD_NOW) != NULL);
	error("no such file");
	printf("%d\n", dlopen(NULL, RTLD_NOW) != NULL);
	error("the program itself");
	void *caller = dlopen(beside("dl_runpath_caller.so"), RTLD_NOW);
	void *(*open_in_caller)(const char *, int, int) = caller ? dlsym(caller, "open_in_caller") : NULL;
	if (open_in_caller == NULL) {
		error("caller");
		return NULL;
	}
	printf("%d\n", open_in_caller("dl_runpath_none.so", RTLD_NOW, 0) != NULL);
	error("not in RUNPATH");
	printf("%d\n", open_in_caller("dl_runpath_inner.so", RTLD_NOW | RTLD_NOLOAD, 0) != NULL);
	error("not loaded yet");
	void *inner = open_in_caller("dl_runpath_inner.so", RTLD_NOW, 0);
	if (inner == NULL) {
		error("RUNPATH of the caller");
		return NULL;
	}
	value = dlsym(inner, "value");
	printf("%d\n", open_in_caller("$ORIGIN/dl_runpath_inner.so", RTLD_NOW, 0) == inner);
	printf("%d\n", open_in_caller("dl_runpath_inner.so", RTLD_NOW, 1) == inner);
	printf("%d\n", open_in_caller("dl_runpath_inner.so", RTLD_NOW | RTLD_NOLOAD, 0) == inner);
	printf("libm %d\n", dlopen("libm.so.6", RTLD_NOW) != NULL);
	printf("constructor saw %d\n", *(int *)dlsym(inner, "constructor_saw"));
	pthread_barrier_wait(&loaded);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &r);
		printf("early %ld\n", (long)r);
	}
	pthread_create(&t[3], NULL, late, NULL);
	pthread_join(t[3], &r);
	printf("late %ld\n", (long)r);
	printf("here %d\n", value());
	for (int i = 0; i < 4; i++)
		printf("close %d\n", dlclose(inner));
	printf("close %d\n", dlclose(caller));
	printf("loaded %d\n", dlopen(beside("dl_runpath_inner.so"), RTLD_NOW | RTLD_NOLOAD) != NULL);
	return NULL;
}

int main(void)
{
	pthread_t t;
	ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);

	if (n < 0)
		return 1;
	dirname(here);
	setvbuf(stdout, NULL, _IOLBF, 0);
	all("main");
	pthread_create(&t, NULL, all, "thread");
	pthread_join(t, NULL);
	return 0;
}
