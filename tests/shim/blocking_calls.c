/*
 * Every wrapped call once, on the main thread and on another: result, errno and data as without us.
 * CFLAGS: -D_GNU_SOURCE -Wno-stringop-overread -Wno-stringop-overflow -Wno-deprecated-declarations
 */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Prints result and errno; errno must stay what it was where the call succeeds. */
#define T(call)                                                                                                        \
	do {                                                                                                               \
		errno = 77;                                                                                                    \
		long r_ = (long)(call);                                                                                        \
		int e_ = errno;                                                                                                \
		printf("%s = %ld, errno %d\n", #call, r_, e_);                                                                 \
	} while (0)
/* The same where a success is a fresh number (descriptor, pid). */
#define TP(call) T((call) >= 0)

ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
int __open_2(const char *, int);
int __openat_2(int, const char *, int);
ssize_t __read(int, void *, size_t);
ssize_t __write(int, const void *, size_t);
int __fcntl(int, int, ...);
int __poll(struct pollfd *, nfds_t, int);
pid_t __waitpid(pid_t, int *, int);
pid_t __wait(int *);

static void files(void)
{
	char name[] = "/tmp/grt-blocking-XXXXXX", b[16] = {0}, c[16] = {0};
	int fd = mkstemp(name);
	struct iovec io = {b, 4}, two[2] = {{b, 2}, {c, 2}};
	struct stat st;
	off_t off = 0;
	off64_t off64 = 0;

	T(write(fd, "0123456789", 10));
	T(pwrite(fd, "ab", 2, 1));
	T(pwrite64(fd, "cd", 2, 3));
	T(pread(fd, b, 4, 0));
	puts(b);
	T(pread64(fd, b, 4, 2));
	T(__pread_chk(fd, b, 4, 2, 16));
	T(__pread64_chk(fd, b, 4, 2, 16));
	T(pwritev(fd, two, 2, 6));
	T(preadv(fd, two, 2, 6));
	T(pwritev2(fd, two, 2, 6, 0));
	T(preadv2(fd, two, 2, 6, 0));
	T(preadv64v2(fd, two, 2, 6, 0));
	T(pwritev64v2(fd, two, 2, 6, 0));
	T(preadv64(fd, two, 2, -5));
	T(pwritev64(fd, two, 2, 2));
	T(preadv2(fd, two, 2, 6, 0x4000));
	T(lseek(fd, 0, SEEK_SET));
	T(read(fd, b, 3));
	T(__read(fd, b, 1));
	T(__read_chk(fd, b, 1, 16));
	T(readv(fd, &io, 1));
	T(writev(fd, &io, 1));
	T(__write(fd, "z", 1));
	T(read(-1, b, 1));
	T(write(fd, (void *)8, 1));
	T(fsync(fd));
	T(fdatasync(fd));
	T(syncfs(fd));
	T(fsync(-1));
	T(sync_file_range(fd, 0, 4, SYNC_FILE_RANGE_WRITE));
	T(fallocate(fd, 0, 0, 100));
	T(fallocate64(fd, 0, -1, 100));
	T(posix_fallocate(fd, 0, 200));
	T(posix_fallocate64(fd, -1, 200));
	T(flock(fd, LOCK_EX));
	T(flock(fd, LOCK_SH | LOCK_NB));
	T(flock(fd, LOCK_UN));
	T(flock(fd, 77));
	T(lockf(fd, F_LOCK, 1));
	T(lockf64(fd, F_ULOCK, 1));
	struct flock lk = {.l_type = F_WRLCK, .l_len = 3};
	T(fcntl(fd, F_SETLKW, &lk));
	lk.l_type = F_UNLCK;
	T(fcntl(fd, F_SETLK, &lk));
	lk.l_type = F_WRLCK;
	T(fcntl(fd, F_OFD_SETLKW, &lk));
	T(fcntl(fd, F_GETFD));
	T(__fcntl(fd, F_SETFD, FD_CLOEXEC));
	T(fcntl64(fd, F_GETFD));
	T(fcntl(-1, F_GETFL));
	TP(open(name, O_RDONLY));
	TP(__open_2(name, O_RDONLY));
	TP(openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_TRUNC, 0600));
	TP(__openat_2(AT_FDCWD, name, O_RDWR));
	T(open("/nonexistent/x", O_RDONLY));
	T(open64(name, O_CREAT | O_EXCL, 0600));
	unlink(name);
	umask(0);
	TP(open(name, O_CREAT | O_WRONLY, 0640));
	T((stat(name, &st), st.st_mode & 0777));
	unlink(name);
	TP(creat(name, 0604));
	T((stat(name, &st), st.st_mode & 0777));
	unlink(name);
	TP(creat64(name, 0604));
	unlink(name);
	TP(openat64(AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR, 0600));
	T(write(fd, "0123456789", 10));
	int p[2], q[2], out = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	T(pipe(p) | pipe(q));
	T(sendfile(p[1], fd, &off, 5));
	T(sendfile64(p[1], fd, &off64, 5));
	T(tee(p[0], q[1], 7, 0));
	T(splice(p[0], NULL, out, NULL, 4, 0));
	T(vmsplice(p[1], &io, 1, 0));
	off64 = 0;
	T(copy_file_range(fd, &off64, out, NULL, 5, 0));
	T(ioctl(p[0], FIONREAD, &lk.l_pid));
	printf("%d\n", (int)lk.l_pid);
	T(ioctl(-1, FIONREAD, &lk.l_pid));
	T(tcdrain(p[0]));
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
	T(msync(m, 4096, MS_SYNC));
	T(msync((char *)m + 1, 4096, MS_SYNC));
	int ev = eventfd(3, 0);
	eventfd_t v;
	T(eventfd_write(ev, 4));
	T(eventfd_read(ev, &v));
	printf("%d\n", (int)v);
	T(getrandom(b, 8, 0));
	T(getrandom(b, 8, 0x100));
	T(getentropy(b, 8));
	T(getentropy(b, 257));
}

