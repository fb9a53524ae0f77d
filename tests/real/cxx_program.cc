/* cxx_program.cc - the program of cxx.sh: a word count by a pipeline of threads, a parallel sort,
 * a pool of workers with futures, and a ring of threads on atomics. */
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

template <class T> class Channel
{
	std::mutex m;
	std::condition_variable not_empty, not_full;
	std::deque<T> q;
	size_t cap;
	bool closed = false;

  public:
	explicit Channel(size_t n) : cap(n)
	{
	}
	void put(T v)
	{
		std::unique_lock l(m);
		not_full.wait(l, [&] { return q.size() < cap; });
		q.push_back(std::move(v));
		not_empty.notify_one();
	}
	std::optional<T> get()
	{
		std::unique_lock l(m);
		not_empty.wait(l, [&] { return !q.empty() || closed; });
		if (q.empty())
			return {};
		T v = std::move(q.front());
		q.pop_front();
		not_full.notify_one();
		return v;
	}
	void close()
	{
		std::lock_guard l(m);
		closed = true;
		not_empty.notify_all();
	}
};

static std::atomic<int> destroyed{0};

struct Counter {
	std::map<std::string, int> words;
	std::ostringstream log;
	~Counter()
	{
		destroyed++;
	}
};

static thread_local Counter counter;

static void pipeline()
{
	Channel<std::string> lines(16);
	std::map<std::string, int> total;
	std::mutex m;
	std::vector<std::thread> ts;
	for (int i = 0; i < 6; i++)
		ts.emplace_back([&] {
			while (auto line = lines.get()) {
				std::istringstream in(*line);
				std::string w;
				while (in >> w)
					counter.words[w]++;
				counter.log << line->size() << ' ' << 1.5;
			}
			std::lock_guard l(m);
			for (auto &[w, n] : counter.words)
				total[w] += n;
		});
	for (int i = 0; i < 4000; i++) {
		std::string s;
		for (int k = 0; k < 10; k++)
			s += "w" + std::to_string((i * 10 + k) % 37) + " ";
		lines.put(s);
	}
	lines.close();
	for (auto &t : ts)
		t.join();
	int n = 0;
	for (auto &[w, c] : total)
		n += c;
	std::printf("words %d\ndistinct %zu\ndestroyed %d\n", n, total.size(), destroyed.load());
}

template <class It> static void sort_parallel(It a, It b, int depth)
{
	if (depth == 0 || b - a < 1000)
		return std::sort(a, b);
	It mid = a + (b - a) / 2;
	auto left = std::async(std::launch::async, [=] { sort_parallel(a, mid, depth - 1); });
	sort_parallel(mid, b, depth - 1);
	left.get();
	std::inplace_merge(a, mid, b);
}

static void sorting()
{
	std::vector<unsigned> v(300000);
	unsigned x = 1;
	for (auto &e : v)
		e = x = x * 1664525u + 1013904223u;
	sort_parallel(v.begin(), v.end(), 5);
	std::printf("sorted %d\n", (int)std::is_sorted(v.begin(), v.end()));
}

struct Odd : std::runtime_error {
	int n;
	explicit Odd(int k) : std::runtime_error("odd " + std::to_string(k)), n(k)
	{
	}
};

static void futures()
{
	std::vector<std::future<int>> fs;
	int sum = 0, odd = 0;
	for (int i = 0; i < 200; i++)
		fs.push_back(std::async(std::launch::async, [i] {
			std::unique_ptr<int> p(new int(i));
			if (i % 2)
				throw Odd(i);
			return *p;
		}));
	for (auto &f : fs)
		try {
			sum += f.get();
		} catch (const Odd &e) {
			odd += e.n;
		}
	std::printf("futures %d %d\n", sum, odd);
	std::packaged_task<int(int)> task([](int k) { return k * 3; });
	auto r = task.get_future();
	std::thread(std::move(task), 14).join();
	std::shared_future<int> sf = r.share();
	std::vector<std::thread> ts;
	std::atomic<int> seen{0};
	for (int i = 0; i < 5; i++)
		ts.emplace_back([sf, &seen] { seen += sf.get(); });
	for (auto &t : ts)
		t.join();
	std::printf("shared future %d\n", seen.load());
}

static void ring()
{
	constexpr int N = 12, ROUNDS = 300;
	std::atomic<int> slot[N];
	for (auto &s : slot)
		s = 0;
	std::latch ready(N);
	std::vector<std::jthread> ts;
	for (int i = 0; i < N; i++)
		ts.emplace_back([&, i] {
			ready.arrive_and_wait();
			for (int r = 1; r <= ROUNDS; r++) {
				if (i == 0 && r == 1)
					slot[0] = 1;
				int v;
				while ((v = slot[i].load()) != r)
					slot[i].wait(v);
				int next = (i + 1) % N;
				slot[next].store(next == 0 ? r + 1 : r);
				slot[next].notify_all();
			}
		});
	ts.clear();
	std::printf("ring %d\n", slot[0].load());
	std::barrier sync(8, []() noexcept {});
	std::atomic<long> sum{0};
	for (int i = 0; i < 8; i++)
		ts.emplace_back([&, i] {
			for (int r = 0; r < 100; r++) {
				sum += i;
				sync.arrive_and_wait();
			}
		});
	ts.clear();
	std::printf("barrier %ld\n", sum.load());
}

static void cache()
{
	std::shared_mutex m;
	std::map<int, int> values;
	std::vector<std::thread> ts;
	std::atomic<int> wrong{0};
	std::once_flag once;
	int inits = 0;
	for (int i = 0; i < 10; i++)
		ts.emplace_back([&, i] {
			std::call_once(once, [&] { inits++; });
			for (int k = 0; k < 1000; k++) {
				int key = (k * 7 + i) % 100;
				{
					std::shared_lock l(m);
					auto it = values.find(key);
					if (it != values.end()) {
						if (it->second != key * key)
							wrong++;
						continue;
					}
				}
				std::unique_lock l(m);
				values[key] = key * key;
			}
		});
	for (auto &t : ts)
		t.join();
	std::printf("cache %zu wrong %d inits %d\n", values.size(), wrong.load(), inits);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !std::strcmp(argv[1], "terminate")) {
		std::thread([] { throw std::runtime_error("nobody catches this"); }).join();
		return 1;
	}
	if (argc > 1 && !std::strcmp(argv[1], "exit")) {
		static struct Said {
			~Said()
			{
				std::printf("static destructor\n");
			}
		} said;
		(void)said;
		std::thread([] { std::exit(17); }).join();
		return 1;
	}
	pipeline();
	sorting();
	futures();
	ring();
	cache();
	auto start = std::chrono::steady_clock::now();
	std::this_thread::sleep_for(std::chrono::milliseconds(50));
	std::printf("slept %d\n", std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(50));
	return 0;
}
