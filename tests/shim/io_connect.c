/* io_connect.c - connect and accept: refused, in progress, timed out, interrupted; many threads at one listener. */
#include "io.h"

#include <sys/resource.h>

static long do_connect(struct io_call *c)
{
	struct sockaddr *a = (struct sockaddr *)c->arg;
	return connect(c->fd, a, a->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_un));
}

static int tcp(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int error_of(int fd)
{
	int e = -1;
	socklen_t n = sizeof e;
	EXPECT_EQ(0, getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n));
	return e;
}

static void refused(void)
{
	struct sockaddr_in a;
	struct sockaddr_un u = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	close(io_listen(&a, 1));
	struct io_call c = {.fn = do_connect, .fd = tcp(), .arg = &a};
	io_start(&c);
	CHECK_EQ("nobody listens: ECONNREFUSED", -ECONNREFUSED, io_end(&c));
	CHECK_EQ("once: SO_ERROR is clear", 0, error_of(c.fd));
	close(c.fd);
	c = (struct io_call){.fn = do_connect, .fd = socket(AF_UNIX, SOCK_STREAM, 0), .arg = &u};
	io_start(&c);
	CHECK_EQ("no such socket: ENOENT", -ENOENT, io_end(&c));
	close(c.fd);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	long rc = io_rc(connect(fd, (struct sockaddr *)&a, sizeof a));
	struct pollfd f = {fd, POLLOUT, 0};
	EXPECT_EQ(1, poll(&f, 1, 10000));
	CHECK("without blocking: told by poll and SO_ERROR, or at once",
	      rc == -ECONNREFUSED || (rc == -EINPROGRESS && (f.revents & POLLERR) && error_of(fd) == ECONNREFUSED));
	close(fd);
}

static void in_progress(void)
{
	struct sockaddr_in a;
	int l = io_listen(&a, 4), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	long rc = io_rc(connect(fd, (struct sockaddr *)&a, sizeof a));
	struct pollfd f = {fd, POLLOUT, 0};
	EXPECT(rc == 0 || rc == -EINPROGRESS);
	CHECK_EQ("poll tells when it is connected", 1, poll(&f, 1, 10000));
	CHECK_EQ("SO_ERROR is 0", 0, error_of(fd));
	if (rc)
		CHECK_EQ("connect again", 0, io_rc(connect(fd, (struct sockaddr *)&a, sizeof a)));
	CHECK_EQ("and again: EISCONN", -EISCONN, io_rc(connect(fd, (struct sockaddr *)&a, sizeof a)));
	close(fd);
	close(l);
}

/* A listener whose queue is full: the kernel drops what would connect, which tries again for minutes. */
static int full_listener(struct sockaddr_in *a, int *held, int n)
{
	int l = io_listen(a, 0);
	for (int i = 0; i < n; i++) {
		struct pollfd f = {held[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), POLLOUT, 0};
		connect(held[i], (struct sockaddr *)a, sizeof *a);
		if (poll(&f, 1, 60) == 0) {
			while (++i < n)
				held[i] = -1;
			return l;
		}
	}
	return l;
}

static int hits;

static void on_usr1(int sig)
{
	(void)sig;
	flag_add(&hits, 1);
}

static void handler(int flags)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = flags};
	EXPECT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
}

