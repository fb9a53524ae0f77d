/* io_table.h - every call that a thread can be blocked in for long, with what makes it so and what ends it.
 *
 * restart says what signal(7) says of a handler with SA_RESTART: the call goes on, or ends with EINTR all the same. */
#ifndef IO_TABLE_H
#define IO_TABLE_H

#include "io.h"

#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

struct row {
	const char *name;
	int goes_on;                  /* with SA_RESTART */
	void (*make)(struct row *);   /* fd, peer */
	long (*call)(struct row *);   /* blocks */
	void (*finish)(struct row *); /* lets it return 0 or more */
	int fd, peer, extra;
	char buf[256];
};

static char table_block[1 << 20];
static char fifo_path[64], watched_path[64];

/* -- what they block on -- */

static CHECK_UNUSED void m_pipe(struct row *r)
{
	int p[2];
	io_pipe(p);
	r->fd = p[0], r->peer = p[1];
}

static CHECK_UNUSED void m_full_pipe(struct row *r)
{
	int p[2];
	io_pipe(p);
	EXPECT_EQ(65536, write(p[1], table_block, 65536));
	r->fd = p[1], r->peer = p[0];
}

static CHECK_UNUSED void m_unix(struct row *r)
{
	int p[2];
	io_unix(p);
	r->fd = p[0], r->peer = p[1];
}

static CHECK_UNUSED void m_tcp(struct row *r)
{
	int p[2];
	io_tcp(p);
	r->fd = p[0], r->peer = p[1];
}

static CHECK_UNUSED void m_unix_timeo(struct row *r)
{
	m_unix(r);
	io_timeo(r->fd, SO_RCVTIMEO, 20000);
}

static CHECK_UNUSED void m_full_unix(struct row *r)
{
	m_unix(r);
	io_fill(r->fd);
}

static CHECK_UNUSED void m_full_timeo(struct row *r)
{
	m_full_unix(r);
	io_timeo(r->fd, SO_SNDTIMEO, 20000);
}

static CHECK_UNUSED void m_listener(struct row *r)
{
	struct sockaddr_in a;
	r->fd = io_listen(&a, 4);
	r->peer = -1;
}

static CHECK_UNUSED void m_listener_timeo(struct row *r)
{
	m_listener(r);
	io_timeo(r->fd, SO_RCVTIMEO, 20000);
}

static CHECK_UNUSED void m_eventfd(struct row *r)
{
	r->fd = r->peer = eventfd(0, 0);
}

static CHECK_UNUSED void m_timerfd(struct row *r)
{
	r->fd = timerfd_create(CLOCK_MONOTONIC, 0);
	r->peer = -1;
}

/* Each of these waits for a signal of its own, which the whole program blocks (table_block_signals). */
static CHECK_UNUSED sigset_t table_signal(struct row *r)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, r->extra);
	return s;
}

static CHECK_UNUSED void m_signal(struct row *r)
{
	static int n;
	r->extra = SIGRTMIN + 4 + n++ % 4;
	r->fd = r->peer = -1;
}

static CHECK_UNUSED void m_signalfd(struct row *r)
{
	m_signal(r);
	sigset_t s = table_signal(r);
	r->fd = signalfd(-1, &s, 0);
}

static CHECK_UNUSED void table_block_signals(void)
{
	sigset_t s;
	sigemptyset(&s);
	for (int i = 4; i < 8; i++)
		sigaddset(&s, SIGRTMIN + i);
	EXPECT_EQ(0, sigprocmask(SIG_BLOCK, &s, NULL));
}

static CHECK_UNUSED void m_inotify(struct row *r)
{
	r->fd = inotify_init();
	snprintf(watched_path, sizeof watched_path, "/tmp/grt-io-XXXXXX");
	EXPECT(mkdtemp(watched_path) != NULL);
	EXPECT(inotify_add_watch(r->fd, watched_path, IN_CREATE) >= 0);
	r->peer = -1;
}

static CHECK_UNUSED void m_fifo(struct row *r)
{
	snprintf(fifo_path, sizeof fifo_path, "/tmp/grt-io-XXXXXX");
	close(mkstemp(fifo_path));
	unlink(fifo_path);
	EXPECT_EQ(0, mkfifo(fifo_path, 0600));
	r->fd = r->peer = -1;
}

