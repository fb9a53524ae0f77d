/* LINK: grt
 *
 * timers.c - sleep, timers, tickers and contexts of grt.h: Go's packages time (1.23) and context. */
#include "../shim/check.h"
#include "misuse.h"
#include <dlfcn.h>
#include <stdatomic.h>

#define MS GRT_MILLISECOND

static atomic_int calls;
static grt_chan *called;

static void counts(void *arg)
{
	calls += (int)(intptr_t)arg;
	grt_chan_send(called, NULL);
}

static void sleeps(void)
{
	int64_t t0 = grt_now();
	grt_sleep(3 * MS);
	CHECK("sleep lasts at least its time", grt_now() - t0 >= 3 * MS);
	grt_sleep(0);
	grt_sleep(-1);
	CHECK("no time: returns at once", 1);
}

static void timers(void)
{
	int64_t t0 = grt_now(), v = 0;
	grt_timer *t = grt_timer_new(5 * MS);
	grt_chan *c = grt_timer_chan(t);
	CHECK("it fires, with the time", grt_chan_recv(c, &v) && v - t0 >= 5 * MS && v <= grt_now());
	CHECK("after that there is nothing to stop", !grt_timer_stop(t));
	CHECK("reset of one that fired", !grt_timer_reset(t, 2 * MS));
	CHECK_EQ("fires again", GRT_OK, grt_chan_recv_timed(c, &v, 20 * GRT_SECOND));
	grt_timer_reset(t, GRT_SECOND * 1000);
	CHECK("stop of one that waits", grt_timer_stop(t));
	CHECK("once", !grt_timer_stop(t));
	grt_timer_reset(t, MS);
	grt_sleep(4 * MS);
	CHECK("its channel shows no length", grt_chan_len(c) == 0 && grt_chan_cap(c) == 0);
	CHECK("stop takes back what was not received", grt_timer_stop(t));
	CHECK_EQ("so there is no value from before", GRT_WOULD_BLOCK, grt_chan_try_recv(c, &v));
	grt_timer_reset(t, MS);
	grt_sleep(4 * MS);
	t0 = grt_now();
	CHECK("reset takes it back too", grt_timer_reset(t, 3 * MS));
	CHECK("what comes is from after", grt_chan_recv(c, &v) && v - t0 >= 3 * MS);
	grt_timer_free(t);
	grt_timer_free(NULL);

	c = grt_after(MS);
	CHECK("after", grt_chan_recv(c, &v));
	grt_chan_free(c);
	c = grt_after(1000 * GRT_SECOND);
	CHECK_EQ("one that waits may be freed", GRT_WOULD_BLOCK, grt_chan_try_recv(c, &v));
	grt_chan_free(c);
	t = grt_timer_new(0);
	CHECK("no time: fires at once", grt_chan_recv(grt_timer_chan(t), &v));
	grt_timer_free(t);
}

static void tickers(void)
{
	int64_t v[4], t0 = grt_now();
	grt_timer *t = grt_ticker_new(2 * MS);
	for (int i = 0; i < 4; i++)
		grt_chan_recv(grt_timer_chan(t), &v[i]);
	CHECK("ticks come a period apart at least on the whole", v[3] - t0 >= 8 * MS);
	grt_sleep(10 * MS);
	t0 = grt_now();
	grt_timer_reset(t, 5 * MS);
	grt_chan_recv(grt_timer_chan(t), &v[0]);
	CHECK("after reset no tick is from before", v[0] - t0 >= 5 * MS);
	grt_timer_stop(t);
	CHECK_EQ("a stopped one is silent", GRT_TIMED_OUT, grt_chan_recv_timed(grt_timer_chan(t), &v[0], 12 * MS));
	grt_timer_free(t);
	grt_chan *c = grt_tick(MS);
	CHECK("tick", grt_chan_recv(c, NULL) && grt_chan_recv(c, NULL));
	grt_chan_free(c);
}

static void funcs(void)
{
	int before = grt_num_tasks();
	called = grt_chan_make(0, 100);
	grt_timer *t = grt_after_func(MS, counts, (void *)1);
	CHECK("it has no channel", grt_timer_chan(t) == NULL);
	grt_chan_recv(called, NULL);
	CHECK_EQ("a function is called", 1, calls);
	CHECK("and cannot be stopped then", !grt_timer_stop(t));
	grt_timer_reset(t, MS);
	grt_chan_recv(called, NULL);
	CHECK_EQ("but again", 2, calls);
	grt_timer_reset(t, 1000 * GRT_SECOND);
	CHECK("stopped before its time", grt_timer_stop(t));
	grt_timer_free(t);
	grt_timer *many[100];
	for (int i = 0; i < 100; i++)
		many[i] = grt_after_func((i * 37 % 100) * MS / 10, counts, (void *)1);
	for (int i = 0; i < 100; i++)
		grt_chan_recv(called, NULL);
	for (int i = 0; i < 100; i++)
		grt_timer_free(many[i]);
	CHECK_EQ("many", 102, calls);
	while (grt_num_tasks() > before)
		grt_yield();
	CHECK("whoever calls them is no task of the program's", grt_num_tasks() == before);
	grt_chan_free(called);
}

/* Stop against firing: each timer either sends, or was stopped. */
static void *races(void *arg)
{
	long lost = 0;
	for (int i = 0; i < 3000; i++) {
		grt_timer *t = grt_timer_new(i % 50 * GRT_MICROSECOND);
		if (i % 3 == 0)
			grt_yield();
		if (grt_timer_stop(t))
			lost += grt_chan_try_recv(grt_timer_chan(t), NULL) == GRT_OK;
		else
			lost++; /* nobody received */
		grt_timer_free(t);
	}
	return (void *)lost;
}

