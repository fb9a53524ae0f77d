/* CFLAGS: -Wno-stringop-overflow -Wno-stringop-overread
 * io_stream.c - blocking reads and writes of pipes and sockets: partial transfers, ends, errors, time-outs and flags. */
#include "io.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static char big[1 << 20];
static const char *const kind_name[] = {"pipe", "unix", "tcp"};

/* The end that is read, and the one that is written. */
static void make(int kind, int s[2])
{
	if (kind == 0)
		io_pipe(s);
	else if (kind == 1)
		io_unix(s);
	else
		io_tcp(s);
}

static const char *say(const char *kind, const char *what)
{
	static char text[160];
	snprintf(text, sizeof text, "%s: %s", kind, what);
	return text;
}

static void reads(int kind)
{
	const char *k = kind_name[kind];
	int s[2];
	make(kind, s);
	struct io_call c = {.fn = io_read, .fd = s[0], .n = 10};
	io_start(&c);
	EXPECT(io_blocked(&c));
	EXPECT_EQ(3, write(s[1], "abc", 3));
	CHECK_EQ(say(k, "a blocked read returns what there is"), 3, io_end(&c));
	CHECK(say(k, "and that is the data"), memcmp(c.buf, "abc", 3) == 0);
	EXPECT_EQ(6, write(s[1], "defghi", 6));
	c.n = 4;
	io_start(&c);
	CHECK_EQ(say(k, "a short read leaves the rest"), 4, io_end(&c));
	CHECK_EQ(say(k, "which the next one gets"), 2, (io_start(&c), io_end(&c)));
	CHECK(say(k, "in order"), memcmp(c.buf, "hi", 2) == 0);
	CHECK_EQ(say(k, "read of nothing returns at once"), 0, read(s[0], c.buf, 0));
	EXPECT_EQ(1, write(s[1], "x", 1));
	CHECK_EQ(say(k, "into memory that is none: EFAULT"), -EFAULT, io_rc(read(s[0], (void *)8, 1)));
	EXPECT_EQ(1, read(s[0], c.buf, 1));
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(s[1]);
	CHECK_EQ(say(k, "the end wakes a blocked read with 0"), 0, io_end(&c));
	CHECK_EQ(say(k, "and stays"), 0, read(s[0], c.buf, 1));
	close(s[0]);
}

