/* tls_cxx.cc - C++ thread_local: construction, order of destruction, reuse; exceptions. */
#include "check.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::string order;
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static int alive;

static void note(const std::string &s)
{
	pthread_mutex_lock(&order_lock);
	order += s;
	pthread_mutex_unlock(&order_lock);
}

struct Noted {
	std::string name;
	explicit Noted(const char *n) : name(n)
	{
		flag_add(&alive, 1);
		note("+" + name);
	}
	~Noted()
	{
		note("-" + name);
		flag_add(&alive, -1);
	}
};

static Noted &a()
{
	thread_local Noted x("a");
	return x;
}
static Noted &b()
{
	thread_local Noted x("b");
	return x;
}

/* a destructor that makes another thread_local */
struct Late {
	bool armed = false;
	~Late()
	{
		if (armed)
			b();
	}
};
static thread_local Late late;

static thread_local std::vector<int> numbers(3, 7);
static thread_local int counter = [] { return 100; }();

static void key_dtor(void *)
{
	note("k");
}

static void *uses(void *arg)
{
	pthread_setspecific(*(pthread_key_t *)arg, arg);
	a();
	b();
	return nullptr;
}

static void *exits(void *)
{
	a();
	pthread_exit(nullptr);
}

struct Guard {
	~Guard()
	{
		note("g");
	}
};

static void *unwinds(void *)
{
	Guard g;
	try {
		a();
		pthread_exit((void *)3);
	} catch (...) {
		note("c");
		throw;
	}
	return nullptr;
}

static void *late_one(void *)
{
	late.armed = true;
	return nullptr;
}

static int thrown_in(int depth)
{
	std::string local(20, 'x');
	if (depth == 0)
		throw std::runtime_error("deep " + std::to_string((unsigned long)pthread_self() != 0));
	return thrown_in(depth - 1) + (int)local.size();
}

int main()
{
	pthread_key_t key;
	void *value;

	EXPECT_EQ(0, pthread_key_create(&key, key_dtor));
	join(spawn(uses, &key));
	CHECK("thread_local objects die in reverse order, before the keys", order == "+a+b-b-ak");
	order.clear();
	join(spawn(exits, nullptr));
	CHECK("pthread_exit destroys them", order == "+a-a");
	order.clear();
	value = join(spawn(unwinds, nullptr));
	CHECK("pthread_exit unwinds through catch (...) and destructors, then thread_local",
	      order == "+acg-a" && (long)value == 3);
	order.clear();
	join(spawn(late_one, nullptr));
	CHECK("a thread_local made by a destructor is destroyed too", order == "+b-b");
	CHECK_EQ("none is left", 0, alive);

	int bad = 0;
	for (int i = 0; i < 100; i++)
		std::thread([&] {
			if (numbers.size() != 3 || numbers[2] != 7 || counter != 100)
				flag_add(&bad, 1);
			numbers.assign(1000, i);
			counter = i;
		}).join();
	CHECK_EQ("each of 100 threads gets its own initial objects", 0, bad);

	std::vector<std::thread> ts;
	int caught = 0;
	for (int i = 0; i < 32; i++)
		ts.emplace_back([&] {
			for (int k = 0; k < 50; k++) {
				try {
					thrown_in(10);
				} catch (const std::exception &e) {
					std::this_thread::yield();
					if (std::string(e.what()) == "deep 1")
						flag_add(&caught, 1);
				}
				/* a switch while an exception is being handled */
				try {
					try {
						throw 1;
					} catch (int) {
						std::this_thread::yield();
						throw;
					}
				} catch (int v) {
					flag_add(&caught, v);
				}
				if (std::uncaught_exceptions() != 0)
					flag_add(&caught, -1000);
			}
		});
	for (auto &t : ts)
		t.join();
	CHECK_EQ("exceptions in 32 threads that yield inside catch", 32 * 50 * 2, caught);

	std::exception_ptr ep;
	std::thread([&] {
		try {
			throw std::logic_error("moved");
		} catch (...) {
			ep = std::current_exception();
		}
	}).join();
	try {
		std::rethrow_exception(ep);
	} catch (const std::logic_error &e) {
		CHECK("an exception_ptr crosses threads", std::string(e.what()) == "moved");
	}
	a();
	return check_done();
}
