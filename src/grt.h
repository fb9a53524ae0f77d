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
 * Where this libc or kernel cannot carry tasks (`grt doctor` says why) everything below still works, on kernel threads.
 */
#ifndef GRT_H
#define GRT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GRT_VERSION_MAJOR 0
#define GRT_VERSION_MINOR 1
#define GRT_VERSION_PATCH 0

/*
 * Runs fn(arg) as a new task (Go's go statement). The task is detached: nobody joins it, and its end releases everything it had.
 * It inherits the caller's signal mask. arg stays the caller's property and must live as long as fn needs it.
 * Returns 0, or -1 with errno EAGAIN when there is no memory for a stack. Semantics: Go's go statement; leaving main
 * ends the process and every task with it.
 */
int grt_go(void (*fn)(void *), void *arg);

/*
 * Lets the other runnable tasks run first (Go's runtime.Gosched, POSIX sched_yield). Returns at once if there are none.
 */
void grt_yield(void);

/*
 * Ends the calling task (Go's runtime.Goexit): cleanup handlers run, C++ frames unwind, thread_local and key destructors run. As
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

#ifdef __cplusplus
}
#endif
#endif
