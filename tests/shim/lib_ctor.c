// CFLAGS: -Wl,-z,now
/* lib_ctor.c - its constructor makes threads, and its destructor joins one. */
#include <pthread.h>
#include <unistd.h>

static __thread int local = 17;
static int sum;
static pthread_t late;
static int stop;

static void *adds(void *arg)
{
	__atomic_add_fetch(&sum, local + (int)(long)arg, __ATOMIC_SEQ_CST);
	local = 0;
	return NULL;
}

static void *waits(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		usleep(1000);
	return arg;
}

static __attribute__((constructor)) void load(void)
{
	pthread_t t[4];
	/* they start, but whoever needs the loader's lock waits until dlopen has returned: these
	 * use no symbol that is bound late */
	for (long i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, adds, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	pthread_create(&late, NULL, waits, NULL);
}

static __attribute__((destructor)) void unload(void)
{
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(late, NULL);
}

int ctor_sum(void)
{
	return sum + local;
}
