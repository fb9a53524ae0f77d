/*
 * Everything that knows glibc's insides: the thread block (struct pthread) that each task owns.
 *
 * A task is a whole thread to glibc: errno, locale, stdio lock ownership, static and dynamic TLS, keys, cancellation and
 * unwinding all find their state through the thread pointer, and that points to a real block. _dl_allocate_tls builds TLS and DTV;
 * the fields of struct pthread that glibc itself would set are set here. Where they are comes from three sources that must agree:
 * the descriptors glibc exports for debuggers (_thread_db_*), the order of the fields around them, and the boot-time proof
 * grt__tcb_prove, which looks at a real pthread (sysmon's) on a stack that we supplied. A mismatch means 1:1 mode.
 *
 * A dead task's block stays with its pooled stack. What glibc keeps there across lives (malloc's thread cache, resolver state,
 * strerror buffers) has no exported free, so libc's own TLS segment is not set back except errno, locale and dlerror; every
 * other module's segment is copied afresh from its image.
 *
 * Blocks are linked into glibc's list of user stacks only around dlopen (grt__dlopen_enter), so that static TLS of a new library is
 * initialised for every task before its constructors run.
 */
#ifndef GRT_SCHED_TCB_H
#define GRT_SCHED_TCB_H

#include "sched/sched.h"

/* libc functions that the runtime needs below shim/: looked up at boot, never linked, so that an interposed name is never met. */
struct grt_libc {
	int (*pthread_create)(unsigned long *, const void *, void *(*)(void *), void *);
	int (*pthread_attr_init)(void *);
	int (*pthread_attr_setstack)(void *, void *, size_t);
	int (*pthread_attr_setdetachstate)(void *, int);
	int (*pthread_attr_destroy)(void *);
	int (*sigaction)(int, const struct sigaction *, struct sigaction *);
	void (*free)(void *);
	void *(*uselocale)(void *);
	char *(*dlerror)(void);
	void (*call_tls_dtors)(void);
	void (*exit)(int);
	int (*pthread_cancel)(unsigned long);
	void (*pthread_testcancel)(void);
};
extern struct grt_libc grt__libc;

#define DTV_ANY UINT64_MAX /* g.dtv_static: dynamic TLS is to be looked for */

/* Offset of tid in a thread block; 0 before boot. */
extern uint32_t grt__tcb_tid_offset;

/* Finds symbols and offsets. NULL, or the reason why tasks are impossible with this libc. Main thread, before the first thread. */
const char *grt__tcb_boot(void);
/* On a fresh pthread whose stack [lo, lo+size) we supplied: checks every offset against reality. NULL or the reason. */
const char *grt__tcb_prove(void *stack_lo, size_t stack_size, void *start_routine);

/* Calls fn with the id of each thread in libc's lists: the process's first, and those that libc made. Critical; fn takes no locks. */
void grt__tcb_libc_threads(void (*fn)(int tid, void *arg), void *arg);
/* Threads that libc counts in this process. */
int grt__tcb_live_threads(void);

/* Bytes a block needs: static TLS and struct pthread, and where the thread pointer lies from the block's start. */
size_t grt__tcb_size(void);
size_t grt__tcb_align(void);
size_t grt__tcb_pthread_size(void);

/* Makes a block at tcb (thread pointer) in zeroed memory. 0 or -ENOMEM. Calls libc's calloc: normal context only. */
int grt__tcb_make(struct g *gp);
/* Makes a block for a kernel thread of ours in zeroed memory, without libc's allocator: its DTV is `dtv`, zeroed, of `bytes`. Such a
 * thread runs no code that uses dynamic TLS. Takes no lock of libc's. */
void grt__tcb_make_bare(struct g *gp, void *dtv, size_t bytes);
/* Gives a pooled block a new life. No allocation. */
void grt__tcb_renew(struct g *gp);
/* That is going to happen soon. */
void grt__tcb_prefetch(const char *tcb);
/* A task of it is going to run and to end. */
void grt__tcb_prefetch_run(const char *tcb);
/* Ends a block: DTV freed. Normal context. */
void grt__tcb_free(struct g *gp);
/* Fills in what both lives and reports need: stack bounds, tid. */
void grt__tcb_set_stack(struct g *gp);

/* On the dying task: TLS destructors and keys, as glibc at thread exit; then dynamic TLS is freed. */
void grt__tcb_run_destructors(struct g *gp);

/* The task begins: sets where glibc's unwinder ends on it (a __pthread_unwind_buf_t). */
void grt__tcb_set_unwind_end(struct g *gp, void *unwind_buf);
/* Boot: pthread_exit on main, or its cancellation, must not end its kernel thread: the end of its unwinding calls `landing`. */
void grt__tcb_redirect_main_exit(struct g *gp, void (*landing)(void));
/* The value of pthread_exit, of pthread_cancel, or what was set. */
void *grt__tcb_result(struct g *gp);
void grt__tcb_set_result(struct g *gp, void *result);
void grt__tcb_set_tid(struct g *gp, int tid);

/* The robust list of the block at tcb becomes the calling kernel thread's. */
void grt__tcb_robust_register(void *tcb);
void *grt__tcb_robust_list(void *tcb);
int32_t *grt__tcb_tid_word(void *tcb);
/* The robust futex of `entry` (offset bytes on) was held by tid, which ended. Wakes one of the kernel's waiters. */
void grt__tcb_owner_died(uintptr_t entry, long offset, int tid);
/* What the kernel does with a robust list when a thread (tid) ends. True: a priority-inheriting one was in it. */
bool grt__tcb_robust_end(struct g *gp, int tid);
/* ---- cancellation (cancel.h) ---- */

/* Any thread, normal context. Makes libc load its unwinder and learns what its pthread_cancel sets. Idempotent. */
void grt__tcb_cancel_prepare(void);
/* A request that came before boot waits for the calling thread. */
bool grt__tcb_cancel_asked(void);
/* What a request means for the target now. */
enum tcb_cancel {
	TCB_CANCEL_LATER,    /* nothing: disabled, ending, or requested before */
	TCB_CANCEL_DEFERRED, /* a cancellation point must act */
	TCB_CANCEL_ASYNC     /* wherever it is */
};
/* Any thread. Sets the bits in gp's block; a full barrier. */
enum tcb_cancel grt__tcb_cancel_request(struct g *gp);
/* Of the calling thread: pthread_testcancel would act; async: and the type is asynchronous. */
bool grt__tcb_cancel_due(bool async);
/* The calling thread, while a request is due: nothing acts on it between these two. */
void grt__tcb_cancel_hold(void);
void grt__tcb_cancel_unhold(void);

/* In the child of fork, on the surviving task. */
void grt__tcb_fork_child(struct g *gp, struct m *mp);
/* Takes the kernel's rseq registration off the main thread: its block moves between kernel threads. */
void grt__tcb_unregister_rseq(void);

/* Signal handler, the calling task, in a process that is about to dump core: a debugger finds out which thread block belongs to a
 * kernel thread of a core by libc's list of threads and the tids in it, so the task's is there, with its M's. */
void grt__tcb_enter_core_sig(struct g *gp);

void grt__dlopen_enter(void);
void grt__dlopen_leave(void);

#endif
