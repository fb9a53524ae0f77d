/*
 * Loads of one thread that compute something: what two well-known programs of the allocator literature do with memory
 * (Zorn and Grunwald, "Empirical measurements of six allocation-intensive C programs", 1992; Detlefs, Dosser and Zorn,
 * "Memory allocation costs in large C and C++ programs", 1994).
 */
#include "alloc.h"

/*
 * cfrac: factors a number by continued fractions (Morrison and Brillhart, 1975), with reference-counted numbers of
 * arbitrary length that are allocated for every intermediate result: very many blocks of 16 to 48 bytes, nearly all of
 * them freed at once, a few (the relations found) kept to the end.
 */
struct num {
	uint32_t refs, len; /* digits without leading zeros; 0 has none */
	uint32_t d[];       /* base 2^32, the lowest first */
};

static long num_live;

static struct num *num_new(uint32_t len)
{
	struct num *n = malloc(sizeof *n + len * sizeof n->d[0]);

	if (n == NULL)
		die("malloc: %s", strerror(errno));
	n->refs = 1;
	n->len = len;
	num_live++;
	return n;
}

static struct num *hold(struct num *n)
{
	n->refs++;
	return n;
}

static void drop(struct num *n)
{
	if (--n->refs == 0) {
		num_live--;
		free(n);
	}
}

/* *at = n, which is handed over */
static void assign(struct num **at, struct num *n)
{
	drop(*at);
	*at = n;
}

static struct num *trim(struct num *n)
{
	while (n->len > 0 && n->d[n->len - 1] == 0)
		n->len--;
	return n;
}

static struct num *num_of(uint64_t v)
{
	struct num *n = num_new(2);

	n->d[0] = (uint32_t)v;
	n->d[1] = v >> 32;
	return trim(n);
}

static int num_cmp(const struct num *a, const struct num *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	for (uint32_t i = a->len; i-- > 0;)
		if (a->d[i] != b->d[i])
			return a->d[i] < b->d[i] ? -1 : 1;
	return 0;
}

static struct num *add(const struct num *a, const struct num *b)
{
	uint32_t len = a->len > b->len ? a->len : b->len;
	struct num *s = num_new(len + 1);
	uint64_t carry = 0;

	for (uint32_t i = 0; i < len; i++) {
		carry += (uint64_t)(i < a->len ? a->d[i] : 0) + (i < b->len ? b->d[i] : 0);
		s->d[i] = (uint32_t)carry;
		carry >>= 32;
	}
	s->d[len] = (uint32_t)carry;
	return trim(s);
}

/* a - b for a >= b */
static struct num *sub(const struct num *a, const struct num *b)
{
	struct num *s = num_new(a->len);
	int64_t borrow = 0;

	for (uint32_t i = 0; i < a->len; i++) {
		borrow += (int64_t)a->d[i] - (i < b->len ? b->d[i] : 0);
		s->d[i] = (uint32_t)borrow;
		borrow >>= 32;
	}
	if (borrow != 0)
		die("cfrac: a difference below zero");
	return trim(s);
}

static struct num *mul(const struct num *a, const struct num *b)
{
	struct num *p = num_new(a->len + b->len);
	uint64_t carry;

	memset(p->d, 0, p->len * sizeof p->d[0]);
	for (uint32_t i = 0; i < a->len; i++) {
		carry = 0;
		for (uint32_t k = 0; k < b->len; k++) {
			carry += (uint64_t)a->d[i] * b->d[k] + p->d[i + k];
			p->d[i + k] = (uint32_t)carry;
			carry >>= 32;
		}
		p->d[i + b->len] = (uint32_t)carry;
	}
	return trim(p);
}

static struct num *shift_left(const struct num *a, int bits)
{
	struct num *s = num_new(a->len + 1);
	uint64_t carry = 0;

	for (uint32_t i = 0; i < a->len; i++) {
		carry |= (uint64_t)a->d[i] << bits;
		s->d[i] = (uint32_t)carry;
		carry >>= 32;
	}
	s->d[a->len] = (uint32_t)carry;
	return s; /* not trimmed: the division wants the digit */
}

