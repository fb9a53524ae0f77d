// LDFLAGS: -ldl
/* tls_linked.c - __thread of a shared library that is loaded before main.
 *
 * The program runs itself again with the library appended to LD_PRELOAD: to the loader it is then a
 * start-up library with a place in the initial static TLS, as one that the program is linked to. */
#include "check.h"

#include <dlfcn.h>

static int (*next)(void);
static char *(*text)(void);

static void *fresh_then_dirty(void *arg)
{
	long bad = next() != 31 || strcmp(text(), "linked") != 0;
	snprintf(text(), 40, "thread %ld", (long)arg);
	for (int i = 0; i < 50; i++) {
		char want[40];
		sched_yield();
		snprintf(want, sizeof want, "thread %ld", (long)arg);
		bad |= next() != 32 + i || strcmp(text(), want) != 0;
	}
	return (void *)bad;
}

int main(int argc, char **argv)
{
	pthread_t ts[32];
	long bad = 0;
	(void)argv;
	if (argc < 2) {
		char preload[4096];
		const char *old = getenv("LD_PRELOAD");
		snprintf(preload, sizeof preload, "%s%s./tlslinked.so", old ? old : "", old && *old ? ":" : "");
		setenv("LD_PRELOAD", preload, 1);
		execl("/proc/self/exe", "tls_linked", "again", (char *)NULL);
		return 2;
	}
	*(void **)&next = dlsym(RTLD_DEFAULT, "tlslinked_next");
	*(void **)&text = dlsym(RTLD_DEFAULT, "tlslinked_text");
	CHECK("the library is there from the start", next && text);
	if (!next || !text)
		return 1;
	CHECK_EQ("main sees the initial value", 31, next());
	for (long i = 0; i < 100; i++)
		bad |= (long)join(spawn(fresh_then_dirty, (void *)i));
	CHECK_EQ("100 threads, one after the other, start from the initial values", 0, bad);
	for (long i = 0; i < 32; i++)
		ts[i] = spawn(fresh_then_dirty, (void *)i);
	for (int i = 0; i < 32; i++)
		bad |= (long)join(ts[i]);
	CHECK_EQ("32 threads at once keep their own", 0, bad);
	CHECK_EQ("main keeps its own", 32, next());
	return check_done();
}
