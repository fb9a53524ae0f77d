/* CFLAGS: -D_GNU_SOURCE
 * io_files.c - what is neither pipe nor socket: FIFOs and their open, terminals, counters and timers as descriptors, files. */
#include "io.h"

#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>

static char dir[] = "/tmp/grt-io-XXXXXX", path[64];

static long opens(struct io_call *c)
{
	return c->fd = open(path, c->other);
}

static void fifo(void)
{
	char b[8];
	snprintf(path, sizeof path, "%s/fifo", dir);
	EXPECT_EQ(0, mkfifo(path, 0600));
	CHECK_EQ("open to write without blocking, nobody reads: ENXIO", -ENXIO, io_rc(open(path, O_WRONLY | O_NONBLOCK)));
	struct io_call r = {.fn = opens, .other = O_RDONLY}, w = {.fn = opens, .other = O_WRONLY};
	io_start(&r);
	CHECK("open to read waits for a writer", io_blocked(&r));
	io_start(&w);
	CHECK("both are open then", io_end(&r) >= 0 && io_end(&w) >= 0);
	struct io_call c = {.fn = io_read, .fd = r.fd};
	io_start(&c);
	EXPECT_EQ(3, write(w.fd, "abc", 3));
	CHECK_EQ("data", 3, io_end(&c));
	io_start(&c);
	close(w.fd);
	CHECK_EQ("the last writer's close is the end", 0, io_end(&c));
	io_start(&w);
	CHECK("a writer again", io_end(&w) >= 0);
	io_start(&c);
	CHECK("then read blocks again", io_blocked(&c));
	EXPECT_EQ(1, write(w.fd, "d", 1));
	EXPECT_EQ(1, io_end(&c));
	close(r.fd);
	signal(SIGPIPE, SIG_IGN);
	CHECK_EQ("no reader: EPIPE", -EPIPE, io_rc(write(w.fd, "x", 1)));
	signal(SIGPIPE, SIG_DFL);
	close(w.fd);
	/* several wait in open; one reader lets all writers in */
	struct io_call many[3];
	for (int i = 0; i < 3; i++) {
		many[i] = (struct io_call){.fn = opens, .other = O_WRONLY};
		io_start(&many[i]);
	}
	int fd = open(path, O_RDONLY | O_NONBLOCK), opened = 0;
	for (int i = 0; i < 3; i++)
		opened += io_end(&many[i]) >= 0;
	CHECK_EQ("one reader lets three writers in", 3, opened);
	CHECK_EQ("it does not block", -EAGAIN, io_rc(read(fd, b, 1)));
	for (int i = 0; i < 3; i++)
		close(many[i].fd);
	CHECK_EQ("and sees the end", 0, read(fd, b, 1));
	close(fd);
	unlink(path);
}