static void full(void)
{
	struct sockaddr_in a;
	int held[4], l = full_listener(&a, held, 4), before;
	struct io_call c = {.fn = do_connect, .fd = tcp(), .arg = &a};
	io_timeo(c.fd, SO_SNDTIMEO, 60);
	io_start(&c);
	CHECK_EQ("SO_SNDTIMEO ends connect with EINPROGRESS", -EINPROGRESS, io_end(&c));
	CHECK("not before its time", c.took >= 0.059 && c.took < 5);
	io_start(&c);
	CHECK_EQ("which goes on: EALREADY", -EALREADY, io_end(&c));
	close(c.fd);
	handler(0);
	c.fd = tcp();
	io_start(&c);
	before = flag_get(&hits);
	pthread_kill(c.thread, SIGUSR1);
	CHECK_EQ("a handler ends connect with EINTR", -EINTR, io_end(&c));
	EXPECT_EQ(before + 1, flag_get(&hits));
	fcntl(c.fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ("and it goes on: EALREADY", -EALREADY, io_rc(connect(c.fd, (struct sockaddr *)&a, sizeof a)));
	close(c.fd);
	handler(SA_RESTART);
	c.fd = tcp();
	io_timeo(c.fd, SO_SNDTIMEO, 5000);
	io_start(&c);
	pthread_kill(c.thread, SIGUSR1);
	CHECK_EQ("with SO_SNDTIMEO even with SA_RESTART", -EINTR, io_end(&c));
	close(c.fd);
	c.fd = tcp();
	io_start(&c);
	before = flag_get(&hits);
	pthread_kill(c.thread, SIGUSR1);
	EXPECT(flag_wait_bounded(&hits, before + 1));
	CHECK("with SA_RESTART connect goes on", io_blocked(&c));
	EXPECT_EQ(0, listen(l, 64)); /* room: its next try, a second after the first, comes through */
	CHECK_EQ("until it is connected", 0, io_end(&c));
	close(c.fd);
	for (int i = 0; i < 4; i++)
		if (held[i] >= 0)
			close(held[i]);
	close(l);
}

static void full_unix(void)
{
	struct sockaddr_un u = {.sun_family = AF_UNIX};
	snprintf(u.sun_path + 1, sizeof u.sun_path - 1, "grt-io-connect-%d", getpid());
	int l = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT_EQ(0, bind(l, (struct sockaddr *)&u, sizeof u));
	EXPECT_EQ(0, listen(l, 0));
	EXPECT_EQ(0, connect(first, (struct sockaddr *)&u, sizeof u));
	struct io_call c = {.fn = do_connect, .fd = socket(AF_UNIX, SOCK_STREAM, 0), .arg = &u};
	io_timeo(c.fd, SO_SNDTIMEO, 60);
	io_start(&c);
	CHECK_EQ("unix: SO_SNDTIMEO ends connect to a full queue with EAGAIN", -EAGAIN, io_end(&c));
	fcntl(c.fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ("unix: O_NONBLOCK, too", -EAGAIN, io_rc(connect(c.fd, (struct sockaddr *)&u, sizeof u)));
	fcntl(c.fd, F_SETFL, 0);
	io_timeo(c.fd, SO_SNDTIMEO, 0);
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(accept(l, NULL, NULL));
	CHECK_EQ("unix: room wakes a blocked connect", 0, io_end(&c));
	close(c.fd);
	c.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(l);
	CHECK_EQ("unix: the listener's end ends it with ECONNREFUSED", -ECONNREFUSED, io_end(&c));
	close(c.fd);
	close(first);
}

/* Each connection is accepted by exactly one of them. */
enum { ACCEPTORS = 8, CLIENTS = 60 };
static int listener, accepted[CLIENTS], accepted_all;

static void *acceptor(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(listener, NULL, NULL), who = -1;
		if (fd < 0)
			return (void *)(long)errno;
		EXPECT_EQ(sizeof who, read(fd, &who, sizeof who));
		EXPECT(who >= 0 && who < CLIENTS);
		flag_add(&accepted[who], 1);
		flag_add(&accepted_all, 1);
		EXPECT_EQ(sizeof who, write(fd, &who, sizeof who));
		close(fd);
	}
}

static void *client(void *arg)
{
	struct sockaddr_in *a = (struct sockaddr_in *)arg;
	static int next;
	for (int who; (who = flag_add(&next, 1) - 1) < CLIENTS;) {
		int fd = tcp(), back = -1;
		EXPECT_EQ(0, connect(fd, (struct sockaddr *)a, sizeof *a));
		EXPECT_EQ(sizeof who, write(fd, &who, sizeof who));
		EXPECT_EQ(sizeof back, read(fd, &back, sizeof back));
		EXPECT_EQ(who, back);
		close(fd);
	}
	return NULL;
}

static void many(void)
{
	struct sockaddr_in a;
	pthread_t t[ACCEPTORS], c[6];
	int wrong = 0, ended = 0;
	listener = io_listen(&a, 64);
	for (int i = 0; i < ACCEPTORS; i++)
		t[i] = spawn(acceptor, NULL);
	sleep_ms(SETTLE_MS);
	for (int i = 0; i < 6; i++)
		c[i] = spawn(client, &a);
	for (int i = 0; i < 6; i++)
		join(c[i]);
	shutdown(listener, SHUT_RDWR);
	for (int i = 0; i < ACCEPTORS; i++)
		ended += (long)join(t[i]) == EINVAL;
	for (int i = 0; i < CLIENTS; i++)
		wrong += accepted[i] != 1;
	CHECK_EQ("each connection is accepted once", 0, wrong);
	CHECK_EQ("all of them", CLIENTS, accepted_all);
	CHECK_EQ("every acceptor ends", ACCEPTORS, ended);
	close(listener);
}

static void accepting(void)
{
	struct sockaddr_in a, from;
	socklen_t len = sizeof from;
	int l = io_listen(&a, 8), fd, s = tcp();
	fcntl(l, F_SETFL, O_NONBLOCK);
	CHECK_EQ("a listener that does not block: EAGAIN", -EAGAIN, io_rc(accept(l, NULL, NULL)));
	EXPECT_EQ(0, connect(s, (struct sockaddr *)&a, sizeof a));
	fd = accept(l, (struct sockaddr *)&from, &len);
	CHECK("accept tells the peer's address", fd >= 0 && len == sizeof from && from.sin_family == AF_INET);
	CHECK_EQ("what it makes does block", 0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(s);
	fcntl(l, F_SETFL, 0);
	EXPECT_EQ(0, connect(s = tcp(), (struct sockaddr *)&a, sizeof a));
	fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK("accept4 sets its flags", (fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	close(s);
	CHECK_EQ("accept4 with other flags: EINVAL", -EINVAL, io_rc(accept4(l, NULL, NULL, 1)));
	EXPECT_EQ(0, connect(s = tcp(), (struct sockaddr *)&a, sizeof a));
	io_reset_on_close(s);
	close(s);
	struct pollfd f = {l, POLLIN, 0};
	EXPECT_EQ(1, poll(&f, 1, 10000));
	fd = accept(l, NULL, NULL);
	CHECK("a connection that was reset in the queue is accepted", fd >= 0);
	CHECK_EQ("and says so", -ECONNRESET, io_rc(read(fd, &len, 1)));
	close(fd);
	/* without a descriptor the connection stays in the queue */
	struct rlimit old, low;
	s = tcp();
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)s + 1;
	struct io_call c = {.fn = io_accept, .fd = l};
	io_start(&c);
	setrlimit(RLIMIT_NOFILE, &low);
	EXPECT_EQ(0, connect(s, (struct sockaddr *)&a, sizeof a));
	long rc = io_end(&c);
	CHECK("the limit of descriptors while accept is blocked: the old one holds, or EMFILE", rc == -EMFILE || rc >= 0);
	setrlimit(RLIMIT_NOFILE, &old);
	if (rc < 0)
		rc = accept(l, NULL, NULL);
	CHECK("and no connection is lost", rc >= 0);
	close((int)rc);
	close(s);
	close(l);
}

int main(void)
{
	refused();
	in_progress();
	full();
	full_unix();
	many();
	accepting();
	return check_done();
}
