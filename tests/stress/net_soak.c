/* TIMEOUT: 90
 * net_soak.c [SECONDS [SEED]] - blocking connections under faults, and an account at the end: 4 seconds, ten minutes by hand.
 *
 * Threads talk to a server with a thread for each connection, over pipes and over socket pairs, and end it in every way: closed,
 * reset, half closed, left half open, shut down by another thread, the descriptor replaced under a sleeper by dup2 or closed and its
 * number used again. Meanwhile signals with and without SA_RESTART come to all of them, and children are forked which use what
 * they inherit. Accounted for:
 *
 *  - each operation is watched: one that takes 30 s is a lost wake-up, and ends the test with its name;
 *  - what was sent comes back, byte for byte, on every connection that was not broken on purpose;
 *  - at the end every thread has been joined, every connection of the server has ended, and as many descriptors are open as before.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "random.h"

enum { CLIENTS = 32, LIMIT_S = 30, MOST = 8192 };

struct client {
	pthread_t thread;
	unsigned rand;
	const char *op; /* atomic: what it is in, NULL between them */
	double since;
	long ops, rounds;
	int ready;
};

static struct client client[CLIENTS];
static struct sockaddr_in addr;
static int listener, stop, failures, live, served;
static long signals_sent, forks;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int get(int *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static int add(int *p, int n)
{
	return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

static void fail(const char *what)
{
	char line[160];
	int n = snprintf(line, sizeof line, "FAIL: %s (errno %d)\n", what, errno);
	(void)!write(1, line, (size_t)n);
	add(&failures, 1);
}

static void in(struct client *c, const char *op)
{
	c->since = now();
	c->ops++;
	__atomic_store_n(&c->op, op, __ATOMIC_SEQ_CST);
}

static void out(struct client *c)
{
	__atomic_store_n(&c->op, NULL, __ATOMIC_SEQ_CST);
}

/* ---- the server ---- */

static void *serve(void *arg)
{
	int fd = (int)(long)arg;
	char buf[3000];
	for (;;) {
		ssize_t n = read(fd, buf, sizeof buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = send(fd, buf + done, (size_t)(n - done), MSG_NOSIGNAL)) < 0) {
				if (errno != EINTR)
					goto end;
				w = 0;
			}
	}
end:
	close(fd);
	add(&live, -1);
	return NULL;
}

static void *accepts(void *arg)
{
	pthread_attr_t attr;
	pthread_t t;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno == EINVAL) /* shut down: the end */
			break;
		if (fd < 0) {
			if (errno != EINTR && errno != ECONNABORTED)
				fail("accept");
			continue;
		}
		add(&live, 1);
		add(&served, 1);
		if (pthread_create(&t, &attr, serve, (void *)(long)fd) != 0) {
			close(fd);
			add(&live, -1);
			ns(1000000);
		}
	}
	pthread_attr_destroy(&attr);
	return arg;
}

/* ---- the clients ---- */

static int connect_one(struct client *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd f = {fd, POLLOUT, 0};
	if (fd < 0) {
		fail("socket");
		return -1;
	}
	in(c, "connect");
	int rc = connect(fd, (struct sockaddr *)&addr, sizeof addr);
	while (rc != 0 && errno == EINTR) { /* it goes on: wait for it */
		int e = 0;
		socklen_t n = sizeof e;
		while (poll(&f, 1, -1) < 0 && errno == EINTR)
			;
		rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0 || e ? -1 : 0;
		errno = e;
	}
	out(c);
	if (rc == 0)
		return fd;
	fail("connect");
	close(fd);
	return -1;
}

static int all_out(struct client *c, int fd, const char *buf, size_t n)
{
	while (n > 0) {
		in(c, "write");
		ssize_t w = write(fd, buf, n);
		out(c);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return 0;
		buf += w, n -= (size_t)w;
	}
	return 1;
}

static int all_in(struct client *c, int fd, char *buf, size_t n)
{
	while (n > 0) {
		in(c, c->rand & 1 ? "read" : "poll and read");
		if (!(c->rand & 1)) {
			struct pollfd f = {fd, POLLIN, 0};
			while (poll(&f, 1, -1) < 0 && errno == EINTR)
				;
		}
		ssize_t r = read(fd, buf, n);
		out(c);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return 0;
		buf += r, n -= (size_t)r;
	}
	return 1;
}

