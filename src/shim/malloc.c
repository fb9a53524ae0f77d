#include "shim/malloc.h"
#include "grt.h"
#include "heap/modes.h"
#include "heap/scavenge.h"
#include "observe/heapprof.h"
#include "observe/knobs.h"
#include "os/os.h"
#include "sched/tidy.h"
#include "shim/shim.h"
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_stack_end; /* ld.so's: argc and what follows it */

#define SMALL_ZERO 128 /* bytes that are cleared in place */

/* ---- whose cache ---- */

static pthread_key_t end_key;
static uint32_t end_key_state; /* atomic: 0 not made, 1 being made, 2 made, 3 there is none */

/* A foreign thread ends. Whatever it still allocates and frees goes to and from the reserve. */
static void thread_ends(void *arg)
{
	struct grt_tls *t = &grt__self;
	(void)arg;
	if (t->g || !t->mcache)
		return;
	t->crit = 1;
	struct mcache *c = t->mcache;
	t->mcache = NULL;
	t->heap_ended = 1;
	grt__cache_put(c);
	t->crit = 0;
}

/* crit is set, so that what libc allocates here comes from the reserve. The first thread's needs no end. */
static void watch_end(void *cache)
{
	if (grt__sys_gettid() == grt__sys_getpid())
		return;
	if (grt_load_acquire(&end_key_state) == 0 && grt_cas(&end_key_state, 0, 1))
		grt_store_release(&end_key_state, pthread_key_create(&end_key, thread_ends) ? 3 : 2);
	if (grt_load_acquire(&end_key_state) == 2)
		pthread_setspecific(end_key, cache);
}

/*
 * The modes of the heap hold from its first block on, which may be needed before there is any constructor, and before libc knows the
 * environment: the loader knows where the kernel put it.
 */
static void set_modes(void)
{
	static uint32_t done; /* atomic */
	if (grt_likely(grt_load_relaxed(&done)) || grt_xchg_acqrel(&done, 1))
		return;
	char **args = __libc_stack_end;
	long n = *(long *)args;
	grt__knobs_parse(args + 1 + n + 1);
	const struct grt_knobs *k = &grt__knobs;
	grt__heap_modes = (k->hardened ? HEAP_HARDENED : 0) | (k->zerofree ? HEAP_ZERO_FREE : 0) |
	                  (k->efence ? HEAP_EFENCE : 0) | (k->allocfreetrace ? HEAP_TRACE : 0);
	grt__heap_limit = k->memlimit;
	grt__heap_limit_given = k->memlimit_given;
	grt__heap_madvice = k->madvdontneed ? MADV_DONTNEED : MADV_FREE;
	grt__heap_huge_pages = k->hugepages;
	grt__scavtrace = k->scavtrace;
	grt__knobs_complain_heap();
	grt__heapprof_init();
}

/* The cache of a caller that grt__self.mcache does not tell; crit is set then, and leave ends it. NULL: the reserve. */
static struct mcache *enter_slow(void)
{
	struct grt_tls *t = &grt__self;
	if (t->crit || t->in_block || t->in_vfork || t->heap_ended)
		return NULL;
	if (t->g) {
		struct p *pp = grt__enter()->p;
		if (!pp->mcache && !(pp->mcache = grt__cache_get(pp->is_own))) {
			grt__leave();
			return NULL;
		}
		grt_store_relaxed(&t->mcache, pp->mcache);
		return pp->mcache;
	}
	t->crit = 1;
	set_modes();
	if (!t->mcache && (t->mcache = grt__cache_get(true)))
		watch_end(t->mcache);
	if (!t->mcache)
		t->crit = 0;
	return t->mcache;
}

