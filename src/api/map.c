/*
 * Slices and maps of grt.h, on malloc.
 *
 * A map's table is groups of eight slots, each group with a word of eight control bytes: empty 0x80, deleted 0xfe, or the low seven bits of the
 * hash of what the slot holds (Swiss tables; Go 1.24). The other bits say where the search begins; it goes from group to group by growing
 * steps, which meets each of a power of two, until one has an empty slot. Of a group those control bytes that equal the seven bits are found by
 * arithmetic on the word (a byte above a hit may be found falsely: the keys are compared anyway). A slot that is deleted becomes empty again if its group
 * has an empty one: no search ever went past it. Seven eighths may be in use, deleted ones included; then a table twice as large is
 * filled, or one of the same size if most of that is deleted.
 *
 * An iteration holds the table that it began with, which outlives its map's growth for that; it goes over all slots from a random one. What
 * it finds in a table that its map has left it looks up in the new one: deleted entries do not come, the others with their values of now.
 */
#include "api/panic.h"
#include "base/atomic.h"
#include "grt.h"
#include "heap/heap.h"
#include "sched/sched.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- slices ---- */

static GRT_TLS char words[96]; /* of the last panic of this thread */

GRT_EXPORT void grt_slice_out_of_range(size_t i, size_t n)
{
	grt__format(words, sizeof words, "runtime error: index out of range [%zu] with length %zu", i, n);
	grt__panic(words);
}

GRT_EXPORT size_t grt_slice_bounds(size_t lo, size_t hi, size_t cap)
{
	if (grt_likely(lo <= hi && hi <= cap))
		return lo;
	if (hi > cap)
		grt__format(words, sizeof words, "runtime error: slice bounds out of range [:%zu] with capacity %zu", hi, cap);
	else
		grt__format(words, sizeof words, "runtime error: slice bounds out of range [%zu:%zu]", lo, hi);
	grt__panic(words);
}

GRT_EXPORT bool grt_slice_grow(void **data, size_t len, size_t *cap, size_t more, size_t elem_size)
{
	size_t want = len + more, room = *cap, bytes;
	if (want <= room)
		return true;
	if (want > 2 * room || want < len) {
		room = want;
	} else if (room < 256) {
		room *= 2;
	} else {
		while (room < want)
			room += (room + 3 * 256) / 4;
	}
	if (want < len || __builtin_mul_overflow(room, elem_size, &bytes) || bytes > PTRDIFF_MAX) {
		errno = ENOMEM;
		return false;
	}
	if (elem_size) { /* the whole slot is used, as in Go */
		bytes = grt__heap_good_size(bytes);
		room = bytes / elem_size;
	}
	void *p = realloc(*data, bytes ? bytes : 1);
	if (!p)
		return false;
	*data = p;
	*cap = room;
	return true;
}

GRT_EXPORT void grt_slice_drop(void *data)
{
	free(data);
}

GRT_EXPORT size_t grt_slice_copy(void *to, size_t nto, const void *from, size_t nfrom, size_t elem_size)
{
	size_t n = nto < nfrom ? nto : nfrom;
	if (n && elem_size)
		memmove(to, from, n * elem_size);
	return n;
}

/* ---- maps ---- */

enum { GROUP = 8, EMPTY = 0x80, DELETED = 0xfe };
#define LOW 0x0101010101010101ull
#define HIGH 0x8080808080808080ull

struct table {
	uint32_t refs; /* its map, and iterations */
	size_t mask;   /* groups less one */
	size_t used;   /* slots that are not empty */
	size_t full;
	uint64_t *control;
	char *slots;
};

struct grt_map {
	struct table *t;
	size_t key_size, value_at, slot_size;
	uint64_t seed;
	grt_map_hash hash; /* custom */
	grt_map_equal equal;
	uint8_t kind;
	uint32_t writing; /* atomic: somebody changes it */
};

