/* call_once.cc - an exception out of the routine leaves the control as if never called. */
#include "check.h"

#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

static std::once_flag flag;
static int attempts, caught;
static pthread_once_t control = PTHREAD_ONCE_INIT;
static int control_runs;

static void throwing(void)
{
	if (++control_runs == 1)
		throw std::runtime_error("first");
}

int main()
{
	std::vector<std::thread> ts;
	for (int i = 0; i < 16; i++)
		ts.emplace_back([] {
			try {
				std::call_once(flag, [] {
					int n = flag_add(&attempts, 1);
					std::this_thread::sleep_for(std::chrono::milliseconds(10));
					if (n <= 3)
						throw std::runtime_error("again");
				});
			} catch (const std::runtime_error &) {
				flag_add(&caught, 1);
			}
		});
	for (auto &t : ts)
		t.join();
	CHECK_EQ("call_once tries again after an exception, by the next waiter", 4, attempts);
	CHECK_EQ("the exception reaches the caller whose attempt it was", 3, caught);

	bool thrown = false;
	try {
		pthread_once(&control, throwing);
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	CHECK("glibc: an exception passes through pthread_once", thrown);
	EXPECT_EQ(0, pthread_once(&control, throwing));
	EXPECT_EQ(0, pthread_once(&control, throwing));
	CHECK_EQ("glibc: pthread_once is reset by it, runs again, once", 2, control_runs);
	return check_done();
}
