/*
 * tasks MODE [N]: blocking calls between the threads of one program, for the rows of bench/net/run that need no server.
 *
 * Like bench/threads.c a plain pthread program, the same binary for all peers; what it prints: bench.h.
 */
#include "../bench.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* pipe: a byte goes to and fro between two threads, through two pipes. n counts rounds. */
static int ab[2], ba[2];
static long rounds;

static void *pipe_side(void *arg)
{
	int in = arg ? ab[0] : ba[0], out = arg ? ba[1] : ab[1];
	char b = 'x';

	for (long i = 0; i < rounds; i++) {
		if (!arg && write(out, &b, 1) != 1)
			die("write: %s", strerror(errno));
		if (read(in, &b, 1) != 1)
			die("read: %s", strerror(errno));
		if (arg && write(out, &b, 1) != 1)
			die("write: %s", strerror(errno));
	}
	return NULL;
}

static int64_t pipe_once(long n)
{
	pthread_t t[2];
	int64_t t0 = now();

	rounds = n;
	for (long i = 0; i < 2; i++)
		start(&t[i], NULL, pipe_side, (void *)i);
	for (int i = 0; i < 2; i++)
		join(t[i]);
	return now() - t0;
}

static void mode_pipe(long given)
{
	if (pipe(ab) != 0 || pipe(ba) != 0)
		die("pipe: %s", strerror(errno));
	printf("pipe_hop %.1f ns\n", calibrate(pipe_once, 500, given) / 2);
}

/* sleep: N threads in nanosleep(random up to 10 s), and how late each came back. */
static int64_t *late;
static atomic_long slept;

static void *sleeper(void *arg)
{
	long i = (long)arg;
	uint64_t r = ((uint64_t)i * 0x9e3779b97f4a7c15u) >> 20;
	int64_t ns = (int64_t)(r % 10000000000u), due = now() + ns;
	struct timespec ts = {ns / 1000000000, ns % 1000000000};

	while (nanosleep(&ts, &ts) != 0)
		;
	late[i] = now() - due;
	atomic_fetch_add(&slept, 1);
	return NULL;
}

static void mode_sleep(long given)
{
	long n = given > 0 ? given : 1000000, made = 0;
	pthread_t *t = calloc((size_t)n, sizeof *t);
	pthread_attr_t attr;
	int64_t t0 = now();

	late = calloc((size_t)n, sizeof *late);
	if (t == NULL || late == NULL)
		die("no memory");
	must(pthread_attr_init(&attr), "pthread_attr_init");
	must(pthread_attr_setstacksize(&attr, 64 << 10), "pthread_attr_setstacksize");
	while (made < n && pthread_create(&t[made], &attr, sleeper, (void *)made) == 0)
		made++;
	for (long i = 0; i < made; i++)
		join(t[i]);
	t0 = now() - t0;
	must_equal(slept, made, "sleep: threads that came back");
	qsort(late, (size_t)made, sizeof *late, by_value);
	if (late[0] < 0)
		die("a sleep was %lld ns too short", -(long long)late[0]);
	printf("sleep_made %ld threads\n", made);
	printf("sleep_median %lld ns\n", (long long)late[made / 2]);
	printf("sleep_p99 %lld ns\n", (long long)late[made * 99 / 100]);
	printf("sleep_max %lld ns\n", (long long)late[made - 1]);
	printf("sleep_total %lld ns\n", (long long)t0);
}

/*
 * stdio, resolver: one thread makes another ready and then waits inside libc, where no wrapper sees it; how long the other takes
 * to run. A child feeds the pipe each 2 ms, or is a name server that takes 2 ms for an answer.
 */
enum { PAUSE_US = 2000 };
static sem_t go, ran;
static int64_t posted, *took;
static long events;

static void *ready_task(void *arg)
{
	for (long i = 0; i < events; i++) {
		wait_sem(&go);
		took[i] = now() - posted;
		post_sem(&ran);
	}
	return arg;
}

static void feed(int fd)
{
	while (write(fd, "line\n", 5) == 5)
		usleep(PAUSE_US);
	_exit(0);
}

