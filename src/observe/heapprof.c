#include "observe/heapprof.h"
#include "heap/modes.h"
#include "heap/sample.h"
#include "observe/callers.h"
#include "observe/knobs.h"
#include "observe/traceback.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

enum { HEADS = 1 << 14, CHUNKS = 128, RING = 4096, LARGE_RING = 1 << 16, FINE_RATE = 4096 };
#define CHUNK GRT_SMALL((size_t)256 << 10, (size_t)16 << 10)
#define UNITS ((uint32_t)(CHUNK / 8)) /* of a chunk: what tags count, from 1 */
#define LOST UINT32_MAX

/*
 * Blocks and their bytes. The latest are in one word, for one atomic operation an event, and taken out when one of its halves is half
 * full.
 */
struct tally {
	uint64_t latest, n, bytes; /* atomic: relaxed */
};
#define TALLY_ONE (1ull << 40)
#define TALLY_FULL (1ull << 63 | 1ull << 39)

struct bucket {
	uint64_t hash;
	uint32_t next; /* tag of the next in the chain */
	uint32_t nframes;
	struct tally allocs, frees;
	uintptr_t frame[];
};

static uint32_t heads[HEADS]; /* atomic: tags */
static char *chunks[CHUNKS];  /* atomic: set once */
static uint32_t next_unit;    /* atomic: of all chunks */
static struct bucket lost;    /* of those for which there is no room */

struct freed {
	const void *p; /* atomic: stored last */
	size_t n;
	uint32_t allocated, freed; /* tags */
	uint64_t by;               /* the task, 0: none */
};
static struct freed small_ring[RING], *ring = small_ring;
static uint32_t ring_size = RING;
static uint64_t ring_next; /* atomic */

/* ---- buckets ---- */

static struct bucket *bucket_at(uint32_t tag)
{
	uint32_t unit = tag - 1;
	return tag == LOST ? &lost
	                   : (struct bucket *)(grt_load_acquire(&chunks[unit / UNITS]) + (size_t)(unit % UNITS) * 8);
}

static char *chunk(uint32_t i)
{
	char *have = grt_load_acquire(&chunks[i]), *made;
	if (have || !(made = grt__os_alloc(CHUNK)))
		return have;
	if (grt_cas(&chunks[i], NULL, made)) {
		grt_add_relaxed(&grt__sample_sys, CHUNK);
		return made;
	}
	grt__os_free(made, CHUNK);
	return grt_load_acquire(&chunks[i]);
}

