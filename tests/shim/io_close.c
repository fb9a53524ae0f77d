/* io_close.c - descriptors that are closed, shut down, replaced or given away while threads are blocked on them.
 *
 * Linux looks a descriptor up when a call begins.  A call that is asleep by then belongs to the open file, not to the number: close
 * does not wake it, data for the old file still does, and what becomes of the number does not matter to it. */
#include "io.h"

#include <sys/syscall.h>
#include <sys/wait.h>

static const char *const kind_name[] = {"pipe", "unix", "tcp"};

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

static void closed(int kind)
{
	const char *k = kind_name[kind];
	int s[2], q[2];
	make(kind, s);
	struct io_call c = {.fn = io_read, .fd = s[0]};
	io_start(&c);
	close(s[0]);
	CHECK(say(k, "close does not wake a blocked read"), io_blocked(&c));
	CHECK_EQ(say(k, "a new read of the number: EBADF"), -EBADF, io_rc(read(s[0], q, 1)));
	EXPECT_EQ(3, write(s[1], "old", 3));
	CHECK(say(k, "it gets what comes to the old file"), io_end(&c) == 3 && memcmp(c.buf, "old", 3) == 0);
	close(s[1]);

	/* the number is another file's meanwhile */
	make(kind, s);
	c.fd = s[0];
	io_start(&c);
	close(s[0]);
	io_pipe(q);
	EXPECT_EQ(s[0], q[0]);
	EXPECT_EQ(3, write(q[1], "new", 3));
	CHECK(say(k, "data for the next file of that number does not wake it"), io_blocked(&c));
	struct io_call d = {.fn = io_read, .fd = q[0]};
	io_start(&d);
	CHECK(say(k, "a reader of the new file gets its data"), io_end(&d) == 3 && memcmp(d.buf, "new", 3) == 0);
	io_start(&d);
	EXPECT_EQ(3, write(s[1], "old", 3));
	CHECK(say(k, "and the sleeper the old file's"), io_end(&c) == 3 && memcmp(c.buf, "old", 3) == 0);
	CHECK(say(k, "which the new file's reader does not see"), io_blocked(&d));
	EXPECT_EQ(1, write(q[1], "x", 1));
	EXPECT_EQ(1, io_end(&d));
	io_close2(q);
	close(s[1]);

	/* dup2 over it */
	make(kind, s);
	io_pipe(q);
	c.fd = s[0];
	io_start(&c);
	EXPECT_EQ(s[0], dup2(q[0], s[0]));
	d.fd = s[0];
	io_start(&d);
	EXPECT_EQ(3, write(q[1], "new", 3));
	CHECK(say(k, "dup2 over it: the new file's data goes to who reads now"),
	      io_end(&d) == 3 && memcmp(d.buf, "new", 3) == 0);
	CHECK(say(k, "dup2 over it: the sleeper stays"), io_blocked(&c));
	EXPECT_EQ(3, write(s[1], "old", 3));
	CHECK(say(k, "dup2 over it: the sleeper has the old file"), io_end(&c) == 3 && memcmp(c.buf, "old", 3) == 0);
	io_close2(s);
	io_close2(q);
}

/* The writer's side: its blocked write goes on to the old file. */
static void closed_writer(int kind)
{
	static char block[600000], other[16];
	const char *k = kind_name[kind];
	int s[2], q[2];
	make(kind, s);
	long before = kind == 0 ? 0 : io_fill(s[1]);
	struct io_call w = {.fn = io_write, .fd = s[1], .n = sizeof block, .arg = block};
	io_start(&w);
	EXPECT(io_blocked(&w));
	close(s[1]);
	io_pipe(q);
	CHECK(say(k, "close does not wake a blocked write"), io_blocked(&w));
	io_drain(s[0], before + (long)sizeof block);
	CHECK_EQ(say(k, "which writes all to the old file"), sizeof block, io_end(&w));
	EXPECT_EQ(2, write(q[1], "ok", 2));
	CHECK_EQ(say(k, "and nothing to the new one of its number"), 2, read(q[0], other, sizeof other));
	io_close2(q);
	close(s[0]);
}