/* One message to and fro. */
static int exchange(struct client *c, int fd)
{
	char sent[MOST], got[MOST];
	size_t n = 1 + next(&c->rand) % (c->rand & 512 ? 64 : MOST);
	for (size_t i = 0; i < n; i++)
		sent[i] = (char)(c->rand + i * 13);
	if (!all_out(c, fd, sent, n) || !all_in(c, fd, got, n))
		return 0;
	if (memcmp(sent, got, n) != 0)
		fail("what came back");
	return 1;
}

static void *shuts(void *arg)
{
	ns(200000);
	shutdown(*(int *)arg, SHUT_RDWR);
	return NULL;
}

static void tcp(struct client *c)
{
	struct linger reset = {1, 0};
	int fd = connect_one(c), rounds = (int)(next(&c->rand) % 12);
	char b[64];
	pthread_t t;
	if (fd < 0)
		return;
	for (int i = 0; i < rounds; i++)
		if (!exchange(c, fd)) {
			fail("a connection broke");
			break;
		}
	switch (next(&c->rand) % 6) {
	case 0: /* closed by a reset, sometimes with an answer on its way */
		if (c->rand & 256)
			(void)!send(fd, b, sizeof b, MSG_NOSIGNAL);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		break;
	case 1: /* half closed: the server's end comes */
		shutdown(fd, SHUT_WR);
		if (all_in(c, fd, b, 1))
			fail("data after the end");
		break;
	case 2: /* half open for a while: nothing said, nothing closed */
		ns(next(&c->rand) % 20000000);
		break;
	case 3: /* a sleeper is woken by another thread */
		if (pthread_create(&t, NULL, shuts, &fd) == 0) {
			if (all_in(c, fd, b, 1))
				fail("data that nobody sent");
			pthread_join(t, NULL);
		}
		break;
	default:
		break;
	}
	close(fd);
}

/* A sleeper on a pipe or socket whose number another file takes. */
struct victim {
	int error;
	int fd, entered;
	ssize_t rc;
	char got;
};

static void *sleeps(void *arg)
{
	struct victim *v = arg;
	__atomic_store_n(&v->entered, 1, __ATOMIC_SEQ_CST);
	do
		v->rc = read(v->fd, &v->got, 1), v->error = errno;
	while (v->rc < 0 && v->error == EINTR);
	return NULL;
}

static void replaced(struct client *c)
{
	int s[2], q[2];
	pthread_t t;
	if (c->rand & 4096 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) : pipe2(s, O_CLOEXEC))
		return;
	if (pipe2(q, O_CLOEXEC) != 0) {
		close(s[0]), close(s[1]);
		return;
	}
	struct victim v = {.fd = s[0]};
	if (pthread_create(&t, NULL, sleeps, &v) == 0) {
		while (!get(&v.entered))
			sched_yield();
		ns(300000); /* most are asleep by then; who is not reads the new file, and must wake all the same */
		dup2(q[0], s[0]);
		in(c, "join of a sleeper whose descriptor was replaced");
		(void)!write(q[1], "n", 1);
		if (write(s[1], "o", 1) != 1 && errno != EPIPE)
			fail("write to the old file");
		pthread_join(t, NULL);
		out(c);
		if (v.rc != 1 || (v.got != 'o' && v.got != 'n')) {
			printf("read: %zd, errno %d\n", v.rc, v.error);
			fail("a sleeper whose descriptor was replaced");
		}
	}
	close(s[0]), close(s[1]), close(q[0]), close(q[1]);
}

static void pairs(struct client *c)
{
	int s[2];
	pthread_t t;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) != 0)
		return;
	add(&live, 1);
	if (pthread_create(&t, NULL, serve, (void *)(long)s[1]) != 0) {
		add(&live, -1);
		close(s[0]), close(s[1]);
		return;
	}
	for (int i = 0; i < 4; i++)
		if (!exchange(c, s[0]))
			fail("a socket pair broke");
	close(s[0]);
	in(c, "join of a pair's other side");
	pthread_join(t, NULL);
	out(c);
}

/* The child uses the listener's connection through the network as its parent does, from a thread of its own. */
static void *in_child(void *arg)
{
	struct client *c = arg;
	int fd = connect_one(c);
	if (fd < 0 || !exchange(c, fd))
		_exit(3);
	close(fd);
	return NULL;
}