static void writes(int kind)
{
	const char *k = kind_name[kind];
	int s[2];
	make(kind, s);
	memset(big, 'w', sizeof big);
	struct io_call c = {.fn = io_write, .fd = s[1], .n = sizeof big, .arg = big};
	io_start(&c);
	CHECK(say(k, "a write of more than fits blocks"), kind == 2 || io_blocked(&c));
	for (int i = 0; i < 16; i++)
		io_drain(s[0], sizeof big / 16);
	CHECK_EQ(say(k, "and returns when all is written"), sizeof big, io_end(&c));
	close(s[0]);
	signal(SIGPIPE, SIG_IGN);
	if (kind == 2) /* the first one meets the reset */
		while (write(s[1], "x", 1) == 1)
			sleep_ms(1);
	errno = 0;
	CHECK_EQ(say(k, "nobody reads any more: EPIPE"), -EPIPE, io_rc(write(s[1], "x", 1)));
	signal(SIGPIPE, SIG_DFL);
	close(s[1]);
	make(kind, s);
	if (kind == 2) {
		int small = 4096;
		setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
		setsockopt(s[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
		io_reset_on_close(s[0]);
	}
	signal(SIGPIPE, SIG_IGN);
	c.fd = s[1];
	c.n = kind == 2 ? 8 << 20 : sizeof big;
	c.arg = kind == 2 ? calloc(1, 8 << 20) : big;
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(s[0]);
	long rc = io_end(&c);
	CHECK(say(k, "the reader goes while a write is blocked: what was taken, or the error"),
	      rc > 0 ? rc < c.n : rc == (kind == 2 ? -ECONNRESET : -EPIPE));
	signal(SIGPIPE, SIG_DFL);
	if (kind == 2)
		free(c.arg);
	close(s[1]);
}

static pthread_t broken;
static int broken_here;

static void on_pipe(int sig)
{
	(void)sig;
	if (pthread_equal(pthread_self(), broken))
		flag_add(&broken_here, 1);
}

static void *write_broken(void *arg)
{
	broken = pthread_self();
	errno = 0;
	long rc = write(*(int *)arg, "x", 1);
	return (void *)(rc < 0 ? -errno : rc);
}

static void sigpipe(int kind)
{
	const char *k = kind_name[kind];
	int s[2], status;
	make(kind, s);
	close(s[0]);
	signal(SIGPIPE, on_pipe);
	broken_here = 0;
	if (kind == 2) {
		EXPECT_EQ(1, send(s[1], "x", 1, MSG_NOSIGNAL));
		while (send(s[1], "x", 1, MSG_NOSIGNAL) == 1)
			sleep_ms(1);
	}
	CHECK_EQ(say(k, "EPIPE on another thread"), -EPIPE, (long)join(spawn(write_broken, &s[1])));
	CHECK_EQ(say(k, "SIGPIPE comes to the thread that wrote, before the call returns"), 1, broken_here);
	if (kind > 0) {
		CHECK_EQ(say(k, "MSG_NOSIGNAL: EPIPE"), -EPIPE, io_rc(send(s[1], "x", 1, MSG_NOSIGNAL)));
		CHECK_EQ(say(k, "and no signal"), 1, broken_here);
	}
	signal(SIGPIPE, SIG_DFL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		join(spawn(write_broken, &s[1]));
		_exit(0);
	}
	status = reap(pid);
	CHECK(say(k, "by default it ends the process"), killed_by(status, SIGPIPE));
	close(s[1]);
}

static void resets(void)
{
	int s[2];
	io_tcp(s);
	struct io_call c = {.fn = io_read, .fd = s[0]};
	io_reset_on_close(s[1]);
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(s[1]);
	CHECK_EQ("a reset wakes a blocked read with ECONNRESET", -ECONNRESET, io_end(&c));
	CHECK_EQ("the error is told once", 0, read(s[0], c.buf, 1));
	close(s[0]);
	io_tcp(s);
	struct io_call p = {.fn = io_poll_in, .fd = s[0]};
	io_reset_on_close(s[1]);
	io_start(&p);
	close(s[1]);
	CHECK_EQ("a reset wakes poll", 1, io_end(&p));
	CHECK("with POLLIN, POLLERR and POLLHUP", (p.other & (POLLIN | POLLERR | POLLHUP)) == (POLLIN | POLLERR | POLLHUP));
	close(s[0]);
	/* both at once: a reader and a writer of one socket */
	io_tcp(s);
	io_reset_on_close(s[1]);
	io_fill(s[0]);
	signal(SIGPIPE, SIG_IGN);
	struct io_call r = {.fn = io_read, .fd = s[0]}, w = {.fn = io_write, .fd = s[0], .n = sizeof big, .arg = big};
	io_start(&r);
	io_start(&w);
	EXPECT(io_blocked(&r));
	close(s[1]);
	long a = io_end(&r), b = io_end(&w);
	CHECK("a reset wakes the reader and the writer of a socket", (a == -ECONNRESET || a == 0) &&
	                                                                 (b == -ECONNRESET || b == -EPIPE || b > 0) &&
	                                                                 (a == -ECONNRESET || b == -ECONNRESET || b > 0));
	signal(SIGPIPE, SIG_DFL);
	close(s[0]);
}

/* A time that a call of so many ms took: no less, and not for ever. */
static int lasted(double took, double ms)
{
	return took >= ms / 1000 - 0.001 && took < 5;
}

static void timeouts(void)
{
	int s[2];
	for (int kind = 1; kind < 3; kind++) {
		const char *k = kind_name[kind];
		make(kind, s);
		struct io_call c = {.fn = io_read, .fd = s[0]};
		io_timeo(s[0], SO_RCVTIMEO, 60);
		io_start(&c);
		CHECK_EQ(say(k, "SO_RCVTIMEO ends read with EAGAIN"), -EAGAIN, io_end(&c));
		CHECK(say(k, "not before its time"), lasted(c.took, 60));
		c.fn = io_recv;
		c.n = 8;
		c.other = MSG_WAITALL;
		EXPECT_EQ(3, write(s[1], "abc", 3));
		io_start(&c);
		CHECK_EQ(say(k, "SO_RCVTIMEO ends MSG_WAITALL with what has come"), 3, io_end(&c));
		c.other = 0;
		io_timeo(s[0], SO_RCVTIMEO, 10000);
		io_start(&c);
		EXPECT_EQ(2, write(s[1], "de", 2));
		CHECK_EQ(say(k, "data within the time"), 2, io_end(&c));
		io_timeo(s[0], SO_RCVTIMEO, 0);
		io_start(&c);
		CHECK(say(k, "zero takes the time-out off"), io_blocked(&c));
		EXPECT_EQ(2, write(s[1], "fg", 2));
		EXPECT_EQ(2, io_end(&c));
		io_timeo(s[0], SO_RCVTIMEO, 1);
		EXPECT_EQ(1, write(s[1], "h", 1));
		c.other = MSG_PEEK;
		io_start(&c);
		CHECK_EQ(say(k, "MSG_PEEK leaves the data there"), 1, io_end(&c));
		CHECK_EQ(say(k, "where a read finds it"), 1, read(s[0], c.buf, 8));
		io_timeo(s[1], SO_SNDTIMEO, 60);
		io_fill(s[1]);
		struct io_call w = {.fn = io_write, .fd = s[1], .n = sizeof big, .arg = big};
		do
			io_start(&w);
		while (io_end(&w) > 0); /* what still fits is a partial write */
		CHECK_EQ(say(k, "SO_SNDTIMEO ends write with EAGAIN"), -EAGAIN, w.rc);
		CHECK(say(k, "not before its time, either"), lasted(w.took, 60));
		io_close2(s);
	}
	struct sockaddr_in a;
	int l = io_listen(&a, 4);
	struct io_call c = {.fn = io_accept, .fd = l};
	io_timeo(l, SO_RCVTIMEO, 60);
	io_start(&c);
	CHECK_EQ("SO_RCVTIMEO ends accept with EAGAIN", -EAGAIN, io_end(&c));
	CHECK("accept: not before its time", lasted(c.took, 60));
	close(l);
}

static void flags(void)
{
	int s[2], kind;
	char b[16];
	for (kind = 1; kind < 3; kind++) {
		const char *k = kind_name[kind];
		make(kind, s);
		CHECK_EQ(say(k, "MSG_DONTWAIT with nothing there: EAGAIN"), -EAGAIN, io_rc(recv(s[0], b, 1, MSG_DONTWAIT)));
		long all = io_fill(s[1]);
		CHECK_EQ(say(k, "MSG_DONTWAIT with no room: EAGAIN"), -EAGAIN, io_rc(send(s[1], b, 1, MSG_DONTWAIT)));
		io_drain(s[0], all);
		struct io_call c = {.fn = io_recv, .fd = s[0], .n = 8, .other = MSG_WAITALL};
		io_start(&c);
		for (int i = 0; i < 4; i++) {
			EXPECT_EQ(2, write(s[1], &"abcdefgh"[i * 2], 2));
			if (i < 3)
				EXPECT(io_blocked(&c));
		}
		CHECK_EQ(say(k, "MSG_WAITALL waits for all"), 8, io_end(&c));
		CHECK(say(k, "all of it, in order"), memcmp(c.buf, "abcdefgh", 8) == 0);
		io_start(&c);
		EXPECT_EQ(3, write(s[1], "abc", 3));
		EXPECT(io_blocked(&c));
		shutdown(s[1], SHUT_WR);
		CHECK_EQ(say(k, "MSG_WAITALL ends with the stream"), 3, io_end(&c));
		io_close2(s);
	}
	io_tcp(s);
	struct io_call c = {.fn = io_recv, .fd = s[0], .n = 4, .other = MSG_OOB};
	CHECK_EQ("MSG_OOB with none sent: EINVAL", -EINVAL, io_rc(recv(s[0], b, 1, MSG_OOB)));
	struct pollfd f = {s[0], POLLPRI, 0};
	EXPECT_EQ(2, send(s[1], "a!", 2, MSG_OOB));
	CHECK_EQ("urgent data wakes poll(POLLPRI)", 1, poll(&f, 1, 10000));
	CHECK_EQ("as POLLPRI", POLLPRI, f.revents);
	io_start(&c);
	CHECK("MSG_OOB gets the urgent byte", io_end(&c) == 1 && c.buf[0] == '!');
	c.other = 0;
	io_start(&c);
	CHECK("and read the rest", io_end(&c) == 1 && c.buf[0] == 'a');
	io_start(&c);
	EXPECT_EQ(1, send(s[1], "!", 1, MSG_OOB));
	CHECK("urgent data alone does not end a read", io_blocked(&c));
	EXPECT_EQ(1, send(s[1], "b", 1, 0));
	CHECK("the byte after it does", io_end(&c) == 1 && c.buf[0] == 'b');
	int on = 1;
	setsockopt(s[0], SOL_SOCKET, SO_RCVLOWAT, (on = 5, &on), sizeof on);
	io_start(&c);
	EXPECT_EQ(3, send(s[1], "cde", 3, 0));
	CHECK("SO_RCVLOWAT: fewer bytes do not end a read", io_blocked(&c));
	EXPECT_EQ(2, send(s[1], "fg", 2, 0));
	CHECK_EQ("as many do", 4, io_end(&c));
	io_close2(s);
}

static long vec(struct io_call *c)
{
	struct iovec v[3] = {{c->buf, 2}, {c->buf + 2, 0}, {c->buf + 10, 6}};
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 3};
	struct mmsghdr mm[2] = {{.msg_hdr = h}, {.msg_hdr = h}};
	struct timespec ts = {0, 1000000};
	switch (c->other) {
	case 0:
		return readv(c->fd, v, 3);
	case 1:
		return preadv2(c->fd, v, 3, -1, 0);
	case 2:
		return recvmsg(c->fd, &h, 0);
	case 3:
		return recvmmsg(c->fd, mm, 2, MSG_WAITFORONE, NULL) == 1 ? (long)mm[0].msg_len : -1;
	default:
		/* the time-out is looked at after each message only: the second one ends it */
		return recvmmsg(c->fd, mm, 2, 0, &ts) == 1 ? (long)mm[0].msg_len : -1;
	}
}

static void vectors(void)
{
	static const char *const name[] = {"readv", "preadv2 at the current place", "recvmsg", "recvmmsg, MSG_WAITFORONE",
	                                   "recvmmsg with a time-out that has passed"};
	for (int i = 0; i < 5; i++) {
		int s[2];
		io_unix(s);
		struct io_call c = {.fn = vec, .fd = s[0], .other = i};
		io_start(&c);
		EXPECT(io_blocked(&c));
		EXPECT_EQ(5, write(s[1], "abcde", 5));
		CHECK_EQ(say(name[i], "scattered"), 5, io_end(&c));
		CHECK(say(name[i], "to the right places"), memcmp(c.buf, "ab", 2) == 0 && memcmp(c.buf + 10, "cde", 3) == 0);
		io_close2(s);
	}
	int s[2], p[2];
	char b[16] = {0};
	io_unix(s);
	io_pipe(p);
	struct iovec v[2] = {{"abc", 3}, {"defg", 4}};
	struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
	struct mmsghdr mm[2] = {{.msg_hdr = h}, {.msg_hdr = h}};
	CHECK_EQ("writev", 7, writev(p[1], v, 2));
	CHECK_EQ("pwritev2 at the current place", 7, pwritev2(p[1], v, 2, -1, 0));
	CHECK("what they wrote", read(p[0], b, 16) == 14 && memcmp(b, "abcdefgabcdefg", 14) == 0);
	CHECK_EQ("sendmsg", 7, sendmsg(s[1], &h, 0));
	CHECK_EQ("sendmmsg", 2, sendmmsg(s[1], mm, 2, 0));
	CHECK("what they sent", recv(s[0], b, 16, MSG_WAITALL) == 16 && memcmp(b, "abcdefgabcdefgab", 16) == 0);
	CHECK_EQ("pread of a pipe: ESPIPE", -ESPIPE, io_rc(pread(p[0], b, 1, 0)));
	CHECK_EQ("preadv of a socket: ESPIPE", -ESPIPE, io_rc(preadv(s[0], v, 2, 0)));
	CHECK_EQ("read of the write end: EBADF", -EBADF, io_rc(read(p[1], b, 1)));
	CHECK_EQ("recv of a pipe: ENOTSOCK", -ENOTSOCK, io_rc(recv(p[0], b, 1, 0)));
	CHECK_EQ("more vectors than there may be: EINVAL", -EINVAL, io_rc(readv(p[0], v, 1025)));
	io_close2(s);
	io_close2(p);
}

/* Datagrams keep their borders, and an empty one is no end. */
static void datagrams(void)
{
	int s[2];
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	struct io_call c = {.fn = io_recv, .fd = s[0], .n = 4};
	io_start(&c);
	EXPECT_EQ(0, send(s[1], "", 0, 0));
	CHECK_EQ("an empty datagram wakes recv with 0", 0, io_end(&c));
	io_start(&c);
	EXPECT_EQ(6, send(s[1], "abcdef", 6, 0));
	CHECK_EQ("a long one is cut", 4, io_end(&c));
	EXPECT_EQ(6, send(s[1], "ghijkl", 6, 0));
	c.other = MSG_TRUNC;
	io_start(&c);
	CHECK_EQ("MSG_TRUNC tells its length", 6, io_end(&c));
	CHECK("the rest is gone", recv(s[0], c.buf, 4, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	io_close2(s);
}

int main(void)
{
	for (int kind = 0; kind < 3; kind++) {
		reads(kind);
		writes(kind);
		sigpipe(kind);
	}
	resets();
	timeouts();
	flags();
	vectors();
	datagrams();
	return check_done();
}
