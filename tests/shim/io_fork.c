/* io_fork.c - open files that several processes have: fork while threads are blocked on them, both sides using them after it;
 * descriptors sent over sockets and taken by pidfd_getfd; exec with CLOEXEC. */
#include "io.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

/* A listener and a connection that both processes use while threads of the parent sleep on them. */
static void inherited(void)
{
	struct sockaddr_in a;
	int l = io_listen(&a, 16), s[2];
	io_tcp(s);
	struct io_call acc = {.fn = io_accept, .fd = l}, r = {.fn = io_read, .fd = s[0], .n = 1};
	io_start(&acc);
	io_start(&r);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		/* the child has no sleeper; its own threads use the same files */
		struct io_call c[4];
		int n = 0;
		for (int i = 0; i < 4; i++) {
			c[i] = (struct io_call){.fn = i % 2 ? io_read : io_accept, .fd = i % 2 ? s[0] : l, .n = 1};
			io_start(&c[i]);
		}
		/* three connections and three bytes, of which the parent's sleepers take one each */
		for (int i = 0; i < 3; i++) {
			int fd = socket(AF_INET, SOCK_STREAM, 0);
			if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0 || write(s[1], "x", 1) != 1)
				_exit(1);
		}
		for (int i = 0; i < 4; i++)
			n += io_end(&c[i]) >= 0;
		_exit(n == 4 ? 42 : n);
	}
	CHECK("a child accepts and reads beside its parent's threads", exited_with(reap(pid), 42));
	CHECK("whose own get theirs", io_end(&acc) >= 0 && io_end(&r) == 1);
	CHECK_EQ("no byte is left", -EAGAIN, io_rc(recv(s[0], r.buf, 1, MSG_DONTWAIT)));
	close(acc.other);
	close(l);
	io_close2(s);
}

/* The child closes, and opens others with those numbers: nothing of it reaches the parent. */
static void closed_in_child(void)
{
	int s[2], q[2];
	io_unix(s);
	struct io_call r = {.fn = io_read, .fd = s[0]}, p = {.fn = io_poll_in, .fd = s[0]};
	io_start(&r);
	io_start(&p);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(s[0]);
		close(s[1]);
		io_pipe(q);
		struct io_call c = {.fn = io_read, .fd = q[0]};
		io_start(&c);
		if (write(q[1], "child", 5) != 5 || io_end(&c) != 5)
			_exit(1);
		_exit(q[0] == s[0] ? 42 : 2);
	}
	CHECK("a child's new files have nothing of the old ones", exited_with(reap(pid), 42));
	CHECK("its end does not wake the parent's sleepers", io_blocked(&r) && io_blocked(&p));
	EXPECT_EQ(2, write(s[1], "ok", 2));
	CHECK_EQ("data does", 2, io_end(&r));
	EXPECT_EQ(1, write(s[1], "x", 1));
	EXPECT_EQ(1, io_end(&p));
	/* the child holds the other end: no end before it has gone */
	pid = fork();
	if (pid == 0) {
		char b;
		close(s[0]);
		(void)!read(s[1], &b, 1);
		_exit(0);
	}
	EXPECT_EQ(1, read(s[0], r.buf, 1));
	io_start(&r);
	close(s[1]);
	CHECK("a child that has the other end keeps the stream open", io_blocked(&r));
	EXPECT_EQ(1, write(s[0], "x", 1));
	reap(pid);
	CHECK("its exit ends it", io_end(&r) <= 0);
	close(s[0]);
}

/* Blocked calls in the child of a parent whose threads are blocked, and again in its child. */
static void generations(void)
{
	int s[2], status;
	io_unix(s);
	struct io_call c[5];
	for (int i = 0; i < 5; i++) {
		c[i] = (struct io_call){.fn = io_read, .fd = s[0], .n = 1};
		io_start(&c[i]);
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int q[2];
		io_unix(q);
		struct io_call d = {.fn = io_read, .fd = q[0]};
		io_start(&d);
		pid = fork();
		if (pid == 0) {
			struct io_call e = {.fn = io_read, .fd = q[0]};
			io_start(&e);
			if (write(q[1], "z", 1) != 1)
				_exit(1);
			/* the byte is for one of the two processes; the other gets the end's */
			_exit(0);
		}
		status = reap(pid);
		if (write(q[1], "z", 1) != 1)
			_exit(2);
		_exit(exited_with(status, 0) && io_end(&d) >= 1 ? 42 : 3);
	}
	CHECK("a grandchild", exited_with(reap(pid), 42));
	EXPECT_EQ(5, write(s[1], "12345", 5));
	int n = 0;
	for (int i = 0; i < 5; i++)
		n += io_end(&c[i]) == 1;
	CHECK_EQ("all sleepers of the first process wake", 5, n);
	io_close2(s);
}