/* For what is not worth a fast path of its own. */
static struct mcache *enter(void)
{
	struct grt_tls *t = &grt__self;
	if (grt_likely(!t->crit)) {
		t->crit = 1;
		grt_barrier(); /* pairs with sysmon's membarrier, as in grt__enter */
		struct mcache *c = grt_load_relaxed(&t->mcache);
		if (grt_likely(c))
			return c;
		t->crit = 0;
	}
	return enter_slow();
}

static void leave(void)
{
	grt_barrier();
	grt__self.crit = 0;
	grt_barrier(); /* as in grt__leave */
	if (grt_unlikely(grt__self.attention))
		grt__leave_slow(true);
}

static GRT_COLD_FN void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

/* ---- allocation ---- */

/* Every kind of it, with the cache or without. */
#define ALLOCATE(call, reserve)                                                                                        \
	({                                                                                                                 \
		void *allocated;                                                                                               \
		struct mcache *c = enter();                                                                                    \
		if (grt_likely(c)) {                                                                                           \
			allocated = (call);                                                                                        \
			leave();                                                                                                   \
		} else {                                                                                                       \
			allocated = (reserve);                                                                                     \
		}                                                                                                              \
		grt_likely(allocated) ? allocated : no_memory();                                                               \
	})

static GRT_NOINLINE void *alloc_slow(size_t n)
{
	if (n > PTRDIFF_MAX)
		return no_memory();
	return ALLOCATE(grt__heap_modes ? grt__modes_alloc(c, n, 16, false) : grt__cache_alloc_slow(c, n),
	                grt__reserve_alloc(n, 16));
}

static GRT_NOINLINE void *leave_with(void *p)
{
	grt__leave_slow(true);
	return p;
}

static void *alloc_medium(size_t n);

/* At most `most` bytes, which is DIRECT_MAX or GRT_CLASS_MAX. Every other case is a tail call, so that this needs no stack. */
GRT_ALWAYS_INLINE void *alloc_upto(size_t most, size_t n)
{
	struct grt_tls *t = &grt__self;
	if (grt_unlikely(n > most) || grt_unlikely(t->crit))
		return most == DIRECT_MAX ? alloc_medium(n) : alloc_slow(n);
	t->crit = 1;
	grt_barrier(); /* pairs with sysmon's membarrier, as in grt__enter */
	struct mcache *c = grt_load_relaxed(&t->mcache);
	void *p = grt_likely(c) ? cache_alloc_fast(c, n) : NULL;
	grt_barrier();
	t->crit = 0;
	grt_barrier(); /* as in grt__leave */
	if (grt_unlikely(!p))
		return alloc_slow(n);
	if (grt_unlikely(t->attention))
		return leave_with(p);
	return p;
}

static GRT_NOINLINE void *alloc_large(size_t n)
{
	struct grt_tls *t = &grt__self;
	if (n > KEEP_LARGE || t->crit || grt_unlikely(grt__heap_modes))
		return alloc_slow(n);
	t->crit = 1;
	grt_barrier(); /* as in alloc_upto */
	struct mcache *c = grt_load_relaxed(&t->mcache);
	void *p = grt_likely(c) ? cache_large_fast(c, n) : NULL;
	leave();
	return grt_likely(p) ? p : alloc_slow(n);
}

static GRT_NOINLINE void *alloc_medium(size_t n)
{
	return n > GRT_CLASS_MAX ? alloc_large(n) : alloc_upto(GRT_CLASS_MAX, n);
}

GRT_ALWAYS_INLINE void *alloc(size_t n)
{
	return alloc_upto(DIRECT_MAX, n);
}

GRT_ALWAYS_INLINE void *clear(void *p, size_t n)
{
	if (!p)
		return NULL;
	if (n > SMALL_ZERO)
		return memset(p, 0, n);
	/* Whole 16 bytes, which a slot is made of: from the beginning and from the end, overlapping in between, so that few lengths are told
	 * apart. */
	typedef long long two __attribute__((vector_size(16), may_alias));
	char *at = p;
	size_t last = n ? (n - 1) & ~15ul : 0;
	two zero = {0, 0};
	*(two *)at = zero;
	*(two *)(at + last) = zero;
	if (last > 16) {
		*(two *)(at + 16) = zero;
		*(two *)(at + last - 16) = zero;
		if (last > 48) {
			*(two *)(at + 32) = *(two *)(at + 48) = zero;
			*(two *)(at + last - 32) = *(two *)(at + last - 48) = zero;
		}
	}
	return p;
}

