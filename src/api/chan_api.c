/*
 * Channels and select of grt.h. What they need of memory is the program's own: malloc's, called outside critical sections.
 */
#include "api/boot.h"
#include "api/panic.h"
#include "api/timer_api.h"
#include "grt.h"
#include "sync/chan.h"
#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct grt_case) == sizeof(struct chan_case), "chan.h has its layout");
_Static_assert(offsetof(struct grt_case, op) == offsetof(struct chan_case, op), "chan.h has its layout");
_Static_assert(offsetof(struct grt_case, ok) == offsetof(struct chan_case, ok), "chan.h has its layout");
_Static_assert((int)GRT_SEND == CASE_SEND && (int)GRT_RECV == CASE_RECV, "chan.h has the same");

GRT_EXPORT grt_chan *grt_chan_make(size_t elem_size, size_t capacity)
{
	size_t bytes = grt__chan_bytes(elem_size, capacity);
	struct grt_chan *c;
	grt__boot(); /* main becomes a task before it may have to wait */
	if (!bytes) {
		errno = ENOMEM;
		return NULL;
	}
	c = aligned_alloc(GRT_CACHE_LINE, (bytes + GRT_CACHE_LINE - 1) & ~(size_t)(GRT_CACHE_LINE - 1));
	if (c)
		grt__chan_init(c, elem_size, capacity);
	return c;
}

GRT_EXPORT void grt_chan_free(grt_chan *c)
{
	if (!c)
		return;
	if (!grt__chan_idle(c))
		grt__fatal("free of a channel that is waited for", false);
	if (c->owner) {
		grt__timer_chan_free(c);
		return;
	}
	free(c);
}

static GRT_COLD_FN void closed(void)
{
	grt__panic("send on closed channel");
}

GRT_EXPORT void grt_chan_send(grt_chan *c, const void *value)
{
	if (grt_unlikely(grt__chan_send(c, value) != 0))
		closed();
}

GRT_EXPORT bool grt_chan_recv(grt_chan *c, void *value)
{
	return grt__chan_recv(c, value) != 0;
}

GRT_EXPORT int grt_chan_try_send(grt_chan *c, const void *value)
{
	int r = grt__chan_try_send(c, value);
	if (grt_unlikely(r == -EPIPE))
		closed();
	return r == 0 ? GRT_OK : GRT_WOULD_BLOCK;
}

GRT_EXPORT int grt_chan_try_recv(grt_chan *c, void *value)
{
	int r = grt__chan_try_recv(c, value);
	return r < 0 ? GRT_WOULD_BLOCK : r;
}

int64_t grt__api_deadline(int64_t timeout)
{
	if (timeout <= 0)
		return INT64_MIN;
	if (timeout == GRT_FOREVER)
		return GRT_FOREVER;
	int64_t now = grt__nanotime();
	return timeout < GRT_FOREVER - now ? now + timeout : GRT_FOREVER;
}

GRT_EXPORT int grt_chan_send_timed(grt_chan *c, const void *value, int64_t timeout)
{
	struct chan_case k = {.c = c, .elem = (void *)value, .op = CASE_SEND};
	int r = grt__select(&k, 1, grt__api_deadline(timeout), NULL);
	if (grt_unlikely(r == -EPIPE))
		closed();
	return r == 0 ? GRT_OK : GRT_TIMED_OUT;
}

GRT_EXPORT int grt_chan_recv_timed(grt_chan *c, void *value, int64_t timeout)
{
	struct chan_case k = {.c = c, .elem = value, .op = CASE_RECV};
	int r = grt__select(&k, 1, grt__api_deadline(timeout), NULL);
	return r == 0 ? k.ok : GRT_TIMED_OUT;
}

GRT_EXPORT void grt_chan_close(grt_chan *c)
{
	if (!c)
		grt__panic("close of nil channel");
	if (grt__chan_close(c) != 0)
		grt__panic("close of closed channel");
}

GRT_EXPORT size_t grt_chan_len(grt_chan *c)
{
	return grt__chan_len(c);
}

GRT_EXPORT size_t grt_chan_cap(grt_chan *c)
{
	return c && !c->hidden ? c->cap : 0;
}

static GRT_NOINLINE int select_large(struct chan_case *cases, size_t n, int64_t deadline)
{
	void *scratch = n <= SELECT_MAX ? malloc(grt__select_bytes(n)) : NULL;
	if (!scratch)
		grt__fatal(n <= SELECT_MAX ? "out of memory in select" : "select: too many cases", false);
	int r = grt__select(cases, n, deadline, scratch);
	free(scratch);
	return r;
}

GRT_EXPORT int grt_select(struct grt_case *cases, size_t n, int64_t timeout)
{
	struct chan_case *k = (struct chan_case *)cases;
	int64_t deadline = grt__api_deadline(timeout);
	int r = grt_likely(n <= SELECT_SMALL) ? grt__select(k, n, deadline, NULL) : select_large(k, n, deadline);
	if (grt_unlikely(r == -EPIPE))
		closed();
	return r < 0 ? -1 : r;
}
