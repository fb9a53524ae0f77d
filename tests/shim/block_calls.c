/* block_calls.c - a thread blocked in a system call does not stop the others.
 *
 * For each call: a thread enters it, the rest of the program proves that it goes on (a worker that
 * has work to do, a new thread, a mutex and cond hand-over), then the call is satisfied and its
 * result is checked.  With GOMAXPROCS=1 there is one processor to lose. */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static int entered;

/* -- proof that others run ----------------------------------------------------------- */

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int requests, replies, quit; /* m */

static void *serves(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&m);
	while (!quit) {
		if (requests > replies) {
			replies++;
			pthread_cond_broadcast(&c);
		} else {
			pthread_cond_wait(&c, &m);
		}
	}
	pthread_mutex_unlock(&m);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static int others_run(void)
{
	struct timespec ts = in_ms(CLOCK_REALTIME, 10000);
	int ok = 1;
	pthread_mutex_lock(&m);
	for (int i = 0; i < 5 && ok; i++) {
		int want = ++requests;
		pthread_cond_broadcast(&c);
		while (replies < want && ok)
			ok = pthread_cond_timedwait(&c, &m, &ts) == 0;
	}
	pthread_mutex_unlock(&m);
	return ok && join(spawn(nothing, (void *)6)) == (void *)6;
}

/* -- the calls ----------------------------------------------------------------------- */

static int p[2], sv[2], listener, efd, ep, tfd, sfd, lock_fd, msgid, semid, fifo_rd;
static mqd_t mq;
static char dir[] = "/tmp/grt-block-XXXXXX";
static char path[128];
static pid_t child;
static struct sockaddr_in addr;
static pthread_t blocked_thread;

static void in(void)
{
	flag_set(&entered, 1);
}

static void *do_read(void *arg)
{
	char ch = 0;
	(void)arg;
	in();
	return (void *)(long)(read(p[0], &ch, 1) == 1 ? ch : -1);
}
static void end_read(void)
{
	EXPECT_EQ(1, write(p[1], "r", 1));
}

static void *do_readv(void *arg)
{
	char a = 0, b = 0;
	struct iovec v[2] = {{&a, 1}, {&b, 1}};
	(void)arg;
	in();
	return (void *)(long)(readv(p[0], v, 2) == 2 ? a + b : -1);
}
static void end_readv(void)
{
	EXPECT_EQ(2, write(p[1], "12", 2));
}

static void *do_write(void *arg)
{
	char block[65536];
	long n = 0;
	(void)arg;
	memset(block, 'w', sizeof block);
	in();
	/* more than the pipe holds */
	for (int i = 0; i < 4; i++)
		n += write(p[1], block, sizeof block);
	return (void *)n;
}
static void end_write(void)
{
	static char block[4 * 65536];
	long n = 0;
	while (n < (long)sizeof block) {
		ssize_t got = read(p[0], block, sizeof block);
		EXPECT(got > 0);
		n += got;
	}
}

static void *do_recv(void *arg)
{
	char buf[4];
	(void)arg;
	in();
	return (void *)(long)recv(sv[0], buf, sizeof buf, 0);
}
static void end_recv(void)
{
	EXPECT_EQ(3, send(sv[1], "abc", 3, 0));
}

static void *do_recvmsg(void *arg)
{
	char buf[4];
	struct iovec v = {buf, sizeof buf};
	struct msghdr h;
	(void)arg;
	memset(&h, 0, sizeof h);
	h.msg_iov = &v;
	h.msg_iovlen = 1;
	in();
	return (void *)(long)recvmsg(sv[0], &h, 0);
}

static void *do_accept(void *arg)
{
	(void)arg;
	in();
	int fd = accept(listener, NULL, NULL);
	if (fd >= 0)
		close(fd);
	return (void *)(long)(fd >= 0 ? 1 : -errno);
}
static void end_accept(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(0, connect(fd, (struct sockaddr *)&addr, sizeof addr));
	close(fd);
}

