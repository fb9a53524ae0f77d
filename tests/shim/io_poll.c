/* CFLAGS: -D_GNU_SOURCE
 * io_poll.c - poll and select: what they tell of each kind of descriptor, times, thousands of descriptors, many waiters. */
#include "io.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

static int events(int fd, short want)
{
	struct pollfd f = {fd, want, 0};
	int n = poll(&f, 1, 0);
	EXPECT_EQ(f.revents != 0, n);
	return f.revents;
}

static void what_it_tells(void)
{
	enum { ALL = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };
	int p[2], s[2];
	io_pipe(p);
	CHECK_EQ("an empty pipe", 0, events(p[0], ALL));
	CHECK_EQ("its other end", POLLOUT, events(p[1], ALL));
	EXPECT_EQ(1, write(p[1], "x", 1));
	CHECK_EQ("with data", POLLIN, events(p[0], ALL));
	close(p[1]);
	CHECK_EQ("data and no writer", POLLIN | POLLHUP, events(p[0], ALL));
	CHECK_EQ("POLLHUP comes unasked", POLLHUP, events(p[0], 0));
	close(p[0]);
	CHECK_EQ("no such descriptor", POLLNVAL, events(p[0], POLLIN));
	io_pipe(p);
	close(p[0]);
	CHECK_EQ("no reader", POLLOUT | POLLERR, events(p[1], ALL));
	close(p[1]);
	io_tcp(s);
	CHECK_EQ("a socket", POLLOUT, events(s[0], ALL));
	shutdown(s[1], SHUT_WR);
	struct pollfd f = {s[0], POLLRDHUP, 0};
	EXPECT_EQ(1, poll(&f, 1, 10000));
	CHECK_EQ("half closed", POLLIN | POLLOUT | POLLRDHUP, events(s[0], ALL));
	shutdown(s[0], SHUT_WR);
	f.events = 0;
	EXPECT_EQ(1, poll(&f, 1, 10000));
	CHECK_EQ("closed by both", POLLIN | POLLOUT | POLLHUP | POLLRDHUP, events(s[0], ALL));
	io_close2(s);
	char name[] = "/tmp/grt-io-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	CHECK_EQ("a file is always ready", POLLIN | POLLOUT, events(fd, POLLIN | POLLOUT));
	close(fd);
	CHECK_EQ("negative numbers are left out", 0, events(-1, POLLIN));
	CHECK_EQ("any negative number", 0, events(INT_MIN, POLLIN));
}

static long poll_three(struct io_call *c)
{
	struct pollfd f[4] = {{-1, POLLIN, 77}, {c->fd, POLLIN, 77}, {c->other, POLLIN, 77}, {-5, POLLOUT, 77}};
	int n = poll(f, 4, 10000);
	for (int i = 0; i < 4; i++)
		c->buf[i] = (char)f[i].revents;
	return n;
}

static void sets(void)
{
	int p[2], q[2];
	io_pipe(p);
	io_pipe(q);
	struct io_call c = {.fn = poll_three, .fd = p[0], .other = q[0]};
	io_start(&c);
	EXPECT_EQ(1, write(q[1], "x", 1));
	CHECK_EQ("one of two is ready", 1, io_end(&c));
	CHECK("the right one, and every revents is written",
	      c.buf[0] == 0 && c.buf[1] == 0 && c.buf[2] == POLLIN && c.buf[3] == 0);
	struct pollfd twice[3] = {{q[0], POLLIN, 0}, {q[0], POLLIN, 0}, {q[0], POLLOUT, 0}};
	CHECK_EQ("one descriptor twice counts twice", 2, poll(twice, 3, 1000));
	CHECK("only for what was asked", twice[2].revents == 0);
	fd_set r, w;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(q[0], &r);
	FD_SET(p[0], &r);
	FD_SET(q[1], &w);
	CHECK_EQ("select counts bits", 2, select(64, &r, &w, NULL, NULL));
	CHECK("and takes out what is not ready", FD_ISSET(q[0], &r) && !FD_ISSET(p[0], &r) && FD_ISSET(q[1], &w));
	FD_ZERO(&r);
	FD_SET(60, &r);
	CHECK_EQ("select of no descriptor: EBADF", -EBADF, io_rc(select(64, &r, NULL, NULL, NULL)));
	struct timeval tv = {0, 30000};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	double t0 = now_s();
	CHECK_EQ("select's time is over: 0", 0, select(p[0] + 1, &r, NULL, NULL, &tv));
	CHECK("not before", now_s() - t0 >= 0.030);
	CHECK("all bits are out, no time is left", !FD_ISSET(p[0], &r) && tv.tv_sec == 0 && tv.tv_usec == 0);
	tv = (struct timeval){10, 0};
	FD_SET(q[0], &r);
	CHECK_EQ("ready at once", 1, select(q[0] + 1, &r, NULL, NULL, &tv));
	CHECK("the time that is left is written back", tv.tv_sec == 9 || (tv.tv_sec == 10 && tv.tv_usec == 0));
	struct timespec bad = {0, 1000000000}, neg = {-1, 0};
	CHECK_EQ("a bad time: EINVAL", -EINVAL, io_rc(ppoll(NULL, 0, &bad, NULL)));
	CHECK_EQ("a negative one, too", -EINVAL, io_rc(pselect(0, NULL, NULL, NULL, &neg, NULL)));
	tv = (struct timeval){-1, 0};
	CHECK_EQ("and select's", -EINVAL, io_rc(select(0, NULL, NULL, NULL, &tv)));
	io_close2(p);
	io_close2(q);
}

