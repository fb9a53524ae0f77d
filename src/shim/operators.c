/*
 * C++'s operator new and delete, by their mangled names, in all forms. C, because the library must not need a C++ one.
 *
 * In the C++ library each form stands on another (new[] on new, sized delete on plain delete, ...), and at last on malloc, aligned_alloc
 * and free, and a program may define any of them itself: symbols of the main program come before ours. So that a program that
 * defines, say, new and delete gets the memory of its new[] and its sized deletes, each form here goes straight to the heap
 * only where everything that others can stand on is ours, which is looked up once; else it calls what it stands on.
 *
 * On failure: the handler of std::set_new_handler in a loop, then std::bad_alloc, both by functions of the C++ library, which
 * is looked for at that time (it may have been loaded since). The nothrow forms must catch what the handler throws, which
 * C cannot: with a handler set, they call the C++ library's own nothrow form, whose `operator new` is ours again. Not just whoever is next:
 * that may be another allocator, whose memory our delete does not take.
 *
 * Exceptions pass through these frames: they own nothing, and unwind tables are all that needs.
 */
#include "shim/malloc.h"
#include "shim/shim.h"
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

typedef void *new_fn(size_t);
typedef void *new_al_fn(size_t, size_t);
typedef void delete_fn(void *);
typedef void delete_al_fn(void *, size_t);
typedef const void *nothrow_tag; /* a reference to std::nothrow */
typedef void handler_fn(void);

new_fn _Znwm, _Znam;
new_al_fn _ZnwmSt11align_val_t, _ZnamSt11align_val_t;
delete_fn _ZdlPv, _ZdaPv;
delete_al_fn _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t;
void *_ZnwmRKSt9nothrow_t(size_t n, nothrow_tag tag);
void *_ZnamRKSt9nothrow_t(size_t n, nothrow_tag tag);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, nothrow_tag tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, nothrow_tag tag);
void _ZdlPvRKSt9nothrow_t(void *p, nothrow_tag tag);
void _ZdaPvRKSt9nothrow_t(void *p, nothrow_tag tag);
void _ZdlPvm(void *p, size_t n);
void _ZdaPvm(void *p, size_t n);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, nothrow_tag tag);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, nothrow_tag tag);
void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align);
void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align);

/* What the names mean in this process, as the loader found them. Not static, not const: the compiler would take them for ours. */
struct {
	new_fn *alloc, *one, *many;
	new_al_fn *alloc_al, *one_al, *many_al;
	delete_fn *dealloc, *drop, *drop_many;
	delete_al_fn *drop_al, *drop_many_al;
} grt__operators = {malloc, _Znwm,  _Znam,  aligned_alloc,         _ZnwmSt11align_val_t, _ZnamSt11align_val_t,
                    free,   _ZdlPv, _ZdaPv, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t};
#define RESOLVED grt__operators

static enum { UNKNOWN, ALL_OURS, MIXED } whose; /* atomic, relaxed: whoever looks finds the same */

/* An exported function of ours, by the section that all of them are in. */
static bool is_ours(const void *f)
{
	extern const char __start_grt_user_text[], __stop_grt_user_text[];
	return (const char *)f >= __start_grt_user_text && (const char *)f < __stop_grt_user_text;
}

static GRT_COLD_FN bool look(void)
{
	const void *const *f = (const void *const *)&RESOLVED;
	bool all = true;

	for (size_t i = 0; i < sizeof RESOLVED / sizeof *f; i++)
		all &= is_ours(f[i]);
	grt_store_relaxed(&whose, all ? ALL_OURS : MIXED);
	return all;
}

/* The fast question: no also where nobody has looked yet, and then a slower way does. */
GRT_ALWAYS_INLINE bool all_ours(void)
{
	return grt_likely(grt_load_relaxed(&whose) == ALL_OURS);
}

static GRT_COLD_FN bool all_ours_slow(void)
{
	return grt_load_relaxed(&whose) == UNKNOWN ? look() : all_ours();
}