/* The second connection to a full queue of a unix socket blocks. */
static struct sockaddr_un full;
static int full_listener, full_first[4];
static void begin_connect(void)
{
	full.sun_family = AF_UNIX;
	snprintf(full.sun_path, sizeof full.sun_path, "%s/s", dir);
	full_listener = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT_EQ(0, bind(full_listener, (struct sockaddr *)&full, sizeof full));
	EXPECT_EQ(0, listen(full_listener, 0));
	full_first[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT_EQ(0, connect(full_first[0], (struct sockaddr *)&full, sizeof full));
}
static void *do_connect(void *arg)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)arg;
	in();
	long rc = connect(fd, (struct sockaddr *)&full, sizeof full);
	close(fd);
	return (void *)(rc == 0 ? 1L : -errno);
}
static void end_connect(void)
{
	close(accept(full_listener, NULL, NULL));
	close(accept(full_listener, NULL, NULL));
	close(full_first[0]);
	close(full_listener);
}

static void *do_poll(void *arg)
{
	struct pollfd f = {p[0], POLLIN, 0};
	(void)arg;
	in();
	int rc = poll(&f, 1, -1);
	char ch;
	EXPECT_EQ(1, read(p[0], &ch, 1));
	return (void *)(long)(rc == 1 ? f.revents : -1);
}

static void *do_poll_timeout(void *arg)
{
	struct pollfd f = {p[0], POLLIN, 0};
	(void)arg;
	in();
	return (void *)(long)(poll(&f, 1, 200) == 0 ? 1 : 0);
}

static void *do_select(void *arg)
{
	fd_set r;
	(void)arg;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	in();
	int rc = select(p[0] + 1, &r, NULL, NULL, NULL);
	char ch;
	EXPECT_EQ(1, read(p[0], &ch, 1));
	return (void *)(long)rc;
}

static void *do_select_timeout(void *arg)
{
	struct timeval tv = {0, 200000};
	(void)arg;
	in();
	return (void *)(long)(select(0, NULL, NULL, NULL, &tv) == 0 ? 1 : 0);
}

static void *do_epoll_wait(void *arg)
{
	struct epoll_event ev;
	uint64_t n = 0;
	(void)arg;
	in();
	int rc = epoll_wait(ep, &ev, 1, -1);
	EXPECT_EQ(8, read(efd, &n, 8));
	return (void *)(long)(rc == 1 ? (int)ev.data.u32 + (int)n : -1);
}
static void end_eventfd(void)
{
	uint64_t n = 5;
	EXPECT_EQ(8, write(efd, &n, 8));
}

static void *do_eventfd(void *arg)
{
	uint64_t n = 0;
	(void)arg;
	in();
	EXPECT_EQ(8, read(efd, &n, 8));
	return (void *)(long)n;
}

static void *do_timerfd(void *arg)
{
	uint64_t n = 0;
	(void)arg;
	in();
	EXPECT_EQ(8, read(tfd, &n, 8));
	return (void *)(long)(n >= 1);
}
static void begin_timerfd(void)
{
	struct itimerspec it = {{0, 0}, {0, 200000000}};
	EXPECT_EQ(0, timerfd_settime(tfd, 0, &it, NULL));
}

static void *do_nanosleep(void *arg)
{
	struct timespec ts = {0, 200000000};
	(void)arg;
	in();
	return (void *)(long)nanosleep(&ts, NULL);
}
static void *do_clock_nanosleep(void *arg)
{
	struct timespec ts = in_ms(CLOCK_MONOTONIC, 200);
	(void)arg;
	in();
	int rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	struct timespec now = in_ms(CLOCK_MONOTONIC, 0);
	EXPECT(now.tv_sec > ts.tv_sec || (now.tv_sec == ts.tv_sec && now.tv_nsec >= ts.tv_nsec));
	return (void *)(long)rc;
}
static void *do_usleep(void *arg)
{
	(void)arg;
	in();
	return (void *)(long)usleep(200000);
}
static void *do_sleep(void *arg)
{
	(void)arg;
	in();
	return (void *)(long)sleep(1);
}

