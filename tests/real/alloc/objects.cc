/*
 * objects N: ten threads, N small objects each, a tenth of a million by default. Each thread keeps its objects in trees and tables, gives
 * every third one to its neighbour, which frees it or keeps it on, renames what it has, and drops the half. The sums do not depend on
 * who was first.
 */
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{
constexpr int THREADS = 10;

struct Object {
	long key;
	std::string name;
	std::unique_ptr<Object> other;
	std::vector<int> list;
	Object(long k, long salt) : key(k), name("object " + std::to_string(k * salt)), list(size_t(k % 5), int(k))
	{
		if (k % 4 == 0)
			other = std::make_unique<Object>(k + 1, salt);
	}
	virtual ~Object() = default;
	virtual unsigned long weight() const
	{
		return (unsigned long)key * 31 + name.size() + list.size() + (other ? other->weight() : 0);
	}
};

struct Fat : Object {
	char more[120];
	Fat(long k, long salt) : Object(k, salt)
	{
		for (size_t i = 0; i < sizeof more; i++)
			more[i] = char(k + long(i));
	}
	unsigned long weight() const override
	{
		unsigned long w = Object::weight();
		for (char c : more)
			w += (unsigned char)c;
		return w;
	}
};

using Parcel = std::vector<std::unique_ptr<Object>>;

class Box
{
	std::mutex m;
	std::condition_variable cond;
	std::deque<Parcel> parcels;

  public:
	void put(Parcel p)
	{
		std::lock_guard<std::mutex> l(m);
		parcels.push_back(std::move(p));
		cond.notify_one();
	}
	Parcel take()
	{
		std::unique_lock<std::mutex> l(m);
		cond.wait(l, [this] { return !parcels.empty(); });
		Parcel p = std::move(parcels.front());
		parcels.pop_front();
		return p;
	}
};

Box boxes[THREADS];
std::atomic<unsigned long> total{0}, count{0};

void work(int me, long n)
{
	std::map<long, std::unique_ptr<Object>> tree;
	std::unordered_map<std::string, Object *> table;
	Parcel parcel, kept;
	unsigned long sum = 0, seen = 0;

	for (long i = 0; i < n; i++) {
		std::unique_ptr<Object> o;
		if (i % 7 == 0)
			o = std::make_unique<Fat>(i, me + 1);
		else
			o = std::make_unique<Object>(i, me + 1);
		if (i % 3 == 0) {
			parcel.push_back(std::move(o));
			if (parcel.size() == 100)
				boxes[(me + 1) % THREADS].put(std::move(parcel)), parcel = Parcel();
		} else {
			table[o->name] = o.get();
			tree[i * 7919 % 1000003] = std::move(o);
		}
	}
	boxes[(me + 1) % THREADS].put(std::move(parcel));
	boxes[(me + 1) % THREADS].put(Parcel());
	for (Parcel p; !(p = boxes[me].take()).empty();)
		for (auto &o : p) {
			sum += o->weight();
			seen++;
			if (o->key % 2 == 0)
				kept.push_back(std::move(o));
		}
	for (auto it = tree.begin(); it != tree.end();) {
		Object *o = it->second.get();
		sum += o->weight() + table.count(o->name);
		seen++;
		if (o->key % 2 == 0) {
			table.erase(o->name);
			it = tree.erase(it);
		} else {
			o->name += " which has another name now, longer than the first";
			++it;
		}
	}
	for (auto &p : tree)
		sum += p.second->weight();
	for (auto &o : kept)
		sum += o->weight();
	total += sum;
	count += seen;
}
} // namespace

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 100000;
	std::vector<std::thread> threads;

	for (int i = 0; i < THREADS; i++)
		threads.emplace_back(work, i, n);
	for (auto &t : threads)
		t.join();
	printf("%lu objects, sum %lu\n", count.load(), total.load());
	return count == (unsigned long)(n * THREADS) ? 0 : 1;
}
