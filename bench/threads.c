/*
 * threads MODE [N]: what a thread costs, measured by a plain pthread program.
 *
 * One binary, one mode per row of the table that bench/run prints.  It knows nothing of libgrt: the
 * same binary runs on NPTL and, with LD_PRELOAD, on whatever replaces it.  Nor does it pin itself or
 * choose a number of processors; the caller does that from outside (taskset, GOMAXPROCS), because an
 * affinity call from inside would tie a task to its kernel thread.
 *
 * What it prints: bench.h.
 *
 * All measured threads are created ones and main only joins them, so that no mode measures main's
 * special case, nor glibc's shortcut for a process that has never made a thread.
 */
#include "bench.h"
#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>

#define BATCH 1000

/* Two threads run fn(&side[0]) and fn(&side[1]), released together; returns how long they took. */
struct side {
	int me;
	long n;
	long switches;
	pthread_barrier_t *gate;
};

static int64_t run_two(void *(*fn)(void *), long n, struct side side[2])
{
	pthread_barrier_t gate;
	pthread_t t[2];
	int64_t t0;

	must(pthread_barrier_init(&gate, NULL, 2), "pthread_barrier_init");
	t0 = now();
	for (int i = 0; i < 2; i++) {
		side[i] = (struct side){.me = i, .n = n, .gate = &gate};
		start(&t[i], NULL, fn, &side[i]);
	}
	for (int i = 0; i < 2; i++)
		join(t[i]);
	t0 = now() - t0;
	must(pthread_barrier_destroy(&gate), "pthread_barrier_destroy");
	return t0;
}

/*
 * yield: two threads call sched_yield in turn.  The kernel may let a yielding thread go on, so the
 * figure is the time per change of the running thread, not per call.
 */
static _Atomic int yield_last;
static double yield_switches; /* of the last repetition, per call */

static void *yield_side(void *arg)
{
	struct side *s = arg;

	pthread_barrier_wait(s->gate);
	for (long i = 0; i < s->n; i++) {
		if (atomic_load_explicit(&yield_last, memory_order_relaxed) != s->me) {
			atomic_store_explicit(&yield_last, s->me, memory_order_relaxed);
			s->switches++;
		}
		sched_yield();
	}
	return NULL;
}

static int64_t yield_once(long n)
{
	struct side side[2];
	int64_t took = run_two(yield_side, n, side);

	yield_switches = (double)(side[0].switches + side[1].switches) / (2.0 * n);
	return took;
}

static void mode_yield(long given)
{
	double per_call = calibrate(yield_once, 1000, given) / 2;

	if (yield_switches < 0.01)
		die("yield: only one call in %.0f let the other thread run", 1 / yield_switches);
	printf("yield_switch %.1f ns\n", per_call / yield_switches);
	printf("yield_call %.1f ns\n", per_call);
}

/* create: one thread at a time, created and joined; the first repetitions fill the stack pool. */
static atomic_long ran;

static void *count_run(void *arg)
{
	atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
	return arg;
}

static long create_n;

static void *create_loop(void *arg)
{
	pthread_t t;

	for (long i = 0; i < create_n; i++) {
		start(&t, NULL, count_run, NULL);
		join(t);
	}
	return arg;
}

static int64_t create_once(long n)
{
	pthread_t t;
	int64_t t0;

	create_n = n;
	atomic_store(&ran, 0);
	t0 = now();
	start(&t, NULL, create_loop, NULL);
	join(t);
	t0 = now() - t0;
	must_equal(atomic_load(&ran), n, "create: threads that ran");
	return t0;
}

static void mode_create(long given)
{
	printf("create_join %.1f ns\n", calibrate(create_once, 200, given));
}

/* batch: BATCH threads are created, then all are joined.  n counts batches. */
static void *batch_loop(void *arg)
{
	static pthread_t t[BATCH];

	for (long b = 0; b < create_n; b++) {
		for (int i = 0; i < BATCH; i++)
			start(&t[i], NULL, count_run, NULL);
		for (int i = 0; i < BATCH; i++)
			join(t[i]);
	}
	return arg;
}

static int64_t batch_once(long n)
{
	pthread_t t;
	int64_t t0;

	create_n = n;
	atomic_store(&ran, 0);
	t0 = now();
	start(&t, NULL, batch_loop, NULL);
	join(t);
	t0 = now() - t0;
	must_equal(atomic_load(&ran), n * BATCH, "batch: threads that ran");
	return t0;
}