static void polls(void)
{
	int p[2];
	if (pipe(p) != 0)
		return;
	struct pollfd f = {p[0], POLLIN, 0};
	struct timespec z = {0, 0}, ms = {0, 3000000}, bad = {0, 1000000000};
	struct timeval tv = {0, 2000}, tz = {0, 0};
	fd_set s;
	struct epoll_event ee = {EPOLLIN, {.fd = 4}}, got[2];
	int ep = epoll_create1(0);

	T(poll(&f, 1, 0));
	T(poll(&f, 1, 3));
	T(__poll(&f, 1, 1));
	T(__poll_chk(&f, 1, 1, sizeof f));
	T(ppoll(&f, 1, &z, NULL));
	T(ppoll(&f, 1, &ms, NULL));
	T(ppoll(&f, 1, &bad, NULL));
	T(__ppoll_chk(&f, 1, &ms, NULL, sizeof f));
	FD_ZERO(&s);
	FD_SET(p[0], &s);
	T(select(p[0] + 1, &s, NULL, NULL, &tz));
	FD_SET(p[0], &s);
	T(select(p[0] + 1, &s, NULL, NULL, &tv));
	T((long)tv.tv_usec);
	T(pselect(p[0] + 1, &s, NULL, NULL, &ms, NULL));
	T(select(-1, NULL, NULL, NULL, NULL));
	T(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ee));
	T(epoll_wait(ep, got, 2, 0));
	T(epoll_wait(ep, got, 2, 3));
	T(write(p[1], "x", 1));
	T(epoll_wait(ep, got, 2, -1));
	T(epoll_pwait(ep, got, 2, -1, NULL));
	T(epoll_pwait2(ep, got, 2, NULL, NULL));
	T(epoll_wait(ep, got, 0, -1));
	T(poll(&f, 1, -1));
	FD_SET(p[0], &s);
	T(select(p[0] + 1, &s, NULL, NULL, NULL));
	T(poll((void *)8, 1, 5));
}

static void *client(void *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, path);
	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		while (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
			usleep(1000);
		close(fd);
	}
	return NULL;
}

