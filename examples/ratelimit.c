/*
 * A rate limiter: requests wait for a token; tokens come by a ticker, and a burst may have been saved up.
 *
 *   cc ratelimit.c -lgrt -o ratelimit && ./ratelimit [REQUESTS]       50 requests; bench/go/examples/ratelimit.go is the same in Go
 */
#include <grt.h>
#include <stdio.h>
#include <stdlib.h>

enum { BURST = 10 };
#define PERIOD (2 * GRT_MILLISECOND)

static grt_chan *tokens, *stop;

static void refill(void *arg)
{
	grt_timer *t = arg;
	for (;;) {
		struct grt_case k[] = {GRT_CASE_RECV(grt_timer_chan(t), NULL), GRT_CASE_RECV(stop, NULL)};
		if (grt_select(k, 2, GRT_FOREVER) == 1)
			return;
		grt_chan_try_send(tokens, NULL); /* full: the burst is saved up */
	}
}

int main(int argc, char **argv)
{
	int requests = argc > 1 ? atoi(argv[1]) : 50;
	grt_timer *t = grt_ticker_new(PERIOD);
	tokens = grt_chan_make(0, BURST);
	stop = grt_chan_make(0, 0);
	for (int i = 0; i < BURST; i++)
		grt_chan_send(tokens, NULL);
	grt_go(refill, t);
	int64_t begun = grt_now();
	for (int i = 0; i < requests; i++)
		grt_chan_recv(tokens, NULL);
	int64_t took = grt_now() - begun;
	printf("%d requests, a burst of %d: %s\n", requests, BURST,
	       took >= (requests - BURST - 1) * PERIOD ? "not faster than allowed" : "too fast");
	grt_chan_close(stop);
	while (grt_num_tasks() > 1)
		grt_yield();
	grt_timer_free(t);
	grt_chan_free(tokens);
	grt_chan_free(stop);
	return 0;
}
