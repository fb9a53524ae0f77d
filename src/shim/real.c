/*
 * The table of libc's own functions, filled by name with dlsym(RTLD_NEXT): whatever is loaded after us, so another preload
 * that wraps the same name is still called. Without a version dlsym gives the default one ("@@"), never an old
 * compatibility symbol; tests/unit/real.c proves it name by name.
 *
 * May run before any constructor (a library that is initialised before us calls a wrapper), several times (two threads
 * of such a library: both store the same values) and within itself (dlsym calls an interposed name: the inner call fills
 * the table, unless it is what the outer is resolving; then there is nothing to call, and we say so).
 */
#include "shim/shim.h"

#define GRT_REAL(ret, name, ...) ret (*grt__real_##name)(__VA_ARGS__);
#include "shim/real.def"
#undef GRT_REAL

int grt__real_ready;

static const struct {
	const char *name;
	void *slot; /* of a function pointer; all have one representation here */
} table[] = {
#define GRT_REAL(ret, name, ...) {#name, &grt__real_##name},
#include "shim/real.def"
#undef GRT_REAL
};

/* Stands for a function that this libc does not have (epoll_pwait2 before 2.35). */
static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

void grt__real_init(void)
{
	static GRT_TLS int depth;

	if (++depth > 4)
		grt__throw("dlsym calls a wrapped function that it has not resolved yet");
	int saved_errno = errno;
	for (size_t i = 0; i < GRT_COUNT(table); i++) {
		void **slot = table[i].slot;
		if (grt_load_relaxed(slot) == NULL) {
			void *f = dlsym(RTLD_NEXT, table[i].name);
			if (f == NULL)
				(void)dlerror(); /* the program must not see our failure */
			grt_store_relaxed(slot, f != NULL ? f : (void *)missing);
		}
	}
	errno = saved_errno;
	depth--;
	grt_store_release(&grt__real_ready, 1);
}

/* Early: a later first use would run dlsym inside whatever wrapper comes first, a signal handler perhaps. */
__attribute__((constructor)) static void on_load(void)
{
	if (!grt__real_ready)
		grt__real_init();
}
