/*
 * libgrt: Go's scheduler for C. Link with -lgrt, or preload libgrt.so and look the functions up.
 *
 * A task is a thread in every respect that a program can see: it has a pthread_t, its own errno, __thread variables and
 * locale, and pthread mutexes, condition variables and the rest work between tasks and threads, which are the same thing. Tasks are
 * multiplexed on at most GOMAXPROCS kernel threads plus those that are blocked in the kernel.
 *
 * Unless said otherwise a function may be called from any thread of the process that runs as a task: main, threads made by
 * pthread_create, tasks made by grt_go. The first call starts the runtime. None of them is async-signal-safe except
 * grt_version and grt_write_heap_profile, and none is a cancellation point.
 *
 * Mistakes that panic in Go panic here: with nobody to recover, "panic: " and Go's words on standard error, then stacks as GOTRACEBACK says,
 * then exit status 2.
 *
 * Memory model (Go's). Within a task, things happen in program order. In addition, these happen before those:
 *   grt_go                                      the start of the task. Its end happens before nothing, unless it says so by one of these
 *   a send                                      the completion of its receive
 *   the k-th receive, of capacity C             the completion of the k + C-th send (C = 0: of its own)
 *   a close                                     a receive that returns because of it
 *   the n-th unlock of a mutex                  the return of the m-th lock, n < m; of an RW mutex also between its readers and writers
 *   a done of a wait group                      the return of a wait that it ends
 *   a signal, a broadcast                       the return of the waits that it ends
 *   the end of once's function                  the return of any call for that once
 *   a release of a semaphore                    the acquire that gets it; a put into a pool: the get of that object
 *   the firing of a timer, the end of a context what its channel or function lets go on
 * The same holds for pthread_create, pthread_join and all of POSIX's locks, between tasks as between threads. C11's and C++'s atomics are
 * between tasks what they are between threads; with memory_order_seq_cst, their default, they are Go's. A task that moves to another
 * kernel thread sees what it wrote. Two accesses to plain memory of which one writes and neither happens before the other are a race, as in C.
 *
 * Time is in nanoseconds of CLOCK_MONOTONIC. GRT_FOREVER as a time-out is none; one that is not positive does not wait.
 *
 * A program that links libgrt and in which every task waits for another one for ever is ended: "fatal error: all tasks are asleep -
 * deadlock!", the stacks of all, exit status 2. That is said only if nothing can wake it from outside: no task in a system call, no timer, no
 * handler of a signal, no thread that libgrt did not make. Under LD_PRELOAD it hangs, as it would without libgrt.
 *
 * Where this libc or kernel cannot carry tasks (`grt doctor` says why) everything below still works, on kernel threads.
 */
#ifndef GRT_H
#define GRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRT_VERSION_MAJOR 0
#define GRT_VERSION_MINOR 1
#define GRT_VERSION_PATCH 0

#define GRT_FOREVER INT64_MAX
#define GRT_SECOND INT64_C(1000000000)
#define GRT_MILLISECOND INT64_C(1000000)
#define GRT_MICROSECOND INT64_C(1000)

/* ---- tasks ---- */

/*
 * Runs fn(arg) as a new task (Go's go statement). The task is detached: nobody joins it, and its end releases everything it had.
 * It inherits the caller's signal mask. arg stays the caller's property and must live as long as fn needs it.
 * Returns 0, or -1 with errno EAGAIN when there is no memory for a stack. Semantics: Go's go statement; leaving main
 * ends the process and every task with it.
 */
int grt_go(void (*fn)(void *), void *arg);

/*
 * The same with a stack of stack_size bytes, rounded up to pages; 0: the default, RLIMIT_STACK's as for pthreads. Memory is used as it is
 * touched. -1 with errno EINVAL: less than PTHREAD_STACK_MIN, or more than there is address space.
 */
int grt_go_stack(void (*fn)(void *), void *arg, size_t stack_size);

/*
 * Lets the other runnable tasks run first (Go's runtime.Gosched, POSIX sched_yield). Returns at once if there are none.
 */
