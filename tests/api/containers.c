/* LINK: grt
 *
 * containers.c - slices and maps of grt.h against plain models. */
#include "../shim/check.h"
#include "misuse.h"

static uint64_t state = 88172645463325252ull;

static uint32_t next(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 33) % below;
}

/* ---- slices ---- */

static void slices(void)
{
	GRT_SLICE(int64_t) s = {0}, t = {0};
	int right = 1, grown = 0;
	size_t cap = 0;
	for (int64_t i = 0; i < 100000; i++) {
		right &= grt_append(&s, i);
		if (s.cap != cap) {
			grown++;
			right &= s.cap <= 2 * cap + 4 && (cap < 1024 || s.cap <= cap + cap / 2); /* doubled, then less */
			cap = s.cap;
		}
	}
	for (size_t i = 0; i < s.len; i++)
		right &= grt_at(&s, i) == (int64_t)i;
	CHECK("append grows a slice in few steps, doubled when small", right && s.len == 100000 && grown < 45);
	grt_at(&s, 5) = 77;
	CHECK("an element can be assigned", s.data[5] == 77);
	typeof(s) part = grt_slice_sub(&s, 5, 9);
	CHECK("a part shares the memory", part.len == 4 && part.cap == s.cap - 5 && grt_at(&part, 0) == 77);
	for (int i = 0; i < 3; i++)
		grt_append(&t, -1);
	CHECK("copy takes as many as fit", grt_copy(&t, &part) == 3 && grt_at(&t, 0) == 77 && grt_at(&t, 2) == 7);
	typeof(s) later = grt_slice_sub(&s, 6, 10);
	CHECK("overlapping too", grt_copy(&later, &part) == 4 && grt_at(&s, 6) == 77 && grt_at(&s, 9) == 8);
	grt_slice_free(&s);
	grt_slice_free(&t);
	CHECK("a freed one is empty", s.len == 0 && s.data == NULL);
}

static void beyond(void)
{
	GRT_SLICE(int) s = {0};
	grt_append(&s, 1);
	grt_at(&s, 1) = 2;
}

static void bad_part(void)
{
	GRT_SLICE(int) s = {0};
	grt_append(&s, 1);
	typeof(s) p = grt_slice_sub(&s, 1, 100);
	(void)p;
}

/* ---- maps ---- */

GRT_MAP(ints, int64_t, int64_t, GRT_MAP_INT);
GRT_MAP(words, const char *, int, GRT_MAP_STRING);
GRT_MAP(shorts, uint16_t, char, GRT_MAP_INT);

enum { KEYS = 3000 };

static void against_model(void)
{
	static int64_t model[KEYS];
	static char there[KEYS];
	ints m;
	size_t n = 0, wrong = 0;
	EXPECT(ints_make(&m, 0));
	for (int i = 0; i < 300000; i++) {
		int64_t k = next(i / 200 % 2 ? 64 : KEYS), v = (int64_t)state;
		switch (next(8)) {
		case 0:
		case 1:
		case 2:
			wrong += !ints_put(&m, k, v);
			n += !there[k];
			there[k] = 1;
			model[k] = v;
			break;
		case 3:
		case 4:
			wrong += ints_delete(&m, k) != there[k];
			n -= there[k];
			there[k] = 0;
			break;
		case 5:
			if (next(5000) == 0) {
				grt_map_clear(m.map);
				memset(there, 0, sizeof there);
				n = 0;
			}
			break;
		default: {
			int64_t *p = ints_get(&m, k);
			wrong += (p != NULL) != there[k] || (p && *p != model[k]);
		}
		}
		wrong += ints_len(&m) != n;
	}
	for (grt_map_iter it = grt_map_begin(m.map); grt_map_next(&it); n--) {
		int64_t k = *(const int64_t *)it.key;
		wrong += !there[k] || *(int64_t *)it.value != model[k];
		there[k] = 0;
	}
	CHECK("a map is what its model is, after 300,000 random steps", wrong == 0 && n == 0);
	ints_free(&m);
}

