/* io.h - what the tests of blocking calls (io_*.c) share: a call that a thread is blocked in, and ends for sockets.
 *
 * A thread says that it is about to enter its call, and gets 20 ms to be asleep in it.  Where it comes later on a slow machine a
 * check still holds: it then meets the event in the call's first look instead of in its sleep. */
#ifndef IO_H
#define IO_H

#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SETTLE_MS = 20, IO_LATE = -9999 };

/* What a call returned, or -errno. */
static CHECK_UNUSED long io_rc(long rc)
{
	return rc < 0 ? -errno : rc;
}

/* One call in a thread of its own. */
struct io_call {
	long (*fn)(struct io_call *); /* returns what the call does, with errno */
	int fd, other, n;
	void *arg;
	char buf[64];
	pthread_t thread;
	int entered, done; /* flags */
	long rc;           /* >= 0, or -errno */
	double took;
};

static CHECK_UNUSED void *io_run(void *arg)
{
	struct io_call *c = (struct io_call *)arg;
	double t0 = now_s();
	flag_set(&c->entered, 1);
	errno = 0;
	c->rc = io_rc(c->fn(c));
	c->took = now_s() - t0;
	flag_set(&c->done, 1);
	return NULL;
}

/* Starts it and lets it fall asleep. */
static CHECK_UNUSED void io_start(struct io_call *c)
{
	c->entered = c->done = 0;
	c->rc = IO_LATE;
	c->thread = spawn(io_run, c);
	flag_wait(&c->entered, 1);
	sleep_ms(SETTLE_MS);
}

/* Its end, within 10 s. A call that is lost stays where it is. */
static CHECK_UNUSED long io_end(struct io_call *c)
{
	if (!flag_wait_bounded(&c->done, 1)) {
		printf("FAIL: a call does not return\n");
		return IO_LATE;
	}
	join(c->thread);
	return c->rc;
}

static CHECK_UNUSED int io_blocked(struct io_call *c)
{
	sleep_ms(SETTLE_MS);
	return !flag_get(&c->done);
}

static CHECK_UNUSED long io_read(struct io_call *c)
{
	return read(c->fd, c->buf, c->n ? (size_t)c->n : sizeof c->buf);
}

static CHECK_UNUSED long io_write(struct io_call *c)
{
	return write(c->fd, c->arg ? c->arg : c->buf, (size_t)c->n);
}

static CHECK_UNUSED long io_recv(struct io_call *c)
{
	return recv(c->fd, c->buf, c->n ? (size_t)c->n : sizeof c->buf, c->other);
}

static CHECK_UNUSED long io_accept(struct io_call *c)
{
	return c->other = accept(c->fd, NULL, NULL);
}

static CHECK_UNUSED long io_poll_in(struct io_call *c)
{
	struct pollfd f = {c->fd, POLLIN, 0};
	long rc = poll(&f, 1, c->n ? c->n : -1);
	c->other = f.revents;
	return rc;
}

/* A listener on 127.0.0.1 with its address. */
static CHECK_UNUSED int io_listen(struct sockaddr_in *a, int backlog)
{
	socklen_t len = sizeof *a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(0, bind(fd, (struct sockaddr *)a, sizeof *a));
	EXPECT_EQ(0, listen(fd, backlog));
	EXPECT_EQ(0, getsockname(fd, (struct sockaddr *)a, &len));
	return fd;
}

/* Two ends of a TCP connection. */
static CHECK_UNUSED void io_tcp(int s[2])
{
	struct sockaddr_in a;
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	int l = io_listen(&a, 8), on = 1;
	EXPECT_EQ(0, connect(s[0], (struct sockaddr *)&a, sizeof a));
	s[1] = accept(l, NULL, NULL);
	EXPECT(s[1] >= 0);
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, setsockopt(s[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
	close(l);
}

static CHECK_UNUSED void io_unix(int s[2])
{
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, s));
}

static CHECK_UNUSED void io_pipe(int s[2])
{
	EXPECT_EQ(0, pipe(s));
}

static CHECK_UNUSED void io_close2(int s[2])
{
	close(s[0]);
	close(s[1]);
}

/* The next close of a TCP socket sends a reset. */
static CHECK_UNUSED void io_reset_on_close(int fd)
{
	struct linger l = {1, 0};
	EXPECT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
}

static CHECK_UNUSED void io_timeo(int fd, int which, long ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	EXPECT_EQ(0, setsockopt(fd, SOL_SOCKET, which, &tv, sizeof tv));
}

/* Fills it until it would block, without changing its flags. How much it took. */
static CHECK_UNUSED long io_fill(int fd)
{
	static char block[65536];
	long n = 0;
	for (size_t size = sizeof block; size > 0; size /= 2)
		for (ssize_t got; (got = send(fd, block, size, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
			n += got;
	return n;
}

/* Takes n bytes and drops them. */
static CHECK_UNUSED void io_drain(int fd, long n)
{
	static char block[65536];
	while (n > 0) {
		ssize_t got = read(fd, block, n < (long)sizeof block ? (size_t)n : sizeof block);
		EXPECT(got > 0);
		if (got <= 0)
			return;
		n -= got;
	}
}

#endif
