#include "sched/tcb.h"
#include "elf/deepbind.h"
#include "os/os.h"
#include "sched/cancel_call.h"
#include "sched/proc.h"
#include "sched/stack.h"
#include "sched/tls_images.h"
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

struct grt_libc grt__libc;
uint32_t grt__tcb_tid_offset;

/* Offsets in struct pthread. "db": from glibc's debugger descriptors. */
static struct {
	uint32_t size;           /* db */
	uint32_t list;           /* db */
	uint32_t tid;            /* db */
	uint32_t cancelhandling; /* db */
	uint32_t specific;       /* db: first of 32 pointers to second-level arrays */
	uint32_t report_events;  /* db */
	uint32_t start_routine;  /* db */
	uint32_t robust_prev, robust_head;
	uint32_t cleanup, cleanup_jmp_buf;
	uint32_t first_block; /* key data of the first 32 keys */
	uint32_t specific_used, user_stack;
	uint32_t joinid, result;
	/* found by grt__tcb_prove: */
	uint32_t stackblock; /* size, guardsize, reported_guardsize follow */
	uint8_t user_value;  /* of user_stack, on a stack that libc did not make */
	uint8_t alive;       /* joinid of a thread that lives and was not detached */
	uint32_t tls_offset; /* db: in struct link_map */
	uint32_t stack_user; /* in _rtld_global: list of pthreads on user-supplied stacks */
	uint32_t stack_used; /* and of the others */
} off;

static size_t tls_size, tls_align;
static long rseq_offset;
static void *(*dl_allocate_tls)(void *);
static void *(*dl_allocate_tls_init)(void *, bool);
static void (*dl_deallocate_tls)(void *, bool);
static char *rtld_global;

#define FIELD(tcb, type, name) (*(type *)((char *)(tcb) + off.name))

/* In cancelhandling; the same in all versions (as pthread_setcancelstate and -type return them). */
enum { CANCEL_DISABLED = 1, CANCEL_ASYNC = 2 };
enum { KEYS_PER_BLOCK = 32, DESTRUCTOR_ROUNDS = 4, MOST_PTHREAD = 4096 };

struct key_data {
	uintptr_t seq;
	void *data;
};
/* glibc's table of keys (exported for debuggers). */
static struct key {
	uintptr_t seq;
	void (*destructor)(void *);
} * keys;

static void *libc_symbol(const char *name)
{
	return dlvsym(RTLD_DEFAULT, name, "GLIBC_PRIVATE");
}

static bool db_offset(uint32_t *out, const char *field)
{
	char name[80];
	grt__format(name, sizeof name, "_thread_db_%s", field);
	const uint32_t *d = libc_symbol(name);
	if (!d)
		return false;
	*out = d[2];
	return true;
}

static const char *find_offsets(void)
{
	const uint32_t *size = libc_symbol("_thread_db_sizeof_pthread");
	if (!size)
		return "libc does not describe struct pthread";
	off.size = *size;
	if (!db_offset(&off.list, "pthread_list") || !db_offset(&off.tid, "pthread_tid") ||
	    !db_offset(&off.cancelhandling, "pthread_cancelhandling") || !db_offset(&off.specific, "pthread_specific") ||
	    !db_offset(&off.report_events, "pthread_report_events") ||
	    !db_offset(&off.start_routine, "pthread_start_routine") ||
	    !db_offset(&off.tls_offset, "link_map_l_tls_offset") ||
	    !db_offset(&off.stack_user, "rtld_global__dl_stack_user") ||
	    !db_offset(&off.stack_used, "rtld_global__dl_stack_used"))
		return "libc does not describe struct pthread";
	/* robust_prev, robust_head (24 bytes), cleanup, cleanup_jmp_buf, cancelhandling, flags, first key block */
	off.robust_prev = off.cancelhandling - 48;
	off.robust_head = off.cancelhandling - 40;
	off.cleanup = off.cancelhandling - 16;
	off.cleanup_jmp_buf = off.cancelhandling - 8;
	off.first_block = off.cancelhandling + 8;
	off.specific_used = off.specific + KEYS_PER_BLOCK * sizeof(void *);
	off.joinid = off.start_routine - 24;
	off.result = off.start_routine - 16;
	if (off.first_block + KEYS_PER_BLOCK * sizeof(struct key_data) != off.specific ||
	    off.report_events != off.specific_used + 1 || off.robust_prev != off.tid + 8 || off.size > MOST_PTHREAD)
		return "unknown layout of struct pthread";
	return NULL;
}

