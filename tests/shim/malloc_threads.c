// TIMEOUT: 60
/* malloc_threads.c - threads that allocate, hand blocks to each other and free what others allocated. */
#include "check.h"
#include "blocks.h"

enum { THREADS = 12, SLOTS = 512, ROUNDS = 600000, CHURN = 2000 };

struct block {
	size_t size;
	unsigned seed;
	unsigned char data[];
};

static struct block *slot[SLOTS]; /* atomic */
static int bad;                   /* atomic */

static struct block *make(unsigned *r)
{
	size_t n = rnd_size(r) & 0xffff;
	struct block *b;
	switch (rnd(r) % 8) {
	case 0:
		b = calloc(1, sizeof *b + n);
		if (b && !is_zero(b, sizeof *b + n))
			flag_add(&bad, 1);
		break;
	case 1:
		b = memalign((size_t)16 << rnd(r) % 9, sizeof *b + n);
		break;
	default:
		b = malloc(sizeof *b + n);
	}
	if (!b)
		abort();
	b->size = n;
	b->seed = rnd(r);
	fill(b->data, n, b->seed);
	return b;
}

static void check_block(struct block *b)
{
	if (!filled(b->data, b->size, b->seed) || malloc_usable_size(b) < b->size + sizeof *b)
		flag_add(&bad, 1);
}

static void drop(struct block *b)
{
	if (!b)
		return;
	check_block(b);
	memset(b, 0xee, sizeof *b); /* a second owner would see it */
	free(b);
}

static void *works(void *arg)
{
	unsigned r = (unsigned)(long)arg * 2654435761u | 1;
	struct block *own[32] = {0};
	for (int i = 0; i < ROUNDS; i++) {
		unsigned k = rnd(&r) % 32;
		switch (rnd(&r) % 4) {
		case 0: /* one's own */
			drop(own[k]);
			own[k] = make(&r);
			break;
		case 1: { /* resized, perhaps another's */
			struct block *b = own[k];
			if (!b)
				break;
			check_block(b);
			size_t n = rnd_size(&r) & 0xffff;
			b = realloc(b, sizeof *b + n);
			if (!b)
				abort();
			/* its first bytes have been kept */
			for (size_t j = 0; j < 64 && j < n && j < b->size; j += step(b->size))
				if (b->data[j] != pattern(b->seed, j))
					flag_add(&bad, 1);
			b->size = n;
			fill(b->data, n, b->seed);
			own[k] = b;
			break;
		}
		default: /* exchanged for another's */
			own[k] = __atomic_exchange_n(&slot[rnd(&r) % SLOTS], own[k], __ATOMIC_ACQ_REL);
		}
		if (i % 1024 == 0)
			sched_yield();
	}
	for (int k = 0; k < 32; k++)
		drop(own[k]);
	return NULL;
}

/* A queue from producers to consumers: every free is another's. */
enum { RING = 256 };
static struct block *ring[RING];
static unsigned head, tail;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER, some = PTHREAD_COND_INITIALIZER;

static void *produces(void *arg)
{
	unsigned r = (unsigned)(long)arg * 40503u | 1;
	for (int i = 0; i < 20000; i++) {
		struct block *b = make(&r);
		pthread_mutex_lock(&m);
		while (head - tail == RING)
			pthread_cond_wait(&room, &m);
		ring[head++ % RING] = b;
		pthread_cond_signal(&some);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}

static void *consumes(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&m);
		while (head == tail)
			pthread_cond_wait(&some, &m);
		struct block *b = ring[tail++ % RING];
		pthread_cond_signal(&room);
		pthread_mutex_unlock(&m);
		drop(b);
	}
	return NULL;
}

static void *short_life(void *arg)
{
	unsigned r = (unsigned)(long)arg * 69069u | 1;
	struct block **mine = malloc(20 * sizeof *mine);
	for (int i = 0; i < 20; i++)
		mine[i] = make(&r);
	for (int i = 0; i < 10; i++)
		drop(mine[i]);
	return mine; /* half of them are left to whoever joins */
}

int main(void)
{
	pthread_t ts[THREADS], ps[4];
	for (long i = 0; i < THREADS; i++)
		ts[i] = spawn(works, (void *)(i + 1));
	/* threads are born and die meanwhile */
	for (long i = 0; i < CHURN; i += 4) {
		for (long k = 0; k < 4; k++)
			ps[k] = spawn(short_life, (void *)(i + k + 1));
		for (int k = 0; k < 4; k++) {
			struct block **left = join(ps[k]);
			for (int j = 10; j < 20; j++)
				drop(left[j]);
			free(left);
		}
	}
	for (int i = 0; i < THREADS; i++)
		join(ts[i]);
	for (int i = 0; i < SLOTS; i++)
		drop(slot[i]);
	CHECK_EQ("blocks handed from thread to thread keep what is in them", 0, bad);
	for (long i = 0; i < 4; i++)
		ps[i] = spawn(i % 2 ? consumes : produces, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		join(ps[i]);
	CHECK_EQ("two allocate, two others free", 0, bad);
	return check_done();
}
