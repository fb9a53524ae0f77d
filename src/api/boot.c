#include "api/boot.h"
#include "elf/deepbind.h"
#include "api/deadlock.h"
#include "api/timer_api.h"
#include "elf/module.h"
#include "io/fd.h"
#include "io/netpoll.h"
#include "heap/cache.h"
#include "observe/callers.h"
#include "observe/crash.h"
#include "observe/heapprof.h"
#include "observe/knobs.h"
#include "observe/schedtrace.h"
#include "observe/traceback.h"
#include "os/os.h"
#include "sched/pin.h"
#include "sched/cancel.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/stack.h"
#include "sched/task.h"
#include "sched/tidy.h"
#include "sched/tcb.h"
#include "sched/tls_images.h"
#include "sync/cond.h"
#include "sync/chan.h"
#include "sync/futex.h"
#include "sync/mutex.h"
#include "sync/once.h"
#include "sync/sema.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

int grt__state;
const char *grt__one_to_one_reason;
static int boot_pid; /* whose process the tables belong to */

/* Bounds of the exported functions' section, from the linker. */
extern char __start_grt_user_text[] __attribute__((visibility("hidden")));
extern char __stop_grt_user_text[] __attribute__((visibility("hidden")));

static void stay_one_to_one(const char *why)
{
	grt__one_to_one_reason = why;
	grt__print("libgrt: threads stay 1:1: %s\n", why);
	grt_store_release(&grt__state, GRT_ONE_TO_ONE);
}

static void default_stack(void)
{
	pthread_attr_t attr;
	size_t size = 8 << 20, guard = 4096;
	int (*get)(pthread_attr_t *) = (int (*)(pthread_attr_t *))grt__libc_function("pthread_getattr_default_np");
	if (get && get(&attr) == 0) {
		pthread_attr_getstacksize(&attr, &size);
		pthread_attr_getguardsize(&attr, &guard);
		grt__libc.pthread_attr_destroy(&attr);
	}
	grt__stack_init(size, guard);
}

static int nprocs_by_default(void)
{
	int n = grt__os.ncpu;
	if (grt__os.cpu_quota && grt__os.cpu_quota < n)
		n = grt__os.cpu_quota;
	return n < MAX_PROCS ? n : MAX_PROCS;
}

/* Somebody between the program and us: the first `name` in the process is neither ours nor the one that we go on to. */
static bool someone_before_us(const char *name)
{
	char *first = dlsym(RTLD_DEFAULT, name);
	return first && first != (char *)grt__libc_function(name) &&
	       !(first >= __start_grt_user_text && first < __stop_grt_user_text);
}

/*
 * Tools that keep a record of their own of each thread, its stack and its kernel's id. They say by their interface that they want to
 * be told of every switch between stacks, or, where they are linked into a program that shows no more of them, they take both threads
 * and signals before we do. NULL: none.
 */
static const char *tool(void)
{
	static const char *const interface[] = {"__sanitizer_start_switch_fiber", "__tsan_switch_to_fiber",
	                                        "__lsan_do_leak_check"};
	if (grt__cpu_is_valgrind())
		return "the program runs under valgrind, which emulates threads and signals itself";
	for (size_t i = 0; i < GRT_COUNT(interface); i++)
		if (dlsym(RTLD_DEFAULT, interface[i]))
			return "a sanitizer keeps a record of the kernel's threads and their stacks";
	if (someone_before_us("pthread_create") && someone_before_us("sigaction"))
		return "threads and signals are taken before libgrt by a sanitizer, or a tool of that kind";
	return NULL;
}

