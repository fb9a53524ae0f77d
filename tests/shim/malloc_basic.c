// LDFLAGS: -ldl
// CFLAGS: -Wno-use-after-free
/* malloc_basic.c - the malloc family, one thread: sizes, alignment, contents, errors. */
#include "check.h"
#include "blocks.h"

#include <dirent.h>
#include <dlfcn.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

enum { MANY = 4096 };

static size_t next_size(size_t n)
{
	return n < 600 ? n + 1 : n < 5000 ? n + 13 : n < 70000 ? n + 997 : n + n / 17 + 1;
}

static void sizes(void)
{
	static void *p[MANY];
	static size_t size[MANY];
	int n = 0, bad = 0;
	for (size_t s = 0; s <= 1 << 20; s = next_size(s), n++) {
		size[n] = s;
		p[n] = malloc(s);
		bad |= p[n] == NULL;
		bad |= !aligned_to(p[n], 16) << 1;
		bad |= (malloc_usable_size(p[n]) < s) << 2;
		fill_all(p[n], s, (unsigned)n);
	}
	for (int i = 0; i < n; i++)
		bad |= !filled_all(p[i], size[i], (unsigned)i) << 3;
	for (int i = 0; i < n; i += 2)
		free(p[i]);
	for (int i = 1; i < n; i += 2)
		bad |= !filled_all(p[i], size[i], (unsigned)i) << 4;
	for (int i = 1; i < n; i += 2)
		free(p[i]);
	CHECK("malloc of every kind of size from 0 to 1 MiB", !(bad & 1));
	CHECK("aligned to 16", !(bad & 2));
	CHECK("malloc_usable_size is at least the size", !(bad & 4));
	CHECK("no two overlap", !(bad & 8));
	CHECK("freeing some leaves the others alone", !(bad & 16));
}

static void zero_sizes(void)
{
	void *p[100];
	int same = 0;
	for (int i = 0; i < 100; i++)
		p[i] = malloc(OPAQUE((size_t)0));
	for (int i = 0; i < 100; i++)
		for (int j = 0; j < i; j++)
			same |= p[i] == p[j] || p[i] == NULL;
	CHECK("malloc(0) gives a pointer of its own each time", !same);
	for (int i = 0; i < 100; i++)
		free(p[i]);
	void *q = calloc(OPAQUE((size_t)0), 5), *r = calloc(5, OPAQUE((size_t)0)), *s = realloc(NULL, OPAQUE((size_t)0));
	CHECK("calloc of nothing and realloc(NULL, 0) too", q && r && s && q != r && r != s);
	free(q);
	free(r);
	free(s);
	free(NULL);
	CHECK_EQ("malloc_usable_size(NULL)", 0, malloc_usable_size(NULL));
}

static void zeroed(void)
{
	int bad = 0;
	for (int round = 0; round < 3; round++)
		for (size_t s = 1; s <= 1 << 20; s = s < 100 ? s + 7 : s + s / 3) {
			unsigned char *p = calloc(1, s), *q = calloc(s, 1);
			bad |= !p || !q || !is_zero(p, s) || !is_zero(q, s);
			/* dirty to the last usable byte, for the next round */
			memset(p, 0xa5, malloc_usable_size(p));
			memset(q, 0x5a, malloc_usable_size(q));
			free(p);
			p = malloc(s);
			memset(p, 0xff, s);
			free(p);
			free(q);
		}
	CHECK("calloc is zero, also where others wrote before", !bad);
	char *p = calloc(1000, 1000);
	CHECK("calloc multiplies", p && malloc_usable_size(p) >= 1000000 && is_zero(p, 1000000));
	free(p);
}

