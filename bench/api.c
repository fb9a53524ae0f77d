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

static const struct mode modes[] = {
	{"hop", mode_hop, "unbuffered channel, one way"},
	{"buffered", mode_buffered, "buffered channel, an item"},
	{"select2", mode_select2, "send, and select of two cases, one ready"},
	{"select4", mode_select4, "of four"},
	{"select16", mode_select16, "of sixteen"},
};

int main(int argc, char **argv)
{
	done = grt_chan_make(1, 0);
	return run_mode(argc, argv, modes, sizeof modes / sizeof modes[0]);
}