static void mode_batch(long given)
{
	printf("batch_join %.1f ns\n", calibrate(batch_once, 1, given) / BATCH);
}

/* detach: BATCH detached threads are created; the last one to finish says so. */
static sem_t batch_done;

static void *count_down(void *arg)
{
	if (atomic_fetch_add_explicit(&ran, 1, memory_order_acq_rel) + 1 == BATCH)
		post_sem(&batch_done);
	return arg;
}

static void *detach_loop(void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	must(pthread_attr_init(&attr), "pthread_attr_init");
	must(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), "setdetachstate");
	for (long b = 0; b < create_n; b++) {
		atomic_store(&ran, 0);
		for (int i = 0; i < BATCH; i++)
			start(&t, &attr, count_down, NULL);
		wait_sem(&batch_done);
		must_equal(atomic_load(&ran), BATCH, "detach: threads that ran");
	}
	must(pthread_attr_destroy(&attr), "pthread_attr_destroy");
	return arg;
}

static int64_t detach_once(long n)
{
	pthread_t t;
	int64_t t0;

	create_n = n;
	sem_init(&batch_done, 0, 0);
	t0 = now();
	start(&t, NULL, detach_loop, NULL);
	join(t);
	return now() - t0;
}

static void mode_detach(long given)
{
	printf("batch_detach %.1f ns\n", calibrate(detach_once, 1, given) / BATCH);
}

/* cond: a turn handed to and fro under a mutex, each side with its own condition.  n counts rounds. */
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_cond[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
static int turn;       /* turn_lock */
static long turn_hops; /* turn_lock */

static void *cond_side(void *arg)
{
	struct side *s = arg;

	for (long i = 0; i < s->n; i++) {
		pthread_mutex_lock(&turn_lock);
		while (turn != s->me)
			pthread_cond_wait(&turn_cond[s->me], &turn_lock);
		turn = !s->me;
		turn_hops++;
		pthread_cond_signal(&turn_cond[!s->me]);
		pthread_mutex_unlock(&turn_lock);
	}
	return NULL;
}

static int64_t cond_once(long n)
{
	struct side side[2];
	int64_t took;

	turn = 0;
	turn_hops = 0;
	took = run_two(cond_side, n, side);
	must_equal(turn_hops, 2 * n, "cond: hops");
	return took;
}

static void mode_cond(long given)
{
	printf("cond_hop %.1f ns\n", calibrate(cond_once, 500, given) / 2);
}

/* sem: the same by two semaphores. */
static sem_t turn_sem[2];

static void *sem_side(void *arg)
{
	struct side *s = arg;

	for (long i = 0; i < s->n; i++) {
		wait_sem(&turn_sem[s->me]);
		turn_hops++;
		post_sem(&turn_sem[!s->me]);
	}
	return NULL;
}

static int64_t sem_once(long n)
{
	struct side side[2];
	int64_t took;
	int left[2];

	turn_hops = 0;
	sem_init(&turn_sem[0], 0, 1);
	sem_init(&turn_sem[1], 0, 0);
	took = run_two(sem_side, n, side);
	must_equal(turn_hops, 2 * n, "sem: hops");
	for (int i = 0; i < 2; i++) {
		sem_getvalue(&turn_sem[i], &left[i]);
		sem_destroy(&turn_sem[i]);
	}
	must_equal(left[0], 1, "sem: first semaphore at the end");
	must_equal(left[1], 0, "sem: second semaphore at the end");
	return took;
}

static void mode_sem(long given)
{
	printf("sem_hop %.1f ns\n", calibrate(sem_once, 500, given) / 2);
}

/* lock: one thread takes and gives back a mutex that nobody else wants. */
static long lock_n;
static long lock_count;
static pthread_mutex_t lock_mutex = PTHREAD_MUTEX_INITIALIZER;

static void *lock_loop(void *arg)
{
	for (long i = 0; i < lock_n; i++) {
		pthread_mutex_lock(&lock_mutex);
		lock_count++;
		pthread_mutex_unlock(&lock_mutex);
	}
	return arg;
}

static int64_t lock_once(long n)
{
	pthread_t t;
	int64_t t0;

	lock_n = n;
	lock_count = 0;
	t0 = now();
	start(&t, NULL, lock_loop, NULL);
	join(t);
	t0 = now() - t0;
	must_equal(lock_count, n, "lock: turns");
	return t0;
}

static void mode_lock(long given)
{
	printf("lock_unlock %.2f ns\n", calibrate(lock_once, 10000, given));
}

/*
 * parked, parked8m: N threads (1,000,000) that all wait on one condition.  The time runs until the
 * last of them waits; then memory is read, and all are released and joined.  Running out of threads
 * is a result, not an error: the count says how far it came.
 */
static pthread_mutex_t park_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t park_open = PTHREAD_COND_INITIALIZER;
static pthread_cond_t park_full = PTHREAD_COND_INITIALIZER;
static long park_want = -1; /* park_lock: wake main when so many wait */
static long park_in;        /* park_lock */
static long park_out;       /* park_lock */
static bool park_is_open;   /* park_lock */

static void *park(void *arg)
{
	pthread_mutex_lock(&park_lock);
	if (++park_in == park_want)
		pthread_cond_signal(&park_full);
	while (!park_is_open)
		pthread_cond_wait(&park_open, &park_lock);
	park_out++;
	pthread_mutex_unlock(&park_lock);
	return arg;
}

/* A field of /proc/self/status; those with a unit are in KiB. */
static long status(const char *field)
{
	char line[256];
	long value = -1;
	size_t len = strlen(field);
	FILE *f = fopen("/proc/self/status", "re");

	if (f == NULL)
		die("/proc/self/status: %s", strerror(errno));
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, field, len) == 0 && line[len] == ':')
			value = atol(line + len + 1);
	fclose(f);
	if (value < 0)
		die("/proc/self/status: no %s", field);
	return value;
}