static void terminal(void)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY), s;
	char b[64];
	EXPECT(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	s = open(ptsname(m), O_RDWR | O_NOCTTY);
	EXPECT(s >= 0);
	struct io_call c = {.fn = io_read, .fd = s};
	io_start(&c);
	EXPECT_EQ(3, write(m, "abc", 3));
	CHECK("canonical: part of a line does not end a read", io_blocked(&c));
	EXPECT_EQ(1, write(m, "\n", 1));
	CHECK("canonical: the line does", io_end(&c) == 4 && memcmp(c.buf, "abc\n", 4) == 0);
	CHECK_EQ("the echo comes to the other side", 5, read(m, b, sizeof b));
	io_start(&c);
	EXPECT_EQ(3, write(m, "ab\4", 3));
	CHECK_EQ("canonical: ^D ends a part", 2, io_end(&c));
	io_start(&c);
	EXPECT_EQ(1, write(m, "\4", 1));
	CHECK_EQ("canonical: ^D alone is the end", 0, io_end(&c));
	(void)!read(m, b, sizeof b);
	struct termios t;
	EXPECT_EQ(0, tcgetattr(s, &t));
	cfmakeraw(&t);
	t.c_cc[VMIN] = 3;
	t.c_cc[VTIME] = 0;
	EXPECT_EQ(0, tcsetattr(s, TCSANOW, &t));
	io_start(&c);
	EXPECT_EQ(2, write(m, "xy", 2));
	CHECK("raw: fewer than VMIN do not end a read", io_blocked(&c));
	EXPECT_EQ(1, write(m, "z", 1));
	CHECK_EQ("raw: VMIN do", 3, io_end(&c));
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 1;
	EXPECT_EQ(0, tcsetattr(s, TCSANOW, &t));
	io_start(&c);
	CHECK_EQ("raw: VTIME ends it with nothing", 0, io_end(&c));
	CHECK("raw: not before", c.took >= 0.09);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	EXPECT_EQ(0, tcsetattr(s, TCSANOW, &t));
	struct io_call mr = {.fn = io_read, .fd = m}, mp = {.fn = io_poll_in, .fd = m};
	io_start(&mp);
	EXPECT_EQ(5, write(s, "hello", 5));
	CHECK_EQ("poll of the master", 1, io_end(&mp));
	io_start(&mr);
	CHECK_EQ("read of the master", 5, io_end(&mr));
	io_start(&mr);
	EXPECT(io_blocked(&mr));
	close(s);
	CHECK_EQ("the last close of the terminal: EIO at the master", -EIO, io_end(&mr));
	s = open(ptsname(m), O_RDWR | O_NOCTTY);
	c.fd = s;
	io_start(&c);
	EXPECT(io_blocked(&c));
	close(m);
	long rc = io_end(&c);
	CHECK("the master hangs up: EIO or the end, as it meets the two steps of its close", rc == -EIO || rc == 0);
	CHECK_EQ("and write says EIO", -EIO, io_rc(write(s, "x", 1)));
	close(s);
}

static void counters(void)
{
	int e = eventfd(0, 0), t = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t v = 5, big = UINT64_MAX - 1;
	struct io_call c = {.fn = io_read, .fd = e, .n = 8};
	io_start(&c);
	EXPECT_EQ(8, write(e, &v, 8));
	CHECK("eventfd: the count", io_end(&c) == 8 && *(uint64_t *)(void *)c.buf == 5);
	EXPECT_EQ(8, write(e, &big, 8));
	struct io_call w = {.fn = io_write, .fd = e, .n = 8, .arg = &v};
	io_start(&w);
	CHECK("eventfd: a write that does not fit waits", io_blocked(&w));
	EXPECT_EQ(8, read(e, &big, 8));
	CHECK_EQ("eventfd: until it was read", 8, io_end(&w));
	CHECK_EQ("eventfd: of fewer than 8 bytes: EINVAL", -EINVAL, io_rc(read(e, &v, 4)));
	struct itimerspec often = {{0, 2000000}, {0, 2000000}}, off = {{0, 0}, {0, 0}};
	c.fd = t;
	io_start(&c);
	CHECK("timerfd: not armed, it waits", io_blocked(&c));
	EXPECT_EQ(0, timerfd_settime(t, 0, &often, NULL));
	CHECK("timerfd: armed, it counts", io_end(&c) == 8 && *(uint64_t *)(void *)c.buf >= 1);
	sleep_ms(10);
	EXPECT_EQ(8, read(t, &v, 8));
	CHECK("timerfd: what went by counts", v >= 2);
	EXPECT_EQ(0, timerfd_settime(t, 0, &off, NULL));
	CHECK("timerfd: stopped, it waits", (io_start(&c), io_blocked(&c)));
	EXPECT_EQ(0, timerfd_settime(t, 0, &often, NULL));
	EXPECT_EQ(8, io_end(&c));
	close(e);
	close(t);
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	int sfd = signalfd(-1, &s, 0);
	struct signalfd_siginfo si;
	pthread_sigmask(SIG_BLOCK, &s, NULL);
	kill(getpid(), SIGUSR2);
	CHECK("signalfd", read(sfd, &si, sizeof si) == sizeof si && si.ssi_signo == SIGUSR2);
	CHECK_EQ("signalfd: fewer bytes than one: EINVAL", -EINVAL, io_rc(read(sfd, &v, 8)));
	close(sfd);
}