GRT_ALWAYS_INLINE uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 r = (unsigned __int128)a * b;
	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t hash_bytes(const char *p, size_t n, uint64_t seed)
{
	uint64_t h = seed ^ n * 0x9e3779b97f4a7c15ull, v;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		h = mix(h ^ v, 0xa0761d6478bd642full ^ seed);
	}
	for (v = 0; n > 0; n--)
		v = v << 8 | (uint8_t)p[n - 1];
	return mix(h ^ v, 0xe7037ed1a0b428dbull ^ seed);
}

GRT_ALWAYS_INLINE uint64_t hash_of(const grt_map *m, const void *key)
{
	uint64_t v;
	uint32_t w;
	if (m->kind == GRT_MAP_INT && m->key_size == 8) {
		memcpy(&v, key, 8);
		return mix(v ^ m->seed, 0xe7037ed1a0b428dbull);
	}
	if (m->kind == GRT_MAP_INT && m->key_size == 4) {
		memcpy(&w, key, 4);
		return mix(w ^ m->seed, 0xe7037ed1a0b428dbull);
	}
	if (m->kind == GRT_MAP_STRING)
		return hash_bytes(*(char *const *)key, strlen(*(char *const *)key), m->seed);
	if (m->kind == GRT_MAP_INT)
		return hash_bytes(key, m->key_size, m->seed);
	return mix(m->hash(key, m->seed) ^ m->seed, 0xa0761d6478bd642full);
}

GRT_ALWAYS_INLINE bool same(const grt_map *m, const void *a, const void *b)
{
	if (m->kind == GRT_MAP_INT) {
		if (m->key_size == 8)
			return memcmp(a, b, 8) == 0;
		if (m->key_size == 4)
			return memcmp(a, b, 4) == 0;
		return memcmp(a, b, m->key_size) == 0;
	}
	if (m->kind == GRT_MAP_STRING)
		return strcmp(*(char *const *)a, *(char *const *)b) == 0;
	return m->equal(a, b);
}

GRT_ALWAYS_INLINE uint8_t control_of(const struct table *t, size_t slot)
{
	return (uint8_t)(t->control[slot / GROUP] >> slot % GROUP * 8);
}

GRT_ALWAYS_INLINE void set_control(struct table *t, size_t slot, uint8_t c)
{
	unsigned shift = slot % GROUP * 8;
	uint64_t *w = &t->control[slot / GROUP];
	*w = (*w & ~(0xffull << shift)) | (uint64_t)c << shift;
}

GRT_ALWAYS_INLINE char *slot_at(const grt_map *m, const struct table *t, size_t slot)
{
	return t->slots + slot * m->slot_size;
}

static void put_table(struct table *t)
{
	if (t && --t->refs == 0)
		free(t);
}

static struct table *new_table(const grt_map *m, size_t groups)
{
	size_t slots, bytes;
	if (__builtin_mul_overflow(groups * GROUP, m->slot_size, &slots) ||
	    __builtin_add_overflow(slots, sizeof(struct table) + groups * 8 + 64, &bytes))
		return NULL;
	struct table *t = malloc(bytes);
	if (!t)
		return NULL;
	*t = (struct table){.refs = 1, .mask = groups - 1};
	t->control = (uint64_t *)(t + 1);
	t->slots = (char *)(((uintptr_t)(t->control + groups) + 15) & ~(uintptr_t)15);
	for (size_t i = 0; i < groups; i++)
		t->control[i] = HIGH;
	return t;
}

/* The slot with the key, or SIZE_MAX. */
static size_t find(const grt_map *m, const struct table *t, const void *key, uint64_t h)
{
	size_t g = (size_t)(h >> 7) & t->mask;
	uint64_t pattern = LOW * (h & 0x7f);
	for (size_t step = 1;; g = (g + step++) & t->mask) {
		uint64_t c = t->control[g], x = c ^ pattern;
		for (uint64_t hits = (x - LOW) & ~x & HIGH; hits; hits &= hits - 1) {
			size_t slot = g * GROUP + (size_t)__builtin_ctzll(hits) / 8;
			if (grt_likely(control_of(t, slot) == (h & 0x7f)) && same(m, slot_at(m, t, slot), key))
				return slot;
		}
		if (c & ~(c << 6) & HIGH) /* an empty one: bit 7 without bit 1 */
			return SIZE_MAX;
	}
}