/* shutdown reaches who sleeps, through every descriptor of the socket. */
static void shut(int kind)
{
	const char *k = kind_name[kind];
	int s[2];
	make(kind, s);
	struct io_call r = {.fn = io_read, .fd = s[0]}, p = {.fn = io_poll_in, .fd = s[0]};
	io_start(&r);
	io_start(&p);
	EXPECT_EQ(0, shutdown(s[0], SHUT_RD));
	CHECK_EQ(say(k, "shutdown(SHUT_RD) ends a blocked read with 0"), 0, io_end(&r));
	CHECK_EQ(say(k, "and wakes poll"), 1, io_end(&p));
	io_close2(s);
	make(kind, s);
	r.fd = s[0];
	io_start(&r);
	EXPECT_EQ(0, shutdown(s[1], SHUT_WR));
	CHECK_EQ(say(k, "the peer's shutdown(SHUT_WR) is an end"), 0, io_end(&r));
	CHECK_EQ(say(k, "the other direction still works"), 1, write(s[0], "x", 1));
	CHECK_EQ(say(k, "to its reader"), 1, read(s[1], r.buf, 1));
	io_close2(s);
	make(kind, s);
	static char block[1 << 22];
	io_fill(s[0]);
	struct io_call w = {.fn = io_write, .fd = s[0], .n = sizeof block, .arg = block};
	signal(SIGPIPE, SIG_IGN);
	io_start(&w);
	EXPECT_EQ(0, shutdown(s[0], SHUT_WR));
	long rc = io_end(&w);
	CHECK(say(k, "shutdown(SHUT_WR) ends a blocked write: EPIPE, or what was taken"),
	      rc == -EPIPE || (rc > 0 && rc < w.n));
	io_close2(s);
	/* the only way to wake a reader before its descriptor goes */
	make(kind, s);
	int copy = dup(s[0]);
	r.fd = s[0];
	io_start(&r);
	EXPECT_EQ(0, shutdown(copy, SHUT_RDWR));
	CHECK_EQ(say(k, "shutdown through a copy reaches it too"), 0, io_end(&r));
	close(copy);
	io_close2(s);
	signal(SIGPIPE, SIG_DFL);
}

static void listeners(void)
{
	struct sockaddr_in a;
	int l = io_listen(&a, 4);
	struct io_call c[3];
	for (int i = 0; i < 3; i++) {
		c[i] = (struct io_call){.fn = io_accept, .fd = l};
		io_start(&c[i]);
	}
	EXPECT_EQ(0, shutdown(l, SHUT_RD));
	long all = 0;
	for (int i = 0; i < 3; i++)
		all += io_end(&c[i]) == -EINVAL;
	CHECK_EQ("shutdown of a listener ends every accept with EINVAL", 3, all);
	close(l);
	l = io_listen(&a, 4);
	c[0].fd = l;
	io_start(&c[0]);
	close(l);
	CHECK("close of a listener does not wake accept", io_blocked(&c[0]));
	int s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ("and it still listens, for that accept", 0, connect(s, (struct sockaddr *)&a, sizeof a));
	CHECK("which takes the connection", io_end(&c[0]) >= 0);
	close(c[0].other);
	close(s);
	s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ("its last: the next is refused", -ECONNREFUSED, io_rc(connect(s, (struct sockaddr *)&a, sizeof a)));
	close(s);
}