static CHECK_UNUSED void m_lock(struct row *r)
{
	char name[] = "/tmp/grt-io-XXXXXX";
	r->fd = mkstemp(name);
	r->peer = open(name, O_RDWR);
	unlink(name);
	struct flock lk = {.l_type = F_WRLCK};
	EXPECT_EQ(0, flock(r->peer, LOCK_EX));
	EXPECT_EQ(0, fcntl(r->peer, F_OFD_SETLK, &lk));
}

static CHECK_UNUSED void m_epoll(struct row *r)
{
	struct epoll_event e = {.events = EPOLLIN};
	int p[2];
	io_pipe(p);
	r->fd = epoll_create1(0);
	EXPECT_EQ(0, epoll_ctl(r->fd, EPOLL_CTL_ADD, p[0], &e));
	r->peer = p[1], r->extra = p[0];
}

static CHECK_UNUSED void m_child(struct row *r)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	r->fd = r->peer = -1, r->extra = pid;
}

static CHECK_UNUSED void m_none(struct row *r)
{
	r->fd = r->peer = -1;
}

static CHECK_UNUSED void m_msg(struct row *r)
{
	r->extra = msgget(IPC_PRIVATE, 0600);
	r->fd = r->peer = -1;
}

static CHECK_UNUSED void m_sem(struct row *r)
{
	r->extra = semget(IPC_PRIVATE, 1, 0600);
	r->fd = r->peer = -1;
}

static CHECK_UNUSED void m_mq(struct row *r)
{
	struct mq_attr at = {.mq_maxmsg = 1, .mq_msgsize = 64};
	char name[64];
	snprintf(name, sizeof name, "/grt-io-%d", getpid());
	r->extra = (int)mq_open(name, O_CREAT | O_RDWR, 0600, &at);
	mq_unlink(name);
	r->fd = r->peer = -1;
}

/* -- the calls -- */