const char *grt__tcb_boot(void)
{
	void (*static_info)(size_t *, size_t *) = libc_symbol("_dl_get_tls_static_info");
	dl_allocate_tls = libc_symbol("_dl_allocate_tls");
	dl_allocate_tls_init = libc_symbol("_dl_allocate_tls_init");
	dl_deallocate_tls = libc_symbol("_dl_deallocate_tls");
	rtld_global = libc_symbol("_rtld_global");
	keys = libc_symbol("__pthread_keys");
	grt__libc.call_tls_dtors = libc_symbol("__call_tls_dtors");
	grt__libc.pthread_create = grt__libc_function("pthread_create");
	grt__libc.pthread_attr_init = grt__libc_function("pthread_attr_init");
	grt__libc.pthread_attr_setstack = grt__libc_function("pthread_attr_setstack");
	grt__libc.pthread_attr_setdetachstate = grt__libc_function("pthread_attr_setdetachstate");
	grt__libc.pthread_attr_destroy = grt__libc_function("pthread_attr_destroy");
	grt__libc.sigaction = grt__libc_function("sigaction");
	grt__libc.free = dlsym(RTLD_DEFAULT, "free");
	grt__libc.uselocale = grt__libc_function("uselocale");
	grt__libc.dlerror = grt__libc_function("dlerror");
	grt__libc.exit = grt__libc_function("exit");
	grt__libc.pthread_cancel = grt__libc_function("pthread_cancel");
	grt__libc.pthread_testcancel = grt__libc_function("pthread_testcancel");
	if (!static_info || !dl_allocate_tls || !dl_allocate_tls_init || !dl_deallocate_tls || !rtld_global || !keys ||
	    !grt__libc.call_tls_dtors || !grt__libc.pthread_create)
		return "libc lacks private symbols of glibc 2.34 or later";
	const char *why = find_offsets();
	if (why)
		return why;
	grt__tcb_tid_offset = off.tid;
	static_info(&tls_size, &tls_align);
	grt__tls_images_init(off.tls_offset, tls_size);
	grt__cancel_call_init();
	if (tls_align < 64)
		tls_align = 64;
	const long *rseq = dlvsym(RTLD_DEFAULT, "__rseq_offset", "GLIBC_2.35");
	rseq_offset = rseq ? *rseq : 0;

	char *self = grt__thread_pointer();
	struct grt_list *l = &FIELD(self, struct grt_list, list);
	if (FIELD(self, int, tid) != grt__sys_gettid() || !l->next || l->next->prev != l ||
	    FIELD(self, void *, robust_prev) != &FIELD(self, void *, robust_head))
		return "struct pthread of main is not as expected";
	return NULL;
}

/* A bool, or since glibc 2.42 an enum of how the stack came to be, whose third value is "by the caller". */
static bool find_user_stack(const char *self)
{
	enum { BOOL_TRUE = 1, ALLOCATE_GUARD_USER = 2 };
	uint32_t mode = (off.report_events + 4) & ~3u;
	off.user_stack = off.report_events + 1;
	off.user_value = BOOL_TRUE;
	if (FIELD(self, char, user_stack) == BOOL_TRUE)
		return true;
	off.user_stack = mode;
	off.user_value = ALLOCATE_GUARD_USER;
	return FIELD(self, uint32_t, user_stack) == ALLOCATE_GUARD_USER;
}

/* A pointer, to itself if it is detached, else NULL; since glibc 2.43 a state: ended, ending, joinable, detached. sysmon is detached. */
static bool find_alive(char *self)
{
	enum { STATE_JOINABLE = 2, STATE_DETACHED = 3 };
	uint64_t v = FIELD(self, uint64_t, joinid);
	off.alive = v == STATE_DETACHED ? STATE_JOINABLE : 0;
	return v == STATE_DETACHED || v == (uintptr_t)self;
}

