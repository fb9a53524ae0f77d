/* Loaded with RTLD_DEEPBIND: its own `name` wins over the program's, its libc is the program's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char *deep_name(void);
const char *name(void);
char *deep_copy(char *old);
int deep_thread(pthread_mutex_t *m, int *n, int rounds);

static char *before;

__attribute__((constructor)) static void early(void)
{
	before = strdup("made by the constructor");
}

const char *name(void)
{
	return "the library's";
}

const char *deep_name(void)
{
	return name();
}

/* Frees what the program allocated, gives it what it will free. */
char *deep_copy(char *old)
{
	char *mine = realloc(old, 5000);
	free(mine);
	mine = before;
	before = NULL;
	return mine ? mine : strdup("made by the library");
}

struct work {
	pthread_mutex_t *m;
	int *n, rounds;
};

static void *works(void *arg)
{
	struct work *w = arg;
	for (int i = 0; i < w->rounds; i++) {
		pthread_mutex_lock(w->m);
		++*w->n;
		pthread_mutex_unlock(w->m);
	}
	return NULL;
}

int deep_thread(pthread_mutex_t *m, int *n, int rounds)
{
	struct work w = {m, n, rounds};
	pthread_t t;
	if (pthread_create(&t, NULL, works, &w) != 0)
		return -1;
	works(&w);
	return pthread_join(t, NULL);
}
