/*
 * struct sigevent: who is told, and how, by timers, message queues, asynchronous I/O and name look-ups.
 * TIMEOUT: 60
 */
#include "check.h"
#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>

static int told, value, on_other_thread;
static pthread_t main_thread;

static void in_thread(union sigval v)
{
	flag_set(&value, v.sival_int);
	flag_set(&on_other_thread, !pthread_equal(pthread_self(), main_thread));
	flag_add(&told, 1);
}

static void by_signal(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	flag_set(&value, info->si_value.sival_int);
	flag_add(&told, 1);
}

static struct sigevent event(int how, int v)
{
	struct sigevent e = {.sigev_notify = how, .sigev_value.sival_int = v};
	if (how == SIGEV_THREAD)
		e.sigev_notify_function = in_thread;
	else
		e.sigev_signo = SIGRTMIN + 1;
	flag_set(&told, 0);
	flag_set(&value, 0);
	return e;
}

static int told_value(int v)
{
	return flag_wait_bounded(&told, 1) && flag_get(&value) == v;
}

/* ---- message queues ---- */

static void queues(void)
{
	char name[64], buf[64];
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = sizeof buf};
	struct sigevent e;
	snprintf(name, sizeof name, "/check-notify-%d", getpid());
	mqd_t q = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
	if (q == (mqd_t)-1) {
		puts("no message queues here");
		return;
	}
	mq_unlink(name);
	e = event(SIGEV_SIGNAL, 11);
	CHECK_EQ("mq_notify: SIGEV_SIGNAL", 0, mq_notify(q, &e));
	CHECK("mq_notify: EBUSY: one is registered", mq_notify(q, &e) == -1 && errno == EBUSY);
	EXPECT_EQ(0, mq_send(q, "x", 1, 0));
	CHECK("mq_notify: the signal carries the value", told_value(11));
	EXPECT_EQ(1, mq_receive(q, buf, sizeof buf, NULL));
	e = event(SIGEV_THREAD, 12);
	CHECK_EQ("mq_notify: SIGEV_THREAD, after the first was used up", 0, mq_notify(q, &e));
	EXPECT_EQ(0, mq_send(q, "x", 1, 0));
	CHECK("mq_notify: the function gets the value", told_value(12));
	CHECK("mq_notify: on a thread of its own", flag_get(&on_other_thread));
	EXPECT_EQ(1, mq_receive(q, buf, sizeof buf, NULL));
	e = event(SIGEV_NONE, 0);
	CHECK_EQ("mq_notify: SIGEV_NONE", 0, mq_notify(q, &e));
	CHECK_EQ("mq_notify: NULL takes it back", 0, mq_notify(q, NULL));
	e = event(SIGEV_SIGNAL, 13);
	CHECK_EQ("mq_notify: and another may be registered", 0, mq_notify(q, &e));
	EXPECT_EQ(0, mq_close(q));
	CHECK("mq_notify: EBADF", mq_notify(q, &e) == -1 && errno == EBADF);
	CHECK("mq_send: EBADF", mq_send(q, "x", 1, 0) == -1 && errno == EBADF);
	CHECK("mq_open: ENOENT", mq_open(name, O_RDWR) == (mqd_t)-1 && errno == ENOENT);
}

/* ---- asynchronous I/O ---- */

static void async_io(void)
{
	char path[] = "/tmp/check-notify-XXXXXX", a[4] = "abc", b[4] = "";
	int fd = mkstemp(path);
	EXPECT(fd >= 0);
	unlink(path);
	struct aiocb w = {.aio_fildes = fd, .aio_buf = a, .aio_nbytes = 3, .aio_lio_opcode = LIO_WRITE}, r, *list[] = {&w};
	w.aio_sigevent = event(SIGEV_THREAD, 21);
	CHECK_EQ("aio_write", 0, aio_write(&w));
	CHECK("aio_write: SIGEV_THREAD", told_value(21));
	CHECK_EQ("aio_error afterwards", 0, aio_error(&w));
	CHECK_EQ("aio_return", 3, aio_return(&w));
	r = (struct aiocb){.aio_fildes = fd, .aio_buf = b, .aio_nbytes = 3};
	r.aio_sigevent = event(SIGEV_SIGNAL, 22);
	CHECK_EQ("aio_read", 0, aio_read(&r));
	CHECK("aio_read: SIGEV_SIGNAL carries the value", told_value(22));
	CHECK("aio_read: the data", aio_return(&r) == 3 && memcmp(a, b, 3) == 0);
	w.aio_sigevent = event(SIGEV_NONE, 0);
	CHECK_EQ("lio_listio: LIO_WAIT", 0, lio_listio(LIO_WAIT, list, 1, NULL));
	EXPECT_EQ(3, aio_return(&w));
	struct sigevent e = event(SIGEV_THREAD, 23);
	w.aio_sigevent.sigev_notify = SIGEV_NONE;
	CHECK_EQ("lio_listio: LIO_NOWAIT", 0, lio_listio(LIO_NOWAIT, list, 1, &e));
	CHECK("lio_listio: SIGEV_THREAD when all are done", told_value(23));
	EXPECT_EQ(3, aio_return(&w));
	CHECK("lio_listio: EINVAL", lio_listio(77, list, 1, NULL) == -1 && errno == EINVAL);
	struct timespec none = {0, 1000000};
	int fds[2];
	EXPECT_EQ(0, pipe(fds));
	r = (struct aiocb){.aio_fildes = fds[0], .aio_buf = b, .aio_nbytes = 1, .aio_sigevent.sigev_notify = SIGEV_NONE};
	const struct aiocb *wait[] = {&r};
	EXPECT_EQ(0, aio_read(&r));
	CHECK_EQ("aio_error: EINPROGRESS", EINPROGRESS, aio_error(&r));
	CHECK("aio_suspend: EAGAIN when the time is over", aio_suspend(wait, 1, &none) == -1 && errno == EAGAIN);
	EXPECT_EQ(1, write(fds[1], "z", 1));
	CHECK_EQ("aio_suspend", 0, aio_suspend(wait, 1, NULL));
	CHECK("aio_read of a pipe", aio_return(&r) == 1 && b[0] == 'z');
	CHECK_EQ("aio_cancel: AIO_ALLDONE", AIO_ALLDONE, aio_cancel(fds[0], NULL));
	close(fds[0]);
	close(fds[1]);
	close(fd);
	CHECK("aio_cancel: EBADF", aio_cancel(fd, NULL) == -1 && errno == EBADF);
}