/* Answers each question of a name with 127.0.0.9. */
static void answer(int fd)
{
	static const unsigned char a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 9};
	unsigned char q[600];
	struct sockaddr_in from;

	for (;;) {
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(fd, q, 512, 0, (struct sockaddr *)&from, &len), name = 12;

		if (n < 17)
			continue;
		usleep(PAUSE_US);
		while (name < n && q[name] != 0)
			name += q[name] + 1;
		n = name + 5; /* the question, without what follows it */
		q[2] = 0x81, q[3] = 0x80;
		q[6] = 0, q[7] = q[name + 2] == 1; /* one address of the old kind, none of the new */
		memset(q + 8, 0, 4);
		memcpy(q + n, a, sizeof a);
		(void)!sendto(fd, q, (size_t)n + (q[7] ? sizeof a : 0), 0, (struct sockaddr *)&from, len);
	}
}

static int name_server(pid_t *child)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		die("bind: %s", strerror(errno));
	if ((*child = fork()) == 0)
		answer(fd);
	close(fd);
	return ntohs(a.sin_port);
}

static void use_server(int port)
{
	res_init();
	_res.nscount = 1;
	_res.nsaddr_list[0].sin_family = AF_INET;
	_res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	_res.nsaddr_list[0].sin_port = htons((uint16_t)port);
}

static void resolve(long i)
{
	struct addrinfo hint = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	char name[64];
	int e;

	snprintf(name, sizeof name, "n%ld.bench.test.", i);
	if ((e = getaddrinfo(name, "80", &hint, &found)) != 0)
		die("getaddrinfo: %s", gai_strerror(e));
	freeaddrinfo(found);
}

static void *waits_in_libc(void *arg)
{
	FILE *f = arg;
	char line[16];

	for (long i = 0; i < events; i++) {
		posted = now();
		post_sem(&go);
		if (f == NULL)
			resolve(i);
		else if (fgets(line, sizeof line, f) == NULL)
			die("fgets: %s", strerror(errno));
		wait_sem(&ran);
	}
	return NULL;
}

static int dns_port;

static void *resolves(void *arg)
{
	use_server(dns_port);
	return waits_in_libc(arg);
}

static void mode_delay(long given, bool stdio)
{
	pthread_t t[2];
	int p[2];
	pid_t child = 0;
	FILE *f = NULL;

	events = given > 0 ? given : budget() / 1000000;
	took = calloc((size_t)events, sizeof *took);
	if (pipe(p) != 0 || took == NULL)
		die("%s", strerror(errno));
	sem_init(&go, 0, 0);
	sem_init(&ran, 0, 0);
	if (stdio) {
		if ((child = fork()) == 0)
			feed(p[1]);
		close(p[1]);
		f = fdopen(p[0], "r");
	} else {
		dns_port = name_server(&child);
	}
	start(&t[0], NULL, ready_task, NULL);
	start(&t[1], NULL, stdio ? waits_in_libc : resolves, f);
	join(t[1]);
	join(t[0]);
	qsort(took, (size_t)events, sizeof *took, by_value);
	printf("delay_median %lld ns\n", (long long)took[events / 2]);
	printf("delay_p99 %lld ns\n", (long long)took[events * 99 / 100]);
	printf("delay_max %lld ns\n", (long long)took[events - 1]);
	if (child > 0)
		kill(child, SIGKILL);
}

static void mode_stdio(long given)
{
	mode_delay(given, true);
}

static void mode_resolver(long given)
{
	mode_delay(given, false);
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = {
		{"pipe", mode_pipe, "a byte to and fro between two threads"},
		{"sleep", mode_sleep, "N threads in nanosleep(random up to 10 s)"},
		{"stdio", mode_stdio, "another ready task beside a read inside stdio"},
		{"resolver", mode_resolver, "another ready task beside getaddrinfo"},
	};

	signal(SIGPIPE, SIG_IGN);
	return run_mode(argc, argv, modes, sizeof modes / sizeof *modes);
}
