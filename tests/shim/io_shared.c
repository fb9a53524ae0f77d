/* io_shared.c - many readers and many writers at one pipe or socket: each byte is delivered once, nobody sleeps on. */
#include "io.h"

#include <sys/eventfd.h>

enum { WRITERS = 6, READERS = 8, PER_WRITER = 400 };
static int fds[2], seen[WRITERS][PER_WRITER], outside, writers_left;

struct item {
	int writer, number;
};

static void *writes(void *arg)
{
	for (int i = 0; i < PER_WRITER; i++) {
		struct item it = {(int)(long)arg, i};
		if (write(fds[1], &it, sizeof it) != sizeof it) /* atomic: less than PIPE_BUF; a packet of a socket */
			flag_add(&outside, 1);
	}
	if (flag_add(&writers_left, -1) == 0)
		close(fds[1]);
	return NULL;
}

static void *reads(void *arg)
{
	struct item it;
	for (ssize_t n; (n = arg ? recv(fds[0], &it, sizeof it, 0) : read(fds[0], &it, sizeof it)) != 0;) {
		if (n != sizeof it || it.writer < 0 || it.writer >= WRITERS || it.number < 0 || it.number >= PER_WRITER) {
			flag_add(&outside, 1);
			continue;
		}
		flag_add(&seen[it.writer][it.number], 1);
	}
	return NULL;
}

static void both(const char *clause, int sock)
{
	pthread_t w[WRITERS], r[READERS];
	int wrong = 0;
	if (sock)
		EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
	else
		io_pipe(fds);
	memset(seen, 0, sizeof seen);
	outside = 0;
	writers_left = WRITERS;
	for (int i = 0; i < READERS; i++)
		r[i] = spawn(reads, (void *)(long)sock);
	for (long i = 0; i < WRITERS; i++)
		w[i] = spawn(writes, (void *)i);
	for (int i = 0; i < WRITERS; i++)
		join(w[i]);
	for (int i = 0; i < READERS; i++)
		join(r[i]);
	for (int i = 0; i < WRITERS; i++)
		for (int k = 0; k < PER_WRITER; k++)
			wrong += seen[i][k] != 1;
	CHECK_EQ(clause, 0, wrong + outside);
	close(fds[0]);
}

/* One byte for each sleeper, one after the other and all at once: none sleeps on. */
static void one_each(int at_once)
{
	enum { N = 30 };
	struct io_call c[N];
	int s[2], got[N] = {0}, wrong = 0;
	io_unix(s);
	for (int i = 0; i < N; i++) {
		c[i] = (struct io_call){.fn = io_read, .fd = s[0], .n = 1};
		c[i].thread = spawn(io_run, &c[i]);
	}
	for (int i = 0; i < N; i++)
		flag_wait(&c[i].entered, 1);
	sleep_ms(SETTLE_MS);
	char all[N];
	for (int i = 0; i < N; i++)
		all[i] = (char)i;
	if (at_once)
		EXPECT_EQ(N, write(s[1], all, N));
	else
		for (int i = 0; i < N; i++)
			EXPECT_EQ(1, write(s[1], &all[i], 1));
	for (int i = 0; i < N; i++) {
		EXPECT_EQ(1, io_end(&c[i]));
		got[(int)c[i].buf[0]]++;
	}
	for (int i = 0; i < N; i++)
		wrong += got[i] != 1;
	CHECK_EQ(at_once ? "thirty sleepers, thirty bytes at once" : "thirty sleepers, a byte at a time", 0, wrong);
	/* and all of them by the end */
	for (int i = 0; i < N; i++) {
		c[i].entered = c[i].done = 0;
		c[i].thread = spawn(io_run, &c[i]);
	}
	sleep_ms(SETTLE_MS);
	close(s[1]);
	for (int i = 0; i < N; i++)
		wrong += io_end(&c[i]) != 0;
	CHECK_EQ("thirty sleepers, and the end", 0, wrong);
	close(s[0]);
}

/* Readers and writers of one socket at the same time, both directions of both ends. */
enum { STREAM = 200000 };

static void *stream_out(void *arg)
{
	int fd = *(int *)arg;
	unsigned char block[1000];
	for (int done = 0; done < STREAM;) {
		for (int i = 0; i < 1000; i++)
			block[i] = (unsigned char)((done + i) * 7);
		ssize_t n = send(fd, block, sizeof block, 0);
		if (n <= 0)
			return (void *)1;
		done += (int)n;
	}
	return NULL;
}

static void *stream_in(void *arg)
{
	int fd = *(int *)arg, done = 0;
	unsigned char block[777];
	while (done < STREAM) {
		ssize_t n = recv(fd, block, sizeof block, 0);
		if (n <= 0)
			return (void *)1;
		for (int i = 0; i < n; i++)
			if (block[i] != (unsigned char)((done + i) * 7))
				return (void *)2;
		done += (int)n;
	}
	return NULL;
}

static void duplex(int tcp)
{
	int s[2], small = 4096;
	long bad = 0;
	pthread_t t[4];
	if (tcp)
		io_tcp(s);
	else
		io_unix(s);
	for (int i = 0; i < 2; i++)
		setsockopt(s[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (int i = 0; i < 2; i++) {
		t[i] = spawn(stream_out, &s[i]);
		t[2 + i] = spawn(stream_in, &s[i]);
	}
	for (int i = 0; i < 4; i++)
		bad += (long)join(t[i]);
	CHECK_EQ(tcp ? "tcp: both directions at once, in order" : "unix: both directions at once, in order", 0, bad);
	io_close2(s);
}

/* An eventfd as a semaphore: as many wake-ups as were posted. */
static void *takes(void *arg)
{
	uint64_t v;
	for (int i = 0; i < 200; i++)
		if (read(*(int *)arg, &v, 8) != 8 || v != 1)
			return (void *)1;
	return NULL;
}

static void semaphore(void)
{
	int fd = eventfd(0, EFD_SEMAPHORE);
	pthread_t t[5];
	long bad = 0;
	uint64_t two = 2, left;
	for (int i = 0; i < 5; i++)
		t[i] = spawn(takes, &fd);
	for (int i = 0; i < 500; i++)
		EXPECT_EQ(8, write(fd, &two, 8));
	for (int i = 0; i < 5; i++)
		bad += (long)join(t[i]);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	CHECK_EQ("eventfd: a thousand posts for a thousand takers", 0, bad);
	CHECK_EQ("and none is left", -EAGAIN, io_rc(read(fd, &left, 8)));
	close(fd);
}

int main(void)
{
	both("a pipe: each item is read once", 0);
	both("a socket of packets: each item is read once", 1);
	one_each(0);
	one_each(1);
	duplex(0);
	duplex(1);
	semaphore();
	return check_done();
}
