// LDFLAGS: -ldl
/* tls_dlopen.c - libraries with TLS loaded while threads exist.
 *
 * The threads that exist before the dlopen must see the library's initial values as those do that
 * come after it: dynamic TLS is made at first use, static TLS is filled in by the loader for the
 * threads that it knows. */
#include "check.h"

#include <dlfcn.h>

enum { OLD = 16 };

struct lib {
	int (*next)(void);
	char *(*text)(void);
	int *(*zero)(void);
	char *(*big)(void);
	int first;
	const char *first_text;
};

static struct lib dyn = {.first = 1234, .first_text = "initial"};
static struct lib ie = {.first = 4321, .first_text = "static"};
static int phase, arrived;

static int is_fresh(struct lib *l)
{
	return l->next() == l->first && strcmp(l->text(), l->first_text) == 0 && *l->zero() == 0 &&
	       (!l->big || strcmp(l->big(), "big") == 0);
}

static void dirty(struct lib *l, int n)
{
	*l->zero() = n;
	snprintf(l->text(), 32, "dirty %d", n);
	if (l->big)
		memset(l->big(), n, 5000);
}

static int is_dirty(struct lib *l, int n)
{
	char want[32];
	snprintf(want, sizeof want, "dirty %d", n);
	return l->next() == l->first + 1 && strcmp(l->text(), want) == 0 && *l->zero() == n;
}

static void *existed_before(void *arg)
{
	int n = (int)(long)arg, bad = 0;
	flag_add(&arrived, 1);
	flag_wait(&phase, 1);
	bad |= !is_fresh(&dyn);
	bad |= !is_fresh(&ie) << 1;
	dirty(&dyn, n);
	dirty(&ie, n);
	for (int i = 0; i < 20; i++)
		sched_yield();
	sleep_ms(1);
	bad |= !is_dirty(&dyn, n) << 2;
	bad |= !is_dirty(&ie, n) << 3;
	return (void *)(long)bad;
}

static void *comes_after(void *arg)
{
	return existed_before(arg);
}

static void resolve(struct lib *l, void *handle, const char *prefix)
{
	char name[64];
	EXPECT(handle != NULL);
	if (!handle) {
		printf("dlopen: %s\n", dlerror());
		exit(1);
	}
	snprintf(name, sizeof name, "%s_next", prefix);
	*(void **)&l->next = dlsym(handle, name);
	snprintf(name, sizeof name, "%s_text", prefix);
	*(void **)&l->text = dlsym(handle, name);
	snprintf(name, sizeof name, "%s_zero", prefix);
	*(void **)&l->zero = dlsym(handle, name);
	snprintf(name, sizeof name, "%s_big", prefix);
	*(void **)&l->big = dlsym(handle, name);
	EXPECT(l->next && l->text && l->zero);
}

static void *cycles(void *arg)
{
	(void)arg;
	struct lib l = {.first = 1234, .first_text = "initial"};
	for (int i = 0; i < 20; i++) {
		void *h = dlopen("./tlsdyn.so", RTLD_NOW);
		resolve(&l, h, "tlsdyn");
		if (l.next() < 1234)
			return (void *)1;
		l.big()[0] = 'x';
		EXPECT_EQ(0, dlclose(h));
		if (i % 5 == 0)
			sched_yield();
	}
	return NULL;
}

int main(void)
{
	pthread_t ts[OLD], pooled[OLD];
	void *hd, *hi;
	int bad = 0;

	/* some blocks in the pool of dead threads, and some alive */
	flag_set(&phase, 0);
	for (long i = 0; i < OLD; i++)
		pooled[i] = spawn(cycles, NULL);
	for (int i = 0; i < OLD; i++)
		bad |= join(pooled[i]) != NULL;
	CHECK("16 threads load, use and unload a library with TLS, 20 times", !bad);

	for (long i = 0; i < OLD; i++)
		ts[i] = spawn(existed_before, (void *)(i + 1));
	flag_wait(&arrived, OLD);

	hd = dlopen("./tlsdyn.so", RTLD_NOW);
	resolve(&dyn, hd, "tlsdyn");
	hi = dlopen("./tlsie.so", RTLD_NOW);
	resolve(&ie, hi, "tlsie");
	CHECK("dlopen of dynamic and of initial-exec TLS", 1);
	int (*at_load)(void);
	*(void **)&at_load = dlsym(hi, "tlsie_at_load");
	CHECK_EQ("a constructor sees the static TLS of its own library", 4321, at_load());
	flag_set(&phase, 1);

	for (int i = 0; i < OLD; i++)
		bad |= (int)(long)join(ts[i]);
	CHECK("dynamic TLS: threads from before the dlopen see the initial values", !(bad & 1));
	CHECK("static TLS: threads from before the dlopen see the initial values", !(bad & 2));
	CHECK("dynamic TLS: each keeps its own", !(bad & 4));
	CHECK("static TLS: each keeps its own", !(bad & 8));
	bad = 0;
	for (long i = 0; i < OLD; i++)
		ts[i] = spawn(comes_after, (void *)(i + 1));
	for (int i = 0; i < OLD; i++)
		bad |= (int)(long)join(ts[i]);
	CHECK("dynamic TLS: later threads, on used blocks, see the initial values", !(bad & 1));
	CHECK("static TLS: later threads, on used blocks, see the initial values", !(bad & 2));
	CHECK("later threads keep their own", !(bad & 12));
	CHECK("main sees the initial values", is_fresh(&dyn) && is_fresh(&ie));
	CHECK_EQ("dlclose of the library with dynamic TLS", 0, dlclose(hd));
	CHECK("dlerror is each thread's own and empty here", dlerror() == NULL);
	return check_done();
}
