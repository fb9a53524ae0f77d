/* operators_malloc.cc - a program with a malloc of its own: the C++ library's operators stand on it. */
#include "check.h"
#include "blocks.h"

#include <new>
#include <string>
#include <thread>
#include <vector>

extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);
}

static int mallocs, frees;

extern "C" void *malloc(size_t n) noexcept
{
	flag_add(&mallocs, 1);
	return __libc_malloc(n);
}

extern "C" void *calloc(size_t n, size_t m) noexcept
{
	return __libc_calloc(n, m);
}

extern "C" void *realloc(void *p, size_t n) noexcept
{
	return __libc_realloc(p, n);
}

extern "C" void *aligned_alloc(size_t a, size_t n) noexcept
{
	flag_add(&mallocs, 1);
	return n % a == 0 ? __libc_memalign(a, n) : NULL;
}

extern "C" void free(void *p) noexcept
{
	flag_add(&frees, 1);
	__libc_free(p);
}

int main()
{
	static void *volatile keep;
	std::align_val_t al{256};
#define PAIR(clause, make, drop)                                                                                       \
	do {                                                                                                               \
		int m = mallocs, f = frees;                                                                                    \
		keep = make;                                                                                                   \
		void *p = keep;                                                                                                \
		bool ok = p && mallocs == m + 1 && frees == f;                                                                 \
		drop;                                                                                                          \
		ok = ok && mallocs == m + 1 && frees == f + 1;                                                                 \
		CHECK(clause, ok);                                                                                             \
	} while (0)
	/* each form once before: what it looks for and loads is not counted */
	operator delete(operator new(1, std::nothrow));
	operator delete[](operator new[](1, std::nothrow));
	operator delete(operator new(1, al, std::nothrow), al);
	operator delete[](operator new[](1, al, std::nothrow), al);
	PAIR("new, delete", operator new(10), operator delete(p));
	PAIR("new of 0, sized delete", operator new(0), operator delete(p, (size_t)0));
	PAIR("new[], delete[]", operator new[](10), operator delete[](p));
	PAIR("nothrow new, nothrow delete", operator new(10, std::nothrow), operator delete(p, std::nothrow));
	PAIR("nothrow new[], sized delete[]", operator new[](10, std::nothrow), operator delete[](p, (size_t)10));
	PAIR("aligned new, delete", operator new(10, al), operator delete(p, al));
	PAIR("aligned new[], sized delete[]", operator new[](10, al), operator delete[](p, (size_t)10, al));
	PAIR("aligned nothrow new", operator new(300, al, std::nothrow), operator delete(p, al, std::nothrow));
	PAIR("aligned nothrow new[]", operator new[](300, al, std::nothrow), operator delete[](p, al, std::nothrow));
	bool thrown = false;
	try {
		keep = operator new(OPAQUE((size_t)PTRDIFF_MAX));
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK("bad_alloc", thrown);
	CHECK("NULL", operator new(OPAQUE((size_t)PTRDIFF_MAX), std::nothrow) == nullptr);
	std::vector<std::thread> ts;
	for (int i = 0; i < 4; i++)
		ts.emplace_back([] {
			std::vector<std::string> v;
			for (int k = 0; k < 1000; k++)
				v.push_back(std::string((size_t)k, 'x'));
		});
	for (auto &t : ts)
		t.join();
	CHECK("strings of threads", mallocs > 4000 && frees > 4000);
	return check_done();
}