static GRT_NOINLINE void *zero_slow(size_t n)
{
	return ALLOCATE(grt__heap_modes ? grt__modes_alloc(c, n, 16, true) : grt__cache_large(c, n, 1, true),
	                grt__reserve_alloc(n, 16));
}

GRT_ALWAYS_INLINE void *alloc_zero(size_t count, size_t size)
{
	size_t n;
	if (grt_unlikely(__builtin_mul_overflow(count, size, &n)) || grt_unlikely(n > PTRDIFF_MAX))
		return no_memory();
	if (grt_unlikely(n > GRT_CLASS_MAX))
		return zero_slow(n);
	void *p = alloc(n);
	if (grt_unlikely(grt__heap_modes) && p) /* known now: this may be the first malloc */
		return memset(p, 0, n);             /* not a byte more: what is behind it is looked at */
	return clear(p, n);
}

static void *alloc_aligned(size_t align, size_t n)
{
	if (n > PTRDIFF_MAX - align)
		return no_memory();
	return ALLOCATE(grt__heap_modes ? grt__modes_alloc(c, n, align, false) : grt__cache_aligned(c, n, align),
	                grt__reserve_alloc(n, align));
}

static GRT_NOINLINE void free_slow(void *p)
{
	if (!p)
		return;
	struct mcache *c = enter();
	struct span *s = span_of(p);
	if (grt_unlikely(grt__heap_modes))
		grt__modes_free(c, p);
	else if (!c || !s || s->state != SPAN_LARGE || p != s->base || s->sample || !cache_keep(c, s))
		grt__cache_free_slow(c, s, p);
	if (c)
		leave();
}

static GRT_NOINLINE void free_checked(void *p, size_t n)
{
	struct mcache *c = enter();
	grt__modes_free_sized(c, p, n);
	if (c)
		leave();
}

GRT_ALWAYS_INLINE void give_back(void *p)
{
	struct grt_tls *t = &grt__self;
	if (grt_unlikely(!in_arena(p)) || grt_unlikely(t->crit)) { /* nor is NULL */
		free_slow(p);
		return;
	}
	struct span *s = span_in_arena(p);
	t->crit = 1;
	grt_barrier(); /* as in alloc */
	struct mcache *c = grt_load_relaxed(&t->mcache);
	bool done = cache_free_fast(c, s, p);
	grt_barrier();
	t->crit = 0;
	grt_barrier();
	if (grt_unlikely(!done))
		free_slow(p);
	else if (grt_unlikely(t->attention))
		grt__leave_slow(true);
}

static GRT_NOINLINE void *resize_in_reserve(void *p, size_t n)
{
	size_t have = malloc_usable_size(p);
	void *to = grt__reserve_alloc(n, 16);
	if (!to)
		return NULL;
	memcpy(to, p, have < n ? have : n);
	free_slow(p);
	return to;
}

static void *resize(void *p, size_t n)
{
	if (!p)
		return alloc(n);
	if (!n) {
		give_back(p);
		return NULL;
	}
	if (n > PTRDIFF_MAX)
		return no_memory();
	return ALLOCATE(grt__heap_modes ? grt__modes_realloc(c, p, n) : grt__cache_realloc(c, p, n),
	                resize_in_reserve(p, n));
}

void grt__malloc_flush(void)
{
	struct mcache *c = enter();
	if (!c)
		return;
	grt__cache_flush(c);
	if (grt__self.g)
		grt__tidy_trim();
	leave();
}

