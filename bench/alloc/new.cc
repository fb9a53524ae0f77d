/*
 * new LOAD [THREADS] [SCALE]: the C++ forms, in a program of its own, so that the C++ library is in no other row's
 * memory. Prints what alloc prints. THREADS is ignored: main alone.
 *
 * pair: new of an object of 48 bytes and the sized delete that the compiler emits for it.
 * array: operator new[] and sized operator delete[] of 16 to 1023 bytes, from a working set.
 * nothrow: the same pair by the nothrow form, with the plain delete.
 * strings: a map of strings filled and emptied, as C++ programs use the heap (libstdc++ uses sized delete throughout).
 */
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>

static double scale = 1;

struct object {
	long a[6];
};

template <class T> static T *opaque(T *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static uint64_t state = 88172645463325252u;

static uint32_t rnd()
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 32;
}

static double pair(double &n)
{
	n = 3e7 * scale;
	auto t0 = std::chrono::steady_clock::now();
	for (long i = 0; i < (long)n; i++)
		delete opaque(new object);
	return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t0).count();
}

static double nothrow(double &n)
{
	n = 3e7 * scale;
	auto t0 = std::chrono::steady_clock::now();
	for (long i = 0; i < (long)n; i++)
		::operator delete(opaque(::operator new(48, std::nothrow)));
	return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t0).count();
}

static double array(double &n)
{
	static struct {
		void *p;
		size_t size;
	} at[1024];

	n = 2e7 * scale;
	auto t0 = std::chrono::steady_clock::now();
	for (long i = 0; i < (long)n; i++) {
		auto &slot = at[rnd() % 1024];
		::operator delete[](slot.p, slot.size);
		slot.size = 16 + rnd() % 1008;
		slot.p = opaque(::operator new[](slot.size));
		*(char *)slot.p = 1;
	}
	for (auto &slot : at)
		::operator delete[](slot.p, slot.size);
	return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t0).count();
}

static double strings(double &n)
{
	n = 0;
	auto t0 = std::chrono::steady_clock::now();
	for (long round = 0; round < (long)(20 * scale) + 1; round++) {
		std::map<std::string, std::string> m;
		for (int i = 0; i < 20000; i++) {
			std::string key = "key number " + std::to_string(rnd() % 30000);
			std::string &value = m[key];
			value += std::string(rnd() % 100, 'x');
			n++;
		}
		for (int i = 0; i < 10000; i++)
			m.erase("key number " + std::to_string(rnd() % 30000));
		n += 10000;
	}
	return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t0).count();
}

static const struct {
	const char *name;
	double (*run)(double &n);
} loads[] = {{"pair", pair}, {"nothrow", nothrow}, {"array", array}, {"strings", strings}};

int main(int argc, char **argv)
{
	char line[256];
	double n = 1, took;
	long kb = 0;

	if (argc > 3 && atof(argv[3]) > 0)
		scale = atof(argv[3]);
	for (auto &l : loads) {
		if (argc < 2 || strcmp(argv[1], l.name) != 0)
			continue;
		took = l.run(n);
		printf("%s %.3f ns\n", l.name, took / (long)n);
		FILE *f = fopen("/proc/self/status", "r");
		while (f != nullptr && fgets(line, sizeof line, f) != nullptr)
			if (sscanf(line, "VmHWM: %ld", &kb) == 1)
				break;
		printf("peak %.2f MB\n", kb / 1024.0);
		return fflush(stdout) != 0;
	}
	fprintf(stderr, "usage: new pair|nothrow|array|strings [THREADS] [SCALE]\n");
	return 2;
}