static CHECK_UNUSED long c_read(struct row *r)
{
	return read(r->fd, r->buf, sizeof r->buf);
}
static CHECK_UNUSED long c_readv(struct row *r)
{
	struct iovec v = {r->buf, sizeof r->buf};
	return readv(r->fd, &v, 1);
}
static CHECK_UNUSED long c_preadv2(struct row *r)
{
	struct iovec v = {r->buf, sizeof r->buf};
	return preadv2(r->fd, &v, 1, -1, 0);
}
static CHECK_UNUSED long c_write(struct row *r)
{
	return write(r->fd, table_block, 4096);
}
static CHECK_UNUSED long c_writev(struct row *r)
{
	struct iovec v = {table_block, 4096};
	return writev(r->fd, &v, 1);
}
static CHECK_UNUSED long c_recv(struct row *r)
{
	return recv(r->fd, r->buf, sizeof r->buf, 0);
}
static CHECK_UNUSED long c_recvfrom(struct row *r)
{
	return recvfrom(r->fd, r->buf, sizeof r->buf, 0, NULL, NULL);
}
static CHECK_UNUSED long c_recvmsg(struct row *r)
{
	struct iovec v = {r->buf, sizeof r->buf};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	return recvmsg(r->fd, &h, 0);
}
static CHECK_UNUSED long c_recvmmsg(struct row *r)
{
	struct iovec v = {r->buf, sizeof r->buf};
	struct mmsghdr h = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	return recvmmsg(r->fd, &h, 1, 0, NULL);
}
static CHECK_UNUSED long c_send(struct row *r)
{
	return send(r->fd, table_block, 4096, 0);
}
static CHECK_UNUSED long c_sendmsg(struct row *r)
{
	struct iovec v = {table_block, 4096};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	return sendmsg(r->fd, &h, 0);
}
static CHECK_UNUSED long c_accept(struct row *r)
{
	return r->extra = accept(r->fd, NULL, NULL);
}
static CHECK_UNUSED long c_accept4(struct row *r)
{
	return r->extra = accept4(r->fd, NULL, NULL, 0);
}
static CHECK_UNUSED long c_open(struct row *r)
{
	return r->extra = open(fifo_path, O_RDONLY);
}
static CHECK_UNUSED long c_flock(struct row *r)
{
	return flock(r->fd, LOCK_EX);
}
static CHECK_UNUSED long c_setlkw(struct row *r)
{
	struct flock lk = {.l_type = F_WRLCK};
	return fcntl(r->fd, F_SETLKW, &lk);
}
static CHECK_UNUSED long c_lockf(struct row *r)
{
	return lockf(r->fd, F_LOCK, 0);
}
static CHECK_UNUSED long c_poll(struct row *r)
{
	struct pollfd f = {r->fd, POLLIN, 0};
	return poll(&f, 1, 20000);
}
static CHECK_UNUSED long c_ppoll(struct row *r)
{
	struct pollfd f = {r->fd, POLLIN, 0};
	return ppoll(&f, 1, NULL, NULL);
}
static CHECK_UNUSED long c_select(struct row *r)
{
	fd_set s;
	FD_ZERO(&s);
	FD_SET(r->fd, &s);
	return select(r->fd + 1, &s, NULL, NULL, NULL);
}
static CHECK_UNUSED long c_pselect(struct row *r)
{
	fd_set s;
	FD_ZERO(&s);
	FD_SET(r->fd, &s);
	return pselect(r->fd + 1, &s, NULL, NULL, NULL, NULL);
}
static CHECK_UNUSED long c_epoll_wait(struct row *r)
{
	struct epoll_event e;
	return epoll_wait(r->fd, &e, 1, -1);
}
static CHECK_UNUSED long c_epoll_pwait(struct row *r)
{
	struct epoll_event e;
	return epoll_pwait(r->fd, &e, 1, 20000, NULL);
}
static CHECK_UNUSED long c_epoll_pwait2(struct row *r)
{
	struct epoll_event e;
	struct timespec ts = {20, 0};
	return epoll_pwait2(r->fd, &e, 1, &ts, NULL);
}
static CHECK_UNUSED long c_waitpid(struct row *r)
{
	return waitpid(r->extra, NULL, 0);
}
static CHECK_UNUSED long c_waitid(struct row *r)
{
	return waitid(P_PID, (id_t)r->extra, NULL, WEXITED);
}
static CHECK_UNUSED long c_wait4(struct row *r)
{
	return wait4(r->extra, NULL, 0, NULL);
}
static CHECK_UNUSED long c_nanosleep(struct row *r)
{
	struct timespec ts = {20, 0};
	(void)r;
	return nanosleep(&ts, NULL);
}
static CHECK_UNUSED long c_usleep(struct row *r)
{
	(void)r;
	return usleep(20000000);
}
static CHECK_UNUSED long c_clock_nanosleep(struct row *r)
{
	struct timespec ts = {20, 0};
	(void)r;
	int e = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	return e ? (errno = e, -1) : 0;
}
static CHECK_UNUSED long c_pause(struct row *r)
{
	(void)r;
	return pause();
}
static CHECK_UNUSED long c_sigtimedwait(struct row *r)
{
	sigset_t s = table_signal(r);
	struct timespec ts = {20, 0};
	return sigtimedwait(&s, NULL, &ts);
}
static CHECK_UNUSED long c_sigwaitinfo(struct row *r)
{
	sigset_t s = table_signal(r);
	return sigwaitinfo(&s, NULL);
}
static CHECK_UNUSED long c_msgrcv(struct row *r)
{
	return msgrcv(r->extra, r->buf, 8, 0, 0);
}
static CHECK_UNUSED long c_semop(struct row *r)
{
	struct sembuf down = {0, -1, 0};
	return semop(r->extra, &down, 1);
}
static CHECK_UNUSED long c_semtimedop(struct row *r)
{
	struct sembuf down = {0, -1, 0};
	struct timespec ts = {20, 0};
	return semtimedop(r->extra, &down, 1, &ts);
}
static CHECK_UNUSED long c_mq_receive(struct row *r)
{
	return mq_receive((mqd_t)r->extra, r->buf, sizeof r->buf, NULL);
}
static CHECK_UNUSED long c_mq_timedreceive(struct row *r)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 20000);
	return mq_timedreceive((mqd_t)r->extra, r->buf, sizeof r->buf, NULL, &ts);
}
static CHECK_UNUSED long c_splice(struct row *r)
{
	static int sink[2];
	if (!sink[1])
		EXPECT_EQ(0, pipe(sink));
	return splice(r->fd, NULL, sink[1], NULL, 16, 0);
}
static CHECK_UNUSED long c_tee(struct row *r)
{
	static int sink[2];
	if (!sink[1])
		EXPECT_EQ(0, pipe(sink));
	return tee(r->fd, sink[1], 16, 0);
}

/* -- what ends them -- */

