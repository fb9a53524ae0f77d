/* cancel_cxx.cc - a cancellation unwinds C++ frames. */
#include "check.h"

#include <string>

static std::string order;
static int entered;

struct Noted {
	const char *name;
	~Noted()
	{
		order += name;
	}
};

static thread_local Noted local{"t"};

static void *unwinds(void *)
{
	Noted a{"a"};
	order += local.name[0] == 't' ? "" : "?";
	try {
		Noted b{"b"};
		flag_set(&entered, 1);
		for (;;)
			sleep(20);
	} catch (...) {
		order += "c";
		throw;
	}
	return nullptr;
}

int main()
{
	pthread_t t = spawn(unwinds, nullptr);
	flag_wait(&entered, 1);
	sleep_ms(20);
	EXPECT_EQ(0, pthread_cancel(t));
	CHECK("cancelled in sleep", join(t) == PTHREAD_CANCELED);
	CHECK("glibc: destructors and catch (...) run, then thread_local objects", order == "bcat");
	return check_done();
}
