// LDFLAGS: -lm
// TIMEOUT: 30
/* preempt_regs.c - registers survive preemption: integer, x87, SSE and AVX.
 *
 * Eight threads compute for a second with as much state in registers as the compiler finds room
 * for; each round's result is compared with the one that was computed alone. */
#include "check.h"

#include <math.h>
#include <stdint.h>

static int stop, rounds;

static uint64_t integers(uint64_t seed)
{
	uint64_t a = seed, b = seed ^ 0x9e3779b97f4a7c15u, c = seed * 3, d = ~seed, e = seed + 5, f = seed << 7,
			 g = seed >> 3, h = seed * seed, i = 17, j = 23, k = 29, l = 31;
	for (int n = 0; n < 20000; n++) {
		a += b ^ (c << 5);
		b = (b << 13) | (b >> 51);
		c ^= d + a;
		d = d * 6364136223846793005u + 1442695040888963407u;
		e += f ^ g;
		f = (f >> 7) ^ h;
		g += i * j;
		h ^= k + l;
		i += a;
		j ^= e;
		k += c;
		l = (l << 3) | (l >> 61);
	}
	return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l;
}

static uint64_t doubles(uint64_t seed)
{
	double x[8], s = 0;
	uint64_t bits;
	for (int k = 0; k < 8; k++)
		x[k] = 1.0 + (double)((seed >> k) & 0xff) / 256.0;
	for (int n = 0; n < 10000; n++)
		for (int k = 0; k < 8; k++)
			x[k] = x[k] * 1.0000001 + 1.0 / (x[(k + 1) % 8] + 1.0);
	for (int k = 0; k < 8; k++)
		s += sqrt(x[k]);
	memcpy(&bits, &s, sizeof bits);
	return bits;
}

static uint64_t long_doubles(uint64_t seed)
{
	long double a = 1.0L + (long double)(seed & 0xffff) / 65536.0L, b = a / 3.0L, c = a * 7.0L;
	uint64_t bits = 0;
	for (int n = 0; n < 10000; n++) {
		a = a * 1.00000001L + b / (c + 1.0L);
		b = b * 0.99999999L + 0.5L / (a + 1.0L);
		c = c / 1.0000001L + a;
	}
	a += b * c;
	memcpy(&bits, &a, 8);
	return bits;
}

typedef uint64_t vec __attribute__((vector_size(32)));

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t vectors_avx2(uint64_t seed)
{
	vec r[14], t;
	for (int k = 0; k < 14; k++)
		r[k] = (vec){seed + (uint64_t)k, seed * 3, ~seed, seed ^ (uint64_t)k};
	for (int n = 0; n < 4000; n++)
		for (int k = 0; k < 14; k++) {
			t = r[(k + 1) % 14];
			r[k] = (r[k] << 3) + (r[k] >> 5) + (t ^ (t << 1));
		}
	for (int k = 1; k < 14; k++)
		r[0] ^= r[k];
	return r[0][0] ^ r[0][1] ^ r[0][2] ^ r[0][3];
}

typedef uint64_t vec8 __attribute__((vector_size(64)));

__attribute__((target("avx512f"))) static uint64_t vectors_avx512(uint64_t seed)
{
	vec8 r[28], t, s = {0};
	uint64_t out = 0;
	for (int k = 0; k < 28; k++)
		r[k] = (vec8){seed, seed * 3, ~seed, seed ^ (uint64_t)k, seed + 1, 7, 9, (uint64_t)k};
	for (int n = 0; n < 2000; n++)
		for (int k = 0; k < 28; k++) {
			t = r[(k + 1) % 28];
			r[k] = (r[k] << 3) + (r[k] >> 5) + (t ^ (t << 1));
		}
	for (int k = 0; k < 28; k++)
		s ^= r[k];
	for (int k = 0; k < 8; k++)
		out ^= s[k];
	return out;
}
#endif