static void forked(struct client *c)
{
	int status;
	pthread_t t;
	pid_t pid = fork();
	if (pid == 0) {
		alarm(LIMIT_S);
		if (pthread_create(&t, NULL, in_child, c) != 0 || pthread_join(t, NULL) != 0)
			_exit(4);
		_exit(7);
	}
	if (pid < 0)
		return;
	in(c, "waitpid");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	out(c);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
		fail("a child");
	__atomic_add_fetch(&forks, 1, __ATOMIC_SEQ_CST);
	ns(10000000);
}

static void *runs(void *arg)
{
	struct client *c = arg;
	__atomic_store_n(&c->ready, 1, __ATOMIC_SEQ_CST);
	while (!get(&stop)) {
		unsigned r = next(&c->rand) % 16;
		if (c - client == 0)
			forked(c);
		else if (r < 10)
			tcp(c);
		else if (r < 13)
			replaced(c);
		else
			pairs(c);
		c->rounds++;
	}
	return NULL;
}

/* ---- the account ---- */

static void *storm(void *arg)
{
	unsigned r = (unsigned)(long)arg;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (!get(&stop)) {
		for (unsigned n = next(&r) % 16; n > 0; n--, signals_sent++)
			pthread_kill(client[1 + next(&r) % (CLIENTS - 1)].thread, r & 2048 ? SIGUSR1 : SIGUSR2);
		ns(next(&r) % 2000000);
	}
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

static int descriptors(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void watch(double until)
{
	while (now() < until && !get(&failures)) {
		ns(20000000);
		for (int i = 0; i < CLIENTS; i++) {
			const char *op = __atomic_load_n(&client[i].op, __ATOMIC_SEQ_CST);
			if (op && now() - client[i].since > LIMIT_S && __atomic_load_n(&client[i].op, __ATOMIC_SEQ_CST) == op) {
				printf("FAIL: lost wake-up: %s of client %d\n", op, i);
				fflush(stdout);
				kill(getpid(), SIGQUIT); /* every task's stack */
				ns(1000000000);
				_exit(1);
			}
		}
	}
}

static void *watches_end(void *arg)
{
	watch(now() + 1000000);
	return arg;
}

/* Once, before anything is counted: what the library and libc open for themselves stays open. */
static void warm_up(void)
{
	unsigned r = 12345;
	struct client c = {.rand = next(&r)};
	tcp(&c);
	replaced(&c);
	pairs(&c);
	while (get(&live))
		ns(1000000);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 4;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)getpid() * 2654435761u | 1;
	struct sigaction restart = {.sa_handler = nothing, .sa_flags = SA_RESTART}, plain = {.sa_handler = nothing};
	socklen_t len = sizeof addr;
	pthread_t acceptor[2], stormer, watcher;
	long ops = 0;
	sigaction(SIGUSR1, &restart, NULL);
	sigaction(SIGUSR2, &plain, NULL);
	signal(SIGPIPE, SIG_IGN);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(listener, 256) != 0 ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) != 0)
		return 77;
	for (int i = 0; i < 2; i++)
		pthread_create(&acceptor[i], NULL, accepts, NULL);
	warm_up();
	int before = descriptors();
	for (int i = 0; i < CLIENTS; i++) {
		client[i].rand = next(&seed);
		pthread_create(&client[i].thread, NULL, runs, &client[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		while (!get(&client[i].ready))
			ns(1000000);
	pthread_create(&stormer, NULL, storm, (void *)(long)next(&seed));
	watch(now() + seconds);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_create(&watcher, NULL, watches_end, NULL);
	pthread_join(stormer, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(client[i].thread, NULL);
		ops += client[i].ops;
		if (client[i].rounds == 0)
			fail("a client without a round");
	}
	for (double late = now() + 20; get(&live) && now() < late;)
		ns(1000000);
	if (get(&live))
		fail("connections of the server that never ended");
	if (descriptors() != before)
		fail("descriptors that were not there before");
	shutdown(listener, SHUT_RD);
	for (int i = 0; i < 2; i++)
		pthread_join(acceptor[i], NULL);
	if (argc > 1)
		fprintf(stderr, "%ld operations, %d connections, %ld signals, %ld children\n", ops, get(&served), signals_sent,
		        forks);
	puts(get(&failures) ? "failed" : "ok");
	return get(&failures) != 0;
}
