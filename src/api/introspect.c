/*
 * Stacks, build and metrics of grt.h.
 */
#include "api/boot.h"
#include "elf/module.h"
#include "elf/symbol.h"
#include "grt.h"
#include "heap/heap.h"
#include "observe/callers.h"
#include "observe/crash.h"
#include "os/os.h"
#include "sched/proc.h"
#include <string.h>

GRT_EXPORT int grt_callers(int skip, void **pc, int n)
{
	uintptr_t found[256];
	unsigned all = grt__callers(found, GRT_COUNT(found)), from = skip > 0 ? (unsigned)skip : 0;
	int count = 0;
	for (unsigned i = from; i < all && count < n; i++)
		pc[count++] = (void *)found[i];
	return count;
}

static void copy(char *to, size_t size, const char *from)
{
	size_t n = strnlen(from, size - 1);
	memcpy(to, from, n);
	to[n] = '\0';
}

static void describe(struct grt_frame *f, uintptr_t pc)
{
	struct grt_symbol sym;
	memset(f, 0, sizeof *f);
	f->pc = (void *)pc;
	struct grt_modules *mods = grt__modules_get_sig();
	struct grt_module *m = grt__module_find_sig(mods, pc - 1);
	if (m) {
		copy(f->module, sizeof f->module, m->path);
		f->offset = pc - m->bias;
		if (grt__module_symbol_sig(m, pc - 1, &sym))
			copy(f->function, sizeof f->function, sym.name);
	}
	grt__modules_put_sig(mods);
}

GRT_EXPORT bool grt_caller(int skip, struct grt_frame *frame)
{
	uintptr_t found[256];
	unsigned all = grt__callers(found, GRT_COUNT(found));
	if (skip < 0 || (unsigned)skip >= all)
		return false;
	grt__modules_refresh();
	describe(frame, found[skip]);
	return true;
}

GRT_EXPORT size_t grt_stack(char *buf, size_t size, bool all)
{
	if (!size)
		return 0;
	if (grt__self.g) /* whoever holds the report is not preempted: others spin for it */
		grt__enter();
	size_t n = grt__crash_stacks(buf, size, all);
	if (grt__self.g)
		grt__leave();
	return n;
}

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x
GRT_EXPORT const char *grt_build_info(void)
{
#ifdef __x86_64__
	return "libgrt 0.1.0, compiler " __VERSION__ ", x86_64, debug level " TEXT(GRT_DEBUG);
#else
	return "libgrt 0.1.0, compiler " __VERSION__ ", debug level " TEXT(GRT_DEBUG);
#endif
}

enum metric { TASKS, PROCS, THREADS, CREATED, SYS, OBJECTS, FREE, RELEASED, ALLOC_BYTES, ALLOCS, FREES, METRICS };
static const char *const names[METRICS] = {
	[TASKS] = "/sched/goroutines:goroutines",   [PROCS] = "/sched/gomaxprocs:threads",
	[THREADS] = "/sched/threads:threads",       [CREATED] = "/sched/goroutines-created:goroutines",
	[SYS] = "/memory/classes/total:bytes",      [OBJECTS] = "/memory/classes/heap/objects:bytes",
	[FREE] = "/memory/classes/heap/free:bytes", [RELEASED] = "/memory/classes/heap/released:bytes",
	[ALLOC_BYTES] = "/gc/heap/allocs:bytes",    [ALLOCS] = "/gc/heap/allocs:objects",
	[FREES] = "/gc/heap/frees:objects",
};

GRT_EXPORT const char *grt_metric_name(size_t i)
{
	return i < METRICS ? names[i] : NULL;
}

static uint64_t created(void)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < grt_load_acquire(&grt__sched.nallp); i++)
		n += grt_load_relaxed(&grt__sched.allp[i]->started);
	return n;
}

static uint64_t sched_metric(enum metric i)
{
	if (grt__boot() != 0)
		return i == CREATED ? 0 : 1;
	switch (i) {
	case TASKS:
		return (uint64_t)grt__num_tasks();
	case PROCS:
		return grt_load_relaxed(&grt__sched.nprocs);
	case THREADS:
		return grt_load_relaxed(&grt__sched.nm_live);
	default:
		return created();
	}
}

static uint64_t heap_metric(enum metric i)
{
	struct grt_heap_stats st;
	grt__heap_stats(&st);
	switch (i) {
	case SYS:
		return st.sys;
	case OBJECTS:
		return st.alloc;
	case FREE:
		return st.idle - st.released;
	case RELEASED:
		return st.released;
	case ALLOC_BYTES:
		return st.total_alloc;
	case ALLOCS:
		return st.mallocs;
	default:
		return st.frees;
	}
}

GRT_EXPORT bool grt_read_metric(const char *name, uint64_t *value)
{
	for (unsigned i = 0; i < METRICS; i++)
		if (strcmp(names[i], name) == 0) {
			*value = i <= CREATED ? sched_metric(i) : heap_metric(i);
			return true;
		}
	return false;
}
