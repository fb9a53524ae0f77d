/*
 * api MODE [N]: what the functions of grt.h cost. bench/go/api.go has the same modes as a Go programmer writes them. GOMAXPROCS says with
 * how many Ps.
 *
 * What it prints: bench.h.
 */
#include "bench.h"
#include "grt.h"

static grt_chan *ping, *pong, *done;

static void finish(void)
{
	char one = 1;

	grt_chan_send(done, &one);
}

static void await(int n)
{
	for (int i = 0; i < n; i++)
		grt_chan_recv(done, NULL);
}

/* go NAME: a task, or the end. */
static void task(void (*fn)(void *), void *arg)
{
	if (grt_go(fn, arg) != 0)
		die("grt_go: %s", strerror(errno));
}

/* hop: a value goes to and fro between two tasks over unbuffered channels. */
static void hop_side(void *arg)
{
	long n = (long)(intptr_t)arg, v;

	for (long i = 0; i < n; i++) {
		grt_chan_recv(ping, &v);
		v++;
		grt_chan_send(pong, &v);
	}
	finish();
}

static int64_t hop_once(long n)
{
	int64_t t0 = now();
	long v = 0;

	task(hop_side, (void *)(intptr_t)n);
	for (long i = 0; i < n; i++) {
		grt_chan_send(ping, &v);
		grt_chan_recv(pong, &v);
	}
	await(1);
	must_equal(v, n, "hop: sum");
	return now() - t0;
}

static void mode_hop(long given)
{
	ping = grt_chan_make(sizeof(long), 0);
	pong = grt_chan_make(sizeof(long), 0);
	printf("chan_hop %.1f ns\n", calibrate(hop_once, 1000, given) / 2);
}

/* buffered: one task sends, another receives, through a channel with room for 100. */
static void send_many(void *arg)
{
	long n = (long)(intptr_t)arg;

	for (long i = 0; i < n; i++)
		grt_chan_send(ping, &i);
	finish();
}

static int64_t buffered_once(long n)
{
	int64_t t0 = now();
	long v, sum = 0;

	task(send_many, (void *)(intptr_t)n);
	for (long i = 0; i < n; i++) {
		grt_chan_recv(ping, &v);
		sum += v;
	}
	await(1);
	must_equal(sum, n * (n - 1) / 2, "buffered: sum");
	return now() - t0;
}

static void mode_buffered(long given)
{
	ping = grt_chan_make(sizeof(long), 100);
	printf("chan_item %.1f ns\n", calibrate(buffered_once, 1000, given));
}

/* select N: of N cases, one is ready. */
static int select_cases;

static int64_t select_once(long n)
{
	grt_chan *c[16];
	struct grt_case k[16];
	int64_t t0;
	long v = 0, got;

	for (int i = 0; i < select_cases; i++)
		c[i] = grt_chan_make(sizeof(long), 1);
	t0 = now();
	for (long i = 0; i < n; i++) {
		grt_chan_send(c[i % select_cases], &v);
		for (int j = 0; j < select_cases; j++)
			k[j] = GRT_CASE_RECV(c[j], &got);
		if (grt_select(k, (size_t)select_cases, GRT_FOREVER) != i % select_cases)
			die("select: the wrong case");
	}
	t0 = now() - t0;
	for (int i = 0; i < select_cases; i++)
		grt_chan_free(c[i]);
	return t0;
}

static void mode_select(long given, int n)
{
	select_cases = n;
	printf("select%d %.1f ns\n", n, calibrate(select_once, 1000, given));
}

static void mode_select2(long given)
{
	mode_select(given, 2);
}

static void mode_select4(long given)
{
	mode_select(given, 4);
}

static void mode_select16(long given)
{
	mode_select(given, 16);
}

/* waitgroup: a group waits for 100,000 tasks that do nothing else; per task. spawn: the same one by one, the cost of a start and an end. */
#define FAN 100000

static grt_wait_group group;

static void done_at_once(void *arg)
{
	grt_wait_group_done(arg);
}

static int64_t waitgroup_once(long n)
{
	int64_t t0 = now();

	for (long i = 0; i < n; i++) {
		grt_wait_group_add(&group, FAN);
		for (int j = 0; j < FAN; j++)
			task(done_at_once, &group);
		grt_wait_group_wait(&group);
	}
	return now() - t0;
}

