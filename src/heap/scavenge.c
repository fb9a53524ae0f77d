#include "heap/scavenge.h"
#include "heap/central.h"
#include "os/os.h"

enum { NOTES = 32, STEP_NS = 10000000, STEP_BYTES = 4 << 20, RETAIN_MIN = 1 << 20, TRACE_NS = 1000000000 };

void (*grt__scavenge_hook)(void);
size_t grt__heap_limit = SIZE_MAX;
bool grt__heap_limit_given;
bool grt__scavtrace;
uint8_t grt__scavenge_ourselves;

static uint32_t notes;                     /* atomic: pages freed, so many times */
static uint32_t nothing_at;                /* atomic: notes when there was nothing to give back */
static uint32_t barren;                    /* atomic: notes when nothing could be given back, */
static int64_t barren_since;               /* atomic: and the epoch from which on */
static int64_t epoch_end;                  /* atomic */
static int64_t step_due;                   /* atomic: in a process without tasks */
static int64_t collect_due;                /* atomic: at the limit */
static int64_t trace_due;                  /* atomic: the next line; 0: a while after there is something to tell */
static size_t released_bg, released_eager; /* atomic: since the last line */

static size_t resident_free(void)
{
	/* without the lock: a hint */
	size_t all = grt_load_relaxed(&grt__mheap.free_pages), untouched = grt_load_relaxed(&grt__mheap.untouched_pages);
	return untouched < all ? (all - untouched) << PAGE_SHIFT : 0;
}

size_t grt__heap_in_use(void)
{
	return grt_load_relaxed(&grt__mheap.sys) - (grt_load_relaxed(&grt__mheap.free_pages) << PAGE_SHIFT);
}

static size_t retain(void)
{
	size_t tenth = grt__heap_in_use() / 10;
	return tenth > RETAIN_MIN ? tenth : RETAIN_MIN;
}

bool grt__scavenge_wanted(void)
{
	return grt_load_relaxed(&notes) != grt_load_relaxed(&nothing_at);
}

/* ---- GODEBUG=scavtrace=1 ---- */

static void print_trace(bool forced)
{
	const struct mheap *h = &grt__mheap; /* without the lock: no two figures need be of the same moment */
	size_t released = grt_load_relaxed(&h->untouched_pages) << PAGE_SHIFT;
	size_t used = grt__heap_in_use() - grt_load_relaxed(&h->meta), retained = used + resident_free();
	grt__print("scav %zu KiB work (bg), %zu KiB work (eager), %zu KiB now, %zu%% util%s\n",
	           __atomic_exchange_n(&released_bg, 0, __ATOMIC_RELAXED) >> 10,
	           __atomic_exchange_n(&released_eager, 0, __ATOMIC_RELAXED) >> 10, released >> 10,
	           retained ? used * 100 / retained : 100, forced ? " (forced)" : "");
}

/* A line a second while there is something to tell. When the scavenger is to come again. */
static int64_t trace(int64_t now, int64_t next)
{
	int64_t line = grt_load_relaxed(&trace_due);
	if (!grt_load_relaxed(&released_bg) && !grt_load_relaxed(&released_eager)) {
		if (line <= now)
			grt_store_relaxed(&trace_due, 0);
		return next;
	}
	if (!line || line > now) {
		if (!line)
			grt_store_relaxed(&trace_due, line = now + TRACE_NS);
		return line < next ? line : next;
	}
	if (grt_cas(&trace_due, line, now + TRACE_NS))
		print_trace(false);
	return next;
}

/* ---- */

static int64_t step(int64_t now, uint32_t seen)
{
	int64_t end = grt_load_relaxed(&epoch_end);
	if (now >= end) { /* a new epoch */
		if (!grt_cas(&epoch_end, end, now + GRT_EPOCH_NS))
			return now + STEP_NS;
		grt_add_relaxed(&grt__heap_epoch, 1);
		grt__central_collect();
	}
	size_t keep = retain();
	if (resident_free() <= keep)
		return INT64_MAX;
	int64_t epoch = grt_load_relaxed(&grt__heap_epoch);
	size_t released = grt__pages_scavenge(keep, epoch - 1, STEP_BYTES);
	grt_add_relaxed(&released_bg, released);
	if (released)
		return now + STEP_NS;
	/* Nothing for so long that all of it was old enough: it is locked, or parts of huge pages. */
	if (seen != grt_load_relaxed(&barren)) {
		grt_store_relaxed(&barren, seen);
		grt_store_relaxed(&barren_since, epoch);
	} else if (epoch - grt_load_relaxed(&barren_since) > 2) {
		return INT64_MAX;
	}
	return grt_load_relaxed(&epoch_end);
}

int64_t grt__scavenge(int64_t now)
{
	uint32_t seen = grt_load_relaxed(&notes);
	int64_t next = step(now, seen);
	if (grt_unlikely(grt__scavtrace))
		next = trace(now, next);
	if (next == INT64_MAX)
		grt_store_relaxed(&nothing_at, seen);
	return next;
}

void grt__scavenge_eagerly(size_t bytes)
{
	size_t released = grt__pages_scavenge(0, INT64_MAX, bytes);
	int64_t now, due;
	/* Once an epoch: who lives beyond the limit pays for it no more than that. */
	if (released < bytes && (now = grt__nanotime()) >= (due = grt_load_relaxed(&collect_due)) &&
	    grt_cas(&collect_due, due, now + GRT_EPOCH_NS)) {
		grt__central_collect();
		released += grt__pages_scavenge(0, INT64_MAX, bytes - released);
	}
	grt_add_relaxed(&released_eager, released);
}

size_t grt__heap_trim(size_t keep)
{
	grt__pages_deferred();
	grt__central_collect();
	size_t released = grt__pages_scavenge(keep, INT64_MAX, SIZE_MAX);
	grt_add_relaxed(&released_eager, released);
	if (!keep)
		grt__arenas_release();
	if (grt_unlikely(grt__scavtrace))
		print_trace(true);
	return released;
}

void grt__scavenge_look(void)
{
	if (grt__scavenge_hook)
		grt__scavenge_hook();
	else
		grt_store_relaxed(&grt__scavenge_ourselves, 1);
}

void grt__scavenge_note(void)
{
	uint32_t n = grt_load_relaxed(&notes) + 1; /* a lost one does no harm */
	grt_store_relaxed(&notes, n);
	if (grt_unlikely(n % NOTES == 0) && resident_free() > RETAIN_MIN)
		grt__scavenge_look();
}

void grt__scavenge_by_ourselves(void)
{
	grt_store_relaxed(&grt__scavenge_ourselves, 0);
	if (grt__scavenge_hook)
		return;
	int64_t now = grt__nanotime(), due = grt_load_relaxed(&step_due), next = due;
	if (now >= due && grt_cas(&step_due, due, now + STEP_NS)) {
		next = grt__scavenge(now);
		grt_store_relaxed(&step_due, next == INT64_MAX ? now + GRT_EPOCH_NS : next);
	}
	if (next != INT64_MAX)
		grt_store_relaxed(&grt__scavenge_ourselves, 1);
}
