/* cancel_points.c - deferred cancellation of a thread that is blocked, with cleanup handlers. */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

static int entered, cleaned, held_in_cleanup, key_ran;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static sem_t s;
static int p[2], sv[2], listener, ep;
static pthread_key_t key;

static void cleanup(void *arg)
{
	(void)arg;
	flag_add(&cleaned, 1);
}

static void cleanup_mutex(void *arg)
{
	(void)arg;
	/* POSIX: the mutex is held again when the handlers of a cond wait run */
	held_in_cleanup = pthread_mutex_trylock(&m) == EBUSY;
	pthread_mutex_unlock(&m);
	flag_add(&cleaned, 1);
}

static void key_dtor(void *arg)
{
	(void)arg;
	flag_add(&key_ran, 1);
}

static void *in_cond(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	pthread_cleanup_push(cleanup_mutex, NULL);
	flag_set(&entered, 1);
	for (;;)
		pthread_cond_wait(&c, &m);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *in_timed_cond(void *arg)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 20000);
	(void)arg;
	pthread_mutex_lock(&m);
	pthread_cleanup_push(cleanup_mutex, NULL);
	flag_set(&entered, 1);
	for (;;)
		pthread_cond_timedwait(&c, &m, &ts);
	pthread_cleanup_pop(0);
	return NULL;
}

#define CANCELLED_IN(name, call)                                                                                       \
	static void *name(void *arg)                                                                                       \
	{                                                                                                                  \
		char b[8];                                                                                                     \
		(void)arg;                                                                                                     \
		(void)b;                                                                                                       \
		pthread_cleanup_push(cleanup, NULL);                                                                           \
		flag_set(&entered, 1);                                                                                         \
		for (;;)                                                                                                       \
			(void)!(call);                                                                                             \
		pthread_cleanup_pop(0);                                                                                        \
		return NULL;                                                                                                   \
	}

static void *sleeper(void *arg)
{
	return sleep_ms(20000), arg;
}
static pthread_t other;
static int sleeps(void)
{
	struct timespec ts = {20, 0};
	return nanosleep(&ts, NULL);
}
static int polls(void)
{
	struct pollfd f = {p[0], POLLIN, 0};
	return poll(&f, 1, -1);
}
static int selects(void)
{
	fd_set r;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	return select(p[0] + 1, &r, NULL, NULL, NULL);
}
static int epolls(void)
{
	struct epoll_event ev;
	return epoll_wait(ep, &ev, 1, -1);
}
static int sigwaits(void)
{
	sigset_t set;
	int sig;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwait(&set, &sig);
}

CANCELLED_IN(in_nanosleep, sleeps())
CANCELLED_IN(in_sleep, (int)sleep(20))
CANCELLED_IN(in_usleep, usleep(20000000))
CANCELLED_IN(in_read, (int)read(p[0], b, 1))
CANCELLED_IN(in_recv, (int)recv(sv[0], b, 1, 0))
CANCELLED_IN(in_accept, accept(listener, NULL, NULL))
CANCELLED_IN(in_poll, polls())
CANCELLED_IN(in_select, selects())
CANCELLED_IN(in_epoll, epolls())
CANCELLED_IN(in_sem_wait, sem_wait(&s))
CANCELLED_IN(in_sigwait, sigwaits())
CANCELLED_IN(in_pause, pause())
CANCELLED_IN(in_join, pthread_join(other, NULL))

static void *with_key(void *arg)
{
	pthread_setspecific(key, arg);
	return in_sem_wait(arg);
}

static void cancelled(const char *clause, void *(*fn)(void *))
{
	char text[96];
	void *value = NULL;
	pthread_t t;
	cleaned = entered = 0;
	t = spawn(fn, &entered);
	flag_wait(&entered, 1);
	sleep_ms(20);
	EXPECT_EQ(0, pthread_cancel(t));
	EXPECT_EQ(0, pthread_join(t, &value));
	snprintf(text, sizeof text, "cancelled in %s: PTHREAD_CANCELED", clause);
	CHECK(text, value == PTHREAD_CANCELED);
	snprintf(text, sizeof text, "cancelled in %s: the cleanup handler ran once", clause);
	CHECK_EQ(text, 1, flag_get(&cleaned));
}

static void *fgets_blocked(void *arg)
{
	char buf[8];
	FILE *f = fdopen(dup(p[0]), "r");
	(void)arg;
	pthread_cleanup_push(cleanup, NULL);
	flag_set(&entered, 1);
	if (!fgets(buf, sizeof buf, f))
		buf[0] = 0;
	pthread_cleanup_pop(0);
	return NULL;
}

int main(void)
{
	struct sockaddr_in addr;
	struct epoll_event ev;

	EXPECT_EQ(0, pipe(p));
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	EXPECT_EQ(0, sem_init(&s, 0, 0));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	memset(&addr, 0, sizeof addr);
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(0, bind(listener, (struct sockaddr *)&addr, sizeof addr));
	EXPECT_EQ(0, listen(listener, 1));
	ep = epoll_create1(0);
	memset(&ev, 0, sizeof ev);
	ev.events = EPOLLIN;
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	EXPECT_EQ(0, pthread_key_create(&key, key_dtor));

	cancelled("pthread_cond_wait", in_cond);
	CHECK("the mutex was held in the handler", held_in_cleanup);
	cancelled("pthread_cond_timedwait", in_timed_cond);
	CHECK("the mutex is free again", pthread_mutex_trylock(&m) == 0);
	pthread_mutex_unlock(&m);
	cancelled("nanosleep", in_nanosleep);
	cancelled("sleep", in_sleep);
	cancelled("usleep", in_usleep);
	cancelled("read", in_read);
	cancelled("recv", in_recv);
	cancelled("accept", in_accept);
	cancelled("poll", in_poll);
	cancelled("select", in_select);
	cancelled("epoll_wait", in_epoll);
	cancelled("sem_wait", in_sem_wait);
	cancelled("sigwait", in_sigwait);
	cancelled("pause", in_pause);
	cancelled("fgets, inside libc", fgets_blocked);
	other = spawn(sleeper, NULL);
	cancelled("pthread_join", in_join);
	pthread_cancel(other);
	CHECK("the thread that was being joined can be joined still", join(other) == PTHREAD_CANCELED);
	cancelled("sem_wait, with a key", with_key);
	CHECK_EQ("key destructors run after a cancellation", 1, key_ran);
	return check_done();
}