static void mode_waitgroup(long given)
{
	printf("wait_group %.1f ns\n", calibrate(waitgroup_once, 1, given) / FAN);
}

static int64_t spawn_once(long n)
{
	int64_t t0 = now();

	for (long i = 0; i < n; i++) {
		grt_wait_group_add(&group, 1);
		task(done_at_once, &group);
		grt_wait_group_wait(&group);
	}
	return now() - t0;
}

static void mode_spawn(long given)
{
	printf("spawn %.1f ns\n", calibrate(spawn_once, 1000, given));
}

/* yield: two tasks give way to each other. */
static long yields;

static void yield_side(void *arg)
{
	for (long i = 0; i < yields; i++)
		grt_yield();
	grt_wait_group_done(arg);
}

static int64_t yield_once(long n)
{
	int64_t t0 = now();

	yields = n;
	grt_wait_group_add(&group, 2);
	task(yield_side, &group);
	task(yield_side, &group);
	grt_wait_group_wait(&group);
	return now() - t0;
}

static void mode_yield(long given)
{
	printf("yield %.1f ns\n", calibrate(yield_once, 1000, given) / 2);
}

/* mutex2, mutex100: so many tasks take one mutex again and again; per lock and unlock. */
static grt_mutex mutex;
static long each, counted;
static int contenders;

static void contend(void *arg)
{
	for (long i = 0; i < each; i++) {
		grt_mutex_lock(&mutex);
		counted++;
		grt_mutex_unlock(&mutex);
	}
	grt_wait_group_done(arg);
}

static int64_t mutex_once(long n)
{
	int64_t t0 = now();

	each = n / contenders + 1;
	counted = 0;
	grt_wait_group_add(&group, contenders);
	for (int i = 0; i < contenders; i++)
		task(contend, &group);
	grt_wait_group_wait(&group);
	must_equal(counted, each * contenders, "mutex: count");
	return now() - t0;
}

static void mode_mutex2(long given)
{
	contenders = 2;
	printf("mutex2 %.1f ns\n", calibrate(mutex_once, 1000, given));
}

static void mode_mutex100(long given)
{
	contenders = 100;
	printf("mutex100 %.1f ns\n", calibrate(mutex_once, 1000, given));
}

/* timer: made, stopped and freed. timers: the same beside a million that wait. */
#define PENDING 1000000

static int64_t timer_once(long n)
{
	int64_t t0 = now();

	for (long i = 0; i < n; i++) {
		grt_timer *t = grt_timer_new(3600 * GRT_SECOND + i * 7919 % PENDING * GRT_MICROSECOND);

		if (t == NULL || !grt_timer_stop(t))
			die("timer: fired");
		grt_timer_free(t);
	}
	return now() - t0;
}

static void mode_timer(long given)
{
	printf("timer %.1f ns\n", calibrate(timer_once, 1000, given));
}

static void mode_timers(long given)
{
	for (long i = 0; i < PENDING; i++)
		if (grt_timer_new(3600 * GRT_SECOND + i * 7919 % PENDING * GRT_MICROSECOND) == NULL)
			die("timers: %s", strerror(errno));
	printf("timer_million %.1f ns\n", calibrate(timer_once, 1000, given));
}

/* ring: a number goes round 100,000 tasks; per hop. */
#define RING 100000

static grt_chan *ring[RING + 1];

static void ring_side(void *arg)
{
	long i = (long)(intptr_t)arg, v;

	while (grt_chan_recv(ring[i], &v)) {
		v++;
		grt_chan_send(ring[i + 1], &v);
	}
	grt_chan_close(ring[i + 1]);
}

static int64_t ring_once(long n)
{
	int64_t t0 = now();
	long v;

	for (long i = 0; i < n; i++) {
		v = 0;
		grt_chan_send(ring[0], &v);
		grt_chan_recv(ring[RING], &v);
		must_equal(v, RING, "ring: sum");
	}
	return now() - t0;
}

static void mode_ring(long given)
{
	for (long i = 0; i <= RING; i++)
		ring[i] = grt_chan_make(sizeof(long), i == 0);
	for (long i = 0; i < RING; i++)
		task(ring_side, (void *)i);
	ring_once(1);
	printf("ring %.1f ns\n", calibrate(ring_once, 1, given) / RING);
}

/* sieve: the first 500 primes. */
#define PRIMES 500

struct filter {
	grt_chan *in, *out, *stop;
	long prime;
};