static void reallocs(void)
{
	int bad = 0;
	char *p = NULL;
	size_t old = 0;
	for (size_t s = 1; s < 4 << 20; s += s / 2 + 1) {
		p = realloc(p, s);
		bad |= !p || !filled_all(p, old, 7);
		fill_all(p, s, 7);
		old = s;
	}
	CHECK("realloc grows and keeps the contents", !bad);
	for (size_t s = old; s > 0; s -= s / 3 + 1) {
		p = realloc(p, s);
		bad |= !p || !filled_all(p, s, 7) || malloc_usable_size(p) < s;
	}
	CHECK("realloc shrinks and keeps the contents", !bad);
	free(p);
	p = malloc(100);
	CHECK("realloc(p, 0) frees and returns NULL", realloc(p, OPAQUE((size_t)0)) == NULL);
	unsigned r = 17;
	size_t size[64] = {0};
	char *q[64] = {0};
	for (int i = 0; i < 20000; i++) {
		unsigned k = rnd(&r) % 64;
		size_t s = rnd_size(&r) % (1 << 20) + 1;
		q[k] = realloc(q[k], s);
		bad |= !q[k] || !filled_all(q[k], size[k] < s ? size[k] : s, k);
		size[k] = s < 256 ? s : 256; /* so much is checked */
		fill_all(q[k], size[k], k);
	}
	CHECK("64 blocks resized at random keep what they had", !bad);
	for (int i = 0; i < 64; i++)
		free(q[i]);
	p = memalign(4096, 100);
	fill_all(p, 100, 9);
	p = realloc(p, 100000);
	CHECK("realloc of an aligned block", p && filled_all(p, 100, 9));
	free(p);
}

static void *volatile sink;
/* No memory: NULL and ENOMEM. */
#define FAILS(clause, call)                                                                                            \
	do {                                                                                                               \
		errno = 0;                                                                                                     \
		sink = (call);                                                                                                 \
		CHECK(clause, sink == NULL && errno == ENOMEM);                                                                \
	} while (0)

static void errors(void)
{
	size_t max = OPAQUE((size_t)SIZE_MAX), half = OPAQUE((size_t)PTRDIFF_MAX), tera = OPAQUE((size_t)1 << 47);
	void *p, *kept;

	FAILS("ENOMEM: malloc(SIZE_MAX)", malloc(max));
	FAILS("ENOMEM: malloc(SIZE_MAX - 4096)", malloc(max - 4096));
	FAILS("ENOMEM: malloc(PTRDIFF_MAX + 1)", malloc(half + 1));
	FAILS("ENOMEM: malloc(PTRDIFF_MAX)", malloc(half));
	FAILS("ENOMEM: malloc(2^47)", malloc(tera));
	FAILS("ENOMEM: calloc, the product overflows", calloc(max / 2, 3));
	FAILS("ENOMEM: calloc, it wraps to something small",
	      calloc((size_t)1 << 33, ((size_t)1 << 31) + OPAQUE((size_t)1)));
	FAILS("ENOMEM: calloc(1, SIZE_MAX)", calloc(1, max));
	FAILS("ENOMEM: calloc(2^24, 2^23)", calloc(OPAQUE((size_t)1 << 24), 1 << 23));
	FAILS("ENOMEM: reallocarray, the product overflows", reallocarray(NULL, max / 2, 3));
	FAILS("ENOMEM: memalign", memalign(64, max - 8));
	FAILS("ENOMEM: memalign of 2^47", memalign(1 << 20, tera));
	FAILS("ENOMEM: aligned_alloc", aligned_alloc(4096, half & -OPAQUE((size_t)4096)));
	FAILS("ENOMEM: valloc", valloc(max));
	FAILS("ENOMEM: pvalloc", pvalloc(max));
	kept = malloc(1000);
	fill_all(kept, 1000, 3);
	FAILS("ENOMEM: realloc", realloc(OPAQUE(kept), half));
	FAILS("ENOMEM: realloc(SIZE_MAX)", realloc(OPAQUE(kept), max));
	FAILS("ENOMEM: reallocarray of a block", reallocarray(OPAQUE(kept), max / 2, 3));
	CHECK("a realloc that fails leaves the block", filled_all(kept, 1000, 3));
	p = realloc(OPAQUE(kept), 2000);
	CHECK("and it can be resized afterwards", p && filled_all(p, 1000, 3));
	free(p);

	p = &p;
	errno = 4711;
	CHECK_EQ("EINVAL: posix_memalign, alignment 0", EINVAL, posix_memalign(&p, OPAQUE((size_t)0), 8));
	CHECK_EQ("EINVAL: posix_memalign, alignment 4", EINVAL, posix_memalign(&p, OPAQUE((size_t)4), 8));
	CHECK_EQ("EINVAL: posix_memalign, alignment 24", EINVAL, posix_memalign(&p, OPAQUE((size_t)24), 8));
	CHECK_EQ("EINVAL: posix_memalign, alignment 1", EINVAL, posix_memalign(&p, OPAQUE((size_t)1), 8));
	CHECK("EINVAL leaves errno and the pointer alone", errno == 4711 && p == &p);
	CHECK_EQ("ENOMEM: posix_memalign(SIZE_MAX)", ENOMEM, posix_memalign(&p, 64, max));
	CHECK_EQ("ENOMEM: posix_memalign(PTRDIFF_MAX)", ENOMEM, posix_memalign(&p, 64, half));
	CHECK("ENOMEM leaves the pointer alone", p == &p);
	errno = 0;
	sink = memalign(OPAQUE((size_t)SIZE_MAX / 2 + 2), 1);
	CHECK("EINVAL: memalign to more than half of all", sink == NULL && errno == EINVAL);
}

