#include "sched/stack.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/tcb.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
	P_CHAIN = 128,            /* dead tasks in a chain; a P keeps up to two of them */
	WARM_BYTES = 64 << 20,    /* of touched memory in warm dead regions */
	WARM_EACH = 8192,         /* what a dead region is taken to hold */
	CHUNK_REGIONS = 256,      /* a chunk grows to that many regions ... */
	FIRST_FRAMES = 512,       /* bytes of the stack that every task uses */
	GUARD_VMA_BUDGET = 20000, /* mprotect guards, two mappings each */
};
#define CHUNK_BYTES (1ul << 32) /* ... or that much address space, whatever is less but at least one */

struct class
{
	size_t size, guard; /* usable size (block included), guard size */
	size_t stride;
	struct g *warm, *cold;   /* dead regions, linked by sched_next */
	struct g *chains;        /* warm ones by the P_CHAIN; the heads linked by result */
	uint32_t nwarm;          /* chains included */
	char *chunk, *chunk_end; /* regions never used */
	size_t next_regions;
};

/* pool lock */
static struct grt_lock pool_lock = GRT_LOCK_INIT(GRT_RANK_POOL);
static struct class classes[STACK_CLASSES];
static uint32_t nclasses;
static uint32_t guard_vmas;
static bool executable;

static size_t default_size, default_guard;
static ptrdiff_t tcb_at, stack_at; /* of a region, from its G: the same in all; written when the first is made */

void grt__stack_set_default(size_t size, size_t guard)
{
	default_size = size;
	default_guard = guard;
}

void grt__stack_init(size_t size, size_t guard)
{
	grt__stack_set_default(size, guard);
}

size_t grt__stack_default_size(void)
{
	return default_size;
}

static size_t round_page(size_t n)
{
	return (n + grt__os.page_size - 1) & ~(grt__os.page_size - 1);
}

/* Finds or makes the class. The table is never full in practice; when it is, the next larger class serves. */
static struct class *class_of_locked(size_t size, size_t guard)
{
	struct class *best = NULL;
	for (uint32_t i = 0; i < nclasses; i++) {
		struct class *c = &classes[i];
		if (c->size == size && c->guard == guard)
			return c;
		if (c->size >= size && c->guard >= guard && (!best || c->size < best->size))
			best = c;
	}
	if (nclasses == STACK_CLASSES)
		return best;
	struct class *c = &classes[nclasses++];
	c->size = size;
	c->guard = guard;
	c->stride = size + guard;
	c->next_regions = 1;
	return c;
}

/* mlockall(MCL_FUTURE): every new page is there at once. */
static bool space_is_memory(void)
{
	unsigned char present = 0;
	void *page = grt__os_alloc(grt__os.page_size);
	if (!page)
		return true;
	long r = grt__sys3(SYS_mincore, page, grt__os.page_size, &present);
	grt__os_free(page, grt__os.page_size);
	return r == 0 && (present & 1);
}

/* Address space is counted: by a limit of the process, or by the machine for what may be written (vm.overcommit_memory=2), or it costs
 * memory. */