const char *grt__tcb_prove(void *stack_lo, size_t stack_size, void *start_routine)
{
	char *self = grt__thread_pointer();
	uintptr_t lo = (uintptr_t)stack_lo, hi = lo + stack_size;
	void *robust = NULL;
	size_t len;
	long r = grt__sys3(SYS_get_robust_list, 0, &robust, &len);
	if ((uintptr_t)self < lo || (uintptr_t)self >= hi)
		return "thread block is not on the supplied stack";
	if (FIELD(self, int, tid) != grt__sys_gettid())
		return "tid is not where expected";
	if (r < 0)
		robust = &FIELD(self, void *, robust_head); /* not readable here: then only that it points to itself */
	if (robust != &FIELD(self, char, robust_head) || FIELD(self, void *, robust_head) != robust ||
	    FIELD(self, void *, robust_prev) != robust || *(long *)((char *)robust + 8) != -32)
		return "robust list is not where expected";
	uintptr_t jb = FIELD(self, uintptr_t, cleanup_jmp_buf);
	if (jb < lo || jb >= hi || FIELD(self, void *, cleanup))
		return "cleanup_jmp_buf is not where expected";
	if (FIELD(self, void *, start_routine) != start_routine || FIELD(self, void *, result))
		return "start_routine is not where expected";
	if (!find_user_stack(self) || FIELD(self, void *, specific) != &FIELD(self, char, first_block))
		return "user_stack or specific is not where expected";
	if (!find_alive(self))
		return "joinid is not where expected";
	unsigned found = 0;
	for (uint32_t o = off.start_routine; o + 32 <= off.size; o += 8)
		if (*(uintptr_t *)(self + o) == lo && *(size_t *)(self + o + 8) == stack_size) {
			off.stackblock = o;
			found++;
		}
	grt__cancel_call_find(&FIELD(self, char, cancelhandling));
	return found == 1 ? NULL : "stackblock was not found";
}

int grt__tcb_live_threads(void)
{
	const uint32_t *n = libc_symbol("__nptl_nthreads");
	return n ? (int)*n : 1;
}

size_t grt__tcb_size(void)
{
	return tls_size;
}

size_t grt__tcb_align(void)
{
	return tls_align;
}

size_t grt__tcb_pthread_size(void)
{
	return off.size;
}

void grt__tcb_set_stack(struct g *gp)
{
	char *lo = gp->user_stack ? gp->stack_lo : gp->map_lo;
	char *hi = gp->user_stack ? gp->birth.stack_hi : gp->map_lo + gp->map_size;
	size_t *f = &FIELD(gp->tcb, size_t, stackblock);
	f[0] = (size_t)lo;
	f[1] = (size_t)(hi - lo);
	f[2] = gp->user_stack ? 0 : gp->guard_size;
	f[3] = f[2];
}

/* ---- static TLS of libraries loaded later ---- */

/* glibc's lock around its lists of threads: 0 free, 1 held, 2 held with waiters in the kernel. */
static uint32_t *list_lock(void)
{
	/* _dl_stack_user, _dl_stack_cache (a list each), _dl_stack_cache_actsize, _dl_in_flight_stack, _dl_stack_cache_lock */
	return (uint32_t *)(rtld_global + off.stack_user + 48);
}

/* A task is critical with it: no handler of the program may run, wait or jump away then. But it waits outside: the holder may be in such
 * a handler, in libc, and wait for one of this task's. */
static void list_lock_take(bool task)
{
	uint32_t *l = list_lock();
	if (grt_cas(l, 0, 1))
		return;
	while (__atomic_exchange_n(l, 2, __ATOMIC_ACQUIRE) != 0) {
		if (task)
			grt__leave();
		grt__os_futex_wait(l, 2, INT64_MAX);
		if (task)
			grt__enter();
	}
}

static void list_lock_drop(void)
{
	if (__atomic_exchange_n(list_lock(), 0, __ATOMIC_RELEASE) == 2)
		grt__os_futex_wake(list_lock(), 1);
}

static uint32_t dlopen_depth; /* atomic: dlopen calls under way */

static void splice(struct g *gp, void *arg)
{
	struct grt_list *l = gp->tcb && !gp->is_g0 && gp->id != 1 ? &FIELD(gp->tcb, struct grt_list, list) : NULL;
	(void)arg;
	if (l && grt_list_empty(l))
		grt_list_push_tail((struct grt_list *)(rtld_global + off.stack_user), l);
}

static void unsplice(struct g *gp, void *arg)
{
	(void)arg;
	if (gp->tcb && !gp->is_g0 && gp->id != 1)
		grt_list_unlink(&FIELD(gp->tcb, struct grt_list, list));
}