static uint64_t vectors_plain(uint64_t seed)
{
	vec r[6];
	for (int k = 0; k < 6; k++)
		r[k] = (vec){seed + (uint64_t)k, seed * 3, ~seed, seed ^ (uint64_t)k};
	for (int n = 0; n < 4000; n++)
		for (int k = 0; k < 6; k++)
			r[k] = (r[k] << 3) + (r[k] >> 5) + (r[(k + 1) % 6] ^ (r[(k + 1) % 6] << 1));
	for (int k = 1; k < 6; k++)
		r[0] ^= r[k];
	return r[0][0] ^ r[0][1] ^ r[0][2] ^ r[0][3];
}

static uint64_t vectors(uint64_t seed)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && (seed & 1))
		return vectors_avx512(seed);
	if (__builtin_cpu_supports("avx2"))
		return vectors_avx2(seed);
#endif
	return vectors_plain(seed);
}

/* string instructions and libc's vectorised functions, interrupted in their middle */
static uint64_t strings(uint64_t seed)
{
	static __thread unsigned char a[40000], b[40000];
	uint64_t sum = 0;
	memset(a, (int)(seed & 0x7f) + 1, sizeof a);
	a[39999] = 0;
	for (int n = 0; n < 20; n++) {
		memcpy(b, a, sizeof b);
		memmove(b + 7, b, sizeof b - 8);
		sum = sum * 31 + strlen((char *)b) + (uint64_t)b[n * 1000];
		sum += (uint64_t)(memcmp(a, b, sizeof a) == 0);
#if defined(__x86_64__)
		void *d = b, *s = a;
		size_t count = sizeof b;
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(count) : : "memory");
		sum += (uint64_t)((unsigned char *)d - b) + (uint64_t)count + b[39998];
#endif
	}
	return sum;
}

static uint64_t (*const kinds[5])(uint64_t) = {integers, doubles, long_doubles, vectors, strings};
static uint64_t alone[8][5];

static void *computes(void *arg)
{
	int me = (int)(long)arg;
	long wrong = 0;
	while (!flag_get(&stop)) {
		for (int k = 0; k < 5; k++)
			if (kinds[k]((uint64_t)me * 1234567 + 89) != alone[me][k])
				wrong |= 1 << k;
		flag_add(&rounds, 1);
	}
	return (void *)wrong;
}

static int ticks;

static void on_alarm(int sig)
{
	/* a handler with floating point of its own */
	volatile double x = 1.5;
	(void)sig;
	for (int i = 0; i < 100; i++)
		x = x * 1.0001 + 0.25;
	flag_add(&ticks, 1);
}

int main(void)
{
	pthread_t ts[8];
	long wrong = 0;
	struct sigaction sa;
	timer_t timer;
	struct itimerspec it = {{0, 3000000}, {0, 3000000}};

	for (int i = 0; i < 8; i++)
		for (int k = 0; k < 5; k++)
			alone[i][k] = kinds[k]((uint64_t)i * 1234567 + 89);
	for (long i = 0; i < 8; i++)
		ts[i] = spawn(computes, (void *)i);
	sleep_ms(1000);
	flag_set(&stop, 1);
	for (int i = 0; i < 8; i++)
		wrong |= (long)join(ts[i]);
	CHECK("eight threads computed", rounds >= 8);
	CHECK_EQ("integer registers survive preemption", 0, wrong & 1);
	CHECK_EQ("double arithmetic survives preemption", 0, wrong & 2);
	CHECK_EQ("long double (x87) arithmetic survives preemption", 0, wrong & 4);
	CHECK_EQ("vector registers survive preemption", 0, wrong & 8);
	CHECK_EQ("string instructions survive preemption", 0, wrong & 16);

	/* the same with the program's own signal handler running among them */
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_alarm;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, NULL, &timer));
	flag_set(&stop, 0);
	EXPECT_EQ(0, timer_settime(timer, 0, &it, NULL));
	for (long i = 0; i < 8; i++)
		ts[i] = spawn(computes, (void *)i);
	sleep_ms(600);
	flag_set(&stop, 1);
	for (int i = 0; i < 8; i++)
		wrong |= (long)join(ts[i]);
	timer_delete(timer);
	CHECK("the handler ran", flag_get(&ticks) > 10);
	CHECK_EQ("registers survive the program's own handlers too", 0, wrong);
	return check_done();
}