/* A function of the C++ library: after us in the global scope, or in a library that was loaded with RTLD_LOCAL. */
static GRT_COLD_FN void *cxx_function(const char *name)
{
	static const char *const library[] = {"libstdc++.so.6", "libc++.so.1"};
	void *f = dlsym(RTLD_NEXT, name);

	for (size_t i = 0; i < GRT_COUNT(library) && f == NULL; i++) {
		void *handle = REAL(dlopen)(library[i], RTLD_LAZY | RTLD_NOLOAD);
		if (handle != NULL) {
			f = dlsym(handle, name);
			dlclose(handle); /* its user has it open */
		}
	}
	if (f == NULL)
		(void)dlerror();
	return f;
}

/* NULL: no handler. */
static GRT_COLD_FN handler_fn *new_handler(void)
{
	handler_fn *(*get)(void) = (handler_fn * (*)(void)) cxx_function("_ZSt15get_new_handlerv");
	return get != NULL ? get() : NULL;
}

static GRT_COLD_FN void throw_bad_alloc(void)
{
	void (*bad_alloc)(void) = (void (*)(void))cxx_function("_ZSt17__throw_bad_allocv");

	if (bad_alloc != NULL)
		bad_alloc();
	grt__throw("operator new: out of memory, and no C++ library to throw std::bad_alloc");
}

/* Lets the program make room, or throws. */
static GRT_COLD_FN void ask_handler(void)
{
	handler_fn *handler = new_handler();
	if (handler == NULL)
		throw_bad_alloc();
	handler();
}

/* The C++ library's own nothrow forms. */
enum form { ONE, MANY, ONE_AL, MANY_AL };
static const char *const nothrow_name[] = {"_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t",
                                           "_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t"};

/* From the library that has the handler; it stays open. */
static GRT_COLD_FN void *nothrow_form(enum form form)
{
	static void *found[GRT_COUNT(nothrow_name)]; /* atomic, relaxed */
	void *f = grt_load_relaxed(&found[form]), *get;
	Dl_info info;
	struct link_map *map;

	if (f != NULL || (get = cxx_function("_ZSt15get_new_handlerv")) == NULL)
		return f;
	if (dladdr1(get, &info, (void **)&map, RTLD_DL_LINKMAP) && map->l_name[0] != 0) {
		void *handle = REAL(dlopen)(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
		if (handle != NULL)
			f = dlsym(handle, nothrow_name[form]);
	}
	if (f == NULL)
		(void)dlerror();
	else
		grt_store_relaxed(&found[form], f);
	return f;
}

static GRT_COLD_FN void *new_slow(size_t n)
{
	for (;;) {
		void *p = all_ours_slow() ? grt__malloc(n) : RESOLVED.alloc(n ? n : 1);
		if (p != NULL)
			return p;
		ask_handler();
	}
}

static GRT_COLD_FN void *new_al_slow(size_t n, size_t align)
{
	if (align == 0 || (align & (align - 1)) != 0)
		throw_bad_alloc();
	if (align < sizeof(void *))
		align = sizeof(void *);
	for (;;) {
		void *p = NULL;
		if (all_ours_slow())
			p = grt__memalign(align, n);
		else if (n <= PTRDIFF_MAX && align <= PTRDIFF_MAX) /* the size a multiple, as in libstdc++ */
			p = RESOLVED.alloc_al(align, n ? (n + align - 1) & -align : align);
		if (p != NULL)
			return p;
		ask_handler();
	}
}

static GRT_COLD_FN void *nothrow_slow(enum form form, size_t n, nothrow_tag tag)
{
	if (all_ours_slow()) {
		void *p = grt__malloc(n);
		if (p != NULL || new_handler() == NULL)
			return p;
	}
	void *(*f)(size_t, nothrow_tag) = (void *(*)(size_t, nothrow_tag))nothrow_form(form);
	return f != NULL ? f(n, tag) : NULL;
}

static GRT_COLD_FN void *nothrow_al_slow(enum form form, size_t n, size_t align, nothrow_tag tag)
{
	if (all_ours_slow() && align != 0 && (align & (align - 1)) == 0) {
		void *p = grt__memalign(align, n);
		if (p != NULL || new_handler() == NULL)
			return p;
	}
	void *(*f)(size_t, size_t, nothrow_tag) = (void *(*)(size_t, size_t, nothrow_tag))nothrow_form(form);
	return f != NULL ? f(n, align, tag) : NULL;
}

GRT_ALWAYS_INLINE void *direct(size_t n)
{
	return all_ours() ? grt__malloc(n) : NULL;
}

GRT_ALWAYS_INLINE void *direct_al(size_t n, size_t align)
{
	return all_ours() && align != 0 && (align & (align - 1)) == 0 ? grt__memalign(align, n) : NULL;
}

/* operator new(size_t), (size_t, align_val_t) and their arrays */

GRT_EXPORT void *_Znwm(size_t n)
{
	void *p = direct(n);
	return grt_likely(p != NULL) ? p : new_slow(n);
}

GRT_EXPORT void *_Znam(size_t n)
{
	void *p = direct(n);
	return grt_likely(p != NULL) ? p : RESOLVED.one(n);
}

GRT_EXPORT void *_ZnwmSt11align_val_t(size_t n, size_t align)
{
	void *p = direct_al(n, align);
	return grt_likely(p != NULL) ? p : new_al_slow(n, align);
}

GRT_EXPORT void *_ZnamSt11align_val_t(size_t n, size_t align)
{
	void *p = direct_al(n, align);
	return grt_likely(p != NULL) ? p : RESOLVED.one_al(n, align);
}

/* the same with std::nothrow */

GRT_EXPORT void *_ZnwmRKSt9nothrow_t(size_t n, nothrow_tag tag)
{
	void *p = direct(n);
	return grt_likely(p != NULL) ? p : nothrow_slow(ONE, n, tag);
}

GRT_EXPORT void *_ZnamRKSt9nothrow_t(size_t n, nothrow_tag tag)
{
	void *p = direct(n);
	return grt_likely(p != NULL) ? p : nothrow_slow(MANY, n, tag);
}

GRT_EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, nothrow_tag tag)
{
	void *p = direct_al(n, align);
	return grt_likely(p != NULL) ? p : nothrow_al_slow(ONE_AL, n, align, tag);
}