/* The tag of so much room for a bucket; LOST: there is none. */
static uint32_t cut_off(size_t bytes)
{
	uint32_t n = (uint32_t)(bytes / 8), old = grt_load_relaxed(&next_unit), at;
	do {
		at = old % UNITS + n > UNITS ? (old / UNITS + 1) * UNITS : old;
		if (at / UNITS >= CHUNKS)
			return LOST;
	} while (!__atomic_compare_exchange_n(&next_unit, &old, at + n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return chunk(at / UNITS) ? at + 1 : LOST;
}

static uint64_t hash_of(const uintptr_t *frame, unsigned n)
{
	uint64_t h = n;
	for (unsigned i = 0; i < n; i++) {
		h = (h ^ frame[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return h;
}

/* The tag of the bucket of this stack. */
static uint32_t tag_of(const uintptr_t *frame, unsigned n)
{
	uint64_t hash = hash_of(frame, n);
	uint32_t *head = &heads[hash % HEADS], first = grt_load_acquire(head);
	for (uint32_t tag = first; tag;) {
		const struct bucket *b = bucket_at(tag);
		if (b->hash == hash && b->nframes == n && !memcmp(b->frame, frame, n * sizeof *frame))
			return tag;
		tag = b->next;
	}
	uint32_t tag = cut_off(sizeof(struct bucket) + n * sizeof *frame);
	if (tag == LOST)
		return LOST;
	struct bucket *b = bucket_at(tag);
	b->hash = hash;
	b->nframes = n;
	memcpy(b->frame, frame, n * sizeof *frame);
	do
		b->next = first; /* pairs with the walkers' loads of the head */
	while (!__atomic_compare_exchange_n(head, &first, tag, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return tag;
}

/* ---- the hooks ---- */

static void count(struct tally *t, size_t n)
{
	if (grt_unlikely(n > TALLY_ONE >> 2)) {
		grt_add_relaxed(&t->n, 1);
		grt_add_relaxed(&t->bytes, n);
	} else if (grt_unlikely(grt_add_relaxed(&t->latest, TALLY_ONE + n) & TALLY_FULL)) {
		uint64_t w = __atomic_exchange_n(&t->latest, 0, __ATOMIC_RELAXED);
		grt_add_relaxed(&t->n, w / TALLY_ONE);
		grt_add_relaxed(&t->bytes, w % TALLY_ONE);
	}
}

static uint32_t on_alloc(size_t n)
{
	uint32_t tag = grt__callers_tag(tag_of);
	count(&bucket_at(tag)->allocs, n);
	return tag;
}

static void on_free(uint32_t tag, const void *p, size_t n)
{
	count(&bucket_at(tag)->frees, n);
	const struct g *gp = grt__self.g;
	struct freed now = {NULL, n, tag, grt__callers_tag(tag_of), gp ? gp->id : 0};
	struct freed *f = &ring[(grt_add_relaxed(&ring_next, 1) - 1) % ring_size];
	*f = now;
	grt_store_release(&f->p, p);
}

void grt__heapprof_init(void)
{
	size_t rate = grt__knobs.memprofilerate;
	if (rate && grt__heap_modes & (HEAP_TRACE | HEAP_EFENCE)) /* who looks for an error wants all that can be had */
		rate = 1;
	grt__sample_rate = rate;
	if (!rate)
		return;
	if (rate <= FINE_RATE) {
		struct freed *large = grt__os_alloc(LARGE_RING * sizeof *large);
		if (large) {
			ring = large;
			ring_size = LARGE_RING;
			grt_add_relaxed(&grt__sample_sys, LARGE_RING * sizeof *large);
		}
	}
	grt__sample_free_hook = on_free;
	grt__sample_alloc_hook = on_alloc;
}

/* ---- reports ---- */

static void print_stack(uint32_t tag)
{
	const struct bucket *b = bucket_at(tag);
	if (b->nframes)
		grt__traceback_calls_sig(b->frame, b->nframes);
	else
		grt__out_str(&grt__report_out, "\tstack unavailable\n");
}

/* The last free of what was at p, or around it. */
static const struct freed *last_free(const char *p, bool around)
{
	uint64_t next = grt_load_relaxed(&ring_next), n = next < ring_size ? next : ring_size;
	for (uint64_t i = 1; i <= n; i++) {
		const struct freed *f = &ring[(next - i) % ring_size];
		const char *at = grt_load_acquire(&f->p);
		if (at == p || (around && at && p > at && (size_t)(p - at) < f->n))
			return f;
	}
	return NULL;
}

void grt__heapprof_explain_sig(const void *p)
{
	struct grt_out *o = &grt__report_out;
	struct grt_sample s = grt__sample_around(p);
	const struct freed *f = NULL;
	if (!s.tag || s.p != p)
		f = last_free(p, !s.tag);
	if (f)
		s = (struct grt_sample){f->p, f->n, f->allocated};
	if (!s.tag)
		return;
	grt__out(o, "block of %zu bytes at %p, allocated at:\n", s.n, s.p);
	print_stack(s.tag);
	if (f && f->by)
		grt__out(o, "\nand freed by goroutine %lu at:\n", f->by);
	else if (f)
		grt__out_str(o, "\nand freed at:\n");
	if (f)
		print_stack(f->freed);
	grt__out_str(o, "\n");
}

/* ---- files ---- */

struct sink {
	int fd, error;
	size_t len;
	char buf[2048];
};

static void flush(struct sink *k)
{
	for (size_t done = 0; done < k->len && !k->error;) {
		long n = grt__sys_write(k->fd, k->buf + done, k->len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (n != -EINTR)
			k->error = (int)n;
	}
	k->len = 0;
}

static void GRT_PRINTF(2, 3) put(struct sink *k, const char *fmt, ...)
{
	enum { LONGEST = 256 };
	va_list ap;
	if (k->len > sizeof k->buf - LONGEST)
		flush(k);
	va_start(ap, fmt);
	k->len += grt__vformat(k->buf + k->len, LONGEST, fmt, ap);
	va_end(ap);
}

struct counts {
	uint64_t blocks, bytes, ever, ever_bytes;
};

static struct counts total(const struct tally *t)
{
	uint64_t w = grt_load_acquire(&t->latest);
	return (struct counts){.ever = grt_load_relaxed(&t->n) + w / TALLY_ONE,
	                       .ever_bytes = grt_load_relaxed(&t->bytes) + w % TALLY_ONE};
}

static struct counts counts_of(const struct bucket *b)
{
	/* Frees first, so that there are never more of them. */
	struct counts free = total(&b->frees), c = total(&b->allocs);
	c.blocks = c.ever > free.ever ? c.ever - free.ever : 0;
	c.bytes = c.ever_bytes > free.ever_bytes ? c.ever_bytes - free.ever_bytes : 0;
	return c;
}

static void put_bucket(const struct bucket *b, void *sink)
{
	struct counts c = counts_of(b);
	if (!c.ever)
		return;
	put(sink, "%6lu: %8lu [%6lu: %8lu] @", c.blocks, c.bytes, c.ever, c.ever_bytes);
	for (uint32_t i = 0; i < b->nframes; i++)
		put(sink, " 0x%lx", b->frame[i]);
	put(sink, "\n");
}

static void add_bucket(const struct bucket *b, void *sum)
{
	struct counts c = counts_of(b), *s = sum;
	s->blocks += c.blocks;
	s->bytes += c.bytes;
	s->ever += c.ever;
	s->ever_bytes += c.ever_bytes;
}

static void for_each_bucket(void (*fn)(const struct bucket *, void *), void *arg)
{
	fn(&lost, arg);
	for (size_t i = 0; i < HEADS; i++)
		for (uint32_t tag = grt_load_acquire(&heads[i]); tag; tag = bucket_at(tag)->next)
			fn(bucket_at(tag), arg);
}

static void copy_maps(struct sink *k)
{
	long n, fd = grt__sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	do {
		flush(k);
		n = grt__sys_read((int)fd, k->buf, sizeof k->buf);
		k->len = n > 0 ? (size_t)n : 0;
	} while (n > 0 || n == -EINTR);
	grt__sys_close((int)fd);
}

int grt__heapprof_write(int fd)
{
	struct sink k = {.fd = fd};
	struct counts sum = {0};
	for_each_bucket(add_bucket, &sum);
	put(&k, "heap profile: %6lu: %8lu [%6lu: %8lu] @ heap_v2/%zu\n", sum.blocks, sum.bytes, sum.ever, sum.ever_bytes,
	    grt__sample_rate ? grt__sample_rate : 1);
	for_each_bucket(put_bucket, &k);
	put(&k, "\nMAPPED_LIBRARIES:\n");
	copy_maps(&k);
	flush(&k);
	return k.error;
}

/* %p is the process, another letter after % itself. */
static void expand(char *to, size_t size, const char *from)
{
	size_t n = 0;
	for (; *from && n + 1 < size; from++) {
		if (*from == '%' && from[1] == 'p')
			n += grt__format(to + n, size - n, "%d", grt__sys_getpid()), from++;
		else if (*from == '%' && from[1])
			to[n++] = *++from;
		else
			to[n++] = *from;
	}
	to[n] = '\0';
}

void grt__heapprof_exit(void)
{
	char path[PATH_MAX];
	if (!grt__knobs.memprofile || getauxval(AT_SECURE))
		return;
	expand(path, sizeof path, grt__knobs.memprofile);
	long fd = grt__sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int error = fd < 0 ? (int)fd : grt__heapprof_write((int)fd);
	if (fd >= 0)
		grt__sys_close((int)fd);
	if (error)
		grt__print("libgrt: memprofile: cannot write %s: error %d\n", path, -error);
}
