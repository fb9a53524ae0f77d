/* LDFLAGS: -lrt
 * io_eintr.c - every blocking call and a handler: with SA_RESTART and without, after the tables of signal(7).
 *
 * All rows run at the same time, each call on a thread of its own. */
#include "io_table.h"

static __thread struct row *self; /* the row whose thread this is */
static int hit[ROWS];
static struct io_call call[ROWS];

static void on_usr1(int sig)
{
	(void)sig;
	int e = errno;
	if (self)
		flag_add(&hit[self - table], 1);
	errno = 99;
	errno = e;
}

static long run_row(struct io_call *c)
{
	self = (struct row *)c->arg;
	errno = 0;
	long rc = self->call(self);
	int e = errno;
	self = NULL;
	errno = e;
	return rc;
}

static void start_row(int i)
{
	struct row *r = &table[i];
	r->make(r);
	call[i] = (struct io_call){.fn = run_row, .arg = r};
	call[i].thread = spawn(io_run, &call[i]);
	flag_wait(&call[i].entered, 1);
}

static void set_handler(int flags)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = flags};
	EXPECT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
}

/* A signal that comes before the call sleeps is lost on it: those that do not end get another. */
static void interrupt_until_end(int i)
{
	char text[96];
	double late = now_s() + 10;
	pthread_kill(call[i].thread, SIGUSR1);
	while (!flag_get(&call[i].done) && now_s() < late) {
		sleep_ms(2);
		if (!flag_get(&call[i].done))
			pthread_kill(call[i].thread, SIGUSR1);
	}
	snprintf(text, sizeof text, "%s: EINTR", table[i].name);
	CHECK_EQ(text, -EINTR, io_end(&call[i]));
}

static int skipped(int i)
{
	return table[i].make == m_mq && table[i].extra < 0; /* no message queues here */
}

static void without(void)
{
	set_handler(0);
	for (int i = 0; i < ROWS; i++)
		start_row(i);
	sleep_ms(2 * SETTLE_MS);
	for (int i = 0; i < ROWS; i++) {
		if (!skipped(i))
			interrupt_until_end(i);
		row_clean(&table[i]);
	}
}

static void with_restart(void)
{
	char text[96];
	int before[ROWS];
	set_handler(SA_RESTART);
	for (int i = 0; i < ROWS; i++)
		start_row(i);
	sleep_ms(2 * SETTLE_MS);
	for (int i = 0; i < ROWS; i++)
		if (!table[i].goes_on && !skipped(i))
			interrupt_until_end(i);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < ROWS; i++)
			if (table[i].goes_on && !skipped(i)) {
				before[i] = flag_get(&hit[i]);
				pthread_kill(call[i].thread, SIGUSR1);
			}
		for (int i = 0; i < ROWS; i++)
			if (table[i].goes_on && !skipped(i))
				EXPECT(flag_wait_bounded(&hit[i], before[i] + 1));
	}
	sleep_ms(SETTLE_MS);
	for (int i = 0; i < ROWS; i++) {
		if (table[i].goes_on && !skipped(i)) {
			snprintf(text, sizeof text, "%s: goes on with SA_RESTART", table[i].name);
			CHECK(text, !flag_get(&call[i].done));
			table[i].finish(&table[i]);
			snprintf(text, sizeof text, "%s: and returns when there is something", table[i].name);
			CHECK(text, io_end(&call[i]) >= 0);
		}
		row_clean(&table[i]);
	}
}

/* Some bytes were moved before the signal: their number, not EINTR, whatever the flags. */
static void partial(void)
{
	static char block[1 << 20];
	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		int s[2];
		set_handler(flags);
		for (int kind = 0; kind < 2; kind++) {
			if (kind)
				io_unix(s);
			else
				io_pipe(s);
			struct io_call w = {.fn = io_write, .fd = s[1], .n = sizeof block, .arg = block};
			io_start(&w);
			while (!flag_get(&w.done)) {
				pthread_kill(w.thread, SIGUSR1);
				sleep_ms(1);
			}
			long rc = io_end(&w);
			CHECK(kind ? "socket: a write that a handler ends tells what was taken"
			           : "pipe: a write that a handler ends tells what was taken",
			      rc > 0 && rc < w.n);
			io_close2(s);
		}
		io_unix(s);
		struct io_call r = {.fn = io_recv, .fd = s[0], .n = 8, .other = MSG_WAITALL};
		EXPECT_EQ(3, write(s[1], "abc", 3));
		io_start(&r);
		while (!flag_get(&r.done)) {
			pthread_kill(r.thread, SIGUSR1);
			sleep_ms(1);
		}
		CHECK_EQ("MSG_WAITALL that a handler ends tells what has come", 3, io_end(&r));
		io_close2(s);
	}
}

/* No signal is seen as an EINTR by a thread that it was not for, or that ignores it. */
static void ignored(void)
{
	int s[2], q[2];
	struct sigaction sa = {.sa_handler = SIG_IGN};
	EXPECT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	io_unix(s);
	io_unix(q);
	struct io_call r = {.fn = io_read, .fd = s[0]}, p = {.fn = io_poll_in, .fd = q[0]};
	io_start(&r);
	io_start(&p);
	for (int i = 0; i < 5; i++) {
		pthread_kill(r.thread, SIGUSR1);
		pthread_kill(p.thread, SIGUSR1);
		kill(getpid(), SIGCHLD);
		sleep_ms(2);
	}
	CHECK("a signal that is ignored ends nothing", io_blocked(&r) && io_blocked(&p));
	EXPECT_EQ(1, write(s[1], "x", 1));
	EXPECT_EQ(1, write(q[1], "x", 1));
	EXPECT_EQ(1, io_end(&p));
	EXPECT_EQ(1, io_end(&r));
	io_close2(s);
	io_close2(q);
}

int main(void)
{
	table_block_signals();
	without();
	with_restart();
	partial();
	ignored();
	return check_done();
}
