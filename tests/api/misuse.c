/* LINK: grt
 *
 * misuse.c - each documented mistake ends as documented: the words on standard error, exit status 2. Each in a child of its own. */
#include "../shim/check.h"
#include "misuse.h"

static void closed_send(void)
{
	grt_chan *c = grt_chan_make(1, 1);
	grt_chan_close(c);
	grt_chan_send(c, "x");
}

static void closed_try_send(void)
{
	grt_chan *c = grt_chan_make(1, 1);
	grt_chan_close(c);
	grt_chan_try_send(c, "x");
}

static void closed_select(void)
{
	grt_chan *c = grt_chan_make(1, 1);
	struct grt_case k = GRT_CASE_SEND(c, "x");
	grt_chan_close(c);
	grt_select(&k, 1, GRT_FOREVER);
}

static void close_later(void *c)
{
	usleep(2000);
	grt_chan_close(c);
}

static void closed_while_waiting(void)
{
	grt_chan *c = grt_chan_make(1, 0);
	grt_go(close_later, c);
	grt_chan_send(c, "x");
}

static void closed_while_selecting(void)
{
	grt_chan *c = grt_chan_make(1, 0), *d = grt_chan_make(1, 0);
	struct grt_case k[] = {GRT_CASE_SEND(c, "x"), GRT_CASE_RECV(d, NULL)};
	grt_go(close_later, c);
	grt_select(k, 2, GRT_FOREVER);
}

static void close_nil(void)
{
	grt_chan_close(NULL);
}

static void close_twice(void)
{
	grt_chan *c = grt_chan_make(1, 1);
	grt_chan_close(c);
	grt_chan_close(c);
}

static void receives(void *c)
{
	grt_chan_recv(c, NULL);
}

static void free_waited(void)
{
	grt_chan *c = grt_chan_make(1, 0);
	grt_go(receives, c);
	for (int i = 0; i < 100; i++)
		grt_yield();
	usleep(2000);
	grt_chan_free(c);
}

int main(void)
{
	dies(closed_send, "panic: send on closed channel\n\ngoroutine 1 [running]");
	dies(closed_try_send, "panic: send on closed channel\n");
	dies(closed_select, "panic: send on closed channel\n");
	dies(closed_while_waiting, "panic: send on closed channel\n");
	dies(closed_while_selecting, "panic: send on closed channel\n");
	dies(close_nil, "panic: close of nil channel\n");
	dies(close_twice, "panic: close of closed channel\n");
	dies(free_waited, "fatal error: free of a channel that is waited for\n");
	return check_done();
}
