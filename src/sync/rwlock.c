#include "sync/rwlock.h"
#include <errno.h>

_Static_assert(sizeof(pthread_rwlock_t) == 56, "glibc's pthread_rwlock_t");
_Static_assert(offsetof(pthread_rwlock_t, __data.__cur_writer) == 24, "glibc's pthread_rwlock_t");
_Static_assert(offsetof(pthread_rwlock_t, __data.__flags) == 48, "where static initialisers put the kind");

enum { WAKE_READERS = 1, WAKE_WRITER = 2 };

static uint32_t *word_of(pthread_rwlock_t *l)
{
	return &l->__data.__readers;
}

/* Writers in their slow path. */
static uint32_t *nwriters_of(pthread_rwlock_t *l)
{
	return &l->__data.__pad3;
}

static bool reader_barred(pthread_rwlock_t *l, uint32_t w)
{
	if (w & RW_WRITER)
		return true;
	return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP && grt_load_acquire(nwriters_of(l)) != 0;
}

static bool writer_barred(uint32_t w)
{
	return (w & RW_WRITER) || w >= RW_READER;
}

/* The lock has become free and bit 2 was set. Only the address is used: the lock may be gone. */
static void wake_next(uint32_t *word, bool readers_first)
{
	if (readers_first && grt__futex_wake(word, INT_MAX, WAKE_READERS) > 0)
		return;
	if (grt__futex_wake(word, 1, WAKE_WRITER) == 0)
		grt__futex_wake(word, INT_MAX, WAKE_READERS);
}

/* Makes bit 2 visible. False: the word has changed, look again. */
static bool announce(uint32_t *word, uint32_t *w)
{
	if (*w & RW_WAITERS)
		return true;
	if (!grt_cas(word, *w, *w | RW_WAITERS))
		return false;
	*w |= RW_WAITERS;
	return true;
}

static GRT_NOINLINE int rdlock_slow(pthread_rwlock_t *l, int64_t deadline)
{
	uint32_t *word = word_of(l), slept = 0;

	for (;;) {
		uint32_t w = grt_load_acquire(word);
		if (!reader_barred(l, w)) {
			if (w >= RW_OVERFLOW)
				return -EAGAIN;
			if (grt_cas(word, w, ((w & ~RW_PHASE) + RW_READER) | slept))
				return 0;
			continue;
		}
		if (!announce(word, &w) || !reader_barred(l, w))
			continue;
		if (grt__futex_wait(word, w, WAKE_READERS, deadline, 0, WAIT_RWLOCK_R) == -ETIMEDOUT)
			return -ETIMEDOUT;
		slept = RW_WAITERS;
	}
}

/* A writer gives up. Readers that waited for it alone go on. */
static void writer_gives_up(pthread_rwlock_t *l)
{
	uint32_t *word = word_of(l);

	if (grt_add_seqcst(nwriters_of(l), -1u) != 0 || l->__data.__flags != PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP)
		return;
	for (;;) {
		uint32_t w = grt_load_relaxed(word);
		if (!(w & RW_WAITERS))
			return;
		if (grt_cas(word, w, w & ~RW_WAITERS)) {
			grt__futex_wake(word, INT_MAX, ~0u);
			return;
		}
	}
}

static GRT_NOINLINE int wrlock_slow(pthread_rwlock_t *l, int64_t deadline)
{
	uint32_t *word = word_of(l), slept = 0;

	grt_add_seqcst(nwriters_of(l), 1);
	for (;;) {
		uint32_t w = grt_load_acquire(word);
		if (!writer_barred(w)) {
			if (!grt_cas(word, w, (w & RW_WAITERS) | RW_WRITER | slept))
				continue;
			grt_add_seqcst(nwriters_of(l), -1u);
			return 0;
		}
		if (!announce(word, &w))
			continue;
		if (grt__futex_wait(word, w, WAKE_WRITER, deadline, 0, WAIT_RWLOCK_W) == -ETIMEDOUT) {
			writer_gives_up(l);
			return -ETIMEDOUT;
		}
		slept = RW_WAITERS;
	}
}

/* Also of the timed forms of an uncontended lock, as glibc. */
static int check(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime, int64_t *deadline)
{
	int error = 0;

	*deadline = GRT_FOREVER;
	if (abstime) {
		*deadline = grt__deadline(clock, abstime, &error);
		if (error)
			return error;
	}
	return l->__data.__cur_writer == grt__sync_tid() ? -EDEADLK : 0;
}

int grt__rwlock_rdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime)
{
	int64_t deadline;
	int error = check(l, clock, abstime, &deadline);

	if (grt_unlikely(error))
		return error;
	uint32_t w = grt_load_acquire(word_of(l));
	if (grt_likely(!reader_barred(l, w) && w < RW_OVERFLOW && grt_cas(word_of(l), w, (w & ~RW_PHASE) + RW_READER)))
		return 0;
	return rdlock_slow(l, deadline);
}

int grt__rwlock_wrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *abstime)
{
	int64_t deadline;
	int error = check(l, clock, abstime, &deadline);

	if (grt_unlikely(error))
		return error;
	uint32_t w = grt_load_relaxed(word_of(l));
	if (writer_barred(w) || !grt_cas(word_of(l), w, (w & RW_WAITERS) | RW_WRITER))
		error = wrlock_slow(l, deadline);
	if (error == 0)
		l->__data.__cur_writer = grt__sync_tid();
	return error;
}

int grt__rwlock_tryrdlock(pthread_rwlock_t *l)
{
	for (;;) {
		uint32_t w = grt_load_acquire(word_of(l));
		if (reader_barred(l, w))
			return -EBUSY;
		if (w >= RW_OVERFLOW)
			return -EAGAIN;
		if (grt_cas(word_of(l), w, (w & ~RW_PHASE) + RW_READER))
			return 0;
	}
}

int grt__rwlock_trywrlock(pthread_rwlock_t *l)
{
	for (;;) {
		uint32_t w = grt_load_relaxed(word_of(l));
		if (writer_barred(w))
			return -EBUSY;
		if (grt_cas(word_of(l), w, (w & RW_WAITERS) | RW_WRITER))
			break;
	}
	l->__data.__cur_writer = grt__sync_tid();
	return 0;
}

/* Whether it is held for reading or writing is told by the word: a lock that another thread took for writing is released as well,
 * and one that nobody holds stays as it is (both are undefined; glibc's lock breaks). */
int grt__rwlock_unlock(pthread_rwlock_t *l)
{
	uint32_t *word = word_of(l);
	uint32_t w = grt_load_relaxed(word);

	if (w & RW_WRITER) {
		bool readers_first = l->__data.__flags == PTHREAD_RWLOCK_PREFER_READER_NP;
		l->__data.__cur_writer = 0;
		if (grt_xchg_acqrel(word, 0) & RW_WAITERS)
			wake_next(word, readers_first);
		return 0;
	}
	for (; w >= RW_READER; w = grt_load_relaxed(word)) {
		uint32_t new = w - RW_READER;
		if (new < RW_READER)
			new = 0;
		if (!grt_cas(word, w, new))
			continue;
		if (new == 0 && (w & RW_WAITERS))
			wake_next(word, false);
		return 0;
	}
	return 0;
}