/* Knuth's Algorithm D. Either result may be unwanted. */
static void divide(const struct num *a, const struct num *b, struct num **quot, struct num **rest)
{
	struct num *q, *u, *v;
	uint32_t n = b->len, m;
	uint64_t est, left, carry;
	int64_t t;
	int bits;

	if (n == 0)
		die("cfrac: division by zero");
	m = a->len >= n ? a->len - n : 0;
	q = num_new(m + 1);
	bits = __builtin_clz(b->d[n - 1]);
	u = shift_left(a, bits);
	v = shift_left(b, bits);
	memset(q->d, 0, q->len * sizeof q->d[0]);
	for (uint32_t k = m + 1; a->len >= n && k-- > 0;) {
		left = ((uint64_t)u->d[k + n] << 32) | u->d[k + n - 1];
		est = left / v->d[n - 1];
		left %= v->d[n - 1];
		while (est >> 32 != 0 || (n > 1 && est * v->d[n - 2] > ((left << 32) | u->d[k + n - 2]))) {
			est--;
			left += v->d[n - 1];
			if (left >> 32 != 0)
				break;
		}
		carry = 0;
		t = 0;
		for (uint32_t i = 0; i < n; i++) {
			carry += est * v->d[i];
			t += (int64_t)u->d[i + k] - (uint32_t)carry;
			u->d[i + k] = (uint32_t)t;
			t >>= 32;
			carry >>= 32;
		}
		t += (int64_t)u->d[k + n] - (int64_t)carry;
		u->d[k + n] = (uint32_t)t;
		if (t < 0) { /* one too many */
			est--;
			carry = 0;
			for (uint32_t i = 0; i < n; i++) {
				carry += (uint64_t)u->d[i + k] + v->d[i];
				u->d[i + k] = (uint32_t)carry;
				carry >>= 32;
			}
			u->d[k + n] += (uint32_t)carry;
		}
		q->d[k] = (uint32_t)est;
	}
	for (uint32_t i = 0; bits > 0 && i < u->len; i++)
		u->d[i] = u->d[i] >> bits | (i + 1 < u->len ? (uint64_t)u->d[i + 1] << (32 - bits) : 0);
	drop(v);
	if (quot != NULL)
		*quot = trim(q);
	else
		drop(q);
	if (rest != NULL)
		*rest = trim(u);
	else
		drop(u);
}

static struct num *over_num(const struct num *a, const struct num *b)
{
	struct num *q;

	divide(a, b, &q, NULL);
	return q;
}

static struct num *mod(const struct num *a, const struct num *b)
{
	struct num *r;

	divide(a, b, NULL, &r);
	return r;
}

/* The largest number whose square is not above n (Newton). */
static struct num *root(const struct num *n)
{
	struct num *x = hold((struct num *)n), *two = num_of(2), *y, *s;

	for (;;) {
		y = over_num(n, x);
		s = add(x, y);
		assign(&y, over_num(s, two));
		drop(s);
		if (num_cmp(y, x) >= 0)
			break;
		assign(&x, y);
	}
	drop(y);
	drop(two);
	return x;
}

struct relation {
	struct relation *next;
	struct num *a;
	uint8_t powers[24];
};

#define BASE 24

static const uint8_t base[BASE] = {2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37,
                                   41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89};

/* The relation of one step, if what is left of q after division by the primes of the base is below 2^20. */
static struct relation *smooth(struct num *q, struct num *const primes[BASE], struct num *a)
{
	struct relation found = {.a = a}, *kept;
	struct num *left = hold(q), *quot, *rest;
	bool divides;

	for (int i = 0; i < BASE; i++)
		do {
			divide(left, primes[i], &quot, &rest);
			divides = rest->len == 0;
			drop(rest);
			if (divides) {
				assign(&left, hold(quot));
				found.powers[i]++;
			}
			drop(quot);
		} while (divides);
	divides = left->len <= 1 && left->d[0] < 1 << 20;
	drop(left);
	if (!divides)
		return NULL;
	kept = malloc(sizeof *kept);
	if (kept == NULL)
		die("malloc: %s", strerror(errno));
	*kept = found;
	hold(a);
	return kept;
}

/* a^2 = (-1)^k q modulo n, which is what the method lives by */
static void check_step(struct num *a, struct num *q, struct num *n, long k)
{
	struct num *square = mul(a, a), *r = mod(square, n), *want = k & 1 ? sub(n, q) : hold(q);

	if (num_cmp(r, want) != 0)
		die("cfrac: step %ld is wrong", k);
	drop(square);
	drop(r);
	drop(want);
}