void grt__dlopen_enter(void)
{
	bool task = grt__self.g != NULL;
	if (task)
		grt__enter();
	grt_add_seqcst(&dlopen_depth, 1);
	list_lock_take(task);
	grt__allg_for_each(splice, NULL);
	list_lock_drop();
	if (task)
		grt__leave();
}

void grt__dlopen_leave(void)
{
	bool task = grt__self.g != NULL;
	grt__tls_images_refresh();
	if (task)
		grt__enter();
	list_lock_take(task);
	if (grt_add_seqcst(&dlopen_depth, -1) == 0)
		grt__allg_for_each(unsplice, NULL);
	list_lock_drop();
	if (task)
		grt__leave();
}

void grt__tcb_libc_threads(void (*fn)(int tid, void *arg), void *arg)
{
	const uint32_t lists[] = {off.stack_used, off.stack_user};
	list_lock_take(false);
	for (int i = 0; i < 2; i++) {
		struct grt_list *head = (struct grt_list *)(rtld_global + lists[i]);
		for (struct grt_list *l = head->next; l != head; l = l->next)
			fn(FIELD((char *)l - off.list, int, tid), arg);
	}
	list_lock_drop();
}

/* A block renewed while a dlopen is under way: the library's image is not among ours yet, glibc's own list has it. */
static void catch_up(struct g *gp)
{
	if (grt_unlikely(grt_load_seqcst(&dlopen_depth) != 0) || grt_unlikely(grt__tls_images_stale()))
		dl_allocate_tls_init(gp->tcb, true);
}

static void unsplice_dying(struct g *gp)
{
	if (grt_likely(grt_list_empty(&FIELD(gp->tcb, struct grt_list, list))))
		return;
	list_lock_take(false);
	unsplice(gp, NULL);
	list_lock_drop();
}

/* ---- dynamic TLS ---- */

union dtv {
	size_t counter; /* of slots in [-1], the generation of loaded libraries that it knows in [0] */
	struct {
		void *val, *to_free;
	} p;
};

#define TLS_DTV_UNALLOCATED ((void *)-1l)

static union dtv *dtv_of(const char *tcb)
{
	return *(union dtv **)(tcb + 8);
}

/* A block's DTV is new: if all modules that it knows are in static TLS, then there is nothing to free as long as it is of this
 * generation, for libc gives it dynamic TLS of a later module only when it makes it of a later one. */
static size_t generation_without_dynamic(const char *tcb)
{
	const union dtv *dtv = dtv_of(tcb);
	for (size_t i = 1; i <= dtv[-1].counter; i++)
		if (dtv[i].p.val == TLS_DTV_UNALLOCATED)
			return DTV_ANY;
	return dtv[0].counter;
}

/* Dynamic TLS blocks of the dying task, as _dl_deallocate_tls frees them, but the DTV itself stays. */
static void free_dynamic_tls(const struct g *gp)
{
	union dtv *dtv = dtv_of(gp->tcb);
	if (grt_likely(dtv[0].counter == gp->dtv_static))
		return;
	for (size_t i = 1; i <= dtv[-1].counter; i++)
		if (grt_unlikely(dtv[i].p.to_free != NULL)) {
			grt__libc.free(dtv[i].p.to_free);
			dtv[i].p.to_free = NULL;
			dtv[i].p.val = TLS_DTV_UNALLOCATED;
		}
}

void grt__tcb_enter_core_sig(struct g *gp)
{
	int tid = grt__sys_gettid();
	struct grt_list *l = &FIELD(gp->tcb, struct grt_list, list);
	if (gp != &grt__main_g && tid == grt__sched.pid)
		FIELD(grt__main_g.tcb, int, tid) = -1; /* a thread that has ended, to a debugger */
	FIELD(gp->tcb, int, tid) = tid;
	/* Not waited for: whoever has it may be what was interrupted here. Then the core has the task's stack, but not its TLS. */
	if (gp->id == 1 || !grt_list_empty(l) || !grt_cas(list_lock(), 0, 1))
		return;
	grt_list_push_tail((struct grt_list *)(rtld_global + off.stack_user), l);
	list_lock_drop();
}

/* ---- lives of a block ---- */