static void watched(void)
{
	struct inotify_event *e;
	int fd = inotify_init1(0);
	struct io_call c = {.fn = io_read, .fd = fd};
	EXPECT(inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE) >= 0);
	io_start(&c);
	CHECK("inotify: nothing happens", io_blocked(&c));
	snprintf(path, sizeof path, "%s/new", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK("inotify: a file", io_end(&c) > 0 && (e = (void *)c.buf)->mask == IN_CREATE && strcmp(e->name, "new") == 0);
	unlink(path);
	io_start(&c);
	CHECK("inotify: and its end", io_end(&c) > 0 && (e = (void *)c.buf)->mask == IN_DELETE);
	c.n = 4;
	close(open(path, O_CREAT | O_WRONLY, 0600));
	io_start(&c);
	CHECK_EQ("inotify: no room for it: EINVAL", -EINVAL, io_end(&c));
	unlink(path);
	close(fd);
}

static void files(void)
{
	char b[32] = "";
	snprintf(path, sizeof path, "%s/file", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_NONBLOCK, 0600);
	CHECK_EQ("a file is written", 10, write(fd, "0123456789", 10));
	CHECK_EQ("its end", 0, read(fd, b, 1));
	CHECK_EQ("beyond it", 0, pread(fd, b, 1, 100));
	CHECK("the middle", pread(fd, b, 4, 3) == 4 && memcmp(b, "3456", 4) == 0);
	struct io_call c = {.fn = io_read, .fd = fd};
	io_start(&c);
	CHECK_EQ("from another thread: the same place", 0, io_end(&c));
	lseek(fd, 2, SEEK_SET);
	io_start(&c);
	CHECK_EQ("and moved for all", 8, io_end(&c));
	CHECK_EQ("nothing is left", 0, read(fd, b, 1));
	int ap = open(path, O_WRONLY | O_APPEND);
	EXPECT_EQ(2, write(ap, "ab", 2));
	CHECK("O_APPEND", pread(fd, b, 32, 0) == 12 && memcmp(b + 10, "ab", 2) == 0);
	int s[2], p[2];
	off_t off = 1;
	io_unix(s);
	io_pipe(p);
	CHECK_EQ("sendfile to a socket", 5, sendfile(s[1], fd, &off, 5));
	CHECK("what it sent", recv(s[0], b, 5, MSG_WAITALL) == 5 && memcmp(b, "12345", 5) == 0 && off == 6);
	CHECK_EQ("splice to a pipe", 3, splice(fd, &off, p[1], NULL, 3, 0));
	CHECK("what came", read(p[0], b, 5) == 3 && memcmp(b, "678", 3) == 0);
	CHECK_EQ("a directory: EISDIR", -EISDIR, io_rc(read(open(dir, O_RDONLY), b, 1)));
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
	CHECK_EQ("/dev/null: the end", 0, read(null, b, 1));
	CHECK_EQ("/dev/null takes all", 10, write(null, b, 10));
	CHECK("/dev/zero", read(zero, b, 2) == 2 && b[0] == 0 && b[1] == 0);
	int full = open("/dev/full", O_WRONLY);
	CHECK_EQ("/dev/full: ENOSPC", -ENOSPC, io_rc(write(full, b, 1)));
	close(null), close(zero), close(full), close(fd), close(ap);
	io_close2(s);
	io_close2(p);
	unlink(path);
}

int main(void)
{
	EXPECT(mkdtemp(dir) != NULL);
	fifo();
	terminal();
	counters();
	watched();
	files();
	rmdir(dir);
	return check_done();
}
