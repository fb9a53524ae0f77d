/* io_epoll.c - the program's own epoll: level, edge, oneshot, exclusive, nested, changed while others wait, many waiters. */
#include "io.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static long wait_one(struct io_call *c)
{
	struct epoll_event e[8];
	long n = epoll_wait(c->fd, e, 8, c->n ? c->n : -1);
	c->other = n > 0 ? (int)e[0].data.u32 : 0;
	return n;
}

static void add(int ep, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event e = {.events = events, .data.u32 = tag};
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

static void mod(int ep, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event e = {.events = events, .data.u32 = tag};
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
}

static long now(int ep)
{
	struct epoll_event e[8];
	return epoll_wait(ep, e, 8, 0);
}

static void triggers(void)
{
	int s[2], ep = epoll_create1(0);
	char b[8];
	io_unix(s);
	add(ep, s[0], EPOLLIN, 7);
	struct io_call c = {.fn = wait_one, .fd = ep};
	io_start(&c);
	EXPECT(io_blocked(&c));
	EXPECT_EQ(2, write(s[1], "ab", 2));
	CHECK("level: data wakes epoll_wait", io_end(&c) == 1 && c.other == 7);
	CHECK_EQ("level: and is told again", 1, now(ep));
	EXPECT_EQ(1, read(s[0], b, 1));
	CHECK_EQ("level: while there is some", 1, now(ep));
	EXPECT_EQ(1, read(s[0], b, 1));
	CHECK_EQ("level: no longer", 0, now(ep));
	mod(ep, s[0], EPOLLIN | EPOLLET, 8);
	EXPECT_EQ(1, write(s[1], "c", 1));
	CHECK_EQ("edge: once", 1, now(ep));
	CHECK_EQ("edge: not twice", 0, now(ep));
	EXPECT_EQ(1, write(s[1], "d", 1));
	CHECK_EQ("edge: more data is another edge", 1, now(ep));
	mod(ep, s[0], EPOLLIN | EPOLLET, 9);
	CHECK_EQ("edge: a change looks again", 1, now(ep));
	EXPECT_EQ(2, read(s[0], b, 8));
	mod(ep, s[0], EPOLLIN | EPOLLONESHOT, 10);
	EXPECT_EQ(1, write(s[1], "e", 1));
	CHECK_EQ("oneshot: once", 1, now(ep));
	EXPECT_EQ(1, write(s[1], "f", 1));
	CHECK_EQ("oneshot: then off", 0, now(ep));
	mod(ep, s[0], EPOLLIN | EPOLLONESHOT, 11);
	CHECK_EQ("oneshot: until it is armed", 1, now(ep));
	EXPECT_EQ(2, read(s[0], b, 8));
	/* a blocking read of the same descriptor beside the program's epoll */
	mod(ep, s[0], EPOLLIN | EPOLLET, 12);
	struct io_call r = {.fn = io_read, .fd = s[0], .n = 1};
	c.fd = ep;
	io_start(&r);
	io_start(&c);
	EXPECT_EQ(2, write(s[1], "gh", 2));
	CHECK_EQ("a thread that reads the same descriptor has its byte", 1, io_end(&r));
	CHECK("and the edge is told all the same", io_end(&c) == 1 && c.other == 12);
	close(s[1]);
	io_start(&c);
	CHECK_EQ("an end is an edge", 1, io_end(&c));
	close(s[0]);
	CHECK_EQ("closed: it is gone", 0, now(ep));
	close(ep);
}

static void changed(void)
{
	int p[2], q[2], ep = epoll_create1(0);
	io_pipe(p);
	io_pipe(q);
	struct io_call c = {.fn = wait_one, .fd = ep};
	io_start(&c);
	EXPECT(io_blocked(&c));
	EXPECT_EQ(1, write(p[1], "x", 1));
	add(ep, p[0], EPOLLIN, 1);
	CHECK("a descriptor added while another waits wakes it", io_end(&c) == 1 && c.other == 1);
	mod(ep, p[0], 0, 1);
	io_start(&c);
	EXPECT(io_blocked(&c));
	mod(ep, p[0], EPOLLIN, 2);
	CHECK("and one that is changed", io_end(&c) == 1 && c.other == 2);
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	add(ep, q[0], EPOLLIN, 3);
	io_start(&c);
	EXPECT_EQ(1, write(p[1], "x", 1));
	CHECK("one that was taken out does not", io_blocked(&c));
	EXPECT_EQ(1, write(q[1], "x", 1));
	CHECK("another does", io_end(&c) == 1 && c.other == 3);
	struct epoll_event e = {.events = EPOLLIN};
	CHECK_EQ("twice: EEXIST", -EEXIST, io_rc(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &e)));
	CHECK_EQ("not there: ENOENT", -ENOENT, io_rc(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e)));
	CHECK_EQ("itself: EINVAL", -EINVAL, io_rc(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e)));
	CHECK_EQ("no epoll: EINVAL", -EINVAL, io_rc(epoll_wait(p[0], &e, 1, 0)));
	CHECK_EQ("none at all: EBADF", -EBADF, io_rc(epoll_wait(-1, &e, 1, 0)));
	CHECK_EQ("no room: EINVAL", -EINVAL, io_rc(epoll_wait(ep, &e, 0, 0)));
	char name[] = "/tmp/grt-io-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	CHECK_EQ("a file: EPERM", -EPERM, io_rc(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)));
	close(fd);
	/* the registration follows the open file: a copy keeps it when the number is closed */
	int copy = dup(q[0]);
	close(q[0]);
	CHECK_EQ("the registration lives with the open file", 1, now(ep));
	close(copy);
	CHECK_EQ("and ends with it", 0, now(ep));
	close(q[1]);
	io_close2(p);
	close(ep);
}