/* What glibc sets in a new struct pthread, the same for a first and a later life. */
static void set_life(struct g *gp)
{
	char *tcb = gp->tcb;
	FIELD(tcb, int, tid) = gp->tid;
	FIELD(tcb, void *, cleanup) = NULL;
	FIELD(tcb, void *, cleanup_jmp_buf) = NULL;
	FIELD(tcb, uint64_t, cancelhandling) = 0; /* and flags */
	FIELD(tcb, uint64_t, joinid) = off.alive;
	FIELD(tcb, void *, result) = NULL;

	struct grt_tls *tls = gp->tls;
	tls->g = gp;
	tls->m = NULL;
	tls->crit = 1; /* a context that is not running is inside a critical section */
	tls->attention = 0;
	tls->in_block = 0;
}

/* What no life changes: only for a new block. */
static void set_fields(struct g *gp)
{
	char *tcb = gp->tcb;
	void **robust = &FIELD(tcb, void *, robust_head);

	grt_list_init(&FIELD(tcb, struct grt_list, list));
	robust[0] = robust;
	robust[1] = (void *)-32l;
	robust[2] = NULL;
	FIELD(tcb, void *, robust_prev) = robust;
	FIELD(tcb, void *, specific) = &FIELD(tcb, char, first_block);
	FIELD(tcb, uint8_t, user_stack) = off.user_value;
	if (rseq_offset)
		*(int *)(tcb + rseq_offset + 4) = -2; /* cpu_id: registration failed */
	gp->tls = (struct grt_tls *)(tcb + ((char *)&grt__self - (char *)grt__thread_pointer()));
	set_life(gp);
	grt__tcb_set_stack(gp);
}

static void prepare_header(char *tcb)
{
	char *self = grt__thread_pointer();
	*(void **)tcb = tcb;
	*(void **)(tcb + 16) = tcb;
	*(int *)(tcb + 24) = 1;              /* multiple_threads */
	memcpy(tcb + 0x28, self + 0x28, 16); /* stack and pointer guard */
}

int grt__tcb_make(struct g *gp)
{
	char *tcb = gp->tcb;
	prepare_header(tcb);
	if (!dl_allocate_tls(tcb))
		return -ENOMEM;
	gp->dtv_static = generation_without_dynamic(tcb);
	set_fields(gp);
	return 0;
}

/*
 * Not _dl_allocate_tls_init: it takes the loader's lock for TLS. Its holder may be in a handler of the program that interrupted the loader
 * there, and wait for somebody who has no M to run on.
 */
void grt__tcb_make_bare(struct g *gp, void *dtv, size_t bytes)
{
	char *tcb = gp->tcb;
	*(size_t *)dtv = bytes / 16 - 2; /* dtv[-1].counter; large enough, so that libc never reallocates it */
	*(void **)(tcb + 8) = (char *)dtv + 16;
	prepare_header(tcb);
	grt__tls_images_copy(tcb);
	set_fields(gp);
}

void grt__tcb_renew(struct g *gp)
{
	grt__tls_images_copy(gp->tcb);
	catch_up(gp);
	set_life(gp);
}

void grt__tcb_prefetch(const char *tcb)
{
	__builtin_prefetch(tcb + ((char *)&grt__self - (char *)grt__thread_pointer()), 1);
	__builtin_prefetch(tcb + off.tid, 1);
	__builtin_prefetch(tcb + off.cancelhandling, 1);
	__builtin_prefetch(tcb + off.result, 1);
}

void grt__tcb_prefetch_run(const char *tcb)
{
	grt__tcb_prefetch(tcb);
	__builtin_prefetch(tcb, 1);
	__builtin_prefetch(tcb - GRT_CACHE_LINE, 1); /* libc's TLS */
	__builtin_prefetch(tcb - 2 * GRT_CACHE_LINE, 1);
	__builtin_prefetch(tcb + off.specific_used, 1);
}

void grt__tcb_free(struct g *gp)
{
	dl_deallocate_tls(gp->tcb, false);
}

static void run_key_destructors(char *tcb)
{
	struct key_data **specific = &FIELD(tcb, struct key_data *, specific);
	for (int round = 0; FIELD(tcb, bool, specific_used) && round < DESTRUCTOR_ROUNDS; round++) {
		FIELD(tcb, bool, specific_used) = false;
		for (unsigned i = 0; i < KEYS_PER_BLOCK; i++) {
			for (unsigned j = 0; specific[i] && j < KEYS_PER_BLOCK; j++) {
				struct key_data *d = &specific[i][j];
				struct key *k = &keys[i * KEYS_PER_BLOCK + j];
				void *data = d->data;
				if (!data)
					continue;
				d->data = NULL;
				if (d->seq == k->seq && k->destructor)
					k->destructor(data);
			}
		}
	}
	FIELD(tcb, bool, specific_used) = false;
	memset(&FIELD(tcb, char, first_block), 0, KEYS_PER_BLOCK * sizeof(struct key_data));
	for (unsigned i = 1; i < KEYS_PER_BLOCK; i++)
		if (specific[i]) {
			grt__libc.free(specific[i]);
			specific[i] = NULL;
		}
}

