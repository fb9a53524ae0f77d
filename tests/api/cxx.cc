/* LINK: grt
 *
 * cxx.cc - channels, deferred calls, panics and containers of grt.h in C++, with exceptions and thread_local. */
#include "grt.h"
#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

static grt_chan *c;
static grt_mutex m;
static std::string trail;
static std::atomic<int> gone;

struct counted {
	int n = 0;
	~counted() { gone += n; }
};
static thread_local counted mine;

static void note(void *what)
{
	grt_mutex_lock(&m);
	trail += static_cast<const char *>(what);
	grt_mutex_unlock(&m);
}

static void throws(int n)
{
	GRT_DEFER(note, const_cast<char *>("d"));
	if (n > 0)
		throw std::runtime_error("thrown");
}

static void task(void *arg)
{
	long v = reinterpret_cast<intptr_t>(arg);
	mine.n = 1;
	try {
		throws(static_cast<int>(v) % 2);
	} catch (const std::exception &e) {
		note(const_cast<char *>("c"));
		grt_yield(); /* the exception in flight is the task's own */
		if (std::strcmp(e.what(), "thrown") != 0)
			std::abort();
	}
	grt_chan_send(c, &v);
}

static const char *caught;

static void recovers(void *)
{
	caught = static_cast<const char *>(grt_recover());
}

static void panics(void *)
{
	GRT_DEFER(recovers, nullptr);
	grt_panic("from C++");
}

GRT_MAP(ages, const char *, int, GRT_MAP_STRING);

int main()
{
	long sum = 0, v = 0;
	c = grt_chan_make(sizeof v, 0);
	for (long i = 0; i < 20; i++)
		if (grt_go(task, reinterpret_cast<void *>(i)) != 0)
			return 1;
	std::thread t([] {
		long more = 100;
		grt_chan_send(c, &more);
	});
	for (int i = 0; i < 21; i++) {
		grt_case k[] = {GRT_CASE_RECV(c, &v), GRT_CASE_RECV(nullptr, nullptr)};
		if (grt_select(k, 2, 60 * GRT_SECOND) != 0)
			return 2;
		sum += v;
	}
	t.join();
	while (grt_num_tasks() > 1)
		grt_yield();
	if (sum != 190 + 100 || gone != 20 || trail.size() != 30)
		return 3;
	if (grt_call(panics, nullptr) || std::strcmp(caught, "from C++") != 0)
		return 4;
	ages a;
	if (!ages_make(&a, 0) || !ages_put(&a, "x", 4) || *ages_get(&a, "x") != 4)
		return 5;
	ages_free(&a);
	GRT_SLICE(int) s = {};
	for (int i = 0; i < 10; i++)
		if (!grt_append(&s, i))
			return 6;
	if (grt_at(&s, 9) != 9)
		return 7;
	grt_slice_free(&s);
	grt_chan_free(c);
	std::puts("right");
	return 0;
}