/* libc closes inside itself; the number's next user must not notice. */
static void inside_libc(void)
{
	int p[2], q[2];
	io_pipe(p);
	FILE *f = fdopen(p[0], "r");
	struct io_call c = {.fn = io_read, .fd = p[0]};
	io_start(&c);
	EXPECT_EQ(1, write(p[1], "a", 1));
	EXPECT_EQ(1, io_end(&c));
	fclose(f);
	close(p[1]);
	io_pipe(q);
	EXPECT_EQ(p[0], q[0]);
	io_start(&c);
	EXPECT(io_blocked(&c));
	EXPECT_EQ(1, write(q[1], "b", 1));
	CHECK("a number that fclose gave back is a new file", io_end(&c) == 1 && c.buf[0] == 'b');
	io_close2(q);
	f = popen("echo text", "r");
	c.fd = fileno(f);
	io_start(&c);
	EXPECT_EQ(5, io_end(&c));
	int fd = c.fd;
	EXPECT_EQ(0, pclose(f));
	io_pipe(q);
	EXPECT(q[0] == fd || q[1] == fd);
	c.fd = q[0];
	io_start(&c);
	EXPECT(io_blocked(&c));
	EXPECT_EQ(1, write(q[1], "c", 1));
	CHECK("and one that pclose gave back", io_end(&c) == 1 && c.buf[0] == 'c');
	io_close2(q);
	for (int how = 0; how < 3; how++) {
		io_pipe(p);
		c.fd = p[0];
		io_start(&c);
		EXPECT_EQ(1, write(p[1], "a", 1));
		EXPECT_EQ(1, io_end(&c));
		if (how == 0)
			close_range((unsigned)p[0], (unsigned)p[1], 0);
		else if (how == 1)
			closefrom(p[0]);
		else
			syscall(SYS_close, p[0]), syscall(SYS_close, p[1]);
		io_pipe(q);
		EXPECT_EQ(p[0], q[0]);
		c.fd = q[0];
		io_start(&c);
		EXPECT(io_blocked(&c));
		EXPECT_EQ(1, write(q[1], "d", 1));
		CHECK(how == 0   ? "and close_range"
		      : how == 1 ? "and closefrom"
		                 : "and a close by its number",
		      io_end(&c) == 1 && c.buf[0] == 'd');
		io_close2(q);
	}
}

/* Many times, with no time to settle: the number goes to and fro between files while readers come and go. */
static int rounds_done;

static void *reuse(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	for (int i = 0; i < 300; i++) {
		int s[2];
		char ch = 0;
		make((int)(r % 2), s);
		struct io_call c = {.fn = io_read, .fd = s[0], .n = 1};
		c.thread = spawn(io_run, &c);
		if (r & 4)
			flag_wait(&c.entered, 1);
		ch = (char)('a' + i % 26);
		EXPECT_EQ(1, write(s[1], &ch, 1));
		EXPECT_EQ(1, io_end(&c));
		EXPECT_EQ(ch, c.buf[0]);
		io_close2(s);
		r = r * 1103515245 + 12345;
		flag_add(&rounds_done, 1);
	}
	return NULL;
}

static void often(void)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		t[i] = spawn(reuse, (void *)(i * 7919 + 1));
	for (int i = 0; i < 4; i++)
		join(t[i]);
	CHECK_EQ("1200 rounds of numbers that are used again", 1200, rounds_done);
}

/* A time-out and a signal of a sleeper whose number has gone. */
static void others(void)
{
	int s[2];
	io_unix(s);
	io_timeo(s[0], SO_RCVTIMEO, 80);
	struct io_call c = {.fn = io_read, .fd = s[0]};
	io_start(&c);
	close(s[0]);
	CHECK_EQ("its time-out goes on after close", -EAGAIN, io_end(&c));
	close(s[1]);
	io_unix(s);
	c.fd = s[0];
	io_start(&c);
	close(s[0]);
	close(s[1]);
	CHECK_EQ("both ends closed: the peer's close wakes it with 0", 0, io_end(&c));
	io_pipe(s);
	struct io_call p = {.fn = io_poll_in, .fd = s[0], .n = 150};
	io_start(&p);
	close(s[0]);
	CHECK("poll of a descriptor that is closed goes on", io_blocked(&p));
	CHECK_EQ("until its time, when it looks once more", 1, io_end(&p));
	CHECK_EQ("and finds no such descriptor", POLLNVAL, p.other);
	close(s[1]);
}

int main(void)
{
	for (int kind = 0; kind < 3; kind++) {
		closed(kind);
		if (kind < 2)
			closed_writer(kind);
		if (kind > 0)
			shut(kind);
	}
	listeners();
	inside_libc();
	often();
	others();
	return check_done();
}
