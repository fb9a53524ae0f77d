/* io_nonblock.c - O_NONBLOCK is the program's: set in each way, changed while threads are blocked, shared with other processes,
 * and never changed behind its back. */
#include "io.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

static int flags_of(int fd)
{
	return fcntl(fd, F_GETFL);
}

static void set_fionbio(int fd, int on)
{
	EXPECT_EQ(0, ioctl(fd, FIONBIO, &on));
}

static void set_fl(int fd, int on)
{
	EXPECT_EQ(0, fcntl(fd, F_SETFL, on ? flags_of(fd) | O_NONBLOCK : flags_of(fd) & ~O_NONBLOCK));
}

static void ways(void)
{
	static const char *const name[] = {"F_SETFL", "FIONBIO", "SOCK_NONBLOCK"};
	for (int way = 0; way < 3; way++) {
		char text[96], b[4];
		int s[2];
		if (way == 2)
			EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
		else
			io_unix(s);
		void (*set)(int, int) = way == 1 ? set_fionbio : set_fl;
		if (way < 2)
			set(s[0], 1);
		snprintf(text, sizeof text, "%s: read says EAGAIN", name[way]);
		CHECK_EQ(text, -EAGAIN, io_rc(read(s[0], b, 1)));
		snprintf(text, sizeof text, "%s: on another thread as well", name[way]);
		struct io_call c = {.fn = io_read, .fd = s[0]};
		io_start(&c);
		CHECK_EQ(text, -EAGAIN, io_end(&c));
		snprintf(text, sizeof text, "%s: write says EAGAIN when it is full", name[way]);
		io_fill(s[0]);
		CHECK_EQ(text, -EAGAIN, io_rc(write(s[0], b, 1)));
		snprintf(text, sizeof text, "%s: the other end has flags of its own", name[way]);
		CHECK_EQ(text, way == 2, !!(flags_of(s[1]) & O_NONBLOCK));
		set(s[0], 0);
		io_start(&c);
		snprintf(text, sizeof text, "%s: taken off, read blocks", name[way]);
		CHECK(text, io_blocked(&c));
		EXPECT_EQ(1, write(s[1], "x", 1));
		EXPECT_EQ(1, io_end(&c));
		io_close2(s);
	}
}

/* A call looks at the flag when it begins to wait: who is asleep already stays. */
static void while_blocked(void)
{
	for (int way = 0; way < 2; way++) {
		int s[2];
		char none;
		if (way)
			io_pipe(s);
		else
			io_unix(s);
		struct io_call c = {.fn = io_read, .fd = s[0]};
		io_start(&c);
		set_fl(s[0], 1);
		CHECK(way ? "pipe: O_NONBLOCK does not wake who is blocked" : "socket: O_NONBLOCK does not wake who is blocked",
		      io_blocked(&c));
		CHECK_EQ("the next call does not block", -EAGAIN, io_rc(read(s[0], &none, 1)));
		EXPECT_EQ(2, write(s[1], "ab", 2));
		CHECK_EQ("the sleeper gets the data", 2, io_end(&c));
		CHECK("the flag is still set", flags_of(s[0]) & O_NONBLOCK);
		io_close2(s);
	}
}

/* What the kernel says of this process' descriptor, asked by another process. */
static unsigned flags_seen_by_child(int fd)
{
	unsigned flags = 0;
	int p[2];
	char path[64], line[64] = "";
	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", getpid(), fd);
	EXPECT_EQ(0, pipe(p));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		FILE *f = fopen(path, "r");
		while (f && fgets(line, sizeof line, f))
			if (sscanf(line, "flags: %o", &flags) == 1)
				break;
		(void)!write(p[1], &flags, sizeof flags);
		_exit(0);
	}
	EXPECT_EQ(sizeof flags, read(p[0], &flags, sizeof flags));
	reap(pid);
	io_close2(p);
	return flags;
}

static long nothing_changes(struct io_call *c)
{
	return c->other == 0 ? io_read(c) : io_poll_in(c);
}