static CHECK_UNUSED void f_write(struct row *r)
{
	EXPECT_EQ(8, write(r->peer, "\1\0\0\0\0\0\0", 8));
}
static CHECK_UNUSED void f_drain(struct row *r)
{
	io_drain(r->peer, 65536);
}
static CHECK_UNUSED void f_empty(struct row *r)
{
	while (recv(r->peer, table_block, sizeof table_block, MSG_DONTWAIT) > 0)
		;
}
static CHECK_UNUSED void f_connect(struct row *r)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	EXPECT_EQ(0, getsockname(r->fd, (struct sockaddr *)&a, &len));
	r->peer = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(0, connect(r->peer, (struct sockaddr *)&a, sizeof a));
}
static CHECK_UNUSED void f_timer(struct row *r)
{
	struct itimerspec soon = {.it_value = {0, 1}};
	EXPECT_EQ(0, timerfd_settime(r->fd, 0, &soon, NULL));
}
static CHECK_UNUSED void f_signal(struct row *r)
{
	kill(getpid(), r->extra);
}
static CHECK_UNUSED void f_create(struct row *r)
{
	char name[80];
	(void)r;
	snprintf(name, sizeof name, "%s/x", watched_path);
	close(open(name, O_CREAT | O_WRONLY, 0600));
	unlink(name);
	rmdir(watched_path);
}
static CHECK_UNUSED void f_fifo(struct row *r)
{
	r->peer = open(fifo_path, O_RDWR);
	unlink(fifo_path);
}
static CHECK_UNUSED void f_unlock(struct row *r)
{
	struct flock lk = {.l_type = F_UNLCK};
	flock(r->peer, LOCK_UN);
	fcntl(r->peer, F_OFD_SETLK, &lk);
}
static CHECK_UNUSED void f_child(struct row *r)
{
	kill(r->extra, SIGKILL);
}
static CHECK_UNUSED void f_msg(struct row *r)
{
	struct {
		long type;
		char text[8];
	} m = {1, "abc"};
	EXPECT_EQ(0, msgsnd(r->extra, &m, 4, 0));
}
static CHECK_UNUSED void f_sem(struct row *r)
{
	struct sembuf up = {0, 1, 0};
	EXPECT_EQ(0, semop(r->extra, &up, 1));
}
static CHECK_UNUSED void f_mq(struct row *r)
{
	EXPECT_EQ(0, mq_send((mqd_t)r->extra, "a", 1, 0));
}

