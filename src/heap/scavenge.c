#include "heap/scavenge.h"
#include "heap/central.h"
#include "os/os.h"

enum { NOTES = 32, STEP_NS = 10000000, STEP_BYTES = 4 << 20, RETAIN_MIN = 1 << 20 };

void (*grt__scavenge_hook)(void);
size_t grt__heap_limit = SIZE_MAX;
bool grt__heap_limit_given;

static uint32_t notes;      /* atomic: pages freed, so many times */
static uint32_t nothing_at; /* atomic: notes when there was nothing to give back */
static int64_t epoch_end;   /* atomic */
static int64_t step_due;    /* atomic: in a process without tasks */

static size_t resident_free(void)
{
	/* without the lock: a hint */
	size_t all = grt_load_relaxed(&grt__mheap.free_pages), untouched = grt_load_relaxed(&grt__mheap.untouched_pages);
	return untouched < all ? (all - untouched) << PAGE_SHIFT : 0;
}

static size_t retain(void)
{
	size_t used = grt_load_relaxed(&grt__mheap.sys) - (grt_load_relaxed(&grt__mheap.free_pages) << PAGE_SHIFT);
	size_t tenth = used / 10;
	return tenth > RETAIN_MIN ? tenth : RETAIN_MIN;
}

bool grt__scavenge_wanted(void)
{
	return grt_load_relaxed(&notes) != grt_load_relaxed(&nothing_at);
}

int64_t grt__scavenge(int64_t now)
{
	uint32_t seen = grt_load_relaxed(&notes);
	int64_t end = grt_load_relaxed(&epoch_end);
	if (now >= end) { /* a new epoch */
		if (!grt_cas(&epoch_end, end, now + GRT_EPOCH_NS))
			return now + STEP_NS;
		grt_add_relaxed(&grt__heap_epoch, 1);
		grt__central_collect();
	}
	size_t keep = retain();
	if (resident_free() <= keep) {
		grt_store_relaxed(&nothing_at, seen);
		return INT64_MAX;
	}
	if (grt__pages_scavenge(keep, grt_load_relaxed(&grt__heap_epoch) - 1, STEP_BYTES))
		return now + STEP_NS;
	return grt_load_relaxed(&epoch_end);
}

void grt__scavenge_note(void)
{
	uint32_t n = grt_load_relaxed(&notes) + 1; /* a lost one does no harm */
	grt_store_relaxed(&notes, n);
	if (grt_likely(n % NOTES) || resident_free() <= RETAIN_MIN)
		return;
	if (grt__scavenge_hook) {
		grt__scavenge_hook();
		return;
	}
	int64_t now = grt__nanotime(), due = grt_load_relaxed(&step_due);
	if (now >= due && grt_cas(&step_due, due, now + STEP_NS)) {
		int64_t next = grt__scavenge(now);
		grt_store_relaxed(&step_due, next == INT64_MAX ? now + GRT_EPOCH_NS : next);
	}
}