static void sockets(void)
{
	int s[2];
	char b[16] = {0};
	struct iovec io = {b, 4};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	struct mmsghdr mm[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t n = sizeof a;

	T(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	T(send(s[0], "abc", 3, 0));
	T(recv(s[1], b, 16, 0));
	T(recv(s[1], b, 16, MSG_DONTWAIT));
	T(sendto(s[0], "abc", 3, 0, NULL, 0));
	T(recvfrom(s[1], b, 16, 0, (struct sockaddr *)&a, &n));
	T((long)n);
	T(send(s[0], "abc", 3, 0));
	T(__recv_chk(s[1], b, 16, 16, 0));
	T(send(s[0], "abc", 3, 0));
	T(__recvfrom_chk(s[1], b, 16, 16, 0, NULL, NULL));
	T(sendmsg(s[0], &m, 0));
	T(recvmsg(s[1], &m, 0));
	T(sendmmsg(s[0], mm, 2, 0));
	T(recvmmsg(s[1], mm, 2, 0, NULL));
	T(recvmmsg(s[1], mm, 2, MSG_DONTWAIT, NULL));
	T(send(-1, "a", 1, 0));
	T(connect(s[0], (struct sockaddr *)&a, 1));
	T(accept(s[0], NULL, NULL));
	memset(&a, 0, sizeof a);
	a.sun_family = AF_UNIX;
	snprintf(a.sun_path, sizeof a.sun_path, "/tmp/grt-blocking-%d", getpid());
	int l = socket(AF_UNIX, SOCK_STREAM, 0);
	pthread_t t;
	T(bind(l, (struct sockaddr *)&a, sizeof a));
	T(listen(l, 5));
	pthread_create(&t, NULL, client, a.sun_path);
	TP(accept(l, NULL, NULL));
	TP(accept4(l, NULL, NULL, SOCK_CLOEXEC));
	pthread_join(t, NULL);
	unlink(a.sun_path);
}

static pid_t child(int code)
{
	fflush(stdout);
	pid_t p = fork();
	if (p == 0)
		_exit(code);
	return p;
}

static void children(void)
{
	int st;
	siginfo_t si;
	struct rusage ru;
	pid_t p;
	char *argv[] = {"sh", "-c", "exit 9", NULL};
	extern char **environ;

	T(wait(&st));
	T(waitpid(-1, &st, WNOHANG));
	p = child(3);
	T(waitpid(p, &st, 0) == p);
	T(st);
	p = child(4);
	T(wait(&st) == p);
	T(st);
	p = child(5);
	T(wait3(&st, 0, &ru) == p);
	p = child(5);
	T(wait4(p, &st, 0, NULL) == p);
	p = child(6);
	T(__wait(&st) == p);
	p = child(6);
	T(__waitpid(p, &st, 0) == p);
	p = child(6);
	T(waitid(P_PID, p, &si, WEXITED));
	T(si.si_status);
	T(waitid(P_PID, p, &si, WEXITED | WNOHANG));
	T(system("exit 7"));
	T(system(NULL));
	T(posix_spawn(&p, "/nonexistent", NULL, NULL, argv, environ));
	T(posix_spawn(&p, "/bin/sh", NULL, NULL, argv, environ));
	T(waitpid(p, &st, 0) == p);
	T(st);
	T(posix_spawnp(&p, "sh", NULL, NULL, argv, environ));
	T(waitpid(p, &st, 0) == p);
	T(posix_spawnp(&p, "no such program", NULL, NULL, argv, environ));
	FILE *f = popen("echo popen", "r");
	char line[32] = "";
	T(fgets(line, sizeof line, f) != NULL);
	fputs(line, stdout);
	T(pclose(f));
	/* _Fork, and a file lock that another process holds. */
	fflush(stdout);
	p = _Fork();
	if (p == 0)
		_exit(8);
	T(waitpid(p, &st, 0) == p);
	T(st);
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600), sync[2];
	struct flock lk = {.l_type = F_WRLCK, .l_len = 3};
	T(pipe(sync));
	fflush(stdout);
	p = fork();
	if (p == 0) {
		struct timespec ts = {0, 20000000};
		fcntl(fd, F_SETLK, &lk);
		(void)!write(sync[1], "x", 1);
		nanosleep(&ts, NULL);
		_exit(0);
	}
	T(read(sync[0], line, 1));
	T(fcntl(fd, F_SETLKW, &lk));
	T(waitpid(p, &st, 0) == p);
}

static void handler(int sig)
{
	(void)sig;
}

static void *kicker(void *to)
{
	struct timespec ts = {0, 30000000};
	for (int i = 0; i < 5; i++) {
		nanosleep(&ts, NULL);
		pthread_kill(*(pthread_t *)to, SIGUSR1);
	}
	return NULL;
}

static void signals(void)
{
	sigset_t set, none;
	siginfo_t si;
	int sig = 0;
	struct timespec z = {0, 0}, ms = {0, 2000000};
	pthread_t t, self = pthread_self();

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	T(sigtimedwait(&set, &si, &z));
	T(sigtimedwait(&set, &si, &ms));
	T(pthread_kill(self, SIGUSR2));
	T(sigwait(&set, &sig));
	T(sig);
	T(pthread_kill(self, SIGUSR2));
	T(sigwaitinfo(&set, &si));
	T(pthread_kill(self, SIGUSR2));
	T(sigtimedwait(&set, &si, NULL));
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	sigaddset(&set, SIGUSR1);
	struct sigaction sa = {.sa_handler = handler};
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	pthread_create(&t, NULL, kicker, &self);
	char c;
	int p[2];
	T(pipe(p));
	T(read(p[0], &c, 1));
	T(poll(NULL, 0, -1));
	T(pause());
	T(sigsuspend(&none));
	T(sigpause(SIGUSR2));
	pthread_join(t, NULL);
}

static void queues(void)
{
	struct {
		long type;
		char text[8];
	} m = {1, "abc"};
	int q = msgget(IPC_PRIVATE, 0600), s = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0}, try = {0, -1, IPC_NOWAIT};
	struct timespec ms = {0, 2000000}, past = {0, 0};
	char name[64], b[64];
	unsigned prio = 0;

	T(msgsnd(q, &m, 4, 0));
	T(msgrcv(q, &m, 8, 0, 0));
	T(msgrcv(q, &m, 8, 0, IPC_NOWAIT));
	T(msgsnd(-1, &m, 4, IPC_NOWAIT));
	T(msgctl(q, IPC_RMID, NULL));
	T(semop(s, &up, 1));
	T(semop(s, &down, 1));
	T(semop(s, &try, 1));
	T(semtimedop(s, &down, 1, &ms));
	T(semctl(s, 0, IPC_RMID));
	snprintf(name, sizeof name, "/grt-blocking-%d", getpid());
	struct mq_attr at = {.mq_maxmsg = 1, .mq_msgsize = 64};
	mqd_t mq = mq_open(name, O_CREAT | O_RDWR, 0600, &at);
	mq_unlink(name);
	T(mq_send(mq, "abc", 3, 5));
	T(mq_timedsend(mq, "abc", 3, 5, &past));
	T(mq_receive(mq, b, 64, &prio));
	T(prio);
	T(mq_timedreceive(mq, b, 64, &prio, &past));
	T(mq_receive(mq, b, 1, &prio));

	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct aiocb cb = {.aio_fildes = fd, .aio_buf = b, .aio_nbytes = 5};
	const struct aiocb *list[] = {&cb};
	T(aio_write(&cb));
	while (aio_error(&cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	T(aio_return(&cb));
	T(aio_suspend(list, 1, NULL));
}

static void *all(void *arg)
{
	printf("---- %s\n", (char *)arg);
	files();
	polls();
	sockets();
	children();
	signals();
	queues();
	return NULL;
}

int main(void)
{
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	all("main");
	pthread_create(&t, NULL, all, "thread");
	pthread_join(t, NULL);
	return 0;
}