/* No wait is shorter than asked: times are rounded up. */
static void times(void)
{
	int early = 0;
	int p[2];
	io_pipe(p);
	for (int i = 0; i < 40; i++) {
		struct pollfd f = {p[0], POLLIN, 0};
		long ns = 100000L * (1 + i % 20);
		struct timespec ts = {0, ns};
		double t0 = now_s(), want = (double)ns / 1e9;
		if (i % 4 == 0) {
			want = (1 + i % 3) / 1e3;
			EXPECT_EQ(0, poll(&f, 1, 1 + i % 3));
		} else if (i % 4 == 1) {
			EXPECT_EQ(0, ppoll(&f, 1, &ts, NULL));
			EXPECT_EQ(ns, ts.tv_nsec); /* glibc's leaves it alone */
		} else if (i % 4 == 2) {
			struct timeval tv = {0, ns / 1000};
			EXPECT_EQ(0, select(0, NULL, NULL, NULL, &tv));
		} else {
			EXPECT_EQ(0, pselect(0, NULL, NULL, NULL, &ts, NULL));
			EXPECT_EQ(ns, ts.tv_nsec);
		}
		early += now_s() - t0 < want - 1e-6;
	}
	CHECK_EQ("no wait ends early", 0, early);
	struct pollfd f = {p[0], POLLIN, 0};
	CHECK_EQ("a time of 0 looks once", 0, poll(&f, 1, 0));
	struct io_call c = {.fn = io_poll_in, .fd = p[0], .n = -77};
	io_start(&c);
	CHECK("every negative time is for ever", io_blocked(&c));
	EXPECT_EQ(1, write(p[1], "x", 1));
	EXPECT_EQ(1, io_end(&c));
	io_close2(p);
}

/* Thousands at once, of which one becomes ready; several threads with sets that overlap. */
enum { MANY = 3000 };
static struct pollfd many_fds[MANY];

static long poll_many(struct io_call *c)
{
	struct pollfd *f = (struct pollfd *)malloc(sizeof many_fds);
	memcpy(f, many_fds, sizeof many_fds);
	long n = poll(f, MANY, 20000), bits = 0;
	for (int i = 0; i < MANY; i++)
		if (f[i].revents) {
			bits++;
			c->other = i;
			EXPECT_EQ(POLLIN, f[i].revents);
		}
	EXPECT_EQ(n, bits);
	free(f);
	return n;
}

static void thousands(void)
{
	struct rlimit old, more;
	getrlimit(RLIMIT_NOFILE, &old);
	more = old;
	more.rlim_cur = more.rlim_max < MANY + 100 ? more.rlim_max : MANY + 100;
	setrlimit(RLIMIT_NOFILE, &more);
	int base = eventfd(0, 0), use = more.rlim_cur >= MANY + 100 ? MANY : (int)more.rlim_cur / 2;
	for (int i = 0; i < MANY; i++)
		many_fds[i] = (struct pollfd){i < use ? eventfd(0, 0) : -1, POLLIN, 0};
	struct io_call c[3];
	for (int i = 0; i < 3; i++) {
		c[i] = (struct io_call){.fn = poll_many};
		io_start(&c[i]);
	}
	uint64_t one = 1;
	EXPECT_EQ(8, write(many_fds[use / 2].fd, &one, 8));
	for (int i = 0; i < 3; i++)
		CHECK_EQ("3000 descriptors: one of them is ready, for every poll", 1, io_end(&c[i]));
	CHECK("the right one", c[0].other == use / 2 && c[1].other == use / 2 && c[2].other == use / 2);
	for (int i = 0; i < MANY; i++)
		if (many_fds[i].fd >= 0)
			close(many_fds[i].fd);
	close(base);
	setrlimit(RLIMIT_NOFILE, &old);
	struct rlimit low = {64, old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &low);
	CHECK_EQ("more descriptors than RLIMIT_NOFILE: EINVAL", -EINVAL, io_rc(poll(many_fds, MANY, 0)));
	setrlimit(RLIMIT_NOFILE, &old);
}

/* Level: poll looks, it takes nothing; all who wait are told, one read takes it. */
static void level(void)
{
	int s[2];
	io_unix(s);
	struct io_call c[4];
	for (int i = 0; i < 4; i++) {
		c[i] = (struct io_call){.fn = io_poll_in, .fd = s[0]};
		io_start(&c[i]);
	}
	EXPECT_EQ(1, write(s[1], "x", 1));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(1, io_end(&c[i]));
	CHECK_EQ("and it is ready still", POLLIN, events(s[0], POLLIN));
	CHECK_EQ("until it is read", 1, read(s[0], c[0].buf, 8));
	CHECK_EQ("then it is not", 0, events(s[0], POLLIN));
	/* a reader beside a poll: both are woken by one byte, one of them for nothing */
	struct io_call r = {.fn = io_read, .fd = s[0], .n = 1};
	io_start(&r);
	EXPECT_EQ(2, write(s[1], "xy", 2));
	CHECK_EQ("a reader takes its byte", 1, io_end(&r));
	CHECK_EQ("poll sees the rest", 1, (io_start(&c[0]), io_end(&c[0])));
	io_close2(s);
}

int main(void)
{
	what_it_tells();
	sets();
	times();
	thousands();
	level();
	return check_done();
}
