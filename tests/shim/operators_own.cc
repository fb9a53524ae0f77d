// CFLAGS: -Wno-sized-deallocation
/* operators_own.cc - a program with an operator new and delete of its own: all forms that it did not write stand on these.
 *
 * Its blocks have a header, so whoever frees one without it breaks the heap. */
#include "check.h"
#include "blocks.h"

#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

static int news, deletes, strangers;
enum { MAGIC = 0x600dca1f };

struct header {
	size_t size;
	long magic;
};

void *operator new(size_t n)
{
	if (n > (size_t)1 << 40)
		throw std::bad_alloc();
	header *h = (header *)malloc(n + sizeof *h);
	if (!h)
		throw std::bad_alloc();
	h->size = n;
	h->magic = MAGIC;
	flag_add(&news, 1);
	return h + 1;
}

void operator delete(void *p) noexcept
{
	if (!p)
		return;
	header *h = (header *)p - 1;
	if (h->magic != MAGIC) {
		flag_add(&strangers, 1);
		return;
	}
	h->magic = 0;
	flag_add(&deletes, 1);
	free(h);
}

/* Calls made, and whether they were paired and ours. */
static bool balanced(int most)
{
	static int seen;
	bool ok = news == deletes && strangers == 0 && news > seen && news - seen <= most;
	seen = news;
	return ok;
}

int main()
{
	static void *volatile keep;
#define PAIR(clause, make, drop)                                                                                       \
	do {                                                                                                               \
		keep = make;                                                                                                   \
		void *p = keep;                                                                                                \
		drop;                                                                                                          \
		CHECK(clause, balanced(1));                                                                                    \
	} while (0)
	(void)balanced(1 << 30);
	PAIR("new, delete", operator new(10), operator delete(p));
	PAIR("new, sized delete", operator new(10), operator delete(p, (size_t)10));
	PAIR("new, nothrow delete", operator new(10), operator delete(p, std::nothrow));
	PAIR("new[], delete[]", operator new[](10), operator delete[](p));
	PAIR("new[], sized delete[]", operator new[](10), operator delete[](p, (size_t)10));
	PAIR("new[], nothrow delete[]", operator new[](10), operator delete[](p, std::nothrow));
	PAIR("nothrow new, delete", operator new(10, std::nothrow), operator delete(p));
	PAIR("nothrow new[], delete[]", operator new[](10, std::nothrow), operator delete[](p));
	PAIR("new int", new int, delete (int *)p);
	PAIR("new string", new std::string("short"), delete (std::string *)p);
	size_t much = OPAQUE((size_t)1 << 45);
	CHECK("nothrow: its bad_alloc is caught", operator new(much, std::nothrow) == nullptr);
	CHECK("nothrow[]: its bad_alloc is caught", operator new[](much, std::nothrow) == nullptr);
	bool thrown = false;
	try {
		keep = operator new[](much);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK("its bad_alloc comes through new[]", thrown);
	std::align_val_t al{256};
	int before = news;
	void *p = operator new(100, al), *q = operator new[](100, al, std::nothrow);
	CHECK("the aligned forms are not its own", p && q && aligned_to(p, 256) && aligned_to(q, 256) && news == before);
	operator delete(p, (size_t)100, al);
	operator delete[](q, al);
	{
		std::map<int, std::string> m;
		for (int i = 0; i < 1000; i++)
			m[i] = std::string((size_t)i % 50, 'x');
		std::ostringstream s;
		for (auto &e : m)
			s << e.first << e.second;
		std::string all = s.str();
		EXPECT(all.size() > 20000);
		auto sp = std::make_shared<std::vector<std::string>>(100, all);
		std::function<size_t()> f = [sp, all] { return sp->size() + all.size(); };
		EXPECT(f() > 20100);
		std::vector<std::thread> ts;
		for (int i = 0; i < 4; i++)
			ts.emplace_back([&f, i] {
				std::vector<std::string> v;
				for (int k = 0; k < 1000; k++)
					v.push_back(std::to_string(f() + (size_t)(k * i)) + " and some more, to be long");
			});
		for (auto &t : ts)
			t.join();
	}
	CHECK("the C++ library's own objects, by threads too", news == deletes && strangers == 0 && news > 5000);
	return check_done();
}
