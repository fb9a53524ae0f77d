/*
 * grt_pool: Go's sync.Pool.
 *
 * Each P has a store: a lock and a ring. get and put touch the store of the P they run on; who finds it empty takes
 * the oldest of another's, who finds it full puts into one of the next. A step (grt__pool_step) makes what lies in the stores the victims and drops the victims of the step before;
 * gets look there last. The collector will make the steps; until there is one, a put makes it when the last was two minutes ago, Go's longest
 * time between two collections. Nobody waits for a lock (in a child of fork its holder may not exist): a store that is taken is passed over.
 */
#include "api/boot.h"
#include "grt.h"
#include "os/os.h"
#include "sched/proc.h"
#include <stdlib.h>
#include <string.h>

enum { RING = 64, STORES = 64, NEIGHBOURS = 8 };
#define STEP_NS (120 * INT64_C(1000000000))

struct ring {
	uint32_t first, n; /* lock of the store */
	void *object[RING];
};

struct store {
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock;
	uint32_t puts;
	struct ring now, victims;
};

struct pool {
	int64_t stepped; /* atomic */
	struct store stores[STORES];
};

static inline void enter(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__enter();
}

static inline void leave(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__leave();
}

/* Critical. Which is only where to look first: foreign threads have the first one. */
static uint32_t here(void)
{
	return grt_likely(grt__self.g != NULL) ? grt__self.m->p->id % STORES : 0;
}

static struct pool *pool_of(grt_pool *p)
{
	struct pool *s = grt_load_acquire((struct pool **)&p->store);
	if (grt_likely(s != NULL))
		return s;
	size_t size = (sizeof *s + GRT_CACHE_LINE - 1) & ~(size_t)(GRT_CACHE_LINE - 1);
	struct pool *made = aligned_alloc(GRT_CACHE_LINE, size);
	if (!made)
		return NULL;
	memset(made, 0, size);
	made->stepped = grt__nanotime();
	if (grt_cas((struct pool **)&p->store, NULL, made))
		return made;
	free(made);
	return grt_load_acquire((struct pool **)&p->store);
}

static void *newest_locked(struct ring *r)
{
	if (!r->n)
		return NULL;
	r->n--;
	return r->object[(r->first + r->n) % RING];
}

static void *oldest_locked(struct ring *r)
{
	if (!r->n)
		return NULL;
	void *x = r->object[r->first];
	r->first = (r->first + 1) % RING;
	r->n--;
	return x;
}

/* Critical. */
static void *take(struct store *s, bool own, bool victims)
{
	struct ring *r = victims ? &s->victims : &s->now;
	if (!grt_load_relaxed(&r->n) || !grt_trylock(&s->lock))
		return NULL;
	void *x = own ? newest_locked(r) : oldest_locked(r);
	grt_unlock(&s->lock);
	return x;
}

GRT_EXPORT void *grt_pool_get(grt_pool *p)
{
	struct pool *s = grt_load_acquire((struct pool **)&p->store);
	void *x = NULL;
	if (s) {
		enter();
		uint32_t me = here();
		x = take(&s->stores[me], true, false);
		for (uint32_t i = 1; !x && i < STORES; i++)
			x = take(&s->stores[(me + i) % STORES], false, false);
		for (uint32_t i = 0; !x && i < STORES; i++)
			x = take(&s->stores[(me + i) % STORES], i == 0, true);
		leave();
	}
	return x ? x : p->make ? p->make(p->arg) : NULL;
}

static void drop(grt_pool *p, void *x)
{
	if (p->drop)
		p->drop(x, p->arg);
}

/* Any thread, not critical: calls the program. */
static void step(grt_pool *p, struct pool *s, bool all)
{
	for (uint32_t i = 0; i < STORES; i++) {
		struct ring old;
		if (!all && !grt_load_relaxed(&s->stores[i].now.n) && !grt_load_relaxed(&s->stores[i].victims.n))
			continue;
		enter();
		if (!all && !grt_trylock(&s->stores[i].lock)) {
			leave();
			continue;
		}
		old = s->stores[i].victims;
		s->stores[i].victims = s->stores[i].now;
		s->stores[i].now.n = 0;
		if (!all)
			grt_unlock(&s->stores[i].lock);
		leave();
		for (void *x; (x = oldest_locked(&old));)
			drop(p, x);
	}
}

GRT_EXPORT void grt_pool_put(grt_pool *p, void *object)
{
	struct pool *s = pool_of(p);
	bool kept = false, look = false;
	if (!object)
		return;
	if (s) {
		enter();
		uint32_t me = here();
		for (uint32_t i = 0; i < NEIGHBOURS && !kept; i++) {
			struct store *st = &s->stores[(me + i) % STORES];
			if (!grt_trylock(&st->lock))
				continue;
			kept = st->now.n < RING;
			if (kept)
				st->now.object[(st->now.first + st->now.n++) % RING] = object;
			look |= ++st->puts % 256 == 0;
			grt_unlock(&st->lock);
		}
		leave();
	}
	if (!kept)
		drop(p, object);
	if (look) {
		int64_t now = grt__nanotime(), last = grt_load_relaxed(&s->stepped);
		if (now - last > STEP_NS && grt_cas(&s->stepped, last, now))
			step(p, s, false);
	}
}

GRT_EXPORT void grt_pool_free(grt_pool *p)
{
	struct pool *s = p->store;
	if (!s)
		return;
	step(p, s, true);
	step(p, s, true);
	p->store = NULL;
	free(s);
}
