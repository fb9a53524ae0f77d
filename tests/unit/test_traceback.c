/*
 * Stacks and reports: what a parked, preempted, sleeping, crashed and overflowed task prints; and the negatives: a
 * report calls no malloc, no mutex, no sigprocmask and not the loader, and survives broken stacks. The scheduler is a
 * fake: a few Gs on stacks of the test's own.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 */
#include "observe/crash.h"
#include "observe/knobs.h"
#include "observe/schedtrace.h"
#include "observe/traceback.h"
#include "os/os.h"
#include "sched/proc.h"
#include "unit.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the negatives count: every call into these names, from anywhere, between forbid and allow ---- */

static volatile int forbidden, forbidden_calls;
static const char *volatile forbidden_name;

static void called(const char *name)
{
	if (forbidden) {
		forbidden_calls++;
		forbidden_name = name;
	}
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
void *malloc(size_t n)
{
	called("malloc");
	return __libc_malloc(n);
}
void *calloc(size_t n, size_t m)
{
	called("calloc");
	return __libc_calloc(n, m);
}
void *realloc(void *p, size_t n)
{
	called("realloc");
	return __libc_realloc(p, n);
}
void free(void *p)
{
	called("free");
	__libc_free(p);
}
int pthread_mutex_lock(pthread_mutex_t *m)
{
	static int (*real)(pthread_mutex_t *);
	called("pthread_mutex_lock");
	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	return real(m);
}
int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	called("sigprocmask");
	return pthread_sigmask(how, set, old);
}
int dl_iterate_phdr(int (*fn)(struct dl_phdr_info *, size_t, void *), void *arg)
{
	static int (*real)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
	called("dl_iterate_phdr");
	if (!real)
		real = (__typeof__(real))dlsym(RTLD_NEXT, "dl_iterate_phdr");
	return real(fn, arg);
}

/* ---- the fake scheduler ---- */

GRT_TLS struct grt_tls grt__self;
struct grt_sched grt__sched;
struct g grt__main_g;
struct p grt__no_p;
void (*grt__schedtrace_hook)(int64_t now);
int64_t grt__schedtrace_next;
void (*grt__signal_crash_hook)(int sig, siginfo_t *info, void *ucontext);
const char *const grt__wait_reason_name[WAIT_LAST] = {[WAIT_COND] = "sync.Cond.Wait", [WAIT_MUTEX] = "sync.Mutex.Lock"};

enum { STACK = 256 << 10, GUARD = 64 << 10, NG = 4 };
static struct g gs[NG];
static struct m fake_m = {.id = 3};
static struct p fake_p[2];
static struct p *fake_allp[2] = {&fake_p[0], &fake_p[1]};
static struct grt_ctx main_ctx;

void grt__allg_for_each(void (*fn)(struct g *, void *), void *arg)
{
	fn(&grt__main_g, arg);
	for (int i = 0; i < NG; i++)
		if (gs[i].id)
			fn(&gs[i], arg);
}

uint32_t grt__runq_size(const struct p *pp)
{
	return pp->runq_tail - pp->runq_head;
}

int grt__num_tasks(void)
{
	return NG + 1;
}