void grt_yield(void);

/*
 * Ends the calling task (Go's runtime.Goexit): deferred calls run, newest first, then cleanup handlers, C++ frames unwind, thread_local and key destructors run. As
 * pthread_exit(NULL), also from main: then the process ends, with status 0, when the last task does.
 */
void grt_exit(void) __attribute__((noreturn));

/*
 * Pins the calling task to the kernel thread it runs on, and that thread to the task, until as many calls of
 * grt_unlock_os_thread (Go's runtime.LockOSThread). For libraries that keep state per kernel thread. When a pinned task ends
 * its kernel thread goes on with other tasks, unless the task changed what the kernel keeps per thread (affinity,
 * scheduling, nice value, ...): then it ends too.
 */
void grt_lock_os_thread(void);
/* Undoes one grt_lock_os_thread. More unlocks than locks are ignored. */
void grt_unlock_os_thread(void);

/*
 * The calling thread's name, as pthread_setname_np sets it, cut at 15 characters: in traces, gdb and ps (main's). A new task has its maker's.
 */
void grt_set_task_name(const char *name);
void grt_task_name(char buf[16]);

/* The number of the calling task in traces; main's is 1. 0 on a thread that is none. */
uint64_t grt_task_id(void);

/*
 * One pointer of the calling thread's own, NULL at its start. Nothing is done with it at the end. (__thread variables and pthread keys are
 * task-local as well.)
 */
void grt_set_task_local(void *value);
void *grt_task_local(void);

/*
 * Marks calls that may sleep in the kernel and that libgrt cannot see coming, in a library that makes system calls by itself: other tasks run
 * meanwhile at once, instead of some ten microseconds to milliseconds later when it is found asleep. Pairs nest. Signal handlers run in
 * between. What enters libgrt in between (a wait, a wrapped system call) ends the section; malloc is slower there.
 */
void grt_block_begin(void);
void grt_block_end(void);

/* CPUs that the process may use (runtime.NumCPU). */
int grt_num_cpu(void);

/*
 * How many kernel threads there may be for tasks, 10,000 at first (debug.SetMaxThreads): one more is a fatal error. Returns the limit before; n <= 0
 * only asks. Near the limit new tasks are refused with EAGAIN.
 */
int grt_set_max_threads(int n);

/*
 * Sets how many kernel threads run tasks at the same time and returns the value before; n <= 0 only asks (Go's
 * runtime.GOMAXPROCS). n is limited to 1024. The value at the start is the GOMAXPROCS variable, else the number of CPUs in the
 * affinity mask, limited by the cgroup's CPU quota.
 */
int grt_gomaxprocs(int n);

/* Tasks alive, main and pthreads included (Go's runtime.NumGoroutine). A snapshot. */
int grt_num_tasks(void);

/*
 * n bytes that will never hold a pointer to another block: text, numbers, packets. As malloc otherwise: free and realloc (which keeps it
 * so) take it, and it is the caller's; NULL with errno ENOMEM. Such blocks are kept apart, so that a collector need not look into
 * them, and 8 bytes or less take 8, at a multiple of 8 (malloc: 16). Any thread, also where tasks stay 1:1; as safe in signal
 * handlers as malloc. Semantics: Go's allocation of pointer-free types, Boehm's GC_malloc_atomic.
 */
void *grt_malloc_noscan(size_t n)
#ifdef __GNUC__
	__attribute__((malloc, alloc_size(1)))
#endif
	;

/*
 * Writes the heap profile to a file descriptor (Go's pprof.WriteHeapProfile): for each stack that allocated, the blocks and bytes that
 * live and those that ever did, of the sampled ones, in the text format that google-pprof and `go tool pprof` read. Any thread,
 * async-signal-safe; does not start the runtime. Returns 0, or -1 with errno as of write(2).
 */
int grt_write_heap_profile(int fd);

/* "0.1.0". Static storage. Async-signal-safe, any thread. */
const char *grt_version(void);