GRT_EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, nothrow_tag tag)
{
	void *p = direct_al(n, align);
	return grt_likely(p != NULL) ? p : nothrow_al_slow(MANY_AL, n, align, tag);
}

/* operator delete: plain, sized, nothrow, aligned */

GRT_EXPORT void _ZdlPv(void *p)
{
	if (all_ours())
		grt__free(p);
	else
		RESOLVED.dealloc(p);
}

GRT_EXPORT void _ZdaPv(void *p)
{
	if (all_ours())
		grt__free(p);
	else
		RESOLVED.drop(p);
}

GRT_EXPORT void _ZdlPvm(void *p, size_t n)
{
	if (all_ours())
		grt__free_sized(p, n);
	else
		RESOLVED.drop(p);
}

GRT_EXPORT void _ZdaPvm(void *p, size_t n)
{
	if (all_ours())
		grt__free_sized(p, n);
	else
		RESOLVED.drop_many(p);
}

GRT_EXPORT void _ZdlPvRKSt9nothrow_t(void *p, nothrow_tag tag)
{
	RESOLVED.drop(p);
}

GRT_EXPORT void _ZdaPvRKSt9nothrow_t(void *p, nothrow_tag tag)
{
	RESOLVED.drop_many(p);
}

GRT_EXPORT void _ZdlPvSt11align_val_t(void *p, size_t align)
{
	if (all_ours())
		grt__free(p);
	else
		RESOLVED.dealloc(p);
}

GRT_EXPORT void _ZdaPvSt11align_val_t(void *p, size_t align)
{
	if (all_ours())
		grt__free(p);
	else
		RESOLVED.drop_al(p, align);
}

GRT_EXPORT void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align)
{
	if (all_ours())
		grt__free_sized(p, n);
	else
		RESOLVED.drop_al(p, align);
}

GRT_EXPORT void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align)
{
	if (all_ours())
		grt__free_sized(p, n);
	else
		RESOLVED.drop_many_al(p, align);
}

GRT_EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, nothrow_tag tag)
{
	RESOLVED.drop_al(p, align);
}

GRT_EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, nothrow_tag tag)
{
	RESOLVED.drop_many_al(p, align);
}
