/*
 * load PORT CONNECTIONS SECONDS [REQUEST ANSWER]: a closed loop of clients at 127.0.0.1:PORT.
 * load idle PORT CONNECTIONS PID: connections that are used once and then kept, and what the server PID holds for them.
 *
 * One thread and one epoll, to be pinned apart from the server by its caller. Each connection has one request on its way: REQUEST
 * (64 bytes by default; \r and \n are understood), answered by ANSWER bytes (as many as the request by default). After a warm-up
 * of a quarter of the time what is answered within SECONDS is counted, and the time of each answer since its request.
 *
 * More connections than one address has ports for come from 127.0.0.2, 127.0.0.3 and so on, 20,000 from each.
 */
#include "../bench.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_ADDRESS = 20000, EVENTS = 512 };

struct client {
	int fd;
	int got;      /* bytes of the answer */
	int64_t sent; /* when */
};

/* Times in buckets of 1/16 of a power of two of nanoseconds. */
static int64_t bucket[64 * 16];
static int64_t answers;

static char request[4096];
static int request_len = 64, answer_len;
static struct client *all;
static int n_clients, epfd;

static int bucket_of(int64_t ns)
{
	int top;

	if (ns < 16)
		return (int)ns;
	top = 63 - __builtin_clzll((unsigned long long)ns);
	return (top - 3) * 16 + (int)(ns >> (top - 4) & 15);
}

static double percentile(double p)
{
	int64_t want = (int64_t)((double)answers * p), sum = 0;

	for (int i = 0; i < 64 * 16; i++)
		if ((sum += bucket[i]) > want)
			return i < 16 ? i : (double)(16 + i % 16) * (double)(1LL << (i / 16 - 1));
	return 0;
}

static void unescape(const char *s)
{
	request_len = 0;
	for (; *s && request_len < (int)sizeof request - 1; s++) {
		char c = *s;

		if (c == '\\' && s[1])
			c = *++s == 'r' ? '\r' : *s == 'n' ? '\n' : *s;
		request[request_len++] = c;
	}
}

static void ask(struct client *c, int64_t t)
{
	c->got = 0;
	c->sent = t;
	if (write(c->fd, request, (size_t)request_len) != request_len)
		die("write: %s", strerror(errno));
}

static void open_one(struct client *c, int i, int port)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(i / PER_ADDRESS));
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0)
		die("connection %d: %s", i, strerror(errno));
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
		die("bind: %s", strerror(errno));
	for (int tries = 0; connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0; tries++) {
		if (errno != ECONNREFUSED || tries == 200) /* not there yet */
			die("connect %d: %s", i, strerror(errno));
		usleep(10000);
	}
	/* Reads never wait: the loop looks first. */
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &e) != 0)
		die("epoll: %s", strerror(errno));
}

/* What is there; true at the end of the answer. */
static bool take(struct client *c)
{
	static char buf[65536];
	ssize_t n = read(c->fd, buf, sizeof buf);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		die("the server closed connection %ld: %s", (long)(c - all), n < 0 ? strerror(errno) : "end");
	c->got += (int)n;
	if (c->got > answer_len)
		die("an answer of %d bytes instead of %d", c->got, answer_len);
	return c->got == answer_len;
}

static void loop(double seconds)
{
	struct epoll_event e[EVENTS];
	int64_t t = now(), begin = t + (int64_t)(seconds * 0.25e9), end = begin + (int64_t)(seconds * 1e9);

	for (int i = 0; i < n_clients; i++)
		ask(&all[i], now());
	while (t < end) {
		int n = epoll_wait(epfd, e, EVENTS, 5000);

		t = now();
		if (n == 0)
			die("no answer within 5 s");
		for (int i = 0; i < n; i++) {
			struct client *c = e[i].data.ptr;

			if (!take(c))
				continue;
			if (t >= begin && t < end) {
				answers++;
				bucket[bucket_of(t - c->sent)]++;
			}
			ask(c, t);
		}
	}
	for (int i = 0; i < n_clients; i++) /* nobody was left out */
		if (end - all[i].sent > (int64_t)(seconds * 0.9e9) && seconds >= 2)
			die("connection %d was not answered for %.1f s", i, (double)(end - all[i].sent) / 1e9);
	printf("requests %.0f per_s\n", (double)answers / seconds);
	printf("p50 %.0f ns\n", percentile(0.5));
	printf("p99 %.0f ns\n", percentile(0.99));
}

/* A number of /proc/PID/status, in bytes. */
static double status_of(int pid, const char *key)
{
	char path[64], line[256];
	double kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			kib = atof(line + strlen(key) + 1);
	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	fclose(f);
	return kib * 1024;
}

static double cpu_of(int pid)
{
	char path[64], text[1024] = "", *p;
	unsigned long user, sys;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f == NULL || fgets(text, sizeof text, f) == NULL || (p = strrchr(text, ')')) == NULL ||
	    sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		die("%s cannot be read", path);
	fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void idle(int port, int pid)
{
	struct epoll_event e[EVENTS];
	double before = status_of(pid, "VmRSS:") + status_of(pid, "VmPTE:"), cpu;
	int64_t t0;
	int done = 0;

	for (int i = 0; i < n_clients; i++) {
		open_one(&all[i], i, port);
		done++;
	}
	t0 = now();
	for (int i = 0; i < n_clients; i++)
		ask(&all[i], t0);
	while (done > 0) {
		int n = epoll_wait(epfd, e, EVENTS, 10000);

		if (n == 0)
			die("%d of %d are not answered", done, n_clients);
		for (int i = 0; i < n; i++)
			done -= take(e[i].data.ptr);
	}
	usleep(1000000);
	cpu = cpu_of(pid);
	usleep(3000000);
	cpu = cpu_of(pid) - cpu;
	printf("per_connection %.0f bytes\n", (status_of(pid, "VmRSS:") + status_of(pid, "VmPTE:") - before) / n_clients);
	printf("idle_cpu %.4f share\n", cpu / 3);
	printf("server_threads %.0f threads\n", status_of(pid, "Threads:") / 1024);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	bool keep = argc == 5 && strcmp(argv[1], "idle") == 0;

	if (!keep && argc != 4 && argc != 6) {
		fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS [REQUEST ANSWER] | load idle PORT CONNECTIONS PID\n");
		return 2;
	}
	memset(request, 'x', 64);
	n_clients = atoi(argv[keep ? 3 : 2]);
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < (rlim_t)n_clients + 16) {
		files.rlim_cur = (rlim_t)n_clients + 16;
		if (files.rlim_max < files.rlim_cur)
			files.rlim_max = files.rlim_cur;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			die("%d descriptors: %s", n_clients, strerror(errno));
	}
	all = calloc((size_t)n_clients, sizeof *all);
	epfd = epoll_create1(0);
	if (all == NULL || epfd < 0)
		die("%s", strerror(errno));
	answer_len = 64;
	if (keep) {
		idle(atoi(argv[2]), atoi(argv[4]));
		return 0;
	}
	if (argc == 6) {
		unescape(argv[4]);
		answer_len = atoi(argv[5]);
	}
	for (int i = 0; i < n_clients; i++)
		open_one(&all[i], i, atoi(argv[1]));
	loop(atof(argv[3]));
	return 0;
}