static grt_timer *shared;

static void *resets(void *arg)
{
	for (int i = 0; i < 2000; i++)
		if (i % 2)
			grt_timer_reset(shared, i % 20 * GRT_MICROSECOND);
		else
			grt_timer_stop(shared);
	return NULL;
}

static void concurrent(void)
{
	/* libc's own: a kernel thread that libgrt does not know. */
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), *r;
	int (*foreign)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(libc, "pthread_create");
	int (*join)(pthread_t, void **) = (int (*)(pthread_t, void **))dlsym(libc, "pthread_join");
	pthread_t t[4];
	long lost = 0;
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, (i ? pthread_create : foreign)(&t[i], NULL, races, NULL));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, (i ? pthread_join : join)(t[i], &r));
		lost += (long)r;
	}
	CHECK_EQ("a timer is stopped, or its value is there, on every kind of thread", 0, lost);
	shared = grt_timer_new(MS);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, (i ? pthread_create : foreign)(&t[i], NULL, resets, NULL));
	for (int i = 0; i < 4; i++)
		(i ? pthread_join : join)(t[i], NULL);
	grt_timer_reset(shared, MS);
	CHECK("one timer under four threads", grt_chan_recv(grt_timer_chan(shared), NULL));
	grt_timer_free(shared);
}

/* ---- contexts ---- */

static void cancels_later(void *ctx)
{
	grt_sleep(2 * MS);
	grt_context_cancel(ctx);
}

static void contexts(void)
{
	static int key1, key2;
	int64_t d;
	grt_context *root = grt_context_with_cancel(NULL);
	grt_context *value = grt_context_with_value(root, &key1, "v");
	grt_context *leaf = grt_context_with_timeout(value, 1000 * GRT_SECOND);
	grt_context *other = grt_context_with_cancel(grt_context_background());
	CHECK("background never ends", grt_context_done(grt_context_background()) == NULL && !grt_context_err(NULL));
	CHECK("values are found upwards",
	      strcmp(grt_context_value(leaf, &key1), "v") == 0 && !grt_context_value(leaf, &key2));
	CHECK("one that only carries a value has its parent's channel", grt_context_done(value) == grt_context_done(root));
	CHECK("it has a deadline", grt_context_deadline(leaf, &d) && !grt_context_deadline(root, &d));
	grt_go(cancels_later, root);
	grt_chan_recv(grt_context_done(leaf), NULL);
	CHECK_EQ("who ends one ends all below", ECANCELED, grt_context_err(leaf));
	CHECK_EQ("and itself", ECANCELED, grt_context_err(root));
	CHECK_EQ("but no others", 0, grt_context_err(other));
	grt_context *late = grt_context_with_cancel(leaf);
	CHECK_EQ("born below one that has ended", ECANCELED, grt_context_err(late));
	CHECK("its channel is closed", grt_chan_try_recv(grt_context_done(late), NULL) == GRT_CLOSED);
	grt_context_free(late);
	grt_context_free(leaf);
	grt_context_free(value);
	grt_context_free(root);

	grt_context *timed = grt_context_with_timeout(other, 3 * MS),
				*below = grt_context_with_timeout(timed, 1000 * GRT_SECOND);
	CHECK("the nearer deadline counts", grt_context_deadline(below, &d) && d < grt_now() + GRT_SECOND);
	grt_chan_recv(grt_context_done(below), NULL);
	CHECK_EQ("the deadline passed", ETIMEDOUT, grt_context_err(below));
	grt_context_free(timed);
	grt_context_free(below);
	grt_context *past = grt_context_with_timeout(other, -1);
	CHECK_EQ("a deadline in the past", ETIMEDOUT, grt_context_err(past));
	grt_context_free(past);
	grt_context_free(other);
	grt_context_cancel(NULL);
	grt_context_free(NULL);
	for (int i = 0; i < 200; i++) { /* free against firing */
		grt_context *c = grt_context_with_timeout(NULL, i * GRT_MICROSECOND);
		if (i % 2)
			grt_yield();
		grt_context_free(c);
	}
}

static void in_child(void)
{
	grt_timer *t = grt_timer_new(20 * MS);
	grt_context *c = grt_context_with_timeout(NULL, 1000 * GRT_SECOND);
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		grt_timer_reset(t, MS);
		if (!grt_chan_recv(grt_timer_chan(t), NULL))
			_exit(1);
		grt_timer_free(t);
		grt_context_free(c);
		called = grt_chan_make(0, 1);
		t = grt_after_func(MS, counts, NULL);
		grt_chan_recv(called, NULL);
		grt_timer_free(t);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ("a child of fork resets its parent's timers and makes its own", 0, status);
	grt_timer_free(t);
	grt_context_free(c);
}

static void bad_ticker(void)
{
	grt_ticker_new(0);
}

static void bad_reset(void)
{
	grt_timer_reset(grt_ticker_new(MS), 0);
}

int main(void)
{
	sleeps();
	timers();
	tickers();
	funcs();
	concurrent();
	contexts();
	in_child();
	dies(bad_ticker, "panic: non-positive interval for NewTicker\n");
	dies(bad_reset, "panic: non-positive interval for Ticker.Reset\n");
	return check_done();
}
