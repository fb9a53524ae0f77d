// TIMEOUT: 60
/* malloc_nomem.c - memory exhausted: NULL and ENOMEM, nothing is lost, and it works again once there is some. */
#include "check.h"
#include "blocks.h"

#include <sys/mman.h>
#include <sys/resource.h>

/* 256 MiB more than there is now. How much of it can be had differs; half is the least. */
static const size_t ROOM = (size_t)256 << 20;

struct block {
	struct block *next;
	size_t size;
};

/* What a process is limited to from its start, and the least that it has to get of that. */
static const size_t SMALL_LIMIT = (size_t)100 << 20, SMALL_LEAST = (size_t)40 << 20;

static struct rlimit old;

static void limit(void)
{
	struct rlimit rl;
	EXPECT_EQ(0, getrlimit(RLIMIT_AS, &old));
	rl = old;
	rl.rlim_cur = address_space() + ROOM;
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &rl));
}

/* Takes blocks until there are no more; their sum. Sets *bad where a failure is not as it should be. */
static size_t take(struct block **list, size_t size, int *bad)
{
	size_t sum = 0;
	for (;;) {
		errno = 0;
		struct block *b = malloc(size);
		if (!b) {
			*bad |= errno != ENOMEM;
			return sum;
		}
		b->next = *list;
		b->size = size;
		((char *)b)[size - 1] = 1;
		*list = b;
		sum += size;
	}
}

static void give(struct block **list, int *bad)
{
	while (*list) {
		struct block *b = *list;
		*list = b->next;
		*bad |= ((char *)b)[b->size - 1] != 1;
		free(b);
	}
}

/* Every other one; the rest is returned. */
static void give_half(struct block **list)
{
	for (struct block **at = list; *at; at = &(*at)->next) {
		struct block *b = *at;
		*at = b->next;
		free(b);
		if (!*at)
			return;
	}
}

static size_t all_and_again(size_t size, int *bad)
{
	struct block *list = NULL;
	size_t first = take(&list, size, bad);
	for (int i = 0; i < 100; i++) /* still none; some may fit into a corner */
		take(&list, size, bad);
	give(&list, bad);
	size_t second = take(&list, size, bad);
	give(&list, bad);
	*bad |= (second < first - first / 10) << 1;
	return first;
}

static void others(int *bad)
{
	struct block *list = NULL;
	char *kept = malloc(100000);
	void *p = NULL;
	fill_all(kept, 100000, 5);
	take(&list, 1 << 20, bad);
	take(&list, 4096, bad);
	errno = 0;
	*bad |= (calloc(OPAQUE((size_t)64), 1 << 20) != NULL || errno != ENOMEM) << 2;
	errno = 0;
	*bad |= (realloc(OPAQUE(kept), ROOM / 4) != NULL || errno != ENOMEM) << 2;
	*bad |= !filled_all(kept, 100000, 5) << 3;
	*bad |= (posix_memalign(&p, 4096, ROOM / 4) != ENOMEM || p != NULL) << 2;
	errno = 0;
	*bad |= (memalign(1 << 21, ROOM / 4) != NULL || errno != ENOMEM) << 2;
	errno = 0;
	char *smaller = realloc(kept, 10); /* to shrink needs none */
	*bad |= (!smaller || !filled_all(smaller, 10, 5)) << 3;
	give(&list, bad);
	p = calloc(64, 1 << 20);
	*bad |= (!p || !is_zero(p, 64 << 20)) << 4;
	smaller = realloc(smaller, 10 << 20);
	*bad |= (!smaller || !filled_all(smaller, 10, 5)) << 4;
	free(p);
	free(smaller);
}

/* All is taken by small ones, every other freed: small ones can be had again, and large ones once all are freed. */
static void fragments(int *bad)
{
	struct block *list = NULL;
	size_t all = take(&list, 200, bad);
	give_half(&list);
	struct block *more = NULL;
	size_t half = take(&more, 200, bad);
	*bad |= (half < all / 3) << 5;
	give(&list, bad);
	give(&more, bad);
	void *p = malloc(ROOM / 4);
	*bad |= (p == NULL) << 6;
	free(p);
}

static pthread_barrier_t turn;

static void *thread(void *arg)
{
	struct block *list = NULL;
	int bad = 0;
	size_t size = (size_t)(long)arg;
	for (int round = 0; round < 3; round++) {
		take(&list, size, &bad);
		pthread_barrier_wait(&turn); /* all four have met the end */
		give(&list, &bad);
		pthread_barrier_wait(&turn); /* all is free */
	}
	void *p = malloc(8 << 20);
	bad |= (p == NULL) << 7;
	free(p);
	return (void *)(long)bad;
}

