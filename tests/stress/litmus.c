/* LINK: grt
 * PROCS: 2 4
 *
 * litmus.c - the memory model of grt.h: what happens before what, on plain variables. Each shape runs many times with two Ps; an outcome that
 * the model forbids is a failure. The plain variables are what the compiler may keep in registers, but for the calls in between. */
#include "../shim/check.h"
#include "grt.h"
#include <stdatomic.h>

enum { ROUNDS = 30000, CAPACITY = 3 };

static grt_wait_group wg;
static grt_chan *c, *d;
static grt_mutex m;
static grt_rwmutex rw;
static long a, b, wrong, slots[CAPACITY + 1];
static atomic_long x, y;

static void run_two(void (*f)(void *), void (*g)(void *))
{
	grt_wait_group_add(&wg, 2);
	EXPECT_EQ(0, grt_go(f, NULL));
	EXPECT_EQ(0, grt_go(g, NULL));
	grt_wait_group_wait(&wg);
}

/* A send happens before its receive completes. */
static void send_side(void *arg)
{
	for (long i = 1; i <= ROUNDS; i++) {
		a = i;
		grt_chan_send(c, NULL);
		grt_chan_recv(d, NULL);
	}
	grt_wait_group_done(&wg);
}

static void recv_side(void *arg)
{
	for (long i = 1; i <= ROUNDS; i++) {
		grt_chan_recv(c, NULL);
		wrong += a != i;
		grt_chan_send(d, NULL);
	}
	grt_wait_group_done(&wg);
}

/* A receive from an unbuffered channel happens before its send completes. */
static void recv_first(void *arg)
{
	for (long i = 1; i <= ROUNDS; i++) {
		b = i;
		grt_chan_recv(c, NULL);
		grt_chan_recv(d, NULL);
	}
	grt_wait_group_done(&wg);
}

static void send_after(void *arg)
{
	for (long i = 1; i <= ROUNDS; i++) {
		grt_chan_send(c, NULL);
		wrong += b != i;
		grt_chan_send(d, NULL);
	}
	grt_wait_group_done(&wg);
}

/* The k-th receive of capacity C happens before the k + C-th send completes: the channel counts the slots that may be written. */
static void fills(void *arg)
{
	for (long i = 0; i < ROUNDS; i++) {
		grt_chan_send(c, &i);
		/* Send i completed, so receive i - C has, and what came before it: slot (i + 1) mod (C + 1) was read by then. */
		if (i > CAPACITY)
			wrong += slots[(i - CAPACITY) % (CAPACITY + 1)] < i - CAPACITY;
	}
	grt_wait_group_done(&wg);
}

static void empties(void *arg)
{
	long v;
	for (long i = 0; i < ROUNDS; i++) {
		slots[i % (CAPACITY + 1)] = i;
		grt_chan_recv(c, &v);
		wrong += v != i;
	}
	grt_wait_group_done(&wg);
}

/* Close. */
static void closes(void *arg)
{
	a = 7;
	grt_chan_close(c);
	grt_wait_group_done(&wg);
}

static void sees_close(void *arg)
{
	grt_chan_recv(c, NULL);
	wrong += a != 7;
	grt_wait_group_done(&wg);
}

/* Locks. */
static void locks(void *arg)
{
	for (long i = 0; i < ROUNDS; i++) {
		grt_mutex_lock(&m);
		wrong += a != b;
		a++;
		b++;
		grt_mutex_unlock(&m);
	}
	grt_wait_group_done(&wg);
}

static void rwlocks(void *arg)
{
	for (long i = 0; i < ROUNDS; i++) {
		if (i % 4 == 0) {
			grt_rwmutex_lock(&rw);
			a++;
			b++;
			grt_rwmutex_unlock(&rw);
		} else {
			grt_rwmutex_rlock(&rw);
			wrong += a != b;
			grt_rwmutex_runlock(&rw);
		}
	}
	grt_wait_group_done(&wg);
}

/* Atomics are sequentially consistent (C11's default), also across tasks that move: not both read the old value (store buffering). */
static long r1, r2;
static grt_chan *start;

static void buffer1(void *arg)
{
	grt_chan_recv(start, NULL);
	atomic_store(&x, 1);
	r1 = atomic_load(&y);
	grt_wait_group_done(&wg);
}

static void buffer2(void *arg)
{
	grt_chan_recv(start, NULL);
	atomic_store(&y, 1);
	r2 = atomic_load(&x);
	grt_wait_group_done(&wg);
}

/* Start of a task, its end, once. */
static grt_once once;

static void computes(void *arg)
{
	b = 5;
}

static void starts(void *arg)
{
	wrong += a != 9;
	grt_once_do(&once, computes, NULL);
	wrong += b != 5;
	grt_wait_group_done(&wg);
}

static void check(const char *clause)
{
	CHECK_EQ(clause, 0, wrong);
	wrong = 0;
	a = b = 0;
}

int main(void)
{
	c = grt_chan_make(0, 0);
	d = grt_chan_make(0, 0);
	run_two(send_side, recv_side);
	check("a send happens before its receive completes");
	run_two(recv_first, send_after);
	check("an unbuffered receive happens before its send completes");
	grt_chan_free(c);
	c = grt_chan_make(sizeof(long), CAPACITY);
	run_two(fills, empties);
	check("the k-th receive happens before the k + C-th send completes");
	for (int i = 0; i < 300; i++) {
		grt_chan_free(c);
		c = grt_chan_make(0, 1);
		a = 0;
		run_two(closes, sees_close);
	}
	check("a close happens before a receive that it ends");
	run_two(locks, locks);
	check("an unlock happens before the next lock");
	run_two(rwlocks, rwlocks);
	check("of readers and writers too");
	for (int i = 0; i < 2000; i++) {
		x = y = 0;
		start = grt_chan_make(0, 0);
		grt_wait_group_add(&wg, 2);
		EXPECT_EQ(0, grt_go(buffer1, NULL));
		EXPECT_EQ(0, grt_go(buffer2, NULL));
		grt_chan_close(start);
		grt_wait_group_wait(&wg);
		wrong += r1 == 0 && r2 == 0;
		grt_chan_free(start);
	}
	check("atomics are sequentially consistent");
	for (int i = 0; i < 1000; i++) {
		once = (grt_once){0};
		a = 9;
		b = 0;
		run_two(starts, starts);
		wrong += b != 5;
	}
	check("what comes before go happens before the task; once and done before what they let go on");
	return check_done();
}
