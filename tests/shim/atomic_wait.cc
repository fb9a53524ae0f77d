// CFLAGS: -std=c++20
// LDFLAGS: -std=c++20
/* atomic_wait.cc - C++20's waiting atomics, latches, semaphores, and std::thread's whole family. */
#include "check.h"

#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main()
{
	{
		std::atomic<int> turn{0};
		std::vector<std::thread> ts;
		for (int me = 0; me < 4; me++)
			ts.emplace_back([&, me] {
				for (int i = 0; i < 500; i++) {
					int t;
					while ((t = turn.load()) % 4 != me)
						turn.wait(t);
					turn.store(t + 1);
					turn.notify_all();
				}
			});
		for (auto &t : ts)
			t.join();
		CHECK_EQ("atomic<int>::wait and notify_all", 2000, turn.load());
	}
	{
		std::atomic<char> flag{0};
		std::atomic<long> wide{0};
		std::thread a([&] {
			flag.wait(0);
			wide.store(5);
			wide.notify_one();
		});
		std::this_thread::sleep_for(10ms);
		flag.store(1);
		flag.notify_one();
		wide.wait(0);
		a.join();
		CHECK_EQ("atomics that are no futex word wait too", 5, wide.load());
	}
	{
		std::atomic_flag f = ATOMIC_FLAG_INIT;
		std::thread a([&] {
			std::this_thread::sleep_for(5ms);
			f.test_and_set();
			f.notify_one();
		});
		f.wait(false);
		a.join();
		CHECK("atomic_flag::wait", f.test());
	}
	{
		std::latch ready(16);
		std::barrier phase(16);
		std::counting_semaphore<4> slots(4);
		std::atomic<int> inside{0}, over{0};
		std::vector<std::jthread> ts;
		for (int i = 0; i < 16; i++)
			ts.emplace_back([&] {
				ready.arrive_and_wait();
				for (int k = 0; k < 50; k++) {
					slots.acquire();
					if (++inside > 4)
						over++;
					std::this_thread::yield();
					inside--;
					slots.release();
					phase.arrive_and_wait();
				}
			});
		ts.clear();
		CHECK_EQ("latch, barrier and counting_semaphore", 0, over.load());
		std::binary_semaphore none(0);
		CHECK("try_acquire_for times out", !none.try_acquire_for(20ms));
	}
	{
		std::vector<std::future<int>> fs;
		long sum = 0;
		for (int i = 0; i < 64; i++)
			fs.push_back(std::async(std::launch::async, [i] { return i * i; }));
		for (auto &f : fs)
			sum += f.get();
		CHECK_EQ("std::async", 85344, sum);
		auto bad = std::async(std::launch::async, []() -> int { throw std::runtime_error("x"); });
		bool thrown = false;
		try {
			bad.get();
		} catch (const std::runtime_error &) {
			thrown = true;
		}
		CHECK("an exception travels through a future", thrown);
		std::promise<int> p;
		auto fut = p.get_future();
		CHECK("wait_for of a promise not kept", fut.wait_for(20ms) == std::future_status::timeout);
		std::thread([&p] { p.set_value(8); }).join();
		CHECK_EQ("a promise kept by another thread", 8, fut.get());
	}
	{
		std::shared_mutex sm;
		std::timed_mutex tm;
		std::recursive_mutex rm;
		long value = 0;
		std::vector<std::thread> ts;
		for (int i = 0; i < 8; i++)
			ts.emplace_back([&, i] {
				for (int k = 0; k < 200; k++) {
					if (k % 4 == i % 4) {
						std::unique_lock l(sm);
						value++;
					} else {
						std::shared_lock l(sm);
						if (value < 0)
							std::abort();
					}
					std::lock_guard a(rm);
					std::lock_guard b(rm);
				}
			});
		for (auto &t : ts)
			t.join();
		CHECK_EQ("shared_mutex and recursive_mutex", 400, value);
		tm.lock();
		bool got = true;
		std::thread([&] { got = tm.try_lock_for(20ms); }).join();
		CHECK("timed_mutex::try_lock_for times out", !got);
		tm.unlock();
		std::mutex m1, m2;
		std::thread x([&] {
			for (int i = 0; i < 500; i++)
				std::scoped_lock l(m1, m2);
		});
		for (int i = 0; i < 500; i++)
			std::scoped_lock l(m2, m1);
		x.join();
		CHECK("scoped_lock of two mutexes in both orders", 1);
	}
	{
		std::mutex m;
		std::condition_variable cv;
		std::condition_variable_any cva;
		bool ready = false;
		std::unique_lock l(m);
		CHECK("cv.wait_for times out", !cv.wait_for(l, 20ms, [&] { return ready; }));
		CHECK("cv.wait_until on the system clock",
		      cv.wait_until(l, std::chrono::system_clock::now() + 20ms) == std::cv_status::timeout);
		std::jthread t([&](std::stop_token st) {
			std::unique_lock k(m);
			cva.wait(k, st, [] { return false; });
			ready = st.stop_requested();
			cv.notify_all();
		});
		l.unlock();
		std::this_thread::sleep_for(10ms);
		t.request_stop();
		l.lock();
		cv.wait(l, [&] { return ready; });
		CHECK("stop_token wakes condition_variable_any", ready);
	}
	return check_done();
}