static void load_cfrac(void)
{
	/* two primes; their product has 38 digits. The period of its root is never reached. */
	struct num *f = num_of(UINT64_C(9223372036854775783)), *g = num_of(UINT64_C(4611686018427387847)), *n = mul(f, g);
	struct num *m = root(n), *p = num_of(0), *q = num_of(1), *quot = hold(m), *a = hold(m), *before = num_of(1), *s, *t;
	struct num *primes[BASE];
	struct relation *found = NULL, *r;
	long steps = scaled(360000), kept = 0;
	int64_t t0 = now();

	for (int i = 0; i < BASE; i++)
		primes[i] = num_of(base[i]);
	for (long k = 1; k <= steps; k++) {
		s = mul(quot, q);
		assign(&p, sub(s, p));
		drop(s);
		s = mul(p, p);
		t = sub(n, s);
		drop(s);
		assign(&q, over_num(t, q));
		drop(t);
		if (k % 256 == 0)
			check_step(a, q, n, k);
		r = smooth(q, primes, a);
		if (r != NULL) {
			r->next = found;
			found = r;
			kept++;
		}
		s = add(m, p);
		assign(&quot, over_num(s, q));
		drop(s);
		s = mul(quot, a);
		t = add(s, before);
		drop(s);
		assign(&before, a);
		a = mod(t, n);
		drop(t);
	}
	if (kept == 0 && steps > 10000)
		die("cfrac: no relation found");
	while ((r = found) != NULL) {
		found = r->next;
		drop(r->a);
		free(r);
	}
	for (int i = 0; i < BASE; i++)
		drop(primes[i]);
	drop(f), drop(g), drop(n), drop(m), drop(p), drop(q), drop(quot), drop(a), drop(before);
	must_equal(num_live, 0, "cfrac: numbers left");
	figure((now() - t0) / 1e9, "s");
}

/*
 * espresso: the two-level logic minimiser (Brayton and others, 1984). Its heart is the unate recursive paradigm: a
 * cover (a list of cubes) is complemented by splitting on its most binate variable, complementing both cofactors and
 * merging. Every level makes covers and frees them on the way back: bit sets of 24 to 280 bytes, lists that grow by
 * realloc, lifetimes nested like the recursion. Checked: a cover and its complement are disjoint and make everything.
 */
struct cube {
	uint32_t words, weight;
	uint64_t bits[]; /* two a variable: may be 0, may be 1. Words beyond the first stand for the outputs. */
};

struct cover {
	struct cube **at;
	uint32_t n, room;
};

#define FULL UINT64_MAX

static uint32_t cube_words;
static int cube_vars;

static struct cube *cube_new(void)
{
	struct cube *c = malloc(sizeof *c + cube_words * sizeof c->bits[0]);

	if (c == NULL)
		die("malloc: %s", strerror(errno));
	c->words = cube_words;
	c->weight = 0;
	for (uint32_t i = 0; i < cube_words; i++)
		c->bits[i] = FULL;
	return c;
}

static struct cube *cube_copy(const struct cube *from)
{
	struct cube *c = cube_new();

	memcpy(c->bits, from->bits, cube_words * sizeof c->bits[0]);
	return c;
}

static void cover_add(struct cover *f, struct cube *c)
{
	if (f->n == f->room) {
		f->room = f->room == 0 ? 4 : f->room * 2;
		f->at = realloc(f->at, f->room * sizeof *f->at);
		if (f->at == NULL)
			die("realloc: %s", strerror(errno));
	}
	f->at[f->n++] = c;
}

static struct cover *cover_new(void)
{
	struct cover *f = calloc(1, sizeof *f);

	if (f == NULL)
		die("calloc: %s", strerror(errno));
	return f;
}

static void cover_free(struct cover *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		free(f->at[i]);
	free(f->at);
	free(f);
}

/* The part of f where variable v is `value`, which then no longer matters. */
static struct cover *cofactor(const struct cover *f, int v, int value)
{
	struct cover *g = cover_new();
	struct cube *c;

	for (uint32_t i = 0; i < f->n; i++)
		if (f->at[i]->bits[0] >> (2 * v + value) & 1) {
			c = cube_copy(f->at[i]);
			c->bits[0] |= UINT64_C(3) << 2 * v;
			cover_add(g, c);
		}
	return g;
}