static bool space_is_dear(void)
{
	static uint8_t strict; /* pool lock; 0 not asked yet, 1 no, 2 yes */
	struct rlimit rl;
	char mode[4];
	if (!strict)
		strict = grt__os_read_file("/proc/sys/vm/overcommit_memory", mode, sizeof mode) > 0 && mode[0] == '2' ? 2 : 1;
	return strict == 2 || space_is_memory() ||
	       (grt__sys4(SYS_prlimit64, 0, RLIMIT_AS, NULL, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY) ||
	       (grt__sys4(SYS_prlimit64, 0, RLIMIT_DATA, NULL, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY);
}

/* Address space for more regions. False when there is none. */
static bool grow_locked(struct class *c)
{
	int prot = PROT_READ | PROT_WRITE;
	size_t n = c->next_regions > 1 && space_is_dear() ? 1 : c->next_regions;
	for (;; n = n / 2) {
		if (n == 0)
			return false;
		long p =
			grt__sys_mmap(NULL, n * c->stride, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
		if (!grt__sys_failed(p)) {
			c->chunk = (char *)p;
			c->chunk_end = (char *)p + n * c->stride;
			break;
		}
	}
	/* Two huge pages at the bottom of every stack would defeat "touched on demand". */
	grt__sys_madvise(c->chunk, (size_t)(c->chunk_end - c->chunk), MADV_NOHUGEPAGE);
	if (c->next_regions < CHUNK_REGIONS && c->next_regions * 2 * c->stride <= CHUNK_BYTES)
		c->next_regions *= 2;
	return true;
}

static void install_guard(char *lo, size_t size)
{
	if (!size)
		return;
	if (grt__os.guard_madvise && grt__sys_madvise(lo, size, MADV_GUARD_INSTALL) == 0)
		return;
	if (grt_add_relaxed(&guard_vmas, 1) > GUARD_VMA_BUDGET) {
		static uint32_t said;
		if (grt_xchg_acqrel(&said, 1) == 0)
			grt__print("libgrt: more than %d threads: further stacks have no guard page on this kernel\n",
			           GUARD_VMA_BUDGET);
		return;
	}
	grt__sys_mprotect(lo, size, PROT_NONE);
}

/* Where G and the thread pointer of a region lie, and where the stack begins. */
static struct g *place(char *map_hi, char **tcb, char **stack_hi)
{
	uintptr_t gp = ((uintptr_t)map_hi - sizeof(struct g)) & ~(uintptr_t)(GRT_CACHE_LINE - 1);
	uintptr_t tp = (gp - grt__tcb_pthread_size()) & ~(grt__tcb_align() - 1);
	uintptr_t tls = tp - (grt__tcb_size() - grt__tcb_pthread_size());
	*tcb = (char *)tp;
	*stack_hi = (char *)(tls & ~(uintptr_t)(GRT_CACHE_LINE - 1));
	return (struct g *)gp;
}

/* What every task touches, in one call instead of a fault for each page (Linux 5.14; elsewhere the faults come). */
static void populate(char *lo, char *hi)
{
	lo = (char *)((uintptr_t)lo & ~(grt__os.page_size - 1));
	grt__sys_madvise(lo, (size_t)(hi - lo), MADV_POPULATE_WRITE);
}

/* Writes G's fields of place into a region. */
static struct g *lay_out(struct class *c, char *map_lo)
{
	char *tcb, *stack_hi;
	struct g *gp = place(map_lo + c->stride, &tcb, &stack_hi);
	tcb_at = tcb - (char *)gp;
	stack_at = stack_hi - (char *)gp;
	populate(stack_hi - FIRST_FRAMES, map_lo + c->stride);
	memset(gp, 0, sizeof *gp);
	gp->tcb = tcb;
	gp->ctx.fs = (uintptr_t)tcb;
	gp->map_lo = map_lo;
	gp->map_size = c->stride;
	gp->guard_size = c->guard;
	gp->stack_class = (uint32_t)(c - classes);
	gp->stack_lo = map_lo + c->guard;
	gp->birth = (struct grt_ctx_birth){.stack_hi = stack_hi, .arg = gp};
	return gp;
}

/* ---- dead regions ---- */

/* The births to come will want these lines. */
static void prefetch_dead(const struct g *gp)
{
	const char *p = (const char *)gp;
	for (int line = 0; line < 4; line++)
		__builtin_prefetch(p + line * GRT_CACHE_LINE, 1);
	grt__tcb_prefetch(p + tcb_at);
}

void grt__stack_prefetch_unborn(const struct g *gp)
{
	const char *p = (const char *)gp;
	__builtin_prefetch(p + 2 * GRT_CACHE_LINE, 1);
	for (int line = 1; line <= FIRST_FRAMES / GRT_CACHE_LINE; line++)
		__builtin_prefetch(p + stack_at - line * GRT_CACHE_LINE, 1);
	grt__tcb_prefetch_run(p + tcb_at);
}

void grt__stack_prefetch_join(const struct g *gp)
{
	const char *p = (const char *)gp;
	if (!gp)
		return;
	for (int line = 0; line < 3; line++)
		__builtin_prefetch(p + line * GRT_CACHE_LINE, 1);
	__builtin_prefetch(p + tcb_at + ((char *)&grt__self - (char *)grt__thread_pointer()), 0);
}

static void list_push(struct g **list, struct g *gp)
{
	gp->sched_next = *list;
	gp->sched_ahead = *list ? (*list)->sched_next : NULL;
	*list = gp;
}

static struct g *list_pop(struct g **list)
{
	struct g *gp = *list;
	*list = gp->sched_next;
	if (gp->sched_ahead)
		prefetch_dead(gp->sched_ahead);
	return gp;
}

/* Two chains for a P: births and deaths in turn do not move one each time at the border. */
static void p_put(struct p *pp, struct g *gp)
{
	if (pp->nfree_g == P_CHAIN) {
		if (pp->spare_g) {
			struct class *c = &classes[pp->spare_g->stack_class];
			grt_lock(&pool_lock);
			pp->spare_g->result = c->chains;
			c->chains = pp->spare_g;
			c->nwarm += P_CHAIN;
			grt_unlock(&pool_lock);
		}
		pp->spare_g = pp->free_g;
		pp->free_g = NULL;
		pp->nfree_g = 0;
	}
	list_push(&pp->free_g, gp);
	pp->nfree_g++;
}

static struct g *p_take(struct p *pp, size_t size, size_t guard)
{
	if (!pp->free_g && pp->spare_g) {
		pp->free_g = pp->spare_g;
		pp->nfree_g = P_CHAIN;
		pp->spare_g = NULL;
	}
	if (!pp->free_g)
		return NULL;
	const struct class *c = &classes[pp->free_g->stack_class];
	if (c->size != size || c->guard != guard)
		return NULL;
	pp->nfree_g--;
	return list_pop(&pp->free_g);
}

/* A chain of the class for a P that has none. */
static bool p_refill_locked(struct p *pp, struct class *c)
{
	if (pp->free_g || !c->chains)
		return false;
	pp->free_g = c->chains;
	pp->nfree_g = P_CHAIN;
	c->chains = c->chains->result;
	c->nwarm -= P_CHAIN;
	return true;
}

static struct g *warm_pop_locked(struct class *c)
{
	c->nwarm--;
	return list_pop(&c->warm);
}

/* A dead region with its block, or NULL with *lo a region to make one in, or NULL with *lo NULL: no memory. */
static struct g *take_locked(struct class *c, char **lo, bool *virgin)
{
	*virgin = false;
	*lo = NULL;
	if (c->warm)
		return warm_pop_locked(c);
	if (c->cold) {
		*lo = c->cold->map_lo;
		c->cold = c->cold->sched_next;
		return NULL;
	}
	if (c->chunk == c->chunk_end && !grow_locked(c))
		return NULL;
	*lo = c->chunk;
	*virgin = true;
	c->chunk += c->stride;
	return NULL;
}

static void put_cold(struct class *c, struct g *gp)
{
	grt__enter();
	grt_lock(&pool_lock);
	gp->sched_next = c->cold;
	c->cold = gp;
	grt_unlock(&pool_lock);
	grt__leave();
}

static bool is_default(const struct class *c)
{
	return c->size == round_page(default_size) + grt__os.page_size && c->guard == round_page(default_guard);
}

static void make_executable(struct g *gp, void *arg)
{
	(void)arg;
	if (gp->map_size)
		grt__sys_mprotect(gp->map_lo + gp->guard_size, gp->map_size - gp->guard_size,
		                  PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int get_region(size_t size, size_t guard, struct g **out)
{
	struct m *mp = grt__enter();
	struct class *c = NULL;
	struct g *gp = p_take(mp->p, size, guard);
	char *lo = NULL;
	bool virgin = false;
	if (!gp) {
		grt_lock(&pool_lock);
		c = class_of_locked(size, guard);
		if (c && p_refill_locked(mp->p, c))
			gp = p_take(mp->p, c->size, c->guard);
		else if (c)
			gp = take_locked(c, &lo, &virgin);
		grt_unlock(&pool_lock);
	}
	grt__leave();
	if (gp) {
		grt__tcb_renew(gp);
	} else {
		if (!lo)
			return -EAGAIN;
		if (virgin)
			install_guard(lo, guard);
		gp = lay_out(c, lo);
		gp->park.g = gp;
		if (virgin && !grt__allg_add(gp)) { /* a region that no table knows would be lost to signals and reports */
			grt__os_free(lo, c->stride);
			return -EAGAIN;
		}
		if (grt_unlikely(grt_load_seqcst(&executable))) /* asked for before it was in the table, or while it lay cold */
			make_executable(gp, NULL);
		if (grt__tcb_make(gp) < 0) {
			put_cold(c, gp);
			return -EAGAIN;
		}
	}
	*out = gp;
	return 0;
}

int grt__stack_get(size_t size, size_t guard, void *user_stack, struct g **out)
{
	struct g *gp;
	size_t user_size = size;
	if (user_stack)
		size = 16384, guard = 0;
	size_t asked = size;
	if (!size)
		size = default_size;
	if (guard == SIZE_MAX)
		guard = default_guard;
	size_t rounded = round_page(size), guard_rounded = round_page(guard);
	if (rounded < asked || guard_rounded < guard || rounded + guard_rounded < guard_rounded)
		return -EINVAL;
	/* G lies on the stack beside the block that glibc counts into the size: a page more makes up for it. */
	size = rounded + grt__os.page_size;
	if (size + guard_rounded < rounded)
		return -EAGAIN;
	int r = get_region(size, guard_rounded, &gp);
	if (r < 0)
		return r;
	if (user_stack || gp->user_stack) { /* else G and block say already where the stack is */
		gp->user_stack = user_stack != NULL;
		gp->stack_lo = user_stack ? (char *)user_stack : gp->map_lo + gp->guard_size;
		gp->birth.stack_hi = user_stack ? (char *)user_stack + user_size : (char *)gp + stack_at;
		grt__tcb_set_stack(gp);
	}
	*out = gp;
	return 0;
}

void grt__stack_put(struct p *pp, struct g *gp)
{
	struct class *c = &classes[gp->stack_class];
	if (pp && !pp->is_own && is_default(c) && (!pp->free_g || pp->free_g->stack_class == gp->stack_class)) {
		p_put(pp, gp);
		return;
	}
	grt_lock(&pool_lock);
	list_push(&c->warm, gp);
	c->nwarm++;
	grt_unlock(&pool_lock);
}

void grt__stack_trim(struct g *self)
{
	struct class *c = &classes[self->stack_class];
	for (int i = 0; i < 2 && grt_load_relaxed(&c->nwarm) * (size_t)WARM_EACH > WARM_BYTES; i++) {
		grt__enter();
		grt_lock(&pool_lock);
		if (!c->warm && c->chains) {
			c->warm = c->chains;
			c->chains = c->chains->result;
		}
		struct g *gp = c->warm ? warm_pop_locked(c) : NULL;
		grt_unlock(&pool_lock);
		grt__leave();
		if (!gp)
			return;
		char *lo = gp->map_lo;
		grt__tcb_free(gp);
		grt__sys_madvise(lo + c->guard, c->stride - c->guard, MADV_DONTNEED);
		gp->map_lo = lo; /* on a zero page again: enough to find the region */
		put_cold(c, gp);
	}
}

void *grt__stack_plain(size_t size)
{
	size_t guard = grt__os.page_size;
	char *p = grt__os_alloc(size + guard);
	if (!p)
		return NULL;
	grt__sys_mprotect(p, guard, PROT_NONE);
	return p + guard;
}

void grt__stack_plain_free(void *stack, size_t size)
{
	grt__os_free((char *)stack - grt__os.page_size, size + grt__os.page_size);
}

void grt__stack_make_executable(void)
{
	if (grt_xchg_acqrel(&executable, true))
		return;
	grt__allg_for_each_ever(make_executable, NULL); /* get_region does the rest */
}

void grt__stack_fork_child(void)
{
	grt_lock_init(&pool_lock, GRT_RANK_POOL);
	for (uint32_t i = 0; i < nclasses; i++) {
		classes[i].warm = classes[i].cold = classes[i].chains = NULL;
		classes[i].nwarm = 0;
		if (classes[i].chunk != classes[i].chunk_end)
			grt__os_free(classes[i].chunk, (size_t)(classes[i].chunk_end - classes[i].chunk));
		classes[i].chunk = classes[i].chunk_end = NULL;
		classes[i].next_regions = 1;
	}
}