/* No such amount can be had, whatever there is; and asking for it costs nothing that others have. */
static void absurd(int *bad)
{
	static const size_t sizes[] = {
		(size_t)1 << 47, ((size_t)1 << 47) - 4096, (size_t)1 << 48, (size_t)1 << 62, PTRDIFF_MAX - 16,
		PTRDIFF_MAX,     (size_t)PTRDIFF_MAX + 1,  SIZE_MAX - 16,   SIZE_MAX};
	char *kept = malloc(1000);
	fill_all(kept, 1000, 9);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t n = OPAQUE(sizes[i] + 0);
		void *p = NULL;
		errno = 0;
		*bad |= malloc(n) != NULL || errno != ENOMEM;
		errno = 0;
		*bad |= calloc(n, 1) != NULL || errno != ENOMEM;
		errno = 0;
		*bad |= (calloc(n / 8, 16) != NULL || errno != ENOMEM) << 1;
		errno = 0;
		*bad |= (realloc(OPAQUE(kept), n) != NULL || errno != ENOMEM) << 2;
		errno = 0;
		*bad |= (reallocarray(OPAQUE(kept), n, n) != NULL || errno != ENOMEM) << 2;
		errno = 0;
		*bad |= (memalign(64, n) != NULL || errno != ENOMEM) << 3;
		*bad |= (posix_memalign(&p, 4096, n) != ENOMEM || p) << 3;
		errno = 0;
		*bad |= (memalign((size_t)1 << 40, n) != NULL || errno != ENOMEM) << 3;
		errno = 0;
		*bad |= (pvalloc(n) != NULL || errno != ENOMEM) << 3;
	}
	*bad |= !filled_all(kept, 1000, 9) << 4;
	free(kept);
}

static int as_child(const char *mode)
{
	int bad = 0;
	if (strncmp(mode, "limited", 7) == 0)
		return all_and_again((size_t)atol(mode + 8), &bad) < SMALL_LEAST ? 1 << 6 : bad;
	if (strcmp(mode, "absurd") == 0) {
		absurd(&bad);
		return bad;
	}
	free(malloc(1 << 20));
	limit();
	if (strcmp(mode, "threads") == 0) {
		static const long sizes[4] = {64, 1000, 30000, 2 << 20};
		pthread_t ts[4];
		EXPECT_EQ(0, pthread_barrier_init(&turn, NULL, 4));
		for (int i = 0; i < 4; i++)
			ts[i] = spawn(thread, (void *)sizes[i]);
		for (int i = 0; i < 4; i++)
			bad |= (int)(long)join(ts[i]);
	} else if (strcmp(mode, "others") == 0) {
		others(&bad);
	} else if (strcmp(mode, "fragments") == 0) {
		fragments(&bad);
	} else if (strcmp(mode, "mmap") == 0) { /* the program itself takes all */
		struct block *list = NULL;
		void *m[4096];
		int n = 0;
		while (n < 4096 && (m[n] = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
			n++;
		take(&list, 1 << 20, &bad);
		take(&list, 100, &bad);
		while (n > 0)
			munmap(m[--n], 1 << 20);
		bad |= (take(&list, 1 << 20, &bad) < ROOM / 2) << 6;
		give(&list, &bad);
	} else {
		bad |= (all_and_again((size_t)atol(mode), &bad) < ROOM / 2) << 6;
	}
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &old));
	void *p = malloc(2 * ROOM);
	bad |= (p == NULL) << 7;
	free(p);
	return bad;
}

/* This program under a limit from its first instruction on. */
static void limited(int resource, const char *name)
{
	static const char *const modes[] = {"limited 50", "limited 5000", "limited 1000000"};
	char out[512], text[128];
	struct rlimit was, rl;
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, getrlimit(resource, &was));
		rl = was;
		rl.rlim_cur = SMALL_LIMIT;
		EXPECT_EQ(0, setrlimit(resource, &rl));
		int status = run_self(modes[i], out, sizeof out);
		EXPECT_EQ(0, setrlimit(resource, &was));
		fputs(out, stdout);
		snprintf(text, sizeof text, "%s of 100 MiB, %s: 40 MiB of it are to be had", name, modes[i]);
		CHECK_EQ(text, 0, status);
	}
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"32",       "100",    "1000",      "5000", "40000",   "300000", "1048576",
	                                    "30000000", "others", "fragments", "mmap", "threads", "absurd"};
	char out[512], text[128];
	if (argc > 1)
		return as_child(argv[1]) & 0xff;
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		int status = run_self(modes[i], out, sizeof out);
		fputs(out, stdout);
		snprintf(text, sizeof text, "%s%s: ENOMEM in the end, and all is well again after", i < 8 ? "blocks of " : "",
		         modes[i]);
		CHECK_EQ(text, 0, status);
	}
	limited(RLIMIT_AS, "RLIMIT_AS");
	limited(RLIMIT_DATA, "RLIMIT_DATA");
	return check_done();
}
