// LDFLAGS: -lresolv
/* block_stdio.c - blocking inside libc, where no wrapper can see it: stdio, stream locks, resolver.
 *
 * fgets calls read inside libc, flockfile waits on a lock inside libc: the runtime must notice. */
#include "check.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>

static int entered, ticks, stop;
static FILE *in, *out;
static int p[2], q[2];

static void *ticks_on(void *arg)
{
	(void)arg;
	while (!flag_get(&stop)) {
		flag_add(&ticks, 1);
		sched_yield();
	}
	return NULL;
}

static int others_run(void)
{
	int now = flag_get(&ticks);
	return flag_wait_bounded(&ticks, now + 50);
}

static void *gets_line(void *arg)
{
	char buf[32];
	(void)arg;
	flag_set(&entered, 1);
	if (!fgets(buf, sizeof buf, in))
		return NULL;
	return (void *)(long)strlen(buf);
}

static void *getline_line(void *arg)
{
	char *line = NULL;
	size_t cap = 0;
	(void)arg;
	flag_set(&entered, 1);
	long n = getline(&line, &cap, in);
	free(line);
	return (void *)n;
}

static void *scans(void *arg)
{
	int v = 0;
	(void)arg;
	flag_set(&entered, 1);
	EXPECT_EQ(1, fscanf(in, "%d ", &v));
	return (void *)(long)v;
}

static void *getc_one(void *arg)
{
	(void)arg;
	flag_set(&entered, 1);
	return (void *)(long)getc(in);
}

static void *reads_block(void *arg)
{
	char buf[10];
	(void)arg;
	flag_set(&entered, 1);
	return (void *)(long)fread(buf, 1, sizeof buf, in);
}

static void *waits_for_stream(void *arg)
{
	(void)arg;
	flag_set(&entered, 1);
	flockfile(out);
	funlockfile(out);
	return (void *)1;
}

static void *prints(void *arg)
{
	(void)arg;
	flag_set(&entered, 1);
	return (void *)(long)fprintf(out, "%s", "hello");
}

static void *fills_pipe(void *arg)
{
	static char block[200000];
	(void)arg;
	memset(block, 'x', sizeof block);
	flag_set(&entered, 1);
	return (void *)(long)fwrite(block, 1, sizeof block, out);
}

static void feed(const char *s)
{
	EXPECT_EQ((long)strlen(s), write(p[1], s, strlen(s)));
}

static void blocked_in(const char *clause, void *(*fn)(void *), const char *food, long want)
{
	char text[96];
	pthread_t t;
	flag_set(&entered, 0);
	t = spawn(fn, NULL);
	flag_wait(&entered, 1);
	sleep_ms(20);
	snprintf(text, sizeof text, "%s: others run meanwhile", clause);
	CHECK(text, others_run());
	feed(food);
	snprintf(text, sizeof text, "%s: its result", clause);
	CHECK_EQ(text, want, (long)join(t));
}

static void *many_read(void *arg)
{
	FILE *f = (FILE *)arg;
	char buf[16];
	return (void *)(long)(fgets(buf, sizeof buf, f) ? buf[0] : 0);
}

static void *resolves(void *arg)
{
	struct addrinfo hints, *ai = NULL;
	(void)arg;
	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	for (int i = 0; i < 10; i++) {
		if (getaddrinfo("localhost", "80", &hints, &ai) != 0)
			return (void *)1;
		freeaddrinfo(ai);
	}
	return NULL;
}

int main(void)
{
	pthread_t t, u, ticker, ts[16];
	int fds[16][2];
	FILE *fs[16];
	long bad = 0;
	char drain[4096];
	long n;

	EXPECT_EQ(0, pipe(p));
	EXPECT_EQ(0, pipe(q));
	in = fdopen(p[0], "r");
	setvbuf(in, NULL, _IONBF, 0);
	out = fdopen(q[1], "w");
	ticker = spawn(ticks_on, NULL);
	blocked_in("fgets on a pipe", gets_line, "line\n", 5);
	blocked_in("getline on a pipe", getline_line, "another line\n", 13);
	blocked_in("fscanf on a pipe", scans, "42 x", 42);
	blocked_in("getc on a pipe", getc_one, "c", 'x');
	blocked_in("fread on a pipe", reads_block, "123456789", 10);

	flockfile(out);
	flag_set(&entered, 0);
	t = spawn(waits_for_stream, NULL);
	flag_wait(&entered, 1);
	flag_set(&entered, 0);
	u = spawn(prints, NULL);
	flag_wait(&entered, 1);
	sleep_ms(20);
	CHECK("flockfile of a stream that main holds: others run meanwhile", others_run());
	funlockfile(out);
	CHECK_EQ("flockfile: gets the stream", 1, (long)join(t));
	CHECK_EQ("fprintf: gets the stream", 5, (long)join(u));
	fflush(out);
	EXPECT_EQ(5, read(q[0], drain, sizeof drain));

	flag_set(&entered, 0);
	t = spawn(fills_pipe, NULL);
	flag_wait(&entered, 1);
	sleep_ms(20);
	CHECK("fwrite to a full pipe: others run meanwhile", others_run());
	u = spawn(prints, NULL); /* waits for the stream's lock, held inside fwrite */
	sleep_ms(20);
	CHECK("and with one more that waits for its stream", others_run());
	fcntl(q[0], F_SETPIPE_SZ, 1 << 20);
	for (n = 0; n < 196608; n += (long)read(q[0], drain, sizeof drain))
		;
	CHECK_EQ("fwrite: its result", 200000, (long)join(t));
	join(u);

	/* as many blocked in libc as there are, more than processors */
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(0, pipe(fds[i]));
		fs[i] = fdopen(fds[i][0], "r");
		ts[i] = spawn(many_read, fs[i]);
	}
	sleep_ms(50);
	CHECK("16 threads in fgets: others run meanwhile", others_run());
	for (int i = 15; i >= 0; i--) {
		EXPECT_EQ(3, write(fds[i][1], "AB\n", 3));
		bad |= (long)join(ts[i]) != 'A';
	}
	CHECK_EQ("16 threads in fgets: each gets its line", 0, bad);

	for (int i = 0; i < 16; i++)
		ts[i] = spawn(resolves, NULL);
	for (int i = 0; i < 16; i++)
		bad |= (long)join(ts[i]);
	CHECK_EQ("getaddrinfo in 16 threads", 0, bad);
	flag_set(&stop, 1);
	join(ticker);
	return check_done();
}