static void nested(void)
{
	int p[2], in = epoll_create1(0), out = epoll_create1(0);
	char b;
	io_pipe(p);
	add(in, p[0], EPOLLIN, 1);
	add(out, in, EPOLLIN, 2);
	struct io_call c = {.fn = wait_one, .fd = out}, q = {.fn = io_poll_in, .fd = out};
	io_start(&c);
	io_start(&q);
	EXPECT_EQ(1, write(p[1], "x", 1));
	CHECK("an epoll within an epoll", io_end(&c) == 1 && c.other == 2);
	CHECK_EQ("within poll", 1, io_end(&q));
	CHECK_EQ("the inner one", 1, now(in));
	EXPECT_EQ(1, read(p[0], &b, 1));
	CHECK_EQ("none is ready: the outer", 0, now(out));
	struct epoll_event e = {.events = EPOLLIN};
	CHECK_EQ("a circle: ELOOP", -ELOOP, io_rc(epoll_ctl(in, EPOLL_CTL_ADD, out, &e)));
	close(in);
	CHECK_EQ("the inner is closed", 0, now(out));
	close(out);
	io_close2(p);
}

/* Many threads wait at one epoll: with oneshot and edge each event has one taker. */
enum { WAITERS = 8, ITEMS = 40 };
static int pool_ep, taken[ITEMS], wakes, stop_fd;

static void *pool(void *arg)
{
	(void)arg;
	for (;;) {
		struct epoll_event e;
		uint64_t v;
		if (epoll_wait(pool_ep, &e, 1, -1) != 1)
			return (void *)1;
		if (e.data.u32 == 1000)
			return NULL;
		EXPECT_EQ(8, read((int)(e.data.u64 >> 32), &v, 8));
		flag_add(&taken[e.data.u32], 1);
		flag_add(&wakes, 1);
	}
}

static void shared_epoll(uint32_t how, const char *clause)
{
	pthread_t t[WAITERS];
	int fd[ITEMS], wrong = 0;
	uint64_t one = 1;
	pool_ep = epoll_create1(0);
	memset(taken, 0, sizeof taken);
	wakes = 0;
	for (int i = 0; i < ITEMS; i++) {
		struct epoll_event e = {.events = EPOLLIN | how};
		fd[i] = eventfd(0, 0);
		e.data.u64 = (uint64_t)fd[i] << 32 | (uint32_t)i;
		EXPECT_EQ(0, epoll_ctl(pool_ep, EPOLL_CTL_ADD, fd[i], &e));
	}
	stop_fd = eventfd(0, 0);
	add(pool_ep, stop_fd, EPOLLIN, 1000);
	for (int i = 0; i < WAITERS; i++)
		t[i] = spawn(pool, NULL);
	sleep_ms(SETTLE_MS);
	for (int i = 0; i < ITEMS; i++)
		EXPECT_EQ(8, write(fd[i], &one, 8));
	EXPECT(flag_wait_bounded(&wakes, ITEMS));
	EXPECT_EQ(8, write(stop_fd, &one, 8));
	for (int i = 0; i < WAITERS; i++)
		EXPECT(join(t[i]) == NULL);
	for (int i = 0; i < ITEMS; i++) {
		wrong += taken[i] != 1;
		close(fd[i]);
	}
	CHECK_EQ(clause, 0, wrong);
	close(stop_fd);
	close(pool_ep);
}

/* The same descriptor in several epolls. */
static void several(void)
{
	int s[2], ep[4], woken = 0;
	struct io_call c[4];
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		io_unix(s);
		for (int i = 0; i < 4; i++) {
			ep[i] = epoll_create1(0);
			add(ep[i], s[0], EPOLLIN | (exclusive ? (uint32_t)EPOLLEXCLUSIVE : 0), 5);
			c[i] = (struct io_call){.fn = wait_one, .fd = ep[i], .n = exclusive ? 300 : 0};
			io_start(&c[i]);
		}
		EXPECT_EQ(1, write(s[1], "x", 1));
		woken = 0;
		for (int i = 0; i < 4; i++)
			woken += io_end(&c[i]) == 1;
		if (exclusive)
			CHECK("EPOLLEXCLUSIVE: at least one is woken", woken >= 1);
		else
			CHECK_EQ("all who wait at other epolls are woken", 4, woken);
		for (int i = 0; i < 4; i++)
			close(ep[i]);
		io_close2(s);
	}
}

static void times(void)
{
	int ep = epoll_create1(0);
	struct epoll_event e;
	struct timespec ts = {0, 300000}, bad = {0, -1};
	double t0 = now_s();
	CHECK_EQ("nothing in it: the time", 0, epoll_wait(ep, &e, 1, 20));
	CHECK("not before", now_s() - t0 >= 0.020);
	t0 = now_s();
	CHECK_EQ("epoll_pwait2", 0, epoll_pwait2(ep, &e, 1, &ts, NULL));
	CHECK("epoll_pwait2: not before", now_s() - t0 >= 0.0003);
	CHECK_EQ("a bad time: EINVAL", -EINVAL, io_rc(epoll_pwait2(ep, &e, 1, &bad, NULL)));
	struct io_call c = {.fn = wait_one, .fd = ep, .n = 150};
	io_start(&c);
	close(ep);
	CHECK_EQ("closed while a thread waits: its time goes on", 0, io_end(&c));
}

int main(void)
{
	triggers();
	changed();
	nested();
	shared_epoll(EPOLLONESHOT, "oneshot, many waiters: each event has one taker");
	shared_epoll(EPOLLET, "edge, many waiters: each event has one taker");
	several();
	times();
	return check_done();
}