/* The first slot on the key's way that is empty or deleted. */
static size_t find_room(const struct table *t, uint64_t h)
{
	size_t g = (size_t)(h >> 7) & t->mask;
	for (size_t step = 1;; g = (g + step++) & t->mask) {
		uint64_t c = t->control[g] & HIGH;
		if (c)
			return g * GROUP + (size_t)__builtin_ctzll(c) / 8;
	}
}

static size_t insert(const grt_map *m, struct table *t, const void *key, uint64_t h)
{
	size_t slot = find_room(t, h);
	t->used += control_of(t, slot) == EMPTY;
	t->full++;
	set_control(t, slot, h & 0x7f);
	memcpy(slot_at(m, t, slot), key, m->key_size);
	return slot;
}

static bool grow(grt_map *m)
{
	struct table *old = m->t;
	size_t groups = old->mask + 1;
	struct table *t = new_table(m, old->full * 2 > groups * GROUP * 7 / 8 ? groups * 2 : groups);
	if (!t)
		return false;
	for (size_t i = 0; i < groups * GROUP; i++) {
		if (control_of(old, i) & 0x80)
			continue;
		const char *from = slot_at(m, old, i);
		size_t slot = insert(m, t, from, hash_of(m, from));
		memcpy(slot_at(m, t, slot), from, m->slot_size);
	}
	m->t = t;
	put_table(old);
	return true;
}

static GRT_COLD_FN void concurrent(const char *what)
{
	grt__fatal(what, false);
}

GRT_ALWAYS_INLINE void begin_write(grt_map *m)
{
	if (grt_unlikely(grt_xchg_acqrel(&m->writing, 1)))
		concurrent("concurrent map writes");
}

GRT_ALWAYS_INLINE void end_write(grt_map *m)
{
	if (grt_unlikely(!grt_load_relaxed(&m->writing)))
		concurrent("concurrent map writes");
	grt_store_release(&m->writing, 0);
}

