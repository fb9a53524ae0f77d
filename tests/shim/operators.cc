/* operators.cc - operator new and delete in every form: memory, alignment, the new-handler, what is thrown and what is not. */
#include "check.h"
#include "blocks.h"

#include <new>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

static const std::align_val_t al64{64}, al4k{4096};
static size_t huge; /* more than there is; the compiler does not know it */

struct alignas(128) wide {
	char c[300];
};

struct counted {
	static int alive;
	long x[3];
	counted()
	{
		if (alive == 5)
			throw std::runtime_error("the sixth");
		alive++;
	}
	~counted()
	{
		alive--;
	}
};
int counted::alive;

static void forms()
{
	bool ok = true, aligned = true;
	for (size_t n = 0; n < 200000; n += n < 100 ? 1 : n / 5) {
		void *p[8] = {operator new(n),
		              operator new[](n),
		              operator new(n, std::nothrow),
		              operator new[](n, std::nothrow),
		              operator new(n, al64),
		              operator new[](n, al4k),
		              operator new(n, al64, std::nothrow),
		              operator new[](n, al4k, std::nothrow)};
		for (int i = 0; i < 8; i++) {
			ok &= p[i] != nullptr && malloc_usable_size(p[i]) >= n;
			aligned &= aligned_to(p[i], i < 4 ? 16 : i & 1 ? 4096 : 64);
			fill(p[i], n, (unsigned)i);
		}
		for (int i = 0; i < 8; i++)
			ok &= filled(p[i], n, (unsigned)i);
		switch (n % 3) {
		case 0:
			operator delete(p[0]);
			operator delete[](p[1]);
			operator delete(p[2]);
			operator delete[](p[3]);
			operator delete(p[4], al64);
			operator delete[](p[5], al4k);
			operator delete(p[6], al64);
			operator delete[](p[7], al4k);
			break;
		case 1:
			operator delete(p[0], n);
			operator delete[](p[1], n);
			operator delete(p[2], n);
			operator delete[](p[3], n);
			operator delete(p[4], n, al64);
			operator delete[](p[5], n, al4k);
			operator delete(p[6], n, al64);
			operator delete[](p[7], n, al4k);
			break;
		default:
			operator delete(p[0], std::nothrow);
			operator delete[](p[1], std::nothrow);
			operator delete(p[2], std::nothrow);
			operator delete[](p[3], std::nothrow);
			operator delete(p[4], al64, std::nothrow);
			operator delete[](p[5], al4k, std::nothrow);
			operator delete(p[6], al64, std::nothrow);
			operator delete[](p[7], al4k, std::nothrow);
		}
	}
	operator delete(nullptr);
	operator delete[](nullptr);
	operator delete(nullptr, (size_t)8);
	operator delete[](nullptr, (size_t)8);
	operator delete(nullptr, al64);
	operator delete[](nullptr, al64);
	operator delete(nullptr, (size_t)64, al64);
	operator delete[](nullptr, std::nothrow);
	CHECK("all forms give memory and take it back", ok);
	CHECK("aligned to 16, or as asked", aligned);
	void *p = operator new(0), *q = operator new(0);
	CHECK("a size of 0: a pointer of its own", p && q && p != q);
	operator delete(p);
	operator delete(q);
	for (size_t a = 1; a <= 1 << 21; a *= 2) {
		p = operator new(10, std::align_val_t{a});
		aligned &= aligned_to(p, a);
		operator delete(p, std::align_val_t{a});
	}
	CHECK("alignments up to 2 MiB", aligned);
	wide *w = new wide[5];
	CHECK("an array of an aligned type", aligned_to(w, 128));
	delete[] w;
	std::vector<wide> v(100);
	CHECK("a vector of it", aligned_to(v.data(), 128));
}