/* What it needs memory for comes first, and is kept: without it the process stays COLD, and the next pthread_create tries again. */
static void boot(void)
{
	const char *why;
	grt__os_probe();
	grt__os_clock_init();
	if ((why = tool()) || (why = grt__tcb_boot()) || (why = grt__cond_boot())) {
		stay_one_to_one(why);
		return;
	}
	if (grt__tcb_live_threads() != 1) {
		stay_one_to_one("libc made threads before the first pthread_create");
		return;
	}
	if (grt__signal_kernel_user()) {
		stay_one_to_one("the program talks to the kernel's threads itself: it handles signals without libc");
		return;
	}
	int procs = grt__knobs.gomaxprocs ? grt__knobs.gomaxprocs : nprocs_by_default();
	if (!grt__proc_init(procs < MAX_PROCS ? procs : MAX_PROCS) || !grt__tls_images_refresh() || !grt__m_boot_prepare())
		return;
	default_stack();
	/* Before there is a second thread: growing a shared descriptor table waits for the kernel's grace period, 15 ms. */
	grt__os_pagemap_open();
	grt__netpoll_ready(); /* sysmon keeps a copy; without one tasks wait in the kernel */
	int r = grt__sysmon_start(&why);
	if (r != 0) {
		grt__os_pagemap_forget();
		if (r != -EAGAIN)
			stay_one_to_one(why);
		return;
	}
	grt__knobs_complain(procs);
	boot_pid = grt__sys_getpid();
	grt__tcb_unregister_rseq();
	grt__m_boot_main();
	grt__tcb_redirect_main_exit(&grt__main_g, grt__task_main_landing);
	if (grt__tcb_cancel_asked())
		grt__cancel_prepare();
#if GRT_DEBUG >= 1
	grt__m_rank_checks_on();
#endif
	grt__modules_refresh();
	grt__crash_init();
	grt__sync_spin = procs > 1 ? GRT_SYNC_SPIN : 0;
	grt__preempt_off = grt__knobs.asyncpreemptoff;
	grt__preempt_stress = grt__knobs.preemptstress;
	grt__preempt_init();
	grt__tidy_init(); /* not before sysmon can be woken: until then the signal is libc's, whose handler counts on a call of setuid */
	grt__signal_init();
	grt__signal_adopt_pending();
	grt_store_release(&grt__state, GRT_BOOTED);
	grt__schedtrace_init();
	if (!grt__knobs.preloaded)
		grt__deadlock_init();
}

/* In a child of fork: its first thread. */
static int restart_sysmon(void)
{
	const char *why;
	grt__os_pagemap_open();
	grt__netpoll_ready(); /* sysmon keeps a copy; without one tasks wait in the kernel */
	if (grt__sysmon_start(&why) != 0)
		return -EAGAIN;
	grt__tidy_init();
	return 0;
}

int grt__boot(void)
{
	static uint32_t booting;
	if (grt_likely(grt__state == GRT_BOOTED)) {
		if (!grt__self.g)
			return -ENOTSUP;
		return grt_likely(grt__sched.sysmon_tid) ? 0 : restart_sysmon();
	}
	if (grt__state == GRT_ONE_TO_ONE || grt__sys_gettid() != grt__sys_getpid())
		return -ENOTSUP;
	if (grt_xchg_acqrel(&booting, 1)) /* pthread_create inside a malloc that boot itself called */
		return -ENOTSUP;
	boot();
	grt_store_release(&booting, 0);
	return grt__state == GRT_BOOTED ? 0 : grt__state == GRT_COLD ? -EAGAIN : -ENOTSUP;
}

void grt__fork_prepare(void)
{
	/* Who forks may be preempted: then it has to run on. */
	for (unsigned i = 0; !grt__heap_fork_begin(); i++) {
		if (grt__on_task())
			grt__yield();
		else
			grt__os_pause(i);
	}
	grt__heap_fork_prepare();
}

void grt__fork_parent(void)
{
	grt__heap_fork_parent();
}

void grt__fork_child(void)
{
	grt__heap_fork_child(grt__self.g ? grt__self.m->p->mcache : grt__self.mcache);
	if (grt__state != GRT_BOOTED || grt__self.in_vfork || boot_pid == grt__sys_getpid() || !grt__self.g)
		return;
	grt__self.mcache = NULL;
	struct g *gp = grt__self.g;
	struct m *mp = grt__self.m;
	boot_pid = grt__sys_getpid();
	grt__self.attention = 0;
	if (mp->p == &grt__no_p || mp->p->word != mp->running_word) /* the parent's sysmon had it */
		grt__p_bind(mp, gp->own_p ? mp->own : grt__sched.allp[0]);
	grt__m_fork_child(mp);
	gp->m = mp;
	mp->curg = gp;
	mp->retaken = 0;
	if (gp->lockedm)
		gp->lockedm = mp;
	grt__stack_fork_child();
	grt__futex_reset_in_child();
	grt__fd_fork_child();
	grt__chan_fork_child();
	grt__sema_fork_child();
	grt__timer_api_fork_child();
	grt__context_fork_child();
	grt__tcb_fork_child(gp, mp);
	grt__task_fork_child(gp);
	grt__pin_fork_child(mp, gp);
	grt__signal_fork_child(mp);
	grt__sysmon_fork_child();
	grt__os_pagemap_forget();
	grt__once_fork_child();
	grt__modules_fork_child();
	grt__report_fork_child();
	grt__self.crit = 0;
}

/* First of all constructors (-z initfirst): our child handler is registered before, so it runs before, any other. */
__attribute__((constructor)) static void on_load(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	if (!grt__knobs.parsed) /* by the first malloc */
		grt__knobs_parse(envp);
	grt__crash_init_early();
	grt__callers_init();
	pthread_atfork(grt__fork_prepare, grt__fork_parent, grt__fork_child);
}

/* After the program's own exit handlers and destructors. */
__attribute__((destructor)) static void on_exit_of_all(void)
{
	grt__heapprof_exit();
}