/* ---- timers ---- */

static void timers(void)
{
	timer_t t;
	struct itimerspec once = {.it_value.tv_nsec = 1000000}, often = {.it_interval.tv_nsec = 1000000}, now;
	struct itimerspec far = {.it_value.tv_sec = 1000}, bad = {.it_value.tv_nsec = 1000000000}, never = {0};
	sigset_t set;
	struct sigevent e = event(SIGEV_SIGNAL, 31);
	often.it_value = often.it_interval;
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &e, &t));
	CHECK("timer_settime: EINVAL", timer_settime(t, 0, &bad, NULL) == -1 && errno == EINVAL);
	EXPECT_EQ(0, timer_settime(t, 0, &once, NULL));
	CHECK("timer_create: SIGEV_SIGNAL carries the value", told_value(31));
	CHECK("timer_gettime: a timer that has expired is disarmed",
	      timer_gettime(t, &now) == 0 && now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
	EXPECT_EQ(0, timer_delete(t));
	e.sigev_signo = SIGRTMIN + 2; /* blocked everywhere */
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &e, &t));
	EXPECT_EQ(0, timer_settime(t, 0, &often, NULL));
	sleep_ms(30); /* disarming it would take back what is pending */
	siginfo_t info;
	CHECK("timers: one signal is queued, however often it expires",
	      sigwaitinfo(&set, &info) == SIGRTMIN + 2 && info.si_code == SI_TIMER && info.si_value.sival_int == 31);
	CHECK("timer_getoverrun: and the others are counted", timer_getoverrun(t) > 1 && timer_getoverrun(t) < 10000);
	EXPECT_EQ(0, timer_settime(t, 0, &never, NULL));
	CHECK("timer_settime tells the old setting",
	      timer_settime(t, 0, &far, NULL) == 0 && timer_settime(t, 0, &never, &now) == 0 && now.it_value.tv_sec >= 998);
	EXPECT_EQ(0, timer_delete(t));
	CHECK("timer_delete: EINVAL for none", timer_delete(t) == -1 && errno == EINVAL);

	e = event(SIGEV_THREAD, 32);
	EXPECT_EQ(0, timer_create(CLOCK_REALTIME, &e, &t));
	EXPECT_EQ(0, timer_settime(t, 0, &once, NULL));
	CHECK("timer_create: SIGEV_THREAD gets the value", told_value(32));
	CHECK("timer_create: on a thread of its own", flag_get(&on_other_thread));
	EXPECT_EQ(0, timer_delete(t));
	e = event(SIGEV_NONE, 0);
	EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &e, &t));
	EXPECT_EQ(0, timer_settime(t, 0, &far, NULL));
	CHECK("timer_gettime: of SIGEV_NONE", timer_gettime(t, &now) == 0 && now.it_value.tv_sec >= 998);
	EXPECT_EQ(0, timer_delete(t));
	e.sigev_notify = 77;
	CHECK("timer_create: EINVAL: no such notification", timer_create(CLOCK_MONOTONIC, &e, &t) == -1 && errno == EINVAL);
	e = event(SIGEV_SIGNAL, 0);
	e.sigev_signo = 1000;
	CHECK("timer_create: EINVAL: no such signal", timer_create(CLOCK_MONOTONIC, &e, &t) == -1 && errno == EINVAL);
	CHECK("timer_create: EINVAL: no such clock", timer_create(1000, NULL, &t) == -1 && errno == EINVAL);
}

static void look_ups(void)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
	struct gaicb g = {.ar_name = "127.0.0.1", .ar_request = &hints}, *list[] = {&g};
	struct sigevent e = event(SIGEV_THREAD, 41);
	CHECK_EQ("getaddrinfo_a: GAI_NOWAIT", 0, getaddrinfo_a(GAI_NOWAIT, list, 1, &e));
	CHECK("getaddrinfo_a: SIGEV_THREAD", told_value(41));
	CHECK_EQ("gai_error", 0, gai_error(&g));
	freeaddrinfo(g.ar_result);
	e = event(SIGEV_SIGNAL, 42);
	CHECK_EQ("getaddrinfo_a again", 0, getaddrinfo_a(GAI_NOWAIT, list, 1, &e));
	CHECK("getaddrinfo_a: SIGEV_SIGNAL", told_value(42));
	freeaddrinfo(g.ar_result);
	CHECK_EQ("getaddrinfo_a: GAI_WAIT", 0, getaddrinfo_a(GAI_WAIT, list, 1, NULL));
	freeaddrinfo(g.ar_result);
}

static void *on_thread(void *arg)
{
	main_thread = pthread_self();
	queues();
	async_io();
	timers();
	look_ups();
	return arg;
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = by_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	EXPECT_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL)); /* threads of libc's own inherit it */
	EXPECT_EQ(0, sigaction(SIGRTMIN + 1, &act, NULL));
	puts("main:");
	on_thread(NULL);
	puts("another thread:");
	join(spawn(on_thread, NULL));
	return check_done();
}