static void begin_child(void)
{
	int fds[2];
	fflush(stdout);
	EXPECT_EQ(0, pipe(fds));
	child = fork();
	if (child == 0) {
		char ch;
		close(fds[1]);
		close(p[1]);
		while (read(fds[0], &ch, 1) == -1)
			;
		_exit(9);
	}
	close(fds[0]);
	full_first[1] = fds[1];
}
static void end_child(void)
{
	close(full_first[1]);
}
static void *do_waitpid(void *arg)
{
	int status = 0;
	(void)arg;
	in();
	EXPECT_EQ(child, waitpid(child, &status, 0));
	return (void *)(long)WEXITSTATUS(status);
}
static void *do_waitid(void *arg)
{
	siginfo_t si;
	(void)arg;
	memset(&si, 0, sizeof si);
	in();
	EXPECT_EQ(0, waitid(P_PID, (id_t)child, &si, WEXITED));
	return (void *)(long)si.si_status;
}

static void *do_sigwait(void *arg)
{
	sigset_t set;
	int sig = 0;
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	in();
	EXPECT_EQ(0, sigwait(&set, &sig));
	return (void *)(long)(sig == SIGUSR2);
}
static void end_sigwait(void)
{
	EXPECT_EQ(0, pthread_kill(blocked_thread, SIGUSR2));
}
static void *do_sigtimedwait(void *arg)
{
	sigset_t set;
	struct timespec ts = {0, 200000000};
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	in();
	return (void *)(long)(sigtimedwait(&set, NULL, &ts) == -1 && errno == EAGAIN);
}

static void on_usr1(int sig)
{
	(void)sig;
}
static void *do_pause(void *arg)
{
	(void)arg;
	in();
	return (void *)(long)(pause() == -1 && errno == EINTR);
}
static void *do_sigsuspend(void *arg)
{
	sigset_t set;
	(void)arg;
	sigemptyset(&set);
	in();
	return (void *)(long)(sigsuspend(&set) == -1 && errno == EINTR);
}
static void end_pause(void)
{
} /* see blocks() */

static void *do_signalfd(void *arg)
{
	struct signalfd_siginfo si;
	(void)arg;
	memset(&si, 0, sizeof si);
	in();
	EXPECT_EQ((long)sizeof si, read(sfd, &si, sizeof si));
	return (void *)(long)(si.ssi_signo == SIGUSR2);
}
static void end_signalfd(void)
{
	EXPECT_EQ(0, kill(getpid(), SIGUSR2));
}

static int other_fd;
static void begin_flock(void)
{
	other_fd = open(path, O_RDWR);
	EXPECT_EQ(0, flock(other_fd, LOCK_EX));
}
static void *do_flock(void *arg)
{
	(void)arg;
	in();
	int rc = flock(lock_fd, LOCK_EX);
	flock(lock_fd, LOCK_UN);
	return (void *)(long)rc;
}
static void end_flock(void)
{
	flock(other_fd, LOCK_UN);
	close(other_fd);
}

static void begin_ofd(void)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	other_fd = open(path, O_RDWR);
	EXPECT_EQ(0, fcntl(other_fd, F_OFD_SETLK, &fl));
}
static void *do_ofd(void *arg)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	(void)arg;
	in();
	int rc = fcntl(lock_fd, F_OFD_SETLKW, &fl);
	fl.l_type = F_UNLCK;
	fcntl(lock_fd, F_OFD_SETLK, &fl);
	return (void *)(long)rc;
}
static void end_ofd(void)
{
	close(other_fd);
}