static void send_fd(int sock, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec v = {"f", 1};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.space, .msg_controllen = sizeof u.space};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	memset(&u, 0, sizeof u);
	h.msg_controllen = sizeof u.space;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	EXPECT_EQ(1, sendmsg(sock, &h, 0));
}

static long recv_fd(struct io_call *call)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec v = {call->buf, 1};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.space, .msg_controllen = sizeof u.space};
	if (recvmsg(call->fd, &h, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return errno = EPROTO, -1;
	memcpy(&call->other, CMSG_DATA(c), sizeof(int));
	return call->other;
}

static void passed(void)
{
	int s[2], p[2];
	io_unix(s);
	io_pipe(p);
	struct io_call c = {.fn = recv_fd, .fd = s[0]}, r = {.fn = io_read, .fd = p[0]};
	io_start(&c);
	io_start(&r);
	send_fd(s[1], p[0]);
	CHECK("a descriptor comes to a blocked recvmsg", io_end(&c) >= 0 && (fcntl(c.other, F_GETFD) & FD_CLOEXEC));
	close(p[0]);
	CHECK("its sender's is closed: the sleeper stays", io_blocked(&r));
	struct io_call r2 = {.fn = io_read, .fd = c.other};
	io_start(&r2);
	char block[128] = ""; /* enough for both */
	EXPECT_EQ(128, write(p[1], block, 128));
	CHECK("both read the same open file", io_end(&r) == 64 && io_end(&r2) == 64);
	close(c.other);
	close(p[1]);
	/* to another process, whose threads block on it */
	io_pipe(p);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(p[0]);
		close(p[1]);
		io_start(&c);
		if (io_end(&c) < 0)
			_exit(1);
		struct io_call d = {.fn = io_read, .fd = c.other};
		io_start(&d);
		_exit(io_end(&d) == 3 ? 42 : 2);
	}
	send_fd(s[1], p[0]);
	close(p[0]);
	sleep_ms(2 * SETTLE_MS);
	EXPECT_EQ(3, write(p[1], "abc", 3));
	CHECK("a descriptor that was sent to another process", exited_with(reap(pid), 42));
	close(p[1]);
	io_close2(s);
}

static void pidfd(void)
{
	int s[2], go[2];
	char b;
	io_unix(s);
	io_pipe(go);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		(void)!read(go[0], &b, 1);
		_exit(0);
	}
	close(s[1]);
	struct io_call r = {.fn = io_read, .fd = s[0]};
	io_start(&r);
	int pfd = (int)syscall(SYS_pidfd_open, pid, 0), got = (int)syscall(SYS_pidfd_getfd, pfd, s[1], 0);
	CHECK("pidfd_getfd takes the other end out of the child", got >= 0);
	EXPECT_EQ(2, write(got, "ok", 2));
	CHECK_EQ("which wakes the sleeper", 2, io_end(&r));
	struct io_call w = {.fn = io_poll_in, .fd = pfd};
	io_start(&w);
	CHECK("poll of a pidfd", io_blocked(&w));
	EXPECT_EQ(1, write(go[1], "x", 1));
	CHECK_EQ("wakes when the child ends", 1, io_end(&w));
	reap(pid);
	io_start(&r);
	close(got);
	CHECK_EQ("both copies are gone: the end", 0, io_end(&r));
	close(pfd);
	close(s[0]);
	io_close2(go);
}

static int open_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* What an executed program finds open: its own three, and what the program left open for it. */
static void execs(const char *self)
{
	int p[2], s[2], status;
	EXPECT_EQ(0, pipe2(p, O_CLOEXEC));
	io_unix(s);
	struct io_call c = {.fn = io_read, .fd = s[0]};
	io_start(&c);
	int mine = open_fds();
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		char want[16];
		snprintf(want, sizeof want, "%d", mine - 2);
		execl("/proc/self/exe", self, "count", want, (char *)NULL);
		_exit(1);
	}
	status = reap(pid);
	CHECK("exec: CLOEXEC descriptors are closed, the others open, and no more", exited_with(status, 42));
	EXPECT_EQ(1, write(s[1], "x", 1));
	EXPECT_EQ(1, io_end(&c));
	io_close2(s);
	io_close2(p);
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		/* threads that block, as its parent had */
		int s[2], before = open_fds();
		io_unix(s);
		struct io_call c = {.fn = io_read, .fd = s[0]};
		io_start(&c);
		EXPECT_EQ(1, write(s[1], "x", 1));
		EXPECT_EQ(1, io_end(&c));
		io_close2(s);
		return before == atoi(argv[2]) ? 42 : before;
	}
	inherited();
	closed_in_child();
	generations();
	passed();
	pidfd();
	execs(argv[0]);
	return check_done();
}
