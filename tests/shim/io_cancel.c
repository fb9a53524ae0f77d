/* LDFLAGS: -lrt
 * io_cancel.c - every blocking call is a cancellation point while it is blocked, and takes nothing with it.
 *
 * flock, semop and semtimedop are none in glibc.  Not here: a cancellation that meets a call at the moment of its end, with which
 * glibc itself loses what was read (its bug 12683). */
#include "io_table.h"

static int cleaned[ROWS], ran_on[ROWS], ready[ROWS];

static void cleanup(void *arg)
{
	flag_add(&cleaned[(struct row *)arg - table], 1);
}

static void *blocks(void *arg)
{
	struct row *r = (struct row *)arg;
	pthread_cleanup_push(cleanup, r);
	flag_set(&ready[r - table], 1);
	r->call(r);
	flag_set(&ran_on[r - table], 1);
	pthread_cleanup_pop(0);
	return NULL;
}

static int is_point(struct row *r)
{
	return r->call != c_flock && r->call != c_semop && r->call != c_semtimedop;
}

static void *disabled(void *arg)
{
	struct row *r = (struct row *)arg;
	int old;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	flag_set(&ready[r - table], 1);
	long rc = r->call(r);
	flag_set(&ran_on[r - table], 1);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	return (void *)rc;
}

static int skipped(int i)
{
	return table[i].make == m_mq && table[i].extra < 0;
}

static pthread_t thread[ROWS];

static void start_all(void *(*fn)(void *))
{
	for (int i = 0; i < ROWS; i++) {
		table[i].make(&table[i]);
		cleaned[i] = ran_on[i] = ready[i] = 0;
		thread[i] = spawn(fn, &table[i]);
		flag_wait(&ready[i], 1);
	}
	sleep_ms(2 * SETTLE_MS);
}

static void enabled_state(void)
{
	char text[128];
	start_all(blocks);
	for (int i = 0; i < ROWS; i++) {
		void *value = NULL;
		struct timespec late = in_ms(CLOCK_REALTIME, 10000);
		if (skipped(i))
			continue;
		EXPECT_EQ(0, pthread_cancel(thread[i]));
		if (!is_point(&table[i]))
			table[i].finish(&table[i]);
		EXPECT_EQ(0, pthread_timedjoin_np(thread[i], &value, &late));
		snprintf(text, sizeof text, is_point(&table[i]) ? "%s: cancelled" : "%s: is no cancellation point",
		         table[i].name);
		CHECK(text, (value == PTHREAD_CANCELED) == is_point(&table[i]));
		snprintf(text, sizeof text, "%s: the cleanup handler", table[i].name);
		CHECK_EQ(text, is_point(&table[i]), cleaned[i]);
		/* whatever comes now is for the next one */
		if (table[i].call == c_read && table[i].make != m_signalfd && table[i].make != m_inotify &&
		    table[i].make != m_timerfd) {
			struct io_call c = {.fn = io_read, .fd = table[i].fd, .n = 8};
			table[i].finish(&table[i]);
			io_start(&c);
			snprintf(text, sizeof text, "%s: the next one gets the data", table[i].name);
			CHECK_EQ(text, 8, io_end(&c));
		}
		row_clean(&table[i]);
	}
}

static void disabled_state(void)
{
	start_all(disabled);
	int ended = 0, rows = 0;
	for (int i = 0; i < ROWS; i++)
		EXPECT_EQ(0, pthread_cancel(thread[i]));
	sleep_ms(SETTLE_MS);
	for (int i = 0; i < ROWS; i++)
		if (!skipped(i))
			ended += flag_get(&ran_on[i]);
	CHECK_EQ("with cancellation disabled no call ends", 0, ended);
	for (int i = 0; i < ROWS; i++) {
		if (skipped(i) || !table[i].finish)
			continue;
		void *value = (void *)-1;
		struct timespec late = in_ms(CLOCK_REALTIME, 10000);
		table[i].finish(&table[i]);
		int rc = pthread_timedjoin_np(thread[i], &value, &late);
		if (rc != 0 || (long)value < 0)
			printf("FAIL: %s: %d, %ld\n", table[i].name, rc, (long)value);
		else
			rows++;
		row_clean(&table[i]);
	}
	int want = 0;
	for (int i = 0; i < ROWS; i++)
		want += table[i].finish != NULL && !skipped(i);
	CHECK_EQ("and each returns what it was waiting for", want, rows);
}

int main(void)
{
	table_block_signals();
	enabled_state();
	disabled_state();
	_exit(check_done()); /* the sleepers without an end stay */
}