static void aligned(void)
{
	static const size_t sizes[] = {0, 1, 15, 16, 100, 1000, 4095, 4096, 10000, 40000, 300000};
	enum { N = sizeof sizes / sizeof *sizes };
	int bad = 0;
	for (size_t a = 1; a <= 4 << 20; a *= 2) {
		void *p[N * 3];
		for (int i = 0; i < N; i++) {
			p[i * 3] = memalign(a, sizes[i]);
			p[i * 3 + 1] = aligned_alloc(a, (sizes[i] + a - 1) & -a);
			bad |= posix_memalign(&p[i * 3 + 2], a < sizeof(void *) ? sizeof(void *) : a, sizes[i]) != 0;
			for (int k = i * 3; k < i * 3 + 3; k++) {
				bad |= !p[k] || !aligned_to(p[k], a);
				bad |= (malloc_usable_size(p[k]) < sizes[i]) << 1;
				fill(p[k], sizes[i], (unsigned)k);
			}
		}
		for (int i = 0; i < N * 3; i++)
			bad |= !filled(p[i], sizes[i / 3], (unsigned)i) << 2;
		for (int i = 0; i < N * 3; i++)
			free(p[i]);
	}
	CHECK("memalign, aligned_alloc, posix_memalign: all alignments up to 4 MiB", !(bad & 1));
	CHECK("their size", !(bad & 2));
	CHECK("their contents", !(bad & 4));
	void *p = memalign(OPAQUE((size_t)48), 10), *q = memalign(OPAQUE((size_t)0), 10);
	CHECK("glibc: memalign(48) is memalign(64), 0 is any", p && q && aligned_to(p, 64) && aligned_to(q, 16));
	free(p);
	free(q);
	p = valloc(10);
	q = pvalloc(10);
	CHECK("valloc, pvalloc: to pages", p && q && aligned_to(p, 4096) && aligned_to(q, 4096));
	CHECK("pvalloc: whole pages", malloc_usable_size(q) >= 4096);
	memset(q, 1, 4096);
	free(p);
	free(q);
}