/*
 * What `grt doctor` prints about this process: lines of "name: state", NUL-terminated, at most size bytes. Starts the runtime.
 * Returns 0 if threads run as tasks, 1 if they stay 1:1 (then the first line is the reason).
 */
int grt_doctor_report(char *buf, size_t size);

/* Waits for ns nanoseconds at least (time.Sleep); signal handlers run meanwhile and do not end it. Any thread. */
void grt_sleep(int64_t ns);

/* ns of CLOCK_MONOTONIC, without a system call. Any thread, async-signal-safe. */
int64_t grt_now(void);

/* ---- defer, panic, recover ---- */

/*
 * GRT_DEFER(fn, arg); as a declaration in a block: fn(arg) is called when the block is left, by its end, return, break, goto or a C++ exception,
 * in reverse order, and also by a panic or grt_exit (but not by longjmp). arg is evaluated now, and is read when fn runs. As Go's defer, but
 * for the block instead of the function.
 */
#define GRT_DEFER(fn, arg) GRT_DEFER_AS(fn, arg, __COUNTER__)
#define GRT_DEFER_AS(fn, arg, n) GRT_DEFER_TO(fn, arg, n)
#define GRT_DEFER_TO(fn, arg, n)                                                                                       \
	struct grt_defer __attribute__((cleanup(grt_defer_pop))) grt_deferred_##n;                                         \
	grt_defer_push(&grt_deferred_##n, (fn), (arg))

struct grt_defer {
	struct grt_defer *next;
	void (*fn)(void *);
	void *arg;
	void *scope, *panic;
	int done;
};
/* What GRT_DEFER is made of; a record must be popped before it goes out of scope. */
void grt_defer_push(struct grt_defer *d, void (*fn)(void *), void *arg);
void grt_defer_pop(struct grt_defer *d);

/*
 * Panics: the deferred calls of this thread run, newest first. If none recovers, the program ends: "panic: " and text, the stack as
 * GOTRACEBACK says, exit status 2 (GOTRACEBACK=crash: SIGABRT). A panic in a deferred call takes the place of the one before. text must
 * live as long as the panic. Any thread; not in signal handlers. C++ frames in between are not unwound: their destructors do not run.
 */
void grt_panic(const char *text) __attribute__((noreturn));
/* The same with a value for who recovers; text says for the message what it is (NULL: "(value)"). */
void grt_panic_value(const void *value, const char *text) __attribute__((noreturn));

/*
 * In a function that was called because of a panic, itself and not in one that it calls: ends the panic, and yields its value (that of grt_panic is
 * text). NULL anywhere else, and when there is no panic. When that function returns, the remaining deferred calls of the innermost
 * grt_call run, and it returns false; without one, the task ends as if its function had returned, and of main, the process, with
 * status 0.
 */
#define grt_recover() grt_recover_in(__builtin_dwarf_cfa())
void *grt_recover_in(const void *frame);

/* Calls fn(arg). True when it returned; false when a panic inside was recovered by a call deferred inside. */
bool grt_call(void (*fn)(void *), void *arg);

/* ---- synchronisation ---- */

/*
 * Go's package sync. All objects are ready when they are zero, need no end, and must neither be copied nor go away while in use; any
 * thread may use them, and not signal handlers. Nobody owns a lock: another task may unlock it. In a child of fork a lock is as it was,
 * and nobody waits.
 */

/*
 * A mutex with two modes (sync.Mutex). Normally whoever runs takes it; a waiter that has waited for more than 1 ms makes it starving:
 * then it goes from hand to hand in the order of arrival, until there is no waiter or one waited less. Fatal: "sync: unlock of unlocked mutex".
 */
typedef struct {
	uint32_t state, sema;
} grt_mutex;
void grt_mutex_lock(grt_mutex *m);
bool grt_mutex_try_lock(grt_mutex *m);
void grt_mutex_unlock(grt_mutex *m);

/*
 * Many readers or one writer (sync.RWMutex). A writer that waits keeps new readers out, so a reader must not lock twice. Fatal: "sync: RUnlock of
 * unlocked RWMutex", "sync: Unlock of unlocked RWMutex".
 */
typedef struct {
	grt_mutex w;
	uint32_t writer_sema, reader_sema;
	int32_t readers, reader_wait;
} grt_rwmutex;
void grt_rwmutex_rlock(grt_rwmutex *rw);
bool grt_rwmutex_try_rlock(grt_rwmutex *rw);
void grt_rwmutex_runlock(grt_rwmutex *rw);
void grt_rwmutex_lock(grt_rwmutex *rw);
bool grt_rwmutex_try_lock(grt_rwmutex *rw);
void grt_rwmutex_unlock(grt_rwmutex *rw);

/*
 * Waits for a number of tasks (sync.WaitGroup): add before each is started, done at its end, wait for the count to be 0. Panics: "sync:
 * negative WaitGroup counter", "sync: WaitGroup misuse: Add called concurrently with Wait", "sync: WaitGroup is reused before previous Wait has
 * returned".
 */
typedef struct {
	uint64_t state;
	uint32_t sema;
} grt_wait_group;
void grt_wait_group_add(grt_wait_group *wg, int delta);
void grt_wait_group_done(grt_wait_group *wg);
void grt_wait_group_wait(grt_wait_group *wg);

/*
 * A condition (sync.Cond). wait unlocks m, waits to be told, locks m: only signal and broadcast end it, nothing spurious. signal wakes
 * the one that has waited longest. m is the same for all that wait.
 */
typedef struct {
	uint32_t wait, notify;
} grt_cond;
void grt_cond_wait(grt_cond *c, grt_mutex *m);
void grt_cond_signal(grt_cond *c);
void grt_cond_broadcast(grt_cond *c);

/*
 * Runs fn(arg) the first time (sync.Once); whoever comes meanwhile waits for its end. It counts as done also if fn panics. fn must not use
 * the same once.
 */
typedef struct {
	uint32_t done;
	grt_mutex m;
} grt_once;
void grt_once_do(grt_once *o, void (*fn)(void *), void *arg);

/* fn(arg), computed once (sync.OnceValue). If it panicked, each call panics with the same value. */
typedef struct {
	grt_once once;
	void *value;
	const char *text;
	int state;
} grt_once_value;
void *grt_once_value_get(grt_once_value *o, void *(*fn)(void *), void *arg);

/*
 * A counting semaphore: acquire takes one, or waits, release gives one; waiters are served in the order of arrival. timed: false after timeout
 * ns.
 */
typedef struct {
	uint32_t count;
} grt_sem;
#define GRT_SEM_INIT(n)                                                                                                \
	{                                                                                                                  \
		n                                                                                                              \
	}
void grt_sem_acquire(grt_sem *s);
bool grt_sem_try_acquire(grt_sem *s);
bool grt_sem_acquire_timed(grt_sem *s, int64_t timeout);
void grt_sem_release(grt_sem *s);

/*
 * Objects to use again (sync.Pool): get takes one that was put, or calls make(arg) (NULL: yields NULL); put gives one. A pool may drop
 * objects at any time, by drop(object, arg): those that nobody took for two to four minutes, and what is too much. Each P has a store of its
 * own, so the usual case shares nothing. All three fields before first use; grt_pool_free drops everything.
 */
typedef struct {
	void *(*make)(void *arg);
	void (*drop)(void *object, void *arg);
	void *arg;
	void *store;
} grt_pool;
void *grt_pool_get(grt_pool *p);
void grt_pool_put(grt_pool *p, void *object);
void grt_pool_free(grt_pool *p);

/* ---- channels ---- */

/*
 * A channel carries elements of one size, which are copied in and out, from one task to another. Unbuffered (capacity 0), a send and a
 * receive meet; buffered, up to capacity elements wait inside. Waiters are served first come, first served, and a value goes straight
 * into the memory of a receiver that waits. These functions may be called by any thread, also kernel threads that libgrt did not make;
 * not by signal handlers. A handler that runs during a wait may itself wait, or leave by siglongjmp: the operation has not taken place then.
 *
 * In place of a channel NULL may be given, Go's nil channel: send and receive wait for ever, in a select it is never ready. Semantics:
 * the Go specification, "Channel types", "Send statements", "Receive operator", "Select statements".
 */
typedef struct grt_chan grt_chan;

/*
 * A new channel for elements of elem_size bytes (0 is allowed), with room for capacity of them: make(chan T, capacity). It is the caller's,
 * who ends it with grt_chan_free. NULL with errno ENOMEM.
 */
grt_chan *grt_chan_make(size_t elem_size, size_t capacity);

/*
 * Frees it, and forgets what is in it. Nobody may be using it or wait on it (that is a fatal error if it is seen): whoever has received
 * the last value, or learnt of the close, may free it, but not while another task is inside a select that names it. NULL is ignored. Go
 * has a collector for this.
 */
void grt_chan_free(grt_chan *c);

/*
 * Sends *value; waits until a receiver takes it, or there is room. Panics with "send on closed channel", also when the channel is closed during the
 * wait.
 */
void grt_chan_send(grt_chan *c, const void *value);

/*
 * Receives into *value (NULL: it is dropped). False: the channel is closed and drained, *value is zero.
 */
bool grt_chan_recv(grt_chan *c, void *value);

/* What try and timed forms return; GRT_CLOSED only by those that receive. */
enum grt_chan_result { GRT_OK = 1, GRT_CLOSED = 0, GRT_WOULD_BLOCK = -1, GRT_TIMED_OUT = -1 };

/* The same without waiting (a select with that case and default): GRT_WOULD_BLOCK instead. */
int grt_chan_try_send(grt_chan *c, const void *value);
int grt_chan_try_recv(grt_chan *c, void *value);

/* The same, for timeout ns at most: GRT_TIMED_OUT then. */
int grt_chan_send_timed(grt_chan *c, const void *value, int64_t timeout);
int grt_chan_recv_timed(grt_chan *c, void *value, int64_t timeout);

/*
 * Nothing more will be sent. Receivers get what is inside, then zero and false; those that wait are woken. Panics with "close of closed
 * channel" or "close of nil channel"; tasks that wait to send panic.
 */
void grt_chan_close(grt_chan *c);

/* Elements inside, and how many there may be; 0 of NULL. A snapshot. */
size_t grt_chan_len(grt_chan *c);
size_t grt_chan_cap(grt_chan *c);

/* One case of a select. */
struct grt_case {
	grt_chan *chan; /* NULL: never ready */
	void *value;    /* what to send, or where to receive (NULL: dropped) */
	uint8_t op;     /* GRT_SEND or GRT_RECV */
	uint8_t ok;     /* set when the receive went ahead: 1 an element, 0 the channel is closed and drained */
};
enum { GRT_SEND = 1, GRT_RECV = 2 };
#ifdef __cplusplus
#define GRT_CASE(c, v, o) (grt_case{(c), const_cast<void *>(static_cast<const void *>(v)), (o), 0})
#else
#define GRT_CASE(c, v, o) ((struct grt_case){(c), (void *)(v), (o), 0})
#endif
#define GRT_CASE_SEND(c, v) GRT_CASE(c, v, GRT_SEND)
#define GRT_CASE_RECV(c, v) GRT_CASE(c, v, GRT_RECV)

/*
 * Waits until one of n cases can go ahead, does it, and returns its index; among several that are ready each is as likely. -1 when none was
 * before `timeout` ns were over: GRT_FOREVER waits (also without any case that can be ready), 0 is Go's default. Panics as grt_chan_send. n is at
 * most 65535. Fatal without memory for the books of more than 16 cases.
 *
 *     struct grt_case k[] = {GRT_CASE_RECV(work, &job), GRT_CASE_RECV(quit, NULL)};
 *     switch (grt_select(k, 2, GRT_FOREVER)) {
 *     case 0: ...
 */
int grt_select(struct grt_case *cases, size_t n, int64_t timeout);

/* ---- introspection ---- */

/*
 * Return addresses of the calling thread's stack, the innermost first, without the first `skip` (0: begins in the caller of this function);
 * returns how many, at most n (runtime.Callers). Any thread; frames of code without unwind tables end it.
 */
int grt_callers(int skip, void **pc, int n);

struct grt_frame {
	void *pc;
	char function[128]; /* "" if no symbol covers it */
	char module[256];   /* file that it was loaded from */
	uint64_t offset;    /* of pc in that file, as addr2line takes it */
};
/* One of these (runtime.Caller). False: the stack is not that deep. */
bool grt_caller(int skip, struct grt_frame *frame);

/*
 * Writes the stack of the calling task, or of all tasks (those that run elsewhere: a header), as Go's tracebacks are, cut at size - 1 bytes
 * and NUL-terminated; returns the length (runtime.Stack).
 */
size_t grt_stack(char *buf, size_t size, bool all);

/* "libgrt 0.1.0, gcc 12.2.0, x86_64, debug level 0": how the library was built. Static storage. */
const char *grt_build_info(void);

/*
 * Figures by name, Go's (package runtime/metrics) where Go has one; the i-th name, NULL above the last. The world is not stopped. False: no such
 * name. Starts the runtime.
 */
const char *grt_metric_name(size_t i);
bool grt_read_metric(const char *name, uint64_t *value);

/* ---- containers ---- */

/*
 * A slice (Go's): GRT_SLICE(T) s = {0}; is empty. The elements are malloc's; grt_slice_free(&s) frees them. The macros evaluate an argument once, but for
 * the slice.
 *     grt_append(&s, v)         appends v; false with errno ENOMEM. Grows as Go's: doubled up to 256 elements, by a quarter and a bit above
 *     grt_at(&s, i)             the element, an lvalue; panics with "index out of range [i] with length n"
 *     grt_copy(&to, &from)      copies as many as fit, overlapping or not; returns how many
 *     grt_slice_sub(&s, lo, hi) elements lo to hi - 1, of the same memory; panics with "slice bounds out of range [lo:hi] with capacity n"
 */
#define GRT_SLICE(T)                                                                                                   \
	struct {                                                                                                           \
		T *data;                                                                                                       \
		size_t len, cap;                                                                                               \
	}
#define grt_append(s, v)                                                                                               \
	(((s)->len < (s)->cap || grt_slice_grow((void **)&(s)->data, (s)->len, &(s)->cap, 1, sizeof *(s)->data)) &&        \
	 ((s)->data[(s)->len] = (v), (s)->len++, true))
#define grt_at(s, i) ((s)->data[grt_slice_index((size_t)(i), (s)->len)])
#define grt_copy(to, from)                                                                                             \
	grt_slice_copy((to)->data, (to)->len, (from)->data, (from)->len,                                                   \
	               sizeof *(to)->data + 0 * sizeof((to)->data == (from)->data))
#define grt_slice_sub(s, lo, hi)                                                                                       \
	{                                                                                                                  \
		(s)->data + grt_slice_bounds((size_t)(lo), (size_t)(hi), (s)->cap), (size_t)(hi) - (size_t)(lo),               \
			(s)->cap - (size_t)(lo)                                                                                    \
	}
#define grt_slice_free(s) (grt_slice_drop((s)->data), (s)->data = NULL, (s)->len = (s)->cap = 0, (void)0)

/* What the macros call. grow: room for `more` after len. */
bool grt_slice_grow(void **data, size_t len, size_t *cap, size_t more, size_t elem_size);
void grt_slice_drop(void *data);
size_t grt_slice_copy(void *to, size_t nto, const void *from, size_t nfrom, size_t elem_size);
void grt_slice_out_of_range(size_t i, size_t n) __attribute__((noreturn, cold));
size_t grt_slice_bounds(size_t lo, size_t hi, size_t cap);
static inline size_t grt_slice_index(size_t i, size_t n)
{
	if (__builtin_expect(i >= n, 0))
		grt_slice_out_of_range(i, n);
	return i;
}

/*
 * A map (Go's): a Swiss table with a seed of its own. One task at a time may change it, and nobody may read it meanwhile: what is seen of that
 * is fatal, "concurrent map writes" and the like. Pointers to values are good until the next insertion. Iteration begins anywhere; while it goes on
 * entries may be deleted (those not reached yet will not come) and inserted (they may come or not).
 */
typedef struct grt_map grt_map;
enum grt_map_kind {
	GRT_MAP_INT,    /* keys are compared as bytes: integers and pointers, structures without holes */
	GRT_MAP_STRING, /* keys are char *, compared as strings; the strings stay the program's and must not change */
	GRT_MAP_CUSTOM  /* by the two functions */
};
typedef uint64_t (*grt_map_hash)(const void *key, uint64_t seed);
typedef bool (*grt_map_equal)(const void *a, const void *b);

/* NULL with errno ENOMEM. hint: room for so many. */
grt_map *grt_map_make(size_t key_size, size_t value_size, size_t hint, enum grt_map_kind kind);
grt_map *grt_map_make_custom(size_t key_size, size_t value_size, size_t hint, grt_map_hash hash, grt_map_equal equal);
void grt_map_free(grt_map *m);
/* Entries; 0 of NULL. */
size_t grt_map_len(const grt_map *m);
/* The value, or NULL: not there (also of a NULL map). */
void *grt_map_get(grt_map *m, const void *key);
/* The value, made of zeros if the key was not there; NULL with errno ENOMEM. Panics of a NULL map: "assignment to entry in nil map". */
void *grt_map_put(grt_map *m, const void *key);
/* True: it was there. */
bool grt_map_delete(grt_map *m, const void *key);
void grt_map_clear(grt_map *m);

/* for (grt_map_iter it = grt_map_begin(m); grt_map_next(&it);) ... it.key, it.value. Who leaves early calls grt_map_end. */
typedef struct {
	const void *key;
	void *value;
	grt_map *map;
	void *table;
	size_t start, seen;
} grt_map_iter;
grt_map_iter grt_map_begin(grt_map *m);
bool grt_map_next(grt_map_iter *it);
void grt_map_end(grt_map_iter *it);

/*
 * GRT_MAP(name, K, V, kind); defines the type name and typed functions: name_make(hint), name_free, name_len, name_get (V * or NULL),
 * name_put(m, key, value) (false: no memory), name_at (V *, inserted if needed), name_delete.
 */
#define GRT_MAP(name, K, V, kind)                                                                                      \
	typedef struct {                                                                                                   \
		grt_map *map;                                                                                                  \
	} name;                                                                                                            \
	__attribute__((unused)) static inline bool name##_make(name *m, size_t hint)                                       \
	{                                                                                                                  \
		m->map = grt_map_make(sizeof(K), sizeof(V), hint, kind);                                                       \
		return m->map != NULL;                                                                                         \
	}                                                                                                                  \
	__attribute__((unused)) static inline void name##_free(name *m)                                                    \
	{                                                                                                                  \
		grt_map_free(m->map);                                                                                          \
		m->map = NULL;                                                                                                 \
	}                                                                                                                  \
	__attribute__((unused)) static inline size_t name##_len(const name *m)                                             \
	{                                                                                                                  \
		return grt_map_len(m->map);                                                                                    \
	}                                                                                                                  \
	__attribute__((unused)) static inline V *name##_get(const name *m, K key)                                          \
	{                                                                                                                  \
		return (V *)grt_map_get(m->map, &key);                                                                         \
	}                                                                                                                  \
	__attribute__((unused)) static inline V *name##_at(name *m, K key)                                                 \
	{                                                                                                                  \
		return (V *)grt_map_put(m->map, &key);                                                                         \
	}                                                                                                                  \
	__attribute__((unused)) static inline bool name##_put(name *m, K key, V value)                                     \
	{                                                                                                                  \
		V *v = (V *)grt_map_put(m->map, &key);                                                                         \
		return v && (*v = value, true);                                                                                \
	}                                                                                                                  \
	__attribute__((unused)) static inline bool name##_delete(name *m, K key)                                           \
	{                                                                                                                  \
		return grt_map_delete(m->map, &key);                                                                           \
	}                                                                                                                  \
	typedef name name##_type_ends_here

/* ---- timers ---- */

/*
 * A timer sends the time at which it fired (grt_now) to its channel, elements of sizeof(int64_t), or calls a function in a task of its own. Semantics:
 * package time of Go 1.23: a channel of a timer shows no length, and after stop or reset it yields no value from before. Any thread. In a
 * child of fork a timer of its parent's does not fire until it is reset, nor a deadline of a context.
 */
typedef struct grt_timer_object grt_timer;

/* Fires once in ns nanoseconds (time.NewTimer). The caller's, until grt_timer_free. NULL with errno ENOMEM. */
grt_timer *grt_timer_new(int64_t ns);
/* Fires every ns nanoseconds, and drops ticks that nobody takes (time.NewTicker). Panics unless ns is positive: "non-positive interval for
 * NewTicker". */
grt_timer *grt_ticker_new(int64_t ns);
/* Calls fn(arg) in a new task in ns nanoseconds (time.AfterFunc). It has no channel. */
grt_timer *grt_after_func(int64_t ns, void (*fn)(void *), void *arg);

/* Its channel, which lives as long as the timer; NULL of grt_after_func's. */
grt_chan *grt_timer_chan(grt_timer *t);
/* True: it will not fire now, and would have; or its value had not been received, and will not be. A function that has been called goes on. */
bool grt_timer_stop(grt_timer *t);
/* Fires (first) in ns nanoseconds from now; a ticker's period becomes ns. Returns what stop would have. */
bool grt_timer_reset(grt_timer *t, int64_t ns);
/* Stops and frees it and its channel, on which nobody may wait. NULL is ignored. */
void grt_timer_free(grt_timer *t);

/* Channels that get the time once, or every ns nanoseconds (time.After, time.Tick); grt_chan_free ends them. NULL with errno ENOMEM. */
grt_chan *grt_after(int64_t ns);
grt_chan *grt_tick(int64_t ns);

/* ---- contexts ---- */

/*
 * Go's package context: a tree; whatever ends one ends all below. Background never ends. Any thread. The functions that make one return NULL
 * with errno ENOMEM; parent NULL means background. Each is freed by grt_context_free, which cancels it first, so that what was derived from it
 * is cancelled too; free those before, if their values are still to be looked up.
 */
typedef struct grt_context grt_context;
grt_context *grt_context_background(void);
grt_context *grt_context_with_cancel(grt_context *parent);
/* Ends by itself at `deadline` (grt_now), or in `timeout` ns. */
grt_context *grt_context_with_deadline(grt_context *parent, int64_t deadline);
grt_context *grt_context_with_timeout(grt_context *parent, int64_t timeout);
/* Carries a value for a key, which is compared as a pointer. */
grt_context *grt_context_with_value(grt_context *parent, const void *key, void *value);
void grt_context_cancel(grt_context *ctx);
/* A channel that is closed when it ends; NULL of what never ends. */
grt_chan *grt_context_done(grt_context *ctx);
/* 0; ECANCELED; ETIMEDOUT: the deadline passed. */
int grt_context_err(grt_context *ctx);
/* When it ends at the latest; false: no deadline. */
bool grt_context_deadline(grt_context *ctx, int64_t *deadline);
/* The value of the nearest with that key, upwards, or NULL. */
void *grt_context_value(grt_context *ctx, const void *key);
void grt_context_free(grt_context *ctx);

#ifdef __cplusplus
}
#endif
#endif
