// LDFLAGS: -ldl
/* operators_local.c - operator new for a C++ library that a C program loads for itself alone (RTLD_LOCAL), as Python does. */
#include "check.h"
#include "blocks.h"

#include <dlfcn.h>

static int calls;

static void handler(void)
{
	typedef void fn(void);
	fn *(*set)(fn *) =
		(fn * (*)(fn *)) dlsym(dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL), "_ZSt15set_new_handlerPFvvE");
	if (++calls == 2)
		set(NULL);
}

int main(void)
{
	void *h = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
	if (!h) {
		puts("SKIP no libstdc++");
		return 77;
	}
	const void *tag = dlsym(h, "_ZSt7nothrow");
	void *(*new_nothrow)(size_t, const void *) = (void *(*)(size_t, const void *))dlsym(h, "_ZnwmRKSt9nothrow_t");
	void *(*newv_nothrow)(size_t, const void *) = (void *(*)(size_t, const void *))dlsym(h, "_ZnamRKSt9nothrow_t");
	void *(*new_one)(size_t) = (void *(*)(size_t))dlsym(h, "_Znwm");
	void (*delete_one)(void *) = (void (*)(void *))dlsym(h, "_ZdlPv");
	void (*delete_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(h, "_ZdlPvm");
	void (*(*set)(void (*)(void)))(void) = (void (*(*)(void (*)(void)))(void))dlsym(h, "_ZSt15set_new_handlerPFvvE");
	size_t huge = OPAQUE((size_t)PTRDIFF_MAX - 100);
	EXPECT(tag && new_nothrow && newv_nothrow && new_one && delete_one && delete_sized && set);
	for (size_t n = 0; n < 100000; n = n * 2 + 1) {
		void *p = new_one(n), *q = new_nothrow(n, tag), *r = newv_nothrow(n, tag);
		EXPECT(p && q && r);
		delete_one(p);
		delete_sized(q, n);
		delete_one(r);
	}
	CHECK("new and delete", 1);
	/* within the library bad_alloc is thrown and caught: whoever throws has to find it */
	CHECK("nothrow new that fails", new_nothrow(huge, tag) == NULL);
	CHECK("nothrow new[] that fails", newv_nothrow(huge, tag) == NULL);
	set(handler);
	CHECK("with a handler", new_nothrow(huge, tag) == NULL && calls == 2);
	return check_done();
}
