/*
 * The public functions of grt.h.
 */
#include "api/boot.h"
#include "grt.h"
#include "observe/heapprof.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sync/mutex.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>

static int go_thread(void (*fn)(void *), void *arg, size_t stack_size)
{
	pthread_t t;
	pthread_attr_t attr;
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (stack_size)
		pthread_attr_setstacksize(&attr, stack_size);
	int r = create(&t, &attr, (void *(*)(void *))(uintptr_t)fn, arg);
	if (r == 0)
		return 0;
	errno = r;
	return -1;
}

/* A grt_go function has no result; what is left in the result register is nobody's business. */
static int go(void (*fn)(void *), void *arg, size_t stack_size)
{
	struct grt_spawn how = {.fn = (void *(*)(void *))(uintptr_t)fn,
	                        .arg = arg,
	                        .stack_size = stack_size,
	                        .guard_size = SIZE_MAX,
	                        .detached = true};
	int r = grt__boot();
	if (r == -ENOTSUP)
		return go_thread(fn, arg, stack_size);
	if (r == 0)
		r = grt__spawn(&how, NULL);
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}

GRT_EXPORT int grt_go(void (*fn)(void *), void *arg)
{
	return go(fn, arg, 0);
}

GRT_EXPORT int grt_go_stack(void (*fn)(void *), void *arg, size_t stack_size)
{
	if (stack_size && (stack_size < (size_t)PTHREAD_STACK_MIN || stack_size > (size_t)1 << 46)) {
		errno = EINVAL;
		return -1;
	}
	return go(fn, arg,
	          (stack_size + (grt__os.page_size ? grt__os.page_size - 1 : 4095)) &
	              ~(grt__os.page_size ? grt__os.page_size - 1 : 4095));
}

GRT_EXPORT uint64_t grt_task_id(void)
{
	return grt__boot() == 0 ? grt__self.g->id : 0;
}

static GRT_TLS void *task_local;
static GRT_TLS unsigned blocks;

GRT_EXPORT void grt_set_task_local(void *value)
{
	task_local = value;
}

GRT_EXPORT void *grt_task_local(void)
{
	return task_local;
}

GRT_EXPORT void grt_block_begin(void)
{
	if (blocks++ == 0 && grt__on_task())
		grt__block_enter(true);
}

GRT_EXPORT void grt_block_end(void)
{
	if (blocks == 0 || --blocks > 0 || !grt__on_task())
		return;
	if (grt__self.in_block) /* what entered the runtime since has ended it */
		grt__block_exit();
}

GRT_EXPORT int grt_num_cpu(void)
{
	cpu_set_t set;
	long n = grt__sys3(SYS_sched_getaffinity, 0, sizeof set, &set);
	return n > 0 ? CPU_COUNT_S((size_t)n, &set) : 1;
}

GRT_EXPORT int grt_set_max_threads(int n)
{
	uint32_t old = grt__boot() == 0 ? grt_load_relaxed(&grt__sched.max_ms) : MAX_MS;
	if (n > 0)
		grt_store_relaxed(&grt__sched.max_ms, (uint32_t)n);
	return (int)old;
}

GRT_EXPORT void grt_yield(void)
{
	if (grt__on_task())
		grt__yield();
	else
		grt__sys0(SYS_sched_yield);
}

GRT_EXPORT void grt_lock_os_thread(void)
{
	if (grt__boot() == 0)
		grt__lock_os_thread();
}

GRT_EXPORT void grt_unlock_os_thread(void)
{
	if (grt__on_task())
		grt__unlock_os_thread();
}

GRT_EXPORT int grt_gomaxprocs(int n)
{
	if (grt__boot() != 0)
		return grt__one_to_one_reason ? grt__os.ncpu : 1;
	int old = grt__gomaxprocs(n);
	if (n > 0)
		grt__sync_spin = n > 1 ? GRT_SYNC_SPIN : 0;
	return old;
}

GRT_EXPORT int grt_num_tasks(void)
{
	return grt__boot() == 0 ? grt__num_tasks() : 1;
}

GRT_EXPORT int grt_write_heap_profile(int fd)
{
	int r = grt__heapprof_write(fd);
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}

GRT_EXPORT const char *grt_version(void)
{
	return "0.1.0";
}

GRT_EXPORT int grt_doctor_report(char *buf, size_t size)
{
	size_t n = 0;
	int r = grt__boot();
	if (r != 0) {
		const char *why = r == -EAGAIN ? "out of memory" : "called on a foreign thread";
		grt__format(buf, size, "%s\n", grt__one_to_one_reason ? grt__one_to_one_reason : why);
		return 1;
	}
	n += grt__format(buf + n, size - n, "tasks: M:N\ngomaxprocs: %d\n", grt__gomaxprocs(0));
	n += grt__format(buf + n, size - n, "switch: %s\n", grt__have_fsgsbase ? "wrfsbase" : "arch_prctl");
	n += grt__format(buf + n, size - n, "guards: %s\n", grt__os.guard_madvise ? "MADV_GUARD_INSTALL" : "mprotect");
	grt__format(buf + n, size - n, "retaking: %s\n", grt__os_membarrier() ? "membarrier" : "munmap and a pause");
	return 0;
}