void grt__malloc_before_sleep_slow(void)
{
	struct mcache *c = enter(); /* NULL: in a handler, in the middle of malloc */
	if (!c)
		return;
	grt__scavenge_by_ourselves();
	leave();
}

/* ---- the names ---- */

GRT_EXPORT void *malloc(size_t n)
{
	return alloc(n);
}
GRT_ALIAS(__libc_malloc, malloc);

GRT_EXPORT void free(void *p)
{
	give_back(p);
}
GRT_ALIAS(__libc_free, free);
GRT_ALIAS(cfree, free);

GRT_EXPORT void *calloc(size_t count, size_t size)
{
	return alloc_zero(count, size);
}
GRT_ALIAS(__libc_calloc, calloc);

GRT_EXPORT void *realloc(void *p, size_t n)
{
	return resize(p, n);
}
GRT_ALIAS(__libc_realloc, realloc);

GRT_EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		return no_memory();
	return resize(p, n);
}

/* As glibc: an alignment that is no power of two is rounded up to one. */
GRT_EXPORT void *memalign(size_t align, size_t n)
{
	if (align > PTRDIFF_MAX / 2 + 1ul) {
		errno = EINVAL;
		return NULL;
	}
	if (align < 16)
		align = 16;
	if (align & (align - 1))
		align = 1ul << (64 - __builtin_clzl(align));
	return alloc_aligned(align, n);
}
GRT_ALIAS(__libc_memalign, memalign);

GRT_EXPORT void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

GRT_EXPORT int posix_memalign(void **p, size_t align, size_t n)
{
	if (align < sizeof(void *) || align & (align - 1) || align > PTRDIFF_MAX / 2 + 1ul)
		return EINVAL;
	int saved = errno;
	void *got = alloc_aligned(align < 16 ? 16 : align, n);
	errno = saved;
	if (!got)
		return ENOMEM;
	*p = got;
	return 0;
}

GRT_EXPORT void *valloc(size_t n)
{
	return alloc_aligned(4096, n);
}
GRT_ALIAS(__libc_valloc, valloc);

GRT_EXPORT void *pvalloc(size_t n)
{
	if (n > PTRDIFF_MAX - 4096)
		return no_memory();
	return alloc_aligned(4096, (n + 4095) & ~4095ul);
}
GRT_ALIAS(__libc_pvalloc, pvalloc);

GRT_EXPORT size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	return grt_unlikely(grt__heap_modes) ? grt__modes_size(p) : grt__heap_size(p);
}

/* The size leads to the class, but whose slot it is only the span tells: it serves as a check. */
GRT_ALWAYS_INLINE void give_back_sized(void *p, size_t n)
{
	if (grt_unlikely(grt__heap_modes & HEAP_HARDENED) && p)
		free_checked(p, n);
	else
		give_back(p);
}

extern void free_sized(void *p, size_t n); /* C23; of no header yet */
extern void free_aligned_sized(void *p, size_t align, size_t n);

GRT_EXPORT void free_sized(void *p, size_t n)
{
	give_back_sized(p, n);
}

GRT_EXPORT void free_aligned_sized(void *p, size_t align, size_t n)
{
	(void)align;
	give_back_sized(p, n);
}

GRT_EXPORT void *grt_malloc_noscan(size_t n)
{
	if (n > PTRDIFF_MAX)
		return no_memory();
	return ALLOCATE(grt__heap_modes ? grt__modes_alloc(c, n, 16, false) : grt__cache_alloc_noscan(c, n),
	                grt__reserve_alloc(n, 16));
}

void *grt__malloc(size_t n)
{
	return alloc(n);
}

void *grt__memalign(size_t align, size_t n)
{
	return alloc_aligned(align < 16 ? 16 : align, n);
}

void grt__free(void *p)
{
	give_back(p);
}

void grt__free_sized(void *p, size_t n)
{
	give_back_sized(p, n);
}