void grt__tcb_run_destructors(struct g *gp)
{
	grt__libc.call_tls_dtors();
	if (FIELD(gp->tcb, bool, specific_used))
		run_key_destructors(gp->tcb);
	/* State of libc's own that a new thread must not inherit; the rest of its TLS stays with the block (see the header). */
	if (grt__libc.dlerror())
		grt__libc.dlerror();                                     /* frees it */
	FIELD(gp->tcb, uint32_t, cancelhandling) |= CANCEL_DISABLED; /* a request that this undoes came too late */
	errno = 0;
	free_dynamic_tls(gp);
	unsplice_dying(gp);
}

void grt__tcb_set_unwind_end(struct g *gp, void *unwind_buf)
{
	FIELD(gp->tcb, void *, cleanup_jmp_buf) = unwind_buf;
	__builtin_prefetch(dtv_of(gp->tcb), 0); /* for its end */
}

void grt__tcb_redirect_main_exit(struct g *gp, void (*landing)(void))
{
	/* x86-64 jmp_buf: the eighth word is the resume address, xored with the pointer guard and rotated left by 17. */
	uintptr_t *jmp_buf = FIELD(gp->tcb, uintptr_t *, cleanup_jmp_buf);
	uintptr_t v = (uintptr_t)landing ^ *(uintptr_t *)((char *)gp->tcb + 0x30);
	if (jmp_buf)
		jmp_buf[7] = v << 17 | v >> 47;
}

void *grt__tcb_result(struct g *gp)
{
	return FIELD(gp->tcb, void *, result);
}

void grt__tcb_set_result(struct g *gp, void *result)
{
	FIELD(gp->tcb, void *, result) = result;
}

/* ---- cancellation ---- */

/* What libc's pthread_cancel sets in cancelhandling; of two bits the higher says "requested". The next higher one
 * says "acting on it, or exiting". 0: not known yet. */
static uint32_t cancel_bits; /* atomic */

static uint32_t cancel_requested(void)
{
	uint32_t bits = grt_load_relaxed(&cancel_bits);
	return bits ? 1u << (31 - __builtin_clz(bits)) : 0;
}

void grt__tcb_cancel_prepare(void)
{
	/* A block of no thread, alive by its tid, with cancellation disabled: libc's function does nothing but what we want. */
	_Alignas(64) char nobody[MOST_PTHREAD];
	memset(nobody, 0, off.size);
	FIELD(nobody, int, tid) = 1;
	FIELD(nobody, uint64_t, joinid) = off.alive;
	FIELD(nobody, uint32_t, cancelhandling) = CANCEL_DISABLED;
	grt__libc.pthread_cancel((unsigned long)nobody);
	grt_store_release(&cancel_bits,
	                  FIELD(nobody, uint32_t, cancelhandling) & ~(uint32_t)(CANCEL_DISABLED | CANCEL_ASYNC));
}

bool grt__tcb_cancel_asked(void)
{
	return (FIELD(grt__thread_pointer(), uint32_t, cancelhandling) & ~(uint32_t)(CANCEL_DISABLED | CANCEL_ASYNC)) != 0;
}

enum tcb_cancel grt__tcb_cancel_request(struct g *gp)
{
	uint32_t bits = grt_load_relaxed(&cancel_bits), requested = cancel_requested();
	uint32_t old = __atomic_fetch_or(&FIELD(gp->tcb, uint32_t, cancelhandling), bits, __ATOMIC_SEQ_CST);
	if (old & (requested | requested << 1 | CANCEL_DISABLED))
		return TCB_CANCEL_LATER;
	return old & CANCEL_ASYNC ? TCB_CANCEL_ASYNC : TCB_CANCEL_DEFERRED;
}

