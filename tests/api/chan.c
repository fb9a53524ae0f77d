/* LINK: grt
 *
 * chan.c - channels and select of grt.h: what the Go specification says of them, on tasks, pthreads and foreign threads. */
#include "../shim/check.h"
#include "grt.h"
#include <dlfcn.h>

static void go(void (*fn)(void *), void *arg)
{
	EXPECT_EQ(0, grt_go(fn, arg));
}

/* Until n tasks more than before wait in channels: they have queued when their predecessor has. */
static void let_run(void)
{
	for (int i = 0; i < 50; i++)
		grt_yield();
	usleep(1000);
}

/* ---- one channel ---- */

static void buffered(void)
{
	struct wide {
		char text[100];
	} w = {"wide"}, r = {""};
	grt_chan *c = grt_chan_make(sizeof w, 3);
	CHECK_EQ("cap of a channel is what make was given", 3, grt_chan_cap(c));
	CHECK_EQ("a new channel is empty", 0, grt_chan_len(c));
	for (int i = 0; i < 3; i++) {
		w.text[0] = (char)('a' + i);
		grt_chan_send(c, &w);
	}
	CHECK_EQ("len counts what is inside", 3, grt_chan_len(c));
	CHECK_EQ("a full channel takes nothing without waiting", GRT_WOULD_BLOCK, grt_chan_try_send(c, &w));
	CHECK("values come out in order", grt_chan_recv(c, &r) && strcmp(r.text, "aide") == 0);
	CHECK_EQ("there is room again", GRT_OK, grt_chan_try_send(c, &w));
	grt_chan_close(c);
	CHECK("a closed channel is drained first", grt_chan_recv(c, &r) && r.text[0] == 'b');
	CHECK_EQ("try_recv drains it too", GRT_OK, grt_chan_try_recv(c, &r));
	CHECK("a value may be dropped", grt_chan_recv(c, NULL));
	memset(&r, 1, sizeof r);
	CHECK("then zero and false", !grt_chan_recv(c, &r) && r.text[0] == 0 && r.text[99] == 0);
	CHECK_EQ("try_recv knows the end", GRT_CLOSED, grt_chan_try_recv(c, &r));
	grt_chan_free(c);

	c = grt_chan_make(0, 2);
	grt_chan_send(c, NULL);
	CHECK_EQ("elements without a size are counted", 1, grt_chan_len(c));
	CHECK("and received", grt_chan_recv(c, NULL));
	grt_chan_free(c);
	errno = 0;
	CHECK("a size that cannot be is refused", grt_chan_make(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
}

static grt_chan *work, *out;

static void send_arg(void *arg)
{
	grt_chan_send(work, &arg);
}

static void recv_and_tell(void *arg)
{
	long v[2] = {(long)(intptr_t)arg, -1};
	grt_chan_recv(work, &v[1]);
	grt_chan_send(out, v);
}

static void order(void)
{
	long v, pair[2];
	int right = 1;
	work = grt_chan_make(sizeof(long), 0);
	out = grt_chan_make(sizeof(long[2]), 0);
	for (long i = 0; i < 8; i++) {
		go(send_arg, (void *)i);
		let_run(); /* each has queued before the next comes */
	}
	for (long i = 0; i < 8; i++) {
		grt_chan_recv(work, &v);
		right &= v == i;
	}
	CHECK("senders that wait are served first come, first served", right);
	for (long i = 0; i < 8; i++) {
		go(recv_and_tell, (void *)i);
		let_run();
	}
	right = 1;
	for (long i = 0; i < 8; i++)
		grt_chan_send(work, &i);
	for (long i = 0; i < 8; i++) {
		grt_chan_recv(out, pair);
		right &= pair[0] == pair[1];
	}
	CHECK("so are receivers", right);
	grt_chan_free(work);
	grt_chan_free(out);
}

/* A full channel with waiting senders: each receive moves one in, behind. */
static void full(void)
{
	int right = 1;
	long v;
	work = grt_chan_make(sizeof(long), 2);
	for (long i = 0; i < 2; i++)
		grt_chan_send(work, &i);
	for (long i = 2; i < 5; i++) {
		go(send_arg, (void *)i);
		let_run();
	}
	for (long i = 0; i < 5; i++) {
		grt_chan_recv(work, &v);
		right &= v == i;
	}
	CHECK("order holds through a full channel and its waiting senders", right);
	grt_chan_free(work);
}

static void recv_end(void *arg)
{
	long v[2] = {77, 77};
	bool ok = grt_chan_recv(work, v);
	v[1] = ok;
	grt_chan_send(out, v);
}

static void closing(void)
{
	long v[2], ends = 0;
	work = grt_chan_make(sizeof(long), 0);
	out = grt_chan_make(sizeof(long[2]), 0);
	for (int i = 0; i < 4; i++)
		go(recv_end, NULL);
	let_run();
	grt_chan_close(work);
	for (int i = 0; i < 4; i++) {
		grt_chan_recv(out, v);
		ends += v[0] == 0 && v[1] == 0;
	}
	CHECK_EQ("close wakes every receiver with zero and false", 4, ends);
	grt_chan_free(work);
	grt_chan_free(out);
}

static void later(void *arg)
{
	usleep(5000);
	grt_chan_send(arg, "x");
}

static void timed(void)
{
	grt_chan *c = grt_chan_make(1, 0);
	char v = 0;
	CHECK_EQ("a receive ends after its time", GRT_TIMED_OUT, grt_chan_recv_timed(c, &v, 2 * GRT_MILLISECOND));
	CHECK_EQ("a send too", GRT_TIMED_OUT, grt_chan_send_timed(c, "y", 2 * GRT_MILLISECOND));
	CHECK_EQ("no time: does not wait", GRT_TIMED_OUT, grt_chan_recv_timed(c, &v, 0));
	go(later, c);
	CHECK_EQ("within its time it gets the value", GRT_OK, grt_chan_recv_timed(c, &v, 20 * GRT_SECOND));
	CHECK_EQ("which is the one that was sent", 'x', v);
	CHECK_EQ("NULL is never ready", GRT_TIMED_OUT, grt_chan_recv_timed(NULL, &v, GRT_MILLISECOND));
	CHECK_EQ("nor for try_send", GRT_WOULD_BLOCK, grt_chan_try_send(NULL, &v));
	CHECK_EQ("nor for try_recv", GRT_WOULD_BLOCK, grt_chan_try_recv(NULL, &v));
	CHECK_EQ("len and cap of NULL are 0", 0, grt_chan_len(NULL) + grt_chan_cap(NULL));
	grt_chan_close(c);
	CHECK_EQ("the end is no time-out", GRT_CLOSED, grt_chan_recv_timed(c, &v, GRT_FOREVER));
	grt_chan_free(c);
	grt_chan_free(NULL);
}

/* ---- select ---- */

static void selects(void)
{
	grt_chan *a = grt_chan_make(sizeof(int), 1), *b = grt_chan_make(sizeof(int), 1), *many[40];
	int v = 5, got = 0;
	struct grt_case k[] = {GRT_CASE_RECV(a, &got), GRT_CASE_SEND(b, &v), GRT_CASE_RECV(NULL, &got)};
	CHECK_EQ("the case that is ready is taken", 1, grt_select(k, 3, GRT_FOREVER));
	CHECK_EQ("and done", 1, grt_chan_len(b));
	CHECK_EQ("with none ready, default", -1, grt_select(k, 3, 0));
	CHECK_EQ("or its time", -1, grt_select(k, 3, 2 * GRT_MILLISECOND));
	CHECK_EQ("no case at all: only its time", -1, grt_select(NULL, 0, GRT_MILLISECOND));
	grt_chan_send(a, &v);
	CHECK("a receive says that an element came", grt_select(k, 3, 0) == 0 && k[0].ok && got == 5);
	grt_chan_close(a);
	got = 9;
	CHECK("a closed channel is ready, with zero", grt_select(k, 3, 0) == 0 && !k[0].ok && got == 0);
	grt_chan_free(a);
	struct grt_case both[] = {GRT_CASE_RECV(b, &got), GRT_CASE_SEND(b, &v)};
	CHECK_EQ("one channel in two cases", 0, grt_select(both, 2, GRT_FOREVER));
	CHECK_EQ("both ways", 1, grt_select(both, 2, GRT_FOREVER));
	grt_chan_free(b);

	struct grt_case wide[40];
	for (int i = 0; i < 40; i++) {
		many[i] = grt_chan_make(1, 0);
		wide[i] = GRT_CASE_RECV(many[i], &got);
	}
	int right = 1;
	for (int i = 0; i < 40; i++) {
		go(later, many[i]);
		right &= grt_select(wide, 40, GRT_FOREVER) == i;
	}
	CHECK("a select of forty is woken by each of them", right);
	for (int i = 0; i < 40; i++)
		grt_chan_free(many[i]);
}

/* A million rounds, four ready cases of two kinds: chi-square with 3 degrees of freedom is below 16.3 in 999 of 1000 runs of a fair
 * choice; three times in a row above it is once in a thousand million. */
static double chi_square(grt_chan **c, long rounds)
{
	long n[4] = {0};
	int v;
	struct grt_case k[4] = {GRT_CASE_RECV(c[0], &v), GRT_CASE_RECV(c[1], &v), GRT_CASE_RECV(c[2], &v),
	                        GRT_CASE_SEND(c[3], &v)};
	double sum = 0;
	for (long i = 0; i < rounds; i++) {
		int r = grt_select(k, 4, GRT_FOREVER);
		n[r]++;
		if (r == 3)
			grt_chan_recv(c[3], &v);
		else
			grt_chan_send(c[r], &v);
	}
	for (int i = 0; i < 4; i++)
		sum += (n[i] - rounds / 4.0) * (n[i] - rounds / 4.0) / (rounds / 4.0);
	return sum;
}

static void fair(void)
{
	grt_chan *c[4];
	int v = 0, ok = 0;
	for (int i = 0; i < 4; i++) {
		c[i] = grt_chan_make(sizeof v, 1);
		if (i < 3)
			grt_chan_send(c[i], &v);
	}
	for (int i = 0; i < 3 && !ok; i++)
		ok = chi_square(c, 1000000) < 16.3;
	CHECK("the choice among ready cases is uniform: chi-square over a million rounds", ok);
	for (int i = 0; i < 4; i++)
		grt_chan_free(c[i]);
}

/* ---- every kind of thread on one channel ---- */

enum { EACH = 2000, THREADS = 6 };

static void *count_thread(void *arg)
{
	long v;
	for (int i = 0; i < EACH; i++) {
		v = 1;
		struct grt_case k = GRT_CASE_SEND(work, &v);
		if (i % 3 == 0)
			grt_chan_send(work, &v);
		else
			EXPECT_EQ(0, grt_select(&k, 1, i % 3 == 1 ? GRT_FOREVER : 60 * GRT_SECOND));
	}
	return NULL;
}

static void count_task(void *arg)
{
	count_thread(arg);
}

static void *sum_thread(void *arg)
{
	long v, sum = 0;
	grt_chan *never = grt_chan_make(1, 0);
	for (;;) {
		struct grt_case k[] = {GRT_CASE_RECV(never, NULL), GRT_CASE_RECV(work, &v)};
		EXPECT_EQ(1, grt_select(k, 2, GRT_FOREVER));
		if (!k[1].ok)
			break;
		sum += v;
		if (!grt_chan_recv(work, &v))
			break;
		sum += v;
	}
	grt_chan_free(never);
	grt_chan_send(out, &sum);
	return NULL;
}

static void sum_task(void *arg)
{
	sum_thread(arg);
}

static void kinds(void)
{
	/* libc's own function: a kernel thread that libgrt does not know. */
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	int (*foreign)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(libc, "pthread_create");
	pthread_t t[THREADS];
	long sum = 0, v;
	EXPECT(foreign != NULL);
	work = grt_chan_make(sizeof(long), 4);
	out = grt_chan_make(sizeof(long), 0);
	go(sum_task, NULL);
	EXPECT_EQ(0, pthread_create(&t[0], NULL, sum_thread, NULL));
	EXPECT_EQ(0, foreign(&t[1], NULL, sum_thread, NULL));
	for (int i = 2; i < THREADS; i++)
		EXPECT_EQ(0, (i % 2 ? foreign : pthread_create)(&t[i], NULL, count_thread, NULL));
	go(count_task, NULL);
	for (int i = 2; i < THREADS; i++)
		EXPECT_EQ(0, i % 2 ? ((int (*)(pthread_t, void **))dlsym(libc, "pthread_join"))(t[i], NULL)
		                   : pthread_join(t[i], NULL));
	/* The task ends when it does; its sends are over when all have come. */
	v = 0;
	while (grt_num_tasks() > 3)
		grt_yield();
	grt_chan_close(work);
	for (int i = 0; i < 3; i++) {
		grt_chan_recv(out, &v);
		sum += v;
	}
	CHECK_EQ("tasks, pthreads and foreign threads share a channel", (long)EACH * (THREADS - 1), sum);
	((int (*)(pthread_t, void **))dlsym(libc, "pthread_join"))(t[1], NULL);
	pthread_join(t[0], NULL);
	grt_chan_free(work);
	grt_chan_free(out);
}

/* ---- signals and fork in the middle of a wait ---- */

static grt_chan *in_handler;
static volatile int handled;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void *waits(void *arg)
{
	long v = 0;
	if (arg) {
		struct grt_case k[] = {GRT_CASE_RECV(work, &v), GRT_CASE_RECV(in_handler, NULL)};
		EXPECT_EQ(0, grt_select(k, 2, 60 * GRT_SECOND));
	} else {
		EXPECT(grt_chan_recv(work, &v));
	}
	return (void *)v;
}

static void signals(void)
{
	struct sigaction sa = {.sa_handler = handler};
	pthread_t t[2];
	void *v;
	long n = 0;
	sigaction(SIGUSR1, &sa, NULL);
	work = grt_chan_make(sizeof(long), 0);
	in_handler = grt_chan_make(1, 0);
	for (long i = 0; i < 2; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, waits, (void *)i));
	let_run();
	for (int i = 0; i < 50; i++)
		for (int j = 0; j < 2; j++) {
			pthread_kill(t[j], SIGUSR1);
			grt_yield();
		}
	for (long i = 1; i <= 2; i++)
		grt_chan_send(work, &i);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &v);
		n += (long)v;
	}
	CHECK("handlers ran during the waits, which went on", handled > 0 && n == 3);
	grt_chan_free(work);
	grt_chan_free(in_handler);
}

static void in_child(void)
{
	grt_chan *c = grt_chan_make(sizeof(long), 1);
	long v = 1;
	int status;
	work = grt_chan_make(sizeof(long), 0);
	go(recv_end, NULL);
	let_run(); /* it waits there */
	grt_chan_send(c, &v);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		/* The receiver does not exist here, and what was buffered does. */
		if (grt_chan_try_send(work, &v) != GRT_WOULD_BLOCK)
			_exit(1);
		if (!grt_chan_recv(c, &v) || v != 1)
			_exit(2);
		go(send_arg, (void *)7l);
		if (!grt_chan_recv(work, &v) || v != 7)
			_exit(3);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ("a child of fork goes on with a channel, without its parent's waiters", 0, status);
	out = grt_chan_make(sizeof(long[2]), 1);
	grt_chan_close(work);
	grt_chan_recv(out, (long[2]){0});
	grt_chan_free(work);
	grt_chan_free(out);
	grt_chan_free(c);
}

int main(void)
{
	buffered();
	order();
	full();
	closing();
	timed();
	selects();
	fair();
	kinds();
	signals();
	in_child();
	return check_done();
}