struct message {
	long type;
	char text[8];
};
static void *do_msgrcv(void *arg)
{
	struct message msg;
	(void)arg;
	in();
	return (void *)(long)(msgrcv(msgid, &msg, sizeof msg.text, 0, 0) == 8 ? msg.type : -1);
}
static void end_msgrcv(void)
{
	struct message msg = {4, "message"};
	EXPECT_EQ(0, msgsnd(msgid, &msg, sizeof msg.text, 0));
}
static void *do_semop(void *arg)
{
	struct sembuf b = {0, -1, 0};
	(void)arg;
	in();
	return (void *)(long)semop(semid, &b, 1);
}
static void end_semop(void)
{
	struct sembuf b = {0, 1, 0};
	EXPECT_EQ(0, semop(semid, &b, 1));
}
static void *do_mq_receive(void *arg)
{
	char buf[16];
	unsigned prio = 0;
	(void)arg;
	in();
	return (void *)(long)(mq_receive(mq, buf, sizeof buf, &prio) == 3 ? (long)prio : -1);
}
static void end_mq_receive(void)
{
	EXPECT_EQ(0, mq_send(mq, "abc", 3, 2));
}

static void *do_open_fifo(void *arg)
{
	char name[160];
	(void)arg;
	snprintf(name, sizeof name, "%s/fifo", dir);
	in();
	int fd = open(name, O_WRONLY);
	close(fd);
	return (void *)(long)(fd >= 0);
}
static void end_open_fifo(void)
{
	char name[160];
	snprintf(name, sizeof name, "%s/fifo", dir);
	fifo_rd = open(name, O_RDONLY);
	EXPECT(fifo_rd >= 0);
	close(fifo_rd);
}

static void *do_splice(void *arg)
{
	(void)arg;
	in();
	long n = splice(p[0], NULL, sv[1], NULL, 4, 0);
	char buf[4];
	EXPECT_EQ(1, recv(sv[0], buf, 4, 0));
	return (void *)n;
}

static void nothing_to_do(void)
{
}

static void blocks(const char *name, void (*begin)(void), void *(*call)(void *), void (*end)(void), long want)
{
	char clause[128];
	void *value = (void *)-77;
	double until;

	flag_set(&entered, 0);
	begin();
	blocked_thread = spawn(call, NULL);
	if (!flag_wait_bounded(&entered, 1))
		CHECK("the thread starts", 0);
	sleep_ms(20);
	snprintf(clause, sizeof clause, "%s: others run meanwhile", name);
	CHECK(clause, others_run());
	if (end == end_pause) {
		/* it may not be in pause yet: again until it has ended */
		until = now_s() + 10;
		while (pthread_tryjoin_np(blocked_thread, &value) == EBUSY && now_s() < until) {
			pthread_kill(blocked_thread, SIGUSR1);
			sleep_ms(10);
		}
	} else {
		end();
		value = join(blocked_thread);
	}
	snprintf(clause, sizeof clause, "%s: its result", name);
	CHECK_EQ(clause, want, (long)value);
}