static void constructors()
{
	bool thrown = false;
	try {
		delete[] new counted[10];
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	CHECK("an exception out of a constructor gives the memory back", thrown && counted::alive == 0);
}

static int calls;
static rlim_t before;

static void gives_up()
{
	if (++calls == 3)
		std::set_new_handler(nullptr);
}

static void throws()
{
	calls++;
	throw std::bad_alloc();
}

static void throws_other()
{
	calls++;
	throw std::runtime_error("no memory");
}

static void makes_room()
{
	struct rlimit rl;
	calls++;
	getrlimit(RLIMIT_AS, &rl);
	rl.rlim_cur = before;
	setrlimit(RLIMIT_AS, &rl);
}

/* What f ends with: 'm' memory, '0' NULL, 'b' bad_alloc, 'o' another exception; and how often the handler was called. */
template <typename F> static void ends(const char *clause, const char *want, std::new_handler handler, F f)
{
	char got[32];
	char how = '?';
	calls = 0;
	std::set_new_handler(handler);
	try {
		how = f() ? 'm' : '0';
	} catch (const std::bad_alloc &) {
		how = 'b';
	} catch (const std::runtime_error &) {
		how = 'o';
	}
	std::set_new_handler(nullptr);
	snprintf(got, sizeof got, "%c%d", how, calls);
	CHECK(clause, strcmp(got, want) == 0);
	if (strcmp(got, want) != 0)
		printf("      %s, not %s\n", got, want);
}

static void failures(const char *who)
{
	char clause[100];
#define ENDS(what, want, handler, call)                                                                                \
	do {                                                                                                               \
		snprintf(clause, sizeof clause, "%s: %s", who, what);                                                          \
		ends(clause, want, handler, [] { return call; });                                                              \
	} while (0)
	ENDS("new", "b0", nullptr, operator new(huge));
	ENDS("new[]", "b0", nullptr, operator new[](huge));
	ENDS("new, aligned", "b0", nullptr, operator new(huge, al64));
	ENDS("new[], aligned", "b0", nullptr, operator new[](huge, al64));
	ENDS("nothrow", "00", nullptr, operator new(huge, std::nothrow));
	ENDS("nothrow[]", "00", nullptr, operator new[](huge, std::nothrow));
	ENDS("nothrow, aligned", "00", nullptr, operator new(huge, al64, std::nothrow));
	ENDS("nothrow[], aligned", "00", nullptr, operator new[](huge, al64, std::nothrow));
	ENDS("new, a handler that gives up", "b3", gives_up, operator new(huge));
	ENDS("new[], a handler that gives up", "b3", gives_up, operator new[](huge));
	ENDS("new, aligned, a handler that gives up", "b3", gives_up, operator new(huge, al64));
	ENDS("new[], aligned, a handler that gives up", "b3", gives_up, operator new[](huge, al64));
	ENDS("nothrow, a handler that gives up", "03", gives_up, operator new(huge, std::nothrow));
	ENDS("nothrow[], a handler that gives up", "03", gives_up, operator new[](huge, std::nothrow));
	ENDS("nothrow, aligned, a handler that gives up", "03", gives_up, operator new(huge, al64, std::nothrow));
	ENDS("nothrow[], aligned, a handler that gives up", "03", gives_up, operator new[](huge, al64, std::nothrow));
	ENDS("new, a handler that throws", "b1", throws, operator new(huge));
	ENDS("new[], a handler that throws", "b1", throws, operator new[](huge));
	ENDS("new, a handler that throws something else", "o1", throws_other, operator new(huge));
	ENDS("new[], aligned, a handler that throws something else", "o1", throws_other, operator new[](huge, al64));
	ENDS("nothrow, a handler that throws", "01", throws, operator new(huge, std::nothrow));
	ENDS("nothrow[], a handler that throws", "01", throws, operator new[](huge, std::nothrow));
	ENDS("nothrow, a handler that throws something else", "01", throws_other, operator new(huge, std::nothrow));
	ENDS("nothrow, aligned, a handler that throws", "01", throws, operator new(huge, al64, std::nothrow));
	ENDS("nothrow[], aligned, a handler that throws", "01", throws, operator new[](huge, al64, std::nothrow));
	ENDS("new(PTRDIFF_MAX)", "b0", nullptr, operator new(huge &(size_t)PTRDIFF_MAX));
	ENDS("new of 2^47", "b0", nullptr, operator new(OPAQUE((size_t)1 << 47)));
	ENDS("no power of two", "b0", gives_up, operator new(10, std::align_val_t{OPAQUE((size_t)24)}));
	ENDS("no power of two, nothrow", "00", gives_up, operator new(10, std::align_val_t{OPAQUE((size_t)24)}, std::nothrow));
	ENDS("new in a new-expression", "b2", ([] {
		     if (++calls == 2)
			     std::set_new_handler(nullptr);
	     }),
	     new char[huge & (size_t)PTRDIFF_MAX]);
}

static void room()
{
	struct rlimit rl;
	EXPECT_EQ(0, getrlimit(RLIMIT_AS, &rl));
	before = rl.rlim_cur;
	rl.rlim_cur = (rlim_t)2 << 30;
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &rl));
	static void *p;
	ends("a handler that makes room: new goes on", "m1", makes_room, [] { return p = operator new((size_t)3 << 30); });
	operator delete(p);
	EXPECT_EQ(0, setrlimit(RLIMIT_AS, &rl));
	ends("the same with nothrow[], aligned", "m1", makes_room,
	     [] { return p = operator new[]((size_t)3 << 30, al4k, std::nothrow); });
	operator delete[](p, al4k);
}

static void threads()
{
	static int caught;
	std::vector<std::thread> ts;
	for (int i = 0; i < 8; i++)
		ts.emplace_back([i] {
			std::vector<std::string> v;
			for (int k = 0; k < 2000; k++) {
				v.emplace_back((size_t)(k % 100), (char)('a' + i));
				if (k % 7 == 0)
					v.erase(v.begin() + (long)v.size() / 2);
				if (k % 100 == 0) {
					try {
						operator delete(operator new(huge));
					} catch (const std::bad_alloc &) {
						flag_add(&caught, 1);
					}
				}
			}
		});
	for (auto &t : ts)
		t.join();
	CHECK_EQ("8 threads with strings, and bad_alloc caught in each", 160, caught);
}

int main()
{
	huge = OPAQUE((size_t)SIZE_MAX) - 100000;
	forms();
	constructors();
	failures("main");
	std::thread([] { failures("a thread"); }).join();
	room();
	threads();
	return check_done();
}