struct park_result {
	long made;
	int64_t park_ns, release_ns;
	double bytes; /* resident and page tables, all threads parked */
	long kernel_threads;
};

static struct park_result park_many(long n, size_t stack)
{
	struct park_result r;
	pthread_t *t = calloc(n, sizeof *t);
	pthread_attr_t attr;
	int64_t t0;
	long made;
	int err = 0;

	if (t == NULL)
		die("parked: no memory for %ld handles", n);
	must(pthread_attr_init(&attr), "pthread_attr_init");
	if (stack != 0)
		must(pthread_attr_setstacksize(&attr, stack), "pthread_attr_setstacksize");

	t0 = now();
	for (made = 0; made < n; made++)
		if ((err = pthread_create(&t[made], &attr, park, NULL)) != 0)
			break;
	if (err != 0 && err != EAGAIN)
		die("parked: pthread_create after %ld: %s", made, strerror(err));
	pthread_mutex_lock(&park_lock);
	park_want = made;
	while (park_in < made)
		pthread_cond_wait(&park_full, &park_lock);
	pthread_mutex_unlock(&park_lock);
	r.park_ns = now() - t0;
	r.made = made;

	/* Whoever counted itself in under park_lock has given the lock back only by waiting. */
	r.bytes = (status("VmRSS") + status("VmPTE")) * 1024.0;
	r.kernel_threads = status("Threads");

	t0 = now();
	pthread_mutex_lock(&park_lock);
	park_is_open = true;
	pthread_cond_broadcast(&park_open);
	pthread_mutex_unlock(&park_lock);
	for (long i = 0; i < made; i++)
		join(t[i]);
	r.release_ns = now() - t0;
	must_equal(park_in, made, "parked: threads that waited");
	must_equal(park_out, made, "parked: threads that were released");
	if (made == 0)
		die("parked: not one thread");

	must(pthread_attr_destroy(&attr), "pthread_attr_destroy");
	free(t);
	return r;
}

static void parked(long n, size_t stack)
{
	struct park_result r = park_many(n, stack);

	printf("parked_made %ld threads\n", r.made);
	printf("parked_each %.1f ns\n", (double)r.park_ns / r.made);
	printf("parked_release %.1f ns\n", (double)r.release_ns / r.made);
	printf("parked_total %.0f bytes\n", r.bytes);
	printf("parked_memory %.0f bytes\n", r.bytes / r.made);
	printf("parked_kernel_threads %ld threads\n", r.kernel_threads);
}

static void mode_parked(long given)
{
	parked(given > 0 ? given : 1000000, 64 * 1024);
}

static void mode_parked8m(long given)
{
	parked(given > 0 ? given : 1000000, 0);
}

