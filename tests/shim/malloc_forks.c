// TIMEOUT: 60
/*
 * malloc_forks.c - a tree of processes, each of which forks while its threads allocate, and whose children do the same: every heap is
 * whole, whatever the others were in the middle of, and nobody waits for a lock that was left behind.
 */
#include "check.h"
#include "blocks.h"

enum { DEPTH = 3, CHILDREN = 3, THREADS = 3, SLOTS = 64 };

static void *slot[SLOTS]; /* atomic */
static int stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void churn(unsigned *r, int n)
{
	for (int i = 0; i < n; i++) {
		size_t size = rnd_size(r) & 0x1ffff;
		char *p = rnd(r) % 4 ? malloc(size + 16) : calloc(1, size + 16);
		if (!p)
			abort();
		*(size_t *)p = size;
		fill_all(p + 16, size < 200 ? size : 200, (unsigned)size);
		p = __atomic_exchange_n(&slot[rnd(r) % SLOTS], p, __ATOMIC_ACQ_REL);
		if (!p)
			continue;
		size = *(size_t *)p;
		if (!filled_all(p + 16, size < 200 ? size : 200, (unsigned)size))
			abort();
		p = rnd(r) % 3 ? p : realloc(p, size * 2 + 16);
		free(p);
	}
}

static void *works(void *arg)
{
	unsigned r = (unsigned)(long)arg * 2654435761u | 1;
	while (!flag_get(&stop)) {
		churn(&r, 50);
		/* Held by nobody at the fork, so that the child may take it. */
		pthread_mutex_lock(&lock);
		free(malloc(100));
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* 0: all is well, here and below. */
static int tree(int depth, unsigned seed)
{
	unsigned r = seed | 1;
	pthread_t t[THREADS];
	pid_t child[CHILDREN];
	int bad = 0, status;
	flag_set(&stop, 0);
	churn(&r, 200);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, works, (void *)(long)(seed * 10 + (unsigned)i + 1)) != 0)
			return 3;
	for (int i = 0; i < CHILDREN; i++) {
		pthread_mutex_lock(&lock);
		child[i] = fork();
		if (child[i] == 0) {
			pthread_mutex_unlock(&lock);
			alarm(40);
			_exit(depth > 1 ? tree(depth - 1, seed * 7 + (unsigned)i) : (churn(&r, 300), 0));
		}
		pthread_mutex_unlock(&lock);
		bad |= child[i] < 0;
		churn(&r, 100);
	}
	for (int i = 0; i < CHILDREN; i++)
		bad |= child[i] > 0 && (waitpid(child[i], &status, 0) != child[i] || status != 0);
	flag_set(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		free(__atomic_exchange_n(&slot[i], NULL, __ATOMIC_ACQ_REL));
	return bad;
}

int main(void)
{
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ("39 processes that allocate and fork", 0, tree(DEPTH, i * 31 + 5));
	return check_done();
}