static struct g *new_g(int i, void (*fn)(void *))
{
	struct g *gp = &gs[i];
	gp->map_size = STACK + GUARD;
	gp->map_lo = mmap(NULL, gp->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(gp->map_lo, GUARD, PROT_NONE);
	gp->stack_lo = gp->map_lo + GUARD;
	gp->birth.stack_hi = gp->map_lo + gp->map_size;
	gp->id = (uint64_t)i + 10;
	gp->status = G_RUNNABLE;
	gp->fn = (void *(*)(void *))(void *)fn;
	gp->birth.fn = (const struct grt_ctx_last *(*)(void *))(void *)fn;
	gp->birth.arg = gp;
	gp->ctx.fs = (uintptr_t)grt__thread_pointer();
	grt__ctx_make(&gp->ctx, &gp->birth);
	return gp;
}

static void run_g(struct g *gp)
{
	gp->status = G_RUNNING;
	main_ctx.fs = (uintptr_t)grt__thread_pointer();
	grt__ctx_switch(&main_ctx, &gp->ctx, NULL, NULL);
}

static void park_g(struct g *gp, int why)
{
	gp->status = G_WAITING;
	gp->wait_why = (uint8_t)why;
	grt__ctx_switch(&gp->ctx, &main_ctx, NULL, NULL);
}

#define KEEP_FRAME __asm__ volatile("" ::: "memory") /* no tail call */

__attribute__((noinline)) static void grt__fake_park(struct g *gp)
{
	park_g(gp, WAIT_COND);
	KEEP_FRAME;
}

__attribute__((noinline)) static void inner_wait(struct g *gp)
{
	grt__fake_park(gp);
	KEEP_FRAME;
}

/* A frame that needs rbp: alloca. */
__attribute__((noinline, optimize("O0"))) static void middle_wait(struct g *gp, int n)
{
	char buf[n + 1];
	memset(buf, 0, sizeof buf);
	inner_wait(gp);
	KEEP_FRAME;
}

__attribute__((noinline)) static void task_main(void *arg)
{
	middle_wait(arg, 100);
	KEEP_FRAME;
	for (;;)
		park_g(arg, WAIT_MUTEX);
}

__attribute__((noinline)) static void *recurse(int n, int depth)
{
	char buf[48];
	memset(buf, n, sizeof buf);
	__asm__ volatile("" ::"r"(buf) : "memory");
	void *r = n == depth ? NULL : recurse(n + 1, depth);
	__asm__ volatile("" ::"r"(buf) : "memory");
	return r;
}

__attribute__((noinline)) static void overflow_main(void *arg)
{
	recurse(0, -1);
	KEEP_FRAME;
}

__attribute__((noinline)) static void deep_wait(struct g *gp, int n)
{
	char buf[32];
	memset(buf, n, sizeof buf);
	__asm__ volatile("" ::"r"(buf) : "memory");
	if (n)
		deep_wait(gp, n - 1);
	else
		grt__fake_park(gp);
	__asm__ volatile("" ::"r"(buf) : "memory");
}

static void deep_main(void *arg)
{
	deep_wait(arg, 500);
	KEEP_FRAME;
}

static void setup(void)
{
	grt__knobs_parse(NULL);
	grt__modules_refresh();
	grt__main_g.id = 1;
	grt__main_g.status = G_RUNNING;
	grt__self.g = &grt__main_g;
	grt__self.m = &fake_m;
	fake_m.curg = &grt__main_g;
	grt__main_g.m = &fake_m;
	grt__crash_init();
}

/* ---- standard error, caught ---- */

static char text[1 << 20];
static int saved, caught;

static void catch_begin(void)
{
	saved = dup(2);
	caught = memfd_create("stderr", 0);
	dup2(caught, 2);
}

static char *catch_end(void)
{
	dup2(saved, 2);
	close(saved);
	ssize_t n = pread(caught, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(caught);
	return text;
}

/* One traceback, under the eye of the negatives. */
static char *trace(struct g *gp, enum traceback_detail detail)
{
	catch_begin();
	forbidden_calls = 0;
	forbidden = 1;
	bool ok = grt__report_begin_sig();
	if (ok) {
		grt__traceback_sig(gp, NULL, detail);
		grt__report_end_sig();
	}
	forbidden = 0;
	catch_end();
	ck_assert(ok);
	ck_assert_msg(forbidden_calls == 0, "%d forbidden calls, %s", forbidden_calls, forbidden_name);
	return text;
}

static const char *in_order(const char *at, const char *what)
{
	const char *p = strstr(at, what);
	ck_assert_msg(p != NULL, "\"%s\" missing in:\n%s", what, text);
	return p + strlen(what);
}

/* ---- tests ---- */

START_TEST(libunwind_is_there)
{
	grt__modules_refresh();
	ck_assert_ptr_null(grt__unwind_init());
}
END_TEST

START_TEST(parked)
{
	struct g *gp = new_g(0, task_main);
	strcpy(gp->name, "worker");
	run_g(gp);
	const char *p = in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [sync.Cond.Wait] [worker]:\n");
	ck_assert_ptr_eq(strstr(text, "grt__"), NULL); /* internals are left out */
	p = in_order(p, "inner_wait(...)\n\t/");
	p = in_order(p, "+0x");
	p = in_order(p, " pc=0x");
	p = in_order(p, "\nmiddle_wait(...)\n");
	p = in_order(p, "\ntask_main(...)\n");
	ck_assert_ptr_null(strstr(p, "(...)")); /* and there it ends */
	p = in_order(trace(gp, TRACEBACK_SYSTEM), "goroutine 10 ");
	p = in_order(p, "grt__fake_park(...)");
	p = in_order(p, "task_main(...)");
	in_order(p, "grt__ctx_entry(...)");
}
END_TEST

START_TEST(headers)
{
	struct g *gp = new_g(0, task_main);
	run_g(gp);
	gp->lockedm = &fake_m;
	uint64_t cycles = grt__cycles();
	int64_t ns = grt__nanotime();
	usleep(100000); /* or longer, on a busy machine */
	uint64_t per_minute = (uint64_t)((double)(grt__cycles() - cycles) / (double)(grt__nanotime() - ns) * 60e9);
	gp->wait_since = grt__cycles() - per_minute * 5 / 2;
	in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [sync.Cond.Wait, 2 minutes, locked to thread]:\n");
	gp->status = G_RUNNABLE;
	in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [runnable, locked to thread]:\n");
	gp->lockedm = NULL;
	memset(gp->name, 'x', sizeof gp->name); /* no NUL */
	in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [runnable] [xxxxxxxxxxxxxxxx]:\n");
}
END_TEST

START_TEST(not_started)
{
	struct g *gp = new_g(0, task_main);
	const char *p = in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [runnable]:\ntask_main(...)\n");
	ck_assert_ptr_null(strstr(p, "(...)"));
}
END_TEST

static volatile int spinning;
static volatile bool stop;
__attribute__((noinline)) static void spin(void)
{
	while (!stop)
		spinning++;
}

static struct g *preempted_g;
static void on_usr1(int sig, siginfo_t *si, void *uc)
{
	static char frame[sizeof(ucontext_t)];
	memcpy(frame, uc, sizeof frame);
	preempted_g->frame_uc = frame;
	preempted_g->preempted = 1;
	preempted_g->status = G_RUNNABLE;
	stop = true;
}

static void *kick(void *main_thread)
{
	while (!spinning)
		usleep(1000);
	pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
	return NULL;
}

START_TEST(preempted)
{
	struct g *gp = preempted_g = new_g(0, task_main);
	struct sigaction sa = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO};
	pthread_t self = pthread_self(), t;
	sigaction(SIGUSR1, &sa, NULL);
	pthread_create(&t, NULL, kick, &self);
	spin();
	pthread_join(t, NULL);
	const char *p = in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [runnable]:\nspin(...)\n");
	in_order(p, "preempted_fn(...)\n");
}
END_TEST

static int pipe_fd[2];
__attribute__((noinline)) static void *sleeper(void *arg)
{
	char c;
	fake_m.tid = grt__sys_gettid();
	ssize_t n = read(pipe_fd[0], &c, 1);
	__asm__ volatile("" ::"r"(n) : "memory");
	return NULL;
}

static void *runner(void *arg)
{
	fake_m.tid = grt__sys_gettid();
	spin();
	return NULL;
}

START_TEST(on_another_m)
{
	struct g *gp = new_g(0, task_main);
	pthread_t t;
	ck_assert_int_eq(pipe(pipe_fd), 0);
	pthread_create(&t, NULL, sleeper, NULL);
	while (!fake_m.tid || !grt__os_thread_asleep(fake_m.tid))
		usleep(1000);
	gp->m = &fake_m;
	fake_m.curg = gp;
	gp->status = G_SYSCALL;
	gp->stack_lo = NULL; /* it is on the pthread's */
	const char *p = in_order(trace(gp, TRACEBACK_USER), "goroutine 10 [syscall]:\n");
	p = in_order(p, "read(...)\n");
	in_order(p, "sleeper(...)\n");
	gp->stack_lo = gp->map_lo + GUARD; /* now the thread is somewhere else */
	in_order(trace(gp, TRACEBACK_USER), "\tgoroutine running on other thread; stack unavailable\n");
	ck_assert_int_eq(write(pipe_fd[1], "x", 1), 1);
	pthread_join(t, NULL);
	in_order(trace(gp, TRACEBACK_USER), "\tgoroutine running on other thread; stack unavailable\n");

	fake_m.tid = 0;
	gp->stack_lo = NULL;
	pthread_create(&t, NULL, runner, NULL);
	while (!spinning)
		usleep(1000);
	gp->status = G_RUNNING;
	in_order(trace(gp, TRACEBACK_USER), "\tgoroutine running on other thread; stack unavailable\n");
	stop = true;
	pthread_join(t, NULL);
}
END_TEST

START_TEST(deep)
{
	struct g *gp = new_g(0, deep_main);
	run_g(gp);
	const char *p = trace(gp, TRACEBACK_USER);
	int frames = 0;
	for (const char *q = p; (q = strstr(q, "(...)")) != NULL; q++)
		frames++;
	ck_assert_int_eq(frames, 100);
	p = in_order(p, "...402 frames elided...\n"); /* 501 deep_wait and deep_main are 502 */
	in_order(p, "deep_main(...)\n");
}
END_TEST

/* Whatever is on the stack: no fault, an end. */
START_TEST(broken_stacks)
{
	struct g *gp = new_g(0, task_main);
	unsigned seed = 1;
	run_g(gp);
	uintptr_t *lo = gp->ctx.sp, *hi = (uintptr_t *)gp->birth.stack_hi;
	size_t n = (size_t)(hi - lo);
	uintptr_t *copy = __libc_malloc(n * sizeof *copy);
	memcpy(copy, lo, n * sizeof *copy);
	for (int round = 0; round < 300; round++) {
		memcpy(lo, copy, n * sizeof *copy);
		for (int k = 0; k < 3; k++) {
			uintptr_t v[] = {0,
			                 8,
			                 (uintptr_t)lo,
			                 (uintptr_t)hi,
			                 (uintptr_t)&spin,
			                 (uintptr_t)-1,
			                 (uintptr_t)gp->map_lo,
			                 rand_r(&seed),
			                 copy[rand_r(&seed) % n],
			                 (uintptr_t)lo | 1};
			lo[rand_r(&seed) % n] = v[rand_r(&seed) % GRT_COUNT(v)];
		}
		in_order(trace(gp, TRACEBACK_SYSTEM), "goroutine 10 ");
	}
	gp->ctx.sp = gp->map_lo; /* guard */
	in_order(trace(gp, TRACEBACK_USER), "\tstack unavailable\n");
	gp->ctx.sp = NULL;
	in_order(trace(gp, TRACEBACK_USER), "\tstack unavailable\n");
	__libc_free(copy);
}
END_TEST

START_TEST(nested_report)
{
	ck_assert(grt__report_begin_sig());
	ck_assert(!grt__report_begin_sig());
	grt__report_end_sig();
	ck_assert(grt__report_begin_sig());
	grt__report_end_sig();
}
END_TEST

/* ---- crashes: a child dies, its standard error and its status are looked at ---- */

enum { ALT = 65536, REPORT_STACK = 12 << 10 };
static char *alt;

/* The report stays within what crash.h promises. */
static void check_stack_use(const char *from)
{
	const char *p = alt;
	while (p < from && *p == 0x55)
		p++;
	if (from - p > REPORT_STACK)
		grt__print("FORBIDDEN %ld bytes of stack\n", from - p);
	if (getenv("STACK_USE"))
		grt__print("%ld bytes of stack\n", from - p);
}

static void on_crash(int sig, siginfo_t *si, void *uc)
{
	char here;
	forbidden = 1;
	grt__crash_report_sig(sig, si, uc);
	forbidden = 0;
	check_stack_use(&here);
	if (forbidden_calls)
		grt__print("FORBIDDEN %s\n", forbidden_name);
	signal(sig, SIG_DFL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

static char *crash(void (*fn)(void), int want_sig)
{
	catch_begin();
	pid_t pid = fork();
	if (pid == 0) {
		static const int sigs[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
		alt = mmap(NULL, ALT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(alt, 0x55, ALT);
		stack_t ss = {.ss_sp = alt, .ss_size = ALT};
		sigaltstack(&ss, NULL);
		for (size_t i = 0; i < GRT_COUNT(sigs); i++) {
			struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
			sigaction(sigs[i], &sa, NULL);
		}
		fn();
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	catch_end();
	ck_assert_ptr_null(strstr(text, "FORBIDDEN"));
	if (want_sig) {
		ck_assert_msg(WIFSIGNALED(status), "status %x:\n%s", status, text);
		ck_assert_int_eq(WTERMSIG(status), want_sig);
	}
	return text;
}

__attribute__((noinline)) static void store_to_null(void)
{
	*(volatile int *)8 = 1;
}

static void (*volatile null_function)(void);
__attribute__((noinline)) static void call_null(void)
{
	null_function();
	KEEP_FRAME;
}

static void send_quit(void)
{
	struct g *gp = new_g(0, task_main);
	run_g(gp);
	new_g(1, task_main)->internal = 1;
	raise(SIGQUIT);
}

static void store_with_others(void)
{
	run_g(new_g(0, task_main));
	new_g(1, task_main)->internal = 1;
	store_to_null();
}

static void do_abort(void)
{
	abort();
}

static void do_overflow(void)
{
	struct g *gp = new_g(2, overflow_main);
	strcpy(gp->name, "greedy");
	grt__self.g = gp;
	run_g(gp);
}

__attribute__((noinline)) static void do_throw(void)
{
	run_g(new_g(0, task_main));
	signal(SIGABRT, SIG_DFL);
	grt__throw("broken %d", 7);
}

static void not_a_task(void)
{
	grt__self.g = NULL;
	store_to_null();
}

START_TEST(segv)
{
	const char *p =
		in_order(crash(store_with_others, SIGSEGV), "[signal SIGSEGV: segmentation violation code=0x1 addr=0x8 pc=0x");
	p = in_order(p, "\n\ngoroutine 1 [running]:\nstore_to_null(...)\n\t");
	p = in_order(p, "main(...)\n");
	p = in_order(p, "\nrax    0x");
	p = in_order(p, "\nrip    0x");
	ck_assert_ptr_null(strstr(text, "goroutine 10 ")); /* single */
}
END_TEST

START_TEST(levels)
{
	grt__knobs.traceback = KNOB_TRACEBACK_NONE;
	in_order(crash(store_with_others, SIGSEGV), "[signal SIGSEGV");
	ck_assert_ptr_null(strstr(text, "goroutine"));
	grt__knobs.traceback = KNOB_TRACEBACK_ALL;
	in_order(crash(store_with_others, SIGSEGV), "\n\ngoroutine 10 [sync.Cond.Wait]:\n");
	ck_assert_ptr_null(strstr(text, "goroutine 11 ")); /* internal */
	grt__knobs.traceback = KNOB_TRACEBACK_SYSTEM;
	const char *p = in_order(crash(store_with_others, SIGSEGV), "\n\ngoroutine 10 [sync.Cond.Wait]:\n");
	in_order(p, "\n\ngoroutine 11 [runnable]:\n");
	in_order(p, "grt__fake_park(...)");
}
END_TEST

START_TEST(wild_call)
{
	const char *p = in_order(crash(call_null, SIGSEGV), "addr=0x0 pc=0x0]\n");
	p = in_order(p, "?(...)\n\tpc=0x0\n");
	in_order(p, "call_null(...)\n"); /* the caller is found */
}
END_TEST

START_TEST(quit)
{
	const char *p = in_order(crash(send_quit, SIGQUIT), "SIGQUIT: quit\nPC=0x");
	p = in_order(p, " m=3 sigcode=-6\n\ngoroutine 1 [running]:\n");
	p = in_order(p, "send_quit(...)\n");
	p = in_order(p, "\n\ngoroutine 10 [sync.Cond.Wait]:\n");
	p = in_order(p, "task_main(...)\n");
	ck_assert_ptr_null(strstr(text, "goroutine 11 "));
	in_order(p, "\nrax    0x");
}
END_TEST

START_TEST(aborted)
{
	const char *p = in_order(crash(do_abort, SIGABRT), "SIGABRT: abort\nPC=0x");
	p = in_order(p, "abort(...)\n");
	in_order(p, "do_abort(...)\n");
}
END_TEST

START_TEST(overflow)
{
	const char *p =
		in_order(crash(do_overflow, SIGSEGV), "runtime: goroutine stack exceeds 262144-byte limit\nruntime: sp=0x");
	p = in_order(p, "fatal error: stack overflow\n\nruntime: goroutine 12 [greedy] overflowed its stack in recurse\n");
	p = in_order(p, "[signal SIGSEGV: segmentation violation code=0x2");
	p = in_order(p, "goroutine 12 [running] [greedy]:\nrecurse(...)\n");
	p = in_order(p, " frames elided...\nrecurse(...)\n");
	in_order(p, "overflow_main(...)\n");
}
END_TEST

static void main_overflow_body(void)
{
	recurse(0, -1);
	KEEP_FRAME;
}

START_TEST(main_overflow)
{
	struct rlimit rl = {1 << 20, 8 << 20};
	setrlimit(RLIMIT_STACK, &rl);
	const char *p =
		in_order(crash(main_overflow_body, SIGSEGV), "runtime: goroutine stack exceeds 1048576-byte limit\n");
	p = in_order(p, "fatal error: stack overflow\n\nruntime: goroutine 1 overflowed its stack in recurse\n");
	in_order(p, "main_overflow_body(...)\n");
}
END_TEST

START_TEST(thrown)
{
	const char *p = in_order(crash(do_throw, SIGABRT), "fatal error: broken 7\n\ngoroutine 1 [running]:\n");
	p = in_order(p, "grt__throw(...)\n");
	p = in_order(p, "do_throw(...)\n");
	in_order(p, "goroutine 10 [sync.Cond.Wait]:\n");
}
END_TEST

START_TEST(foreign)
{
	const char *p = in_order(crash(not_a_task, SIGSEGV), "thread ");
	p = in_order(p, " [running, not a task]:\nstore_to_null(...)\n");
	in_order(p, "not_a_task(...)\n");
}
END_TEST

/* ---- schedtrace ---- */

START_TEST(sched_lines)
{
	char want[256];
	new_g(0, task_main);
	run_g(&gs[0]);
	fake_p[1].id = 1;
	fake_p[1].runq_tail = 2;
	fake_p[0].word = P_WORD(P_RUNNING, 3, 9);
	fake_p[0].schedtick = 77;
	grt__sched.allp = fake_allp;
	grt__sched.nprocs = 2;
	grt__sched.npidle = 1;
	grt__sched.allm = &fake_m;
	grt__sched.nm = grt__sched.nm_live = 1;
	fake_m.p = &fake_p[0];
	catch_begin();
	grt__schedtrace_print(false);
	catch_end();
	snprintf(
		want, sizeof want,
		"SCHED 0ms: gomaxprocs=2 idleprocs=1 threads=1 spinningthreads=0 needspinning=0 idlethreads=0 runqueue=0 [0 2] pid=%d\n",
		getpid());
	ck_assert_str_eq(text, want);
	catch_begin();
	grt__schedtrace_print(true);
	const char *p = in_order(catch_end(), "runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false pid=");
	p = in_order(p, "\n  P0: status=1 schedtick=77 syscalltick=0 m=3 runqsize=0 gfreecnt=0 timerslen=0\n");
	p = in_order(p, "  P1: status=0 schedtick=0 syscalltick=0 m=-1 runqsize=2 gfreecnt=0 timerslen=0\n");
	p = in_order(
		p,
		"  M3: p=0 curg=1 mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=false lockedg=-1\n");
	p = in_order(p, "  G1: status=2() m=3 lockedm=-1\n");
	in_order(p, "  G10: status=4(sync.Cond.Wait) m=-1 lockedm=-1\n");
}
END_TEST

START_TEST(sched_hook)
{
	char *env[] = {(char *)"GODEBUG=schedtrace=50", NULL};
	grt__schedtrace_init();
	ck_assert_ptr_null((void *)grt__schedtrace_hook);
	grt__knobs_parse(env);
	grt__schedtrace_init();
	ck_assert_ptr_nonnull((void *)grt__schedtrace_hook);
	catch_begin();
	grt__schedtrace_hook(1000);
	in_order(catch_end(), "SCHED 0ms: ");
	ck_assert_int_eq(grt__schedtrace_next, 1000 + 50000000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("traceback");
	TCase *bare = tcase_create("bare"), *tc = tcase_create("traceback");
	tcase_add_test(bare, libunwind_is_there);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, parked);
	tcase_add_test(tc, headers);
	tcase_add_test(tc, not_started);
	tcase_add_test(tc, preempted);
	tcase_add_test(tc, on_another_m);
	tcase_add_test(tc, deep);
	tcase_add_test(tc, broken_stacks);
	tcase_add_test(tc, nested_report);
	tcase_add_test(tc, segv);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, wild_call);
	tcase_add_test(tc, quit);
	tcase_add_test(tc, aborted);
	tcase_add_test(tc, overflow);
	tcase_add_test(tc, main_overflow);
	tcase_add_test(tc, thrown);
	tcase_add_test(tc, foreign);
	tcase_add_test(tc, sched_lines);
	tcase_add_test(tc, sched_hook);
	suite_add_tcase(s, bare);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