static void generate(void *arg)
{
	struct filter *f = arg;

	for (long i = 2;; i++) {
		struct grt_case k[] = {GRT_CASE_SEND(f->out, &i), GRT_CASE_RECV(f->stop, NULL)};

		if (grt_select(k, 2, GRT_FOREVER) == 1)
			return;
	}
}

static void filter(void *arg)
{
	struct filter *f = arg;
	long v;

	for (;;) {
		struct grt_case in[] = {GRT_CASE_RECV(f->in, &v), GRT_CASE_RECV(f->stop, NULL)};

		if (grt_select(in, 2, GRT_FOREVER) == 1)
			return;
		if (v % f->prime == 0)
			continue;
		struct grt_case out[] = {GRT_CASE_SEND(f->out, &v), GRT_CASE_RECV(f->stop, NULL)};

		if (grt_select(out, 2, GRT_FOREVER) == 1)
			return;
	}
}

static int64_t sieve_once(long n)
{
	static struct filter f[PRIMES + 1];
	int64_t t0 = now();

	for (long i = 0; i < n; i++) {
		grt_chan *stop = grt_chan_make(0, 0);
		long prime = 0;

		f[0] = (struct filter){.out = grt_chan_make(sizeof(long), 0), .stop = stop};
		task(generate, &f[0]);
		for (int j = 1; j <= PRIMES; j++) {
			grt_chan_recv(f[j - 1].out, &prime);
			f[j] = (struct filter){f[j - 1].out, grt_chan_make(sizeof(long), 0), stop, prime};
			task(filter, &f[j]);
		}
		grt_chan_close(stop);
		must_equal(prime, 3571, "sieve: the 500th prime");
		while (grt_num_tasks() > 1)
			grt_yield();
		for (int j = 0; j <= PRIMES; j++)
			grt_chan_free(f[j].out);
		grt_chan_free(stop);
	}
	return now() - t0;
}

static void mode_sieve(long given)
{
	printf("sieve %.0f us\n", calibrate(sieve_once, 1, given) / 1000);
}

/* parked: a million tasks that wait for a channel's end; bytes each, and the time to let one go. */
static long memory(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0, n;

	if (f == NULL)
		die("/proc/self/status: %s", strerror(errno));
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &n) == 1 || sscanf(line, "VmPTE: %ld", &n) == 1)
			kb += n;
	fclose(f);
	return kb * 1024;
}

static void parked_side(void *arg)
{
	grt_chan_recv(ping, NULL);
	grt_wait_group_done(arg);
}

static void mode_parked(long given)
{
	long n = given > 0 ? given : 1000000, before = memory();
	int64_t t0;

	ping = grt_chan_make(0, 0);
	grt_wait_group_add(&group, (int)n);
	for (long i = 0; i < n; i++)
		if (grt_go_stack(parked_side, &group, 65536) != 0)
			die("parked: %ld tasks: %s", i, strerror(errno));
	for (int i = 0; i < 100; i++)
		grt_yield();
	grt_sleep(100 * GRT_MILLISECOND);
	printf("parked_memory %.0f bytes\n", (double)(memory() - before) / n);
	t0 = now();
	grt_chan_close(ping);
	grt_wait_group_wait(&group);
	printf("parked_release %.1f ns\n", (double)(now() - t0) / n);
}

static const struct mode modes[] = {
	{"hop", mode_hop, "unbuffered channel, one way"},
	{"buffered", mode_buffered, "buffered channel, an item"},
	{"select2", mode_select2, "send, and select of two cases, one ready"},
	{"select4", mode_select4, "of four"},
	{"select16", mode_select16, "of sixteen"},
	{"spawn", mode_spawn, "start and end of a task, one by one"},
	{"yield", mode_yield, "two tasks give way to each other"},
	{"waitgroup", mode_waitgroup, "100,000 tasks in a wait group, each"},
	{"mutex2", mode_mutex2, "two tasks on one mutex"},
	{"mutex100", mode_mutex100, "a hundred"},
	{"timer", mode_timer, "start and stop of a timer"},
	{"timers", mode_timers, "the same beside a million that wait"},
	{"ring", mode_ring, "a hop in a ring of 100,000 tasks"},
	{"sieve", mode_sieve, "500 primes"},
	{"parked", mode_parked, "N waiting tasks, a million"},
};

int main(int argc, char **argv)
{
	done = grt_chan_make(1, 0);
	return run_mode(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