int main(void)
{
	struct mq_attr ma = {.mq_maxmsg = 4, .mq_msgsize = 16};
	struct sigaction sa;
	struct epoll_event ev;
	sigset_t set;
	socklen_t len = sizeof addr;
	char name[160];
	pthread_t server;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_usr1;
	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);

	EXPECT(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/lock", dir);
	lock_fd = open(path, O_RDWR | O_CREAT, 0600);
	snprintf(name, sizeof name, "%s/fifo", dir);
	EXPECT_EQ(0, mkfifo(name, 0600));
	EXPECT_EQ(0, pipe(p));
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(0, bind(listener, (struct sockaddr *)&addr, sizeof addr));
	EXPECT_EQ(0, listen(listener, 8));
	EXPECT_EQ(0, getsockname(listener, (struct sockaddr *)&addr, &len));
	efd = eventfd(0, 0);
	ep = epoll_create1(0);
	memset(&ev, 0, sizeof ev);
	ev.events = EPOLLIN;
	ev.data.u32 = 40;
	EXPECT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, efd, &ev));
	tfd = timerfd_create(CLOCK_MONOTONIC, 0);
	sfd = signalfd(-1, &set, 0);
	msgid = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
	semid = semget(IPC_PRIVATE, 1, 0600 | IPC_CREAT);
	EXPECT(msgid >= 0 && semid >= 0);
	snprintf(name, sizeof name, "/grt-block-%d", (int)getpid());
	mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &ma);
	EXPECT(mq != (mqd_t)-1);
	mq_unlink(name);

	server = spawn(serves, NULL);
	blocks("read of a pipe", nothing_to_do, do_read, end_read, 'r');
	blocks("readv of a pipe", nothing_to_do, do_readv, end_readv, '1' + '2');
	blocks("write to a full pipe", nothing_to_do, do_write, end_write, 4 * 65536);
	blocks("recv", nothing_to_do, do_recv, end_recv, 3);
	blocks("recvmsg", nothing_to_do, do_recvmsg, end_recv, 3);
	blocks("accept", nothing_to_do, do_accept, end_accept, 1);
	blocks("connect to a full queue", begin_connect, do_connect, end_connect, 1);
	blocks("poll", nothing_to_do, do_poll, end_read, POLLIN);
	blocks("poll with a timeout", nothing_to_do, do_poll_timeout, nothing_to_do, 1);
	blocks("select", nothing_to_do, do_select, end_read, 1);
	blocks("select with a timeout", nothing_to_do, do_select_timeout, nothing_to_do, 1);
	blocks("epoll_wait", nothing_to_do, do_epoll_wait, end_eventfd, 45);
	blocks("read of an eventfd", nothing_to_do, do_eventfd, end_eventfd, 5);
	blocks("read of a timerfd", begin_timerfd, do_timerfd, nothing_to_do, 1);
	blocks("nanosleep", nothing_to_do, do_nanosleep, nothing_to_do, 0);
	blocks("clock_nanosleep", nothing_to_do, do_clock_nanosleep, nothing_to_do, 0);
	blocks("usleep", nothing_to_do, do_usleep, nothing_to_do, 0);
	blocks("sleep", nothing_to_do, do_sleep, nothing_to_do, 0);
	blocks("waitpid", begin_child, do_waitpid, end_child, 9);
	blocks("waitid", begin_child, do_waitid, end_child, 9);
	blocks("sigwait", nothing_to_do, do_sigwait, end_sigwait, 1);
	blocks("sigtimedwait", nothing_to_do, do_sigtimedwait, nothing_to_do, 1);
	blocks("pause", nothing_to_do, do_pause, end_pause, 1);
	blocks("sigsuspend", nothing_to_do, do_sigsuspend, end_pause, 1);
	blocks("read of a signalfd", nothing_to_do, do_signalfd, end_signalfd, 1);
	blocks("flock", begin_flock, do_flock, end_flock, 0);
	blocks("fcntl F_OFD_SETLKW", begin_ofd, do_ofd, end_ofd, 0);
	blocks("msgrcv", nothing_to_do, do_msgrcv, end_msgrcv, 4);
	blocks("semop", nothing_to_do, do_semop, end_semop, 0);
	blocks("mq_receive", nothing_to_do, do_mq_receive, end_mq_receive, 2);
	blocks("open of a fifo", nothing_to_do, do_open_fifo, end_open_fifo, 1);
	blocks("splice from a pipe", nothing_to_do, do_splice, end_read, 1);

	pthread_mutex_lock(&m);
	quit = 1;
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	join(server);
	msgctl(msgid, IPC_RMID, NULL);
	semctl(semid, 0, IPC_RMID);
	snprintf(name, sizeof name, "rm -rf %s", dir);
	EXPECT_EQ(0, system(name));
	return check_done();
}