/*
 * preempt: one thread computes without a call, another sleeps 1 ms at a time and notes how late it
 * wakes.  Meant for one processor.  It takes N samples (500), or what fits in 2 s, but at least 20.
 */
#define PREEMPT_SLEEP INT64_C(1000000)

static atomic_bool spin_stop;
static atomic_long spin_turns;
static long preempt_n;
static int64_t *preempt_late;
static long preempt_taken;
static long preempt_spun; /* the spinner's progress between the first and the last sample */

static void *spin(void *arg)
{
	while (!atomic_load_explicit(&spin_stop, memory_order_relaxed))
		atomic_store_explicit(&spin_turns, atomic_load_explicit(&spin_turns, memory_order_relaxed) + 1,
		                      memory_order_relaxed);
	return arg;
}

static void *sleeper(void *arg)
{
	const struct timespec ms = {.tv_nsec = PREEMPT_SLEEP};
	int64_t begin = now(), t0;
	long i, spun = 0;

	for (i = 0; i < preempt_n; i++) {
		t0 = now();
		if (i >= 20 && t0 - begin > 2 * INT64_C(1000000000))
			break;
		if (nanosleep(&ms, NULL) != 0)
			die("nanosleep: %s", strerror(errno));
		preempt_late[i] = now() - t0 - PREEMPT_SLEEP;
		if (i == 0)
			spun = atomic_load(&spin_turns);
	}
	preempt_taken = i;
	preempt_spun = atomic_load(&spin_turns) - spun;
	atomic_store(&spin_stop, true);
	return arg;
}

static void mode_preempt(long given)
{
	pthread_t spinner, waker;

	preempt_n = given > 0 ? given : 500;
	preempt_late = calloc(preempt_n, sizeof *preempt_late);
	if (preempt_late == NULL)
		die("preempt: no memory");
	start(&spinner, NULL, spin, NULL);
	start(&waker, NULL, sleeper, NULL);
	join(waker);
	join(spinner);
	qsort(preempt_late, preempt_taken, sizeof *preempt_late, by_value);
	if (preempt_late[0] < 0)
		die("preempt: a sleep of 1 ms came back %ld ns early", (long)-preempt_late[0]);
	if (preempt_spun <= 0)
		die("preempt: the spinning thread never ran");
	printf("preempt_max %.0f ns\n", (double)preempt_late[preempt_taken - 1]);
	printf("preempt_p99 %.0f ns\n", (double)preempt_late[(preempt_taken - 1) * 99 / 100]);
	printf("preempt_median %.0f ns\n", (double)preempt_late[preempt_taken / 2]);
	printf("preempt_samples %ld samples\n", preempt_taken);
	free(preempt_late);
}

/*
 * runtime: which library answers pthread_create, and how many kernel threads N (64) waiting threads take.
 * bench/run checks by it that a preload is in force.
 */
static void mode_runtime(long given)
{
	Dl_info info;
	void *fn = dlsym(RTLD_DEFAULT, "pthread_create");
	struct park_result r;

	if (fn == NULL || dladdr(fn, &info) == 0)
		die("runtime: pthread_create is nowhere");
	r = park_many(given > 0 ? given : 64, 0);
	printf("runtime %s library\n", info.dli_fname);
	printf("runtime_threads %ld threads\n", r.made);
	printf("runtime_kernel_threads %ld threads\n", r.kernel_threads);
}

/* true: does nothing, for bench/startup. */
static void mode_true(long given)
{
	(void)given;
}

static const struct mode modes[] = {
	{"yield", mode_yield, "sched_yield between two threads"},
	{"create", mode_create, "create and join one at a time"},
	{"batch", mode_batch, "create 1000, then join them"},
	{"detach", mode_detach, "create 1000 detached, wait for the last"},
	{"cond", mode_cond, "mutex and condition ping-pong"},
	{"sem", mode_sem, "semaphore ping-pong"},
	{"lock", mode_lock, "uncontended lock and unlock"},
	{"parked", mode_parked, "N waiting threads with 64 KiB stacks"},
	{"parked8m", mode_parked8m, "N waiting threads with default stacks"},
	{"preempt", mode_preempt, "how late a sleeper wakes beside a spinner"},
	{"runtime", mode_runtime, "the library that pthread_create comes from"},
	{"true", mode_true, "nothing"},
};

int main(int argc, char **argv)
{
	return run_mode(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
