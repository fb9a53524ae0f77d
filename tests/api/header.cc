/* LINK: grt
 *
 * header.cc - grt.h is a C++ header too; exceptions, thread_local and std::mutex work in tasks. */
#include "grt.h"
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <thread>

static std::atomic<int> destroyed;
static std::mutex m;
static std::condition_variable c;
static int caught;

struct noisy {
	int n = 0;
	~noisy() { destroyed += n; }
};
static thread_local noisy local;

static void task(void *arg)
{
	local.n = 1;
	try {
		grt_yield();
		throw std::runtime_error("x");
	} catch (const std::exception &) {
		std::lock_guard<std::mutex> hold(m);
		++*static_cast<int *>(arg);
		c.notify_one();
	}
}

static void leaves(void *)
{
	noisy on_stack;
	on_stack.n = 100;
	grt_exit();
}

int main()
{
	for (int i = 0; i < 50; i++)
		if (grt_go(task, &caught) != 0)
			return 1;
	std::unique_lock<std::mutex> hold(m);
	c.wait(hold, [] { return caught == 50; });
	hold.unlock();
	std::thread t([] { grt_yield(); });
	t.join();
	if (grt_go(leaves, nullptr) != 0)
		return 2;
	while (grt_num_tasks() > 1)
		grt_yield();
	std::printf("%d caught, %d destroyed, version %s\n", caught, destroyed.load(), grt_version());
	return caught == 50 && destroyed == 150 ? 0 : 3;
}