/* While an iteration goes on: what is deleted before it is reached does not come, what stays comes once, through growth too. */
static void while_iterating(void)
{
	size_t wrong = 0;
	for (int round = 0; round < 300; round++) {
		ints m;
		static char seen[8000], dead[8000];
		int64_t size = 1 + next(200), more = 1000;
		memset(seen, 0, sizeof seen);
		memset(dead, 0, sizeof dead);
		EXPECT(ints_make(&m, round % 2 ? (size_t)size : 0));
		for (int64_t k = 0; k < size; k++)
			ints_put(&m, k, k);
		for (grt_map_iter it = grt_map_begin(m.map); grt_map_next(&it);) {
			int64_t k = *(const int64_t *)it.key, victim = next((uint32_t)size);
			wrong += seen[k]++ || dead[k] || *(int64_t *)it.value != k;
			if (ints_delete(&m, victim))
				dead[victim] = 1;
			if (more < 7000 && round % 3)
				for (int i = 0; i < 20; i++, more++)
					ints_put(&m, more, more);
			if (next(1000) == 0) {
				grt_map_end(&it);
				memset(seen, 1, sizeof seen);
				break;
			}
		}
		for (int64_t k = 0; k < size; k++)
			wrong += !seen[k] && !dead[k];
		ints_free(&m);
	}
	CHECK("deletion, insertion and growth while iterating", wrong == 0);
}

static uint64_t hash_mod(const void *key, uint64_t seed)
{
	return *(const int *)key % 3; /* a bad one */
}

static bool equal_ints(const void *a, const void *b)
{
	return *(const int *)a == *(const int *)b;
}

static void kinds(void)
{
	words w;
	char key[32];
	static char keys[1000][16];
	size_t wrong = 0, differs = 0;
	EXPECT(words_make(&w, 1000));
	for (int i = 0; i < 1000; i++) {
		snprintf(keys[i], sizeof keys[i], "word %d", i);
		words_put(&w, keys[i], i);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "word %d", i);
		int *v = words_get(&w, key);
		wrong += !v || *v != i;
	}
	CHECK("strings are compared as strings", wrong == 0 && words_len(&w) == 1000 && !words_get(&w, "word"));
	int first[8];
	for (int i = 0; i < 8; i++) {
		grt_map_iter it = grt_map_begin(w.map);
		grt_map_next(&it);
		first[i] = *(int *)it.value;
		grt_map_end(&it);
		differs += first[i] != first[0];
	}
	CHECK("an iteration begins anywhere", differs > 0);
	words_free(&w);

	shorts s;
	EXPECT(shorts_make(&s, 0));
	for (unsigned i = 0; i < 65536; i++)
		shorts_put(&s, (uint16_t)i, (char)i);
	for (unsigned i = 0; i < 65536; i++)
		wrong += *shorts_get(&s, (uint16_t)i) != (char)i;
	CHECK("keys of two bytes", wrong == 0 && shorts_len(&s) == 65536);
	shorts_free(&s);

	grt_map *c = grt_map_make_custom(sizeof(int), sizeof(int), 0, hash_mod, equal_ints);
	for (int i = 0; i < 500; i++)
		*(int *)grt_map_put(c, &i) = -i;
	for (int i = 0; i < 500; i++)
		wrong += *(int *)grt_map_get(c, &i) != -i;
	CHECK("functions of the program's, also a bad hash", wrong == 0 && grt_map_len(c) == 500);
	grt_map_free(c);
	CHECK("a NULL map is empty", !grt_map_get(NULL, &wrong) && !grt_map_len(NULL) && !grt_map_delete(NULL, &wrong));
	grt_map_free(NULL);
	CHECK("no room for what cannot be", !grt_map_make(SIZE_MAX / 4, 8, 1000, GRT_MAP_INT));
}

static void nil_map(void)
{
	int k = 0;
	grt_map_put(NULL, &k);
}

static void *hammers(void *m)
{
	for (int64_t i = 0;; i++)
		grt_map_put(m, &(int64_t){i % 100});
	return NULL;
}

static void two_writers(void)
{
	pthread_t t[4];
	grt_map *m = grt_map_make(8, 8, 0, GRT_MAP_INT);
	grt_gomaxprocs(4);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammers, m);
	sleep(20);
}

int main(void)
{
	slices();
	against_model();
	while_iterating();
	kinds();
	dies(beyond, "panic: runtime error: index out of range [1] with length 1\n");
	dies(bad_part, "panic: runtime error: slice bounds out of range [:100] with capacity");
	dies(nil_map, "panic: assignment to entry in nil map\n");
	dies(two_writers, "fatal error: concurrent map writes\n");
	return check_done();
}