static void never_changed(void)
{
	struct sockaddr_in a;
	int p[2], u[2], t[2];
	io_pipe(p);
	io_unix(u);
	io_tcp(t);
	struct {
		const char *name;
		int fd;
		int accepts;
	} all[] = {{"pipe", p[0], 0},
	           {"unix socket", u[0], 0},
	           {"tcp socket", t[0], 0},
	           {"listener", io_listen(&a, 4), 1},
	           {"eventfd", eventfd(0, 0), 0},
	           {"timerfd", timerfd_create(CLOCK_MONOTONIC, 0), 0}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char text[96];
		int fd = all[i].fd, before = flags_of(fd);
		unsigned seen = flags_seen_by_child(fd);
		struct io_call c = {.fn = all[i].accepts ? io_accept : nothing_changes, .fd = fd, .n = 8};
		struct io_call q = {.fn = nothing_changes, .fd = fd, .other = 1, .n = 5000};
		io_start(&c);
		io_start(&q);
		snprintf(text, sizeof text, "%s: its flags stay while threads are blocked", all[i].name);
		CHECK_EQ(text, before, flags_of(fd));
		snprintf(text, sizeof text, "%s: another process sees none changed", all[i].name);
		CHECK_EQ(text, seen, flags_seen_by_child(fd));
		uint64_t one = 1;
		struct itimerspec soon = {.it_value = {0, 1}};
		int s = -1;
		if (i < 3)
			EXPECT_EQ(8, write(i == 0 ? p[1] : i == 1 ? u[1] : t[1], &one, 8));
		else if (i == 3)
			EXPECT_EQ(0, connect(s = socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a));
		else if (i == 4)
			EXPECT_EQ(8, write(fd, &one, 8));
		else
			EXPECT_EQ(0, timerfd_settime(fd, 0, &soon, NULL));
		snprintf(text, sizeof text, "%s: what wakes the reader", all[i].name);
		CHECK(text, all[i].accepts ? io_end(&c) >= 0 : io_end(&c) == 8);
		snprintf(text, sizeof text, "%s: its flags after it", all[i].name);
		CHECK_EQ(text, before, flags_of(fd));
		if (i < 3)
			(void)!write(i == 0 ? p[1] : i == 1 ? u[1] : t[1], &one, 8);
		else if (i == 4)
			(void)!write(fd, &one, 8);
		else if (i == 5)
			timerfd_settime(fd, 0, &soon, NULL);
		else
			(void)!connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a);
		EXPECT_EQ(1, io_end(&q));
		close(s);
		close(fd);
	}
}

/* The open file is shared with a child: its flag is our flag. */
static void shared(void)
{
	int s[2], go[2];
	char ch;
	io_unix(s);
	io_pipe(go);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		(void)!read(go[0], &ch, 1);
		set_fl(s[0], 1);
		_exit(0);
	}
	struct io_call c = {.fn = io_read, .fd = s[0]};
	io_start(&c);
	EXPECT_EQ(1, write(go[1], "x", 1));
	reap(pid);
	CHECK("O_NONBLOCK by a child does not wake who is blocked", io_blocked(&c));
	EXPECT_EQ(1, write(s[1], "x", 1));
	CHECK_EQ("who gets the data", 1, io_end(&c));
	io_start(&c);
	CHECK_EQ("the next call meets the child's flag", -EAGAIN, io_end(&c));
	io_close2(s);
	io_close2(go);
}

/* Pipes: up to PIPE_BUF bytes all or nothing. */
static void atomic_writes(void)
{
	static char block[65536];
	int p[2];
	EXPECT_EQ(0, pipe2(p, O_NONBLOCK));
	long all = 0;
	for (ssize_t n; (n = write(p[1], block, sizeof block)) > 0;)
		all += n;
	CHECK_EQ("a full pipe", 65536, all);
	io_drain(p[0], 4000);
	CHECK_EQ("less room than PIPE_BUF bytes need: EAGAIN", -EAGAIN, io_rc(write(p[1], block, 4096)));
	io_drain(p[0], 96);
	CHECK_EQ("room for them", 4096, write(p[1], block, 4096));
	io_drain(p[0], 8192);
	CHECK_EQ("more than fits: part of it", 8192, write(p[1], block, 20000));
	io_close2(p);
	EXPECT_EQ(0, pipe(p));
	struct io_call c = {.fn = io_write, .fd = p[1], .n = 4096, .arg = block};
	EXPECT_EQ(65536, write(p[1], block, 65536));
	io_start(&c);
	io_drain(p[0], 4000);
	CHECK("blocking: the same waits until all fits", io_blocked(&c));
	io_drain(p[0], 96);
	CHECK_EQ("and then writes all", 4096, io_end(&c));
	io_close2(p);
}

int main(void)
{
	ways();
	while_blocked();
	never_changed();
	shared();
	atomic_writes();
	return check_done();
}