bool grt__tcb_cancel_due(bool async)
{
	uint32_t word = grt_load_relaxed(&FIELD(grt__thread_pointer(), uint32_t, cancelhandling));
	uint32_t requested = cancel_requested(), type = async ? CANCEL_ASYNC : 0;
	return requested && (word & (requested | requested << 1 | CANCEL_DISABLED | type)) == (requested | type);
}

void grt__tcb_cancel_hold(void)
{
	__atomic_fetch_or(&FIELD(grt__thread_pointer(), uint32_t, cancelhandling), CANCEL_DISABLED, __ATOMIC_SEQ_CST);
}

void grt__tcb_cancel_unhold(void)
{
	__atomic_fetch_and(&FIELD(grt__thread_pointer(), uint32_t, cancelhandling), ~(uint32_t)CANCEL_DISABLED,
	                   __ATOMIC_SEQ_CST);
}

void grt__tcb_set_tid(struct g *gp, int tid)
{
	gp->tid = tid;
	FIELD(gp->tcb, int, tid) = tid;
}

void *grt__tcb_robust_list(void *tcb)
{
	return &FIELD(tcb, char, robust_head);
}

int32_t *grt__tcb_tid_word(void *tcb)
{
	return &FIELD(tcb, int32_t, tid);
}

void grt__tcb_robust_register(void *tcb)
{
	grt__sys2(SYS_set_robust_list, grt__tcb_robust_list(tcb), 24);
}

enum { PI_BIT = 1, MOST_ROBUST = 2048 };

void grt__tcb_owner_died(uintptr_t entry, long offset, int tid)
{
	uint32_t *word = (uint32_t *)((entry & ~(uintptr_t)PI_BIT) + (uintptr_t)offset);
	uint32_t old = grt_load_acquire(word);
	while ((old & 0x3fffffff /* FUTEX_TID_MASK */) == (uint32_t)tid) {
		uint32_t dead = (old & 0x80000000 /* FUTEX_WAITERS */) | 0x40000000 /* FUTEX_OWNER_DIED */;
		if (!__atomic_compare_exchange_n(word, &old, dead, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
			continue;
		if (!(entry & PI_BIT) && dead & 0x80000000)
			grt__sys3(SYS_futex, word, 1 /* FUTEX_WAKE, shared */, 1);
		return;
	}
}

bool grt__tcb_robust_end(struct g *gp, int tid)
{
	uintptr_t *head = &FIELD(gp->tcb, uintptr_t, robust_head), entry = head[0];
	bool pi = false;
	for (int n = 0; (entry & ~(uintptr_t)PI_BIT) != (uintptr_t)head && n < MOST_ROBUST; n++) {
		uintptr_t next = *(uintptr_t *)(entry & ~(uintptr_t)PI_BIT); /* before its next owner may write there */
		pi |= (entry & PI_BIT) != 0;
		grt__tcb_owner_died(entry, (long)head[1], tid);
		entry = next;
	}
	head[0] = (uintptr_t)head; /* the block's next life starts with an empty list */
	head[2] = 0;
	FIELD(gp->tcb, void *, robust_prev) = head;
	return pi;
}

void grt__tcb_unregister_rseq(void)
{
	char *area = (char *)grt__thread_pointer() + rseq_offset;
	if (!rseq_offset || *(int *)(area + 4) < 0)
		return;
	/* The size that libc registered: 32 bytes, or what the kernel's auxiliary vector asks for if that is more (glibc 2.41). */
	unsigned long size = getauxval(27 /* AT_RSEQ_FEATURE_SIZE */), align = getauxval(28 /* AT_RSEQ_ALIGN */);
	size = align ? (size + align - 1) / align * align : 0;
	if (grt__sys4(SYS_rseq, area, size > 32 ? size : 32, 1 /* RSEQ_FLAG_UNREGISTER */, 0x53053053) == 0)
		*(int *)(area + 4) = -2;
}

void grt__tcb_fork_child(struct g *gp, struct m *mp)
{
	/* glibc's child linked our block into its lists and gave its addresses to the kernel; the M's own block takes both back. */
	if (gp->id != 1)
		grt_list_unlink(&FIELD(gp->tcb, struct grt_list, list));
	dlopen_depth = 0;
	grt__sys1(SYS_set_tid_address, (char *)mp->g0.tcb + off.tid);
	grt__sys2(SYS_set_robust_list, (char *)mp->g0.tcb + off.robust_head, 24);
	grt__tcb_set_tid(gp, grt__sys_getpid());
}