/* signal(7), "Interruption of system calls and library functions by signal handlers" */
static CHECK_UNUSED struct row table[] = {
	{"read of a pipe", 1, m_pipe, c_read, f_write, 0, 0, 0, ""},
	{"read of a unix socket", 1, m_unix, c_read, f_write, 0, 0, 0, ""},
	{"read of a tcp socket", 1, m_tcp, c_read, f_write, 0, 0, 0, ""},
	{"read of an eventfd", 1, m_eventfd, c_read, f_write, 0, 0, 0, ""},
	{"read of a timerfd", 1, m_timerfd, c_read, f_timer, 0, 0, 0, ""},
	{"read of an inotify descriptor", 1, m_inotify, c_read, f_create, 0, 0, 0, ""},
	{"readv", 1, m_pipe, c_readv, f_write, 0, 0, 0, ""},
	{"preadv2", 1, m_unix, c_preadv2, f_write, 0, 0, 0, ""},
	{"write to a pipe", 1, m_full_pipe, c_write, f_drain, 0, 0, 0, ""},
	{"write to a socket", 1, m_full_unix, c_write, f_empty, 0, 0, 0, ""},
	{"writev", 1, m_full_pipe, c_writev, f_drain, 0, 0, 0, ""},
	{"recv", 1, m_tcp, c_recv, f_write, 0, 0, 0, ""},
	{"recvfrom", 1, m_unix, c_recvfrom, f_write, 0, 0, 0, ""},
	{"recvmsg", 1, m_unix, c_recvmsg, f_write, 0, 0, 0, ""},
	{"recvmmsg", 1, m_unix, c_recvmmsg, f_write, 0, 0, 0, ""},
	{"recv with SO_RCVTIMEO", 0, m_unix_timeo, c_recv, f_write, 0, 0, 0, ""},
	{"recvmsg with SO_RCVTIMEO", 0, m_unix_timeo, c_recvmsg, f_write, 0, 0, 0, ""},
	{"read with SO_RCVTIMEO", 0, m_unix_timeo, c_read, f_write, 0, 0, 0, ""},
	{"send", 1, m_full_unix, c_send, f_empty, 0, 0, 0, ""},
	{"sendmsg", 1, m_full_unix, c_sendmsg, f_empty, 0, 0, 0, ""},
	{"send with SO_SNDTIMEO", 0, m_full_timeo, c_send, f_empty, 0, 0, 0, ""},
	{"accept", 1, m_listener, c_accept, f_connect, 0, 0, 0, ""},
	{"accept4", 1, m_listener, c_accept4, f_connect, 0, 0, 0, ""},
	{"accept with SO_RCVTIMEO", 0, m_listener_timeo, c_accept, f_connect, 0, 0, 0, ""},
	{"open of a FIFO", 1, m_fifo, c_open, f_fifo, 0, 0, 0, ""},
	{"flock", 1, m_lock, c_flock, f_unlock, 0, 0, 0, ""},
	{"fcntl(F_SETLKW)", 1, m_lock, c_setlkw, f_unlock, 0, 0, 0, ""},
	{"lockf", 1, m_lock, c_lockf, f_unlock, 0, 0, 0, ""},
	{"poll", 0, m_pipe, c_poll, f_write, 0, 0, 0, ""},
	{"ppoll", 0, m_unix, c_ppoll, f_write, 0, 0, 0, ""},
	{"select", 0, m_pipe, c_select, f_write, 0, 0, 0, ""},
	{"pselect", 0, m_tcp, c_pselect, f_write, 0, 0, 0, ""},
	{"epoll_wait", 0, m_epoll, c_epoll_wait, f_write, 0, 0, 0, ""},
	{"epoll_pwait", 0, m_epoll, c_epoll_pwait, f_write, 0, 0, 0, ""},
	{"epoll_pwait2", 0, m_epoll, c_epoll_pwait2, f_write, 0, 0, 0, ""},
	{"waitpid", 1, m_child, c_waitpid, f_child, 0, 0, 0, ""},
	{"waitid", 1, m_child, c_waitid, f_child, 0, 0, 0, ""},
	{"wait4", 1, m_child, c_wait4, f_child, 0, 0, 0, ""},
	{"nanosleep", 0, m_none, c_nanosleep, NULL, 0, 0, 0, ""},
	{"usleep", 0, m_none, c_usleep, NULL, 0, 0, 0, ""},
	{"clock_nanosleep", 0, m_none, c_clock_nanosleep, NULL, 0, 0, 0, ""},
	{"pause", 0, m_none, c_pause, NULL, 0, 0, 0, ""},
	{"sigtimedwait", 0, m_signal, c_sigtimedwait, f_signal, 0, 0, 0, ""},
	{"sigwaitinfo", 0, m_signal, c_sigwaitinfo, f_signal, 0, 0, 0, ""},
	{"read of a signalfd", 1, m_signalfd, c_read, f_signal, 0, 0, 0, ""},
	{"msgrcv", 0, m_msg, c_msgrcv, f_msg, 0, 0, 0, ""},
	{"semop", 0, m_sem, c_semop, f_sem, 0, 0, 0, ""},
	{"semtimedop", 0, m_sem, c_semtimedop, f_sem, 0, 0, 0, ""},
	{"mq_receive", 1, m_mq, c_mq_receive, f_mq, 0, 0, 0, ""},
	{"mq_timedreceive", 1, m_mq, c_mq_timedreceive, f_mq, 0, 0, 0, ""},
	{"splice from a pipe", 1, m_pipe, c_splice, f_write, 0, 0, 0, ""},
	{"tee from a pipe", 1, m_pipe, c_tee, f_write, 0, 0, 0, ""},
};
enum { ROWS = sizeof table / sizeof *table };

static CHECK_UNUSED void row_clean(struct row *r)
{
	if (r->call == c_msgrcv)
		msgctl(r->extra, IPC_RMID, NULL);
	else if (r->make == m_sem)
		semctl(r->extra, 0, IPC_RMID);
	else if (r->make == m_mq)
		mq_close((mqd_t)r->extra);
	else if ((r->make == m_epoll || r->call == c_accept || r->call == c_accept4 || r->call == c_open) && r->extra > 0)
		close(r->extra);
	if (r->make == m_child) {
		kill(r->extra, SIGKILL); /* if it was not waited for */
		waitpid(r->extra, NULL, 0);
	}
	if (r->make == m_inotify)
		rmdir(watched_path);
	if (r->make == m_fifo)
		unlink(fifo_path);
	if (r->fd >= 0)
		close(r->fd);
	if (r->peer >= 0 && r->peer != r->fd)
		close(r->peer);
	r->fd = r->peer = -1;
	r->extra = 0;
}

#endif