static uint64_t random_word(void)
{
	static uint64_t count;
	uint64_t n = __atomic_add_fetch(&count, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
	return mix(n ^ grt__cycles(), (uintptr_t)&count ^ 0xa0761d6478bd642full);
}

/* ---- grt.h ---- */

static grt_map *make(size_t key_size, size_t value_size, size_t hint, enum grt_map_kind kind)
{
	grt_map *m = calloc(1, sizeof *m);
	size_t groups = 1;
	if (!m)
		return NULL;
	m->key_size = key_size;
	m->value_at = (key_size + 7) & ~(size_t)7;
	if (value_size >= 16)
		m->value_at = (key_size + 15) & ~(size_t)15;
	size_t align = value_size >= 16 || key_size >= 16 ? 15 : 7;
	m->slot_size = (m->value_at + value_size + align) & ~align;
	m->kind = (uint8_t)kind;
	m->seed = random_word();
	while (groups * GROUP * 7 / 8 < hint && groups < SIZE_MAX / 64)
		groups *= 2;
	if (!(m->t = new_table(m, groups))) {
		free(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

GRT_EXPORT grt_map *grt_map_make(size_t key_size, size_t value_size, size_t hint, enum grt_map_kind kind)
{
	return make(key_size, value_size, hint, kind);
}

GRT_EXPORT grt_map *grt_map_make_custom(size_t key_size, size_t value_size, size_t hint, grt_map_hash hash,
                                        grt_map_equal equal)
{
	grt_map *m = make(key_size, value_size, hint, GRT_MAP_CUSTOM);
	if (m) {
		m->hash = hash;
		m->equal = equal;
	}
	return m;
}

GRT_EXPORT void grt_map_free(grt_map *m)
{
	if (!m)
		return;
	put_table(m->t);
	free(m);
}

GRT_EXPORT size_t grt_map_len(const grt_map *m)
{
	return m ? m->t->full : 0;
}

GRT_EXPORT void *grt_map_get(grt_map *m, const void *key)
{
	if (!m || !m->t->full)
		return NULL;
	if (grt_unlikely(grt_load_relaxed(&m->writing)))
		concurrent("concurrent map read and map write");
	size_t slot = find(m, m->t, key, hash_of(m, key));
	return slot == SIZE_MAX ? NULL : slot_at(m, m->t, slot) + m->value_at;
}

GRT_EXPORT void *grt_map_put(grt_map *m, const void *key)
{
	if (!m)
		grt__panic("assignment to entry in nil map");
	uint64_t h = hash_of(m, key);
	begin_write(m);
	size_t slot = find(m, m->t, key, h);
	if (slot == SIZE_MAX) {
		if (m->t->used + 1 > (m->t->mask + 1) * GROUP * 7 / 8 && !grow(m)) {
			end_write(m);
			errno = ENOMEM;
			return NULL;
		}
		slot = insert(m, m->t, key, h);
		memset(slot_at(m, m->t, slot) + m->value_at, 0, m->slot_size - m->value_at);
	}
	void *value = slot_at(m, m->t, slot) + m->value_at;
	end_write(m);
	return value;
}

GRT_EXPORT bool grt_map_delete(grt_map *m, const void *key)
{
	if (!m)
		return false;
	uint64_t h = hash_of(m, key);
	begin_write(m);
	struct table *t = m->t;
	size_t slot = find(m, t, key, h);
	if (slot != SIZE_MAX) {
		uint64_t c = t->control[slot / GROUP];
		bool ends_here = (c & ~(c << 6) & HIGH) != 0;
		set_control(t, slot, ends_here ? EMPTY : DELETED);
		t->used -= ends_here;
		t->full--;
	}
	end_write(m);
	return slot != SIZE_MAX;
}

GRT_EXPORT void grt_map_clear(grt_map *m)
{
	if (!m)
		return;
	begin_write(m);
	for (size_t i = 0; i <= m->t->mask; i++)
		m->t->control[i] = HIGH;
	m->t->used = m->t->full = 0;
	m->seed = m->t->refs > 1 ? m->seed : random_word();
	end_write(m);
}

GRT_EXPORT grt_map_iter grt_map_begin(grt_map *m)
{
	grt_map_iter it = {.map = m};
	if (m && m->t->full) {
		it.table = m->t;
		m->t->refs++;
		it.start = (size_t)random_word() % ((m->t->mask + 1) * GROUP);
	}
	return it;
}

GRT_EXPORT bool grt_map_next(grt_map_iter *it)
{
	struct table *t = it->table;
	grt_map *m = it->map;
	if (!t)
		return false;
	if (grt_unlikely(grt_load_relaxed(&m->writing)))
		concurrent("concurrent map iteration and map write");
	for (size_t n = (t->mask + 1) * GROUP; it->seen < n;) {
		size_t slot = (it->start + it->seen++) & (n - 1);
		if (control_of(t, slot) & 0x80)
			continue;
		char *p = slot_at(m, t, slot);
		if (t != m->t) {
			size_t now = find(m, m->t, p, hash_of(m, p));
			if (now == SIZE_MAX)
				continue;
			p = slot_at(m, m->t, now);
		}
		it->key = p;
		it->value = p + m->value_at;
		return true;
	}
	grt_map_end(it);
	return false;
}

GRT_EXPORT void grt_map_end(grt_map_iter *it)
{
	put_table(it->table);
	it->table = NULL;
}