static void usable(void)
{
	int bad = 0;
	for (size_t s = 0; s <= 1 << 20; s = next_size(s + s / 5)) {
		char *p = malloc(s), *other = malloc(s);
		size_t n = malloc_usable_size(p);
		memset(p, 0x11, n);
		memset(other, 0x22, malloc_usable_size(other));
		for (size_t i = 0; i < n; i += 1 + n / 100)
			bad |= p[i] != 0x11;
		bad |= (n != malloc_usable_size(p)) << 1;
		free(other);
		bad |= (n != malloc_usable_size(p)) << 1;
		char *to = realloc(p, n);
		bad |= (to == NULL || malloc_usable_size(to) < n) << 2;
		free(to);
	}
	CHECK("all of malloc_usable_size can be written", !(bad & 1));
	CHECK("and stays the same for the block's life", !(bad & 2));
	CHECK("realloc to it", !(bad & 4));
}

static void keeps_errno(void)
{
	int bad = 0;
	for (size_t s = 1; s <= 64 << 20; s *= 4) {
		void *p = malloc(s);
		memset(p, 1, s < 4096 ? s : 4096);
		errno = 4711;
		free(p);
		bad |= errno != 4711;
	}
	free(NULL);
	CHECK("free keeps errno", !bad && errno == 4711);
	errno = 4711;
	void *p = malloc(10);
	CHECK("malloc that succeeds does too", errno == 4711);
	free(p);
}

/* What libc allocates is the program's to free. */
static void libcs_own(void)
{
	char *s = strdup("a string"), *t = NULL, *line = NULL;
	size_t n = 0, size = 0;
	EXPECT(asprintf(&t, "%0300d", 5) == 300);
	s = realloc(s, 5000);
	CHECK("strdup, realloc", s && strcmp(s, "a string") == 0);
	free(s);
	free(t);
	FILE *f = open_memstream(&t, &size);
	for (int i = 0; i < 10000; i++)
		fprintf(f, "line %d\n", i);
	fclose(f);
	CHECK("open_memstream", size == 98890 && strlen(t) == size);
	f = fmemopen(t, size, "r");
	int lines = 0;
	while (getline(&line, &n, f) > 0)
		lines++;
	fclose(f);
	CHECK_EQ("getline", 10000, lines);
	free(line);
	free(t);
	struct dirent **list;
	int entries = scandir("/", &list, NULL, alphasort);
	CHECK("scandir", entries > 2);
	while (entries > 0)
		free(list[--entries]);
	free(list);
	t = realpath("/proc/self/../self", NULL);
	CHECK("realpath", t != NULL);
	free(t);
	setenv("MALLOC_BASIC", "1", 1);
	CHECK("setenv", getenv("MALLOC_BASIC") != NULL);
}

static void aliases(void)
{
	void *p = __libc_malloc(100), *q = malloc(100), *r = __libc_memalign(256, 10), *s = __libc_calloc(10, 10);
	CHECK("__libc_malloc and its like", p && q && r && s && aligned_to(r, 256) && is_zero(s, 100));
	free(p);
	__libc_free(q);
	r = __libc_realloc(r, 1000);
	free(r);
	free(s);
	/* not in this libc, or not for new programs: where they are, they free */
	void (*cf)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
	void (*fs)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void (*fas)(void *, size_t, size_t) = (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
	for (int i = 0; i < 1000; i++) {
		p = malloc((size_t)i * 37), q = malloc((size_t)i * 100), r = aligned_alloc(128, (size_t)i * 128);
		cf ? cf(p) : free(p);
		fs ? fs(q, (size_t)i * 100) : free(q);
		fas ? fas(r, 128, (size_t)i * 128) : free(r);
	}
	if (fs)
		fs(NULL, 100);
	if (fas)
		fas(NULL, 64, 100);
	CHECK("cfree, free_sized, free_aligned_sized", 1);
	CHECK("glibc: no hooks for new programs", dlvsym(RTLD_DEFAULT, "__malloc_hook", "GLIBC_2.35") == NULL);
}

int main(void)
{
	sizes();
	zero_sizes();
	zeroed();
	reallocs();
	errors();
	aligned();
	usable();
	keeps_errno();
	libcs_own();
	aliases();
	return check_done();
}
