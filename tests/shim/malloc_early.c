// LDFLAGS: -ldl
/* malloc_early.c - malloc before main and after it: constructors, an IFUNC, atexit, destructors, dlopen, dlmopen, dlsym.
 *
 * Runs itself with ./malloc_early.so in LD_PRELOAD, last and then first there, and loads ./tlsdyn.so. */
#include "check.h"
#include "blocks.h"

#include <dlfcn.h>
#include <locale.h>

int malloc_early_ifunc(void) __attribute__((weak));
int malloc_early_check(void) __attribute__((weak));
void malloc_early_keep(void *p) __attribute__((weak));

static void *from_preinit, *from_ctor;

static void preinit(void)
{
	from_preinit = malloc(1000);
	memset(from_preinit, 1, 1000);
	free(calloc(100, 100));
}
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

static __attribute__((constructor)) void ctor(void)
{
	from_ctor = calloc(1000, 1);
}

static void *first_mallocs(void *arg)
{
	(void)arg;
	from_ctor = realloc(from_ctor, 5000);
	free(from_preinit);
	return malloc(10);
}

static void at_exit(void)
{
	void *p = malloc(5000);
	CHECK("atexit functions allocate", p != NULL);
	free(from_ctor);
	from_ctor = p;
}

static __attribute__((destructor)) void dtor(void)
{
	free(from_ctor);
	free(malloc(1 << 20));
	CHECK("so do the program's destructors", 1);
}

/* Loads and unloads; its pieces are libc's and the loader's, which allocate with the program's malloc. */
static int loads(int n)
{
	int bad = 0;
	for (int i = 0; i < n; i++) {
		void *h = dlopen("./tlsdyn.so", i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_GLOBAL);
		char *(*big)(void) = h ? (char *(*)(void))dlsym(h, "tlsdyn_big") : NULL;
		bad |= !big || strcmp(big(), "big") != 0;
		bad |= dlopen("./nothing.so", RTLD_NOW) != NULL || dlerror() == NULL;
		bad |= h && dlclose(h) != 0;
	}
	return bad;
}

static void *loads_in_thread(void *arg)
{
	(void)arg;
	return (void *)(long)loads(50);
}

/* Its thread_local destructors' like: keys whose values are freed, and a strdup'ed dlerror in libc's own state. */
static pthread_key_t key;

static void key_dtor(void *p)
{
	free(p);
	free(malloc(100));
}

static void *allocates(void *arg)
{
	pthread_setspecific(key, malloc(1000));
	char *(*big)(void) = (char *(*)(void))arg;
	big()[0] = 'x'; /* a block of TLS that libc allocates */
	(void)dlopen("./nothing.so", RTLD_NOW);
	return NULL;
}

static int preloaded(void)
{
	CHECK("malloc before main", from_preinit && from_ctor && is_zero(from_ctor, 1000));
	CHECK_EQ("in the first constructor of a library", 0, malloc_early_check());
	CHECK_EQ("an IFUNC", 42, malloc_early_ifunc());
	int (*late)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "malloc_early_late");
	CHECK_EQ("an IFUNC whose resolver allocates", 42, late ? late() : 0);
	void *p = join(spawn(first_mallocs, NULL));
	late = (int (*)(void))dlsym(RTLD_DEFAULT, "malloc_early_late");
	CHECK_EQ("once more, with threads", 42, late ? late() : 0);
	CHECK("a thread goes on with blocks from before main", p && is_zero(from_ctor, 1000));
	free(p);
	CHECK("dlopen and dlclose, 50 times", !loads(50));
	pthread_t ts[6];
	int bad = 0;
	for (int i = 0; i < 6; i++)
		ts[i] = spawn(loads_in_thread, NULL);
	for (int i = 0; i < 6; i++)
		bad |= (int)(long)join(ts[i]);
	CHECK("in 6 threads", !bad);
	EXPECT_EQ(0, pthread_key_create(&key, key_dtor));
	void *h = dlopen("./tlsdyn.so", RTLD_NOW);
	EXPECT(h != NULL);
	void *big = dlsym(h, "tlsdyn_big");
	for (int i = 0; i < 200; i++)
		join(spawn(allocates, big));
	dlclose(h);
	CHECK("what threads leave in TLS and keys is freed", 1);

	/* a namespace of its own has its own libc; both heaps live beside each other */
	h = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	char *(*dup)(const char *) = h ? (char *(*)(const char *))dlsym(h, "strdup") : NULL;
	void (*drop)(void *) = h ? (void (*)(void *))dlsym(h, "free") : NULL;
	void *(*make)(size_t) = h ? (void *(*)(size_t))dlsym(h, "malloc") : NULL;
	bad = !dup || !drop || !make;
	for (int i = 0; i < 1000 && !bad; i++) {
		char *s = dup("of the other libc"), *t = make((size_t)i * 100), *mine = malloc((size_t)i * 100);
		bad |= !s || !t || !mine || strcmp(s, "of the other libc") != 0;
		memset(t, 1, (size_t)i * 100);
		memset(mine, 2, (size_t)i * 100);
		drop(s);
		drop(t);
		free(mine);
	}
	CHECK("dlmopen: the heap of another libc", !bad);
	EXPECT(h == NULL || dlclose(h) == 0);
	CHECK("setlocale", setlocale(LC_ALL, "C.UTF-8") != NULL && setlocale(LC_ALL, "C") != NULL);
	atexit(at_exit);
	malloc_early_keep(malloc(77));
	return check_done();
}

static int runs(const char *mode)
{
	static const char lib[] = "./malloc_early.so";
	char out[8192], list[4096];
	const char *old = getenv("LD_PRELOAD");
	int first = strcmp(mode, "first") == 0;
	char *was = old ? strdup(old) : NULL;
	if (!was)
		snprintf(list, sizeof list, "%s", lib);
	else
		snprintf(list, sizeof list, "%s:%s", first ? lib : was, first ? was : lib);
	setenv("LD_PRELOAD", list, 1);
	int status = run_self(mode, out, sizeof out);
	if (was)
		setenv("LD_PRELOAD", was, 1);
	else
		unsetenv("LD_PRELOAD");
	free(was);
	fputs(out, stdout);
	return status;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return preloaded();
	CHECK("the library is loaded last", runs("last") == 0);
	CHECK("the library is loaded first", runs("first") == 0);
	return check_done();
}