/* The variable that most cubes care for, the most evenly if several; -1 if some cube is everything. */
static int most_binate(const struct cover *f)
{
	int best = -1, best_score = -1, zeros, ones, score;

	for (uint32_t i = 0; i < f->n; i++)
		if (f->at[i]->bits[0] == FULL)
			return -1;
	for (int v = 0; v < cube_vars; v++) {
		zeros = ones = 0;
		for (uint32_t i = 0; i < f->n; i++) {
			zeros += (f->at[i]->bits[0] >> 2 * v & 3) == 1;
			ones += (f->at[i]->bits[0] >> 2 * v & 3) == 2;
		}
		score = zeros + ones == 0 ? -1 : 64 * (zeros < ones ? zeros : ones) + zeros + ones;
		if (score > best_score) {
			best = v;
			best_score = score;
		}
	}
	return best;
}

static struct cover *complement(const struct cover *f)
{
	struct cover *g, *part, *side;
	struct cube *c;
	uint32_t merged;
	int v;

	if (f->n == 0) {
		g = cover_new();
		cover_add(g, cube_new());
		return g;
	}
	v = most_binate(f);
	if (v < 0)
		return cover_new();
	g = cover_new();
	if (f->n == 1) { /* De Morgan, made disjoint */
		c = cube_new();
		for (v = 0; v < cube_vars; v++) {
			uint64_t lit = f->at[0]->bits[0] >> 2 * v & 3;

			if (lit == 3)
				continue;
			cover_add(g, cube_copy(c));
			g->at[g->n - 1]->bits[0] &= ~(lit << 2 * v);
			c->bits[0] &= ~((lit ^ 3) << 2 * v);
		}
		free(c);
		return g;
	}
	merged = 0;
	for (int value = 0; value < 2; value++) {
		part = cofactor(f, v, value);
		side = complement(part);
		cover_free(part);
		for (uint32_t i = 0; i < side->n; i++) {
			c = side->at[i];
			c->bits[0] &= ~(UINT64_C(1) << (2 * v + 1 - value));
			side->at[i] = NULL;
			for (uint32_t k = 0; value == 1 && c != NULL && k < merged; k++)
				if ((g->at[k]->bits[0] | UINT64_C(3) << 2 * v) == (c->bits[0] | UINT64_C(3) << 2 * v)) {
					g->at[k]->bits[0] |= UINT64_C(3) << 2 * v; /* in both halves: the variable does not matter */
					free(c);
					c = NULL;
				}
			if (c != NULL)
				cover_add(g, c);
		}
		merged = value == 0 ? g->n : merged;
		cover_free(side);
	}
	return g;
}

static bool everything(const struct cover *f)
{
	struct cover *part;
	bool yes = true;
	int v;

	if (f->n == 0)
		return false;
	v = most_binate(f);
	if (v < 0)
		return true;
	for (int value = 0; value < 2 && yes; value++) {
		part = cofactor(f, v, value);
		yes = everything(part);
		cover_free(part);
	}
	return yes;
}

static bool disjoint(const struct cube *a, const struct cube *b)
{
	uint64_t both = a->bits[0] & b->bits[0];

	for (int v = 0; v < cube_vars; v++)
		if ((both >> 2 * v & 3) == 0)
			return true;
	return false;
}

static void load_espresso(void)
{
	struct rng r = seed(1);
	struct cover *f, *g;
	long problems = scaled(1800);
	int64_t t0 = now();

	for (long p = 0; p < problems; p++) {
		cube_vars = between(&r, 8, 14);
		cube_words = between(&r, 1, 33);
		f = cover_new();
		for (int n = between(&r, 8, 32); n > 0; n--) {
			cover_add(f, cube_new());
			for (int k = between(&r, 3, 6); k > 0; k--) {
				int v = below(&r, cube_vars);

				f->at[f->n - 1]->bits[0] |= UINT64_C(3) << 2 * v;
				f->at[f->n - 1]->bits[0] &= ~(UINT64_C(1) << (2 * v + below(&r, 2)));
			}
		}
		g = complement(f);
		for (uint32_t i = 0; i < f->n; i++)
			for (uint32_t k = 0; k < g->n; k++)
				if (!disjoint(f->at[i], g->at[k]))
					die("espresso: a cube lies in the complement");
		for (uint32_t i = 0; i < f->n; i++)
			cover_add(g, cube_copy(f->at[i]));
		if (!everything(g))
			die("espresso: cover and complement leave a gap");
		cover_free(f);
		cover_free(g);
	}
	figure((now() - t0) / 1e9, "s");
}

const struct load app_loads[] = {
	{"cfrac", load_cfrac, 0, "factoring with allocated numbers, s"},
	{"espresso", load_espresso, 0, "logic minimisation, s"},
	{NULL, NULL, 0, NULL},
};
