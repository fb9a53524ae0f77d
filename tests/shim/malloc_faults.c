// TIMEOUT: 120
// PROCS: 2
/*
 * malloc_faults.c - each call that asks the kernel for memory fails once, the first, the second, and so on, and from each on for a
 * while: malloc and pthread_create say so or do without, all blocks are as they were, and afterwards everything can be had.
 *
 * A filter (seccomp) sends the child's calls to its parent, which counts them and answers for the kernel.
 * By hand: malloc_faults LOAD POLICY CALL, their numbers, runs one of them.
 */
#include "check.h"
#include "blocks.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* What the child tells its parent, as the advice of an madvise that the kernel does not see. */
enum { BEGIN = 0x7b01, END };
enum policy { ONCE, FROM_THERE_ON, POLICIES };

/* ---- the child ---- */

static int bad;    /* atomic: bits of what was wrong */
static int failed; /* atomic: so many allocations did */
static enum policy policy;

static void wrong(int bit)
{
	__atomic_or_fetch(&bad, 1 << bit, __ATOMIC_SEQ_CST);
}

/* Failure is ENOMEM; one that happens only once is over when it is tried again. `again` evaluates the call anew. */
#define GET(again)                                                                                                     \
	({                                                                                                                 \
		errno = 0;                                                                                                     \
		void *got_ = (again);                                                                                          \
		if (!got_) {                                                                                                   \
			if (errno != ENOMEM)                                                                                       \
				wrong(0);                                                                                              \
			flag_add(&failed, 1);                                                                                      \
			got_ = (again);                                                                                            \
			if (!got_ && policy == ONCE)                                                                               \
				wrong(1);                                                                                              \
		}                                                                                                              \
		got_;                                                                                                          \
	})

/* n blocks by every function, of sizes from least up; every third is freed on the way, some grow. */
static void churn(int n, size_t least, size_t range, unsigned r)
{
	char **p = mmap(NULL, (size_t)n * (sizeof *p + sizeof(size_t)), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                -1, 0);
	if (p == MAP_FAILED)
		return;
	size_t *size = (size_t *)(p + n);
	for (int i = 0; i < n; i++) {
		size[i] = least + rnd(&r) % range;
		switch (rnd(&r) % 5) {
		case 0:
			p[i] = GET(calloc(1, size[i]));
			if (p[i] && !is_zero(p[i], size[i] < 4096 ? size[i] : 4096))
				wrong(2);
			break;
		case 1:
			p[i] = GET(memalign((size_t)16 << rnd(&r) % 9, size[i]));
			break;
		default:
			p[i] = GET(malloc(size[i]));
		}
		if (!p[i])
			continue;
		fill(p[i], size[i], (unsigned)i);
		unsigned k = rnd(&r) % (unsigned)(i + 1);
		if (i % 3 == 0) {
			if (p[k] && !filled(p[k], size[k], k))
				wrong(3);
			free(p[k]);
			p[k] = NULL;
		} else if (i % 7 == 0 && p[k]) {
			size_t now = size[k] + size[k] / 2 + 1;
			char *q = GET(realloc(p[k], now));
			if (!filled(q ? q : p[k], size[k] < 64 ? size[k] : 0, k))
				wrong(4);
			if (q) {
				p[k] = q;
				size[k] = now;
				fill(q, now, k);
			}
		}
	}
	for (int i = 0; i < n; i++) {
		if (p[i] && !filled(p[i], size[i], (unsigned)i))
			wrong(5);
		free(p[i]);
	}
	munmap(p, (size_t)n * (sizeof *p + sizeof(size_t)));
}

static void small(void)
{
	churn(4000, 1, 3000, 1);
	churn(4000, 20, 100, 2);
}

static void large(void)
{
	churn(60, 30000, 1 << 21, 3);
}

static void huge(void)
{
	char *p = GET(malloc((size_t)40 << 20)), *q, *r = GET(memalign((size_t)1 << 27, (size_t)35 << 20));
	if (p) {
		fill(p, (size_t)40 << 20, 1);
		q = GET(realloc(p, (size_t)90 << 20));
		p = q ? q : p;
		q = GET(realloc(p, (size_t)36 << 20));
		p = q ? q : p;
		if (*p != (char)pattern(1, 0))
			wrong(6);
	}
	q = GET(calloc(33, 1 << 20));
	if (q && !is_zero(q, 1 << 20))
		wrong(2);
	free(r);
	free(p);
	free(q);
}

static sem_t never;
static void *left[8]; /* atomic: blocks for the next thread */

static void *thread(void *arg)
{
	unsigned i = (unsigned)(long)arg;
	struct timespec soon = in_ms(CLOCK_REALTIME, 2);
	churn(500, 1, 2000, i + 1);
	churn(10, 100000, 300000, i + 1);
	while (sem_timedwait(&never, &soon) == 0 || errno != ETIMEDOUT)
		;
	free(__atomic_exchange_n(&left[i % 8], GET(malloc(1000 * i + 1)), __ATOMIC_ACQ_REL));
	return arg;
}

static void threads(void)
{
	pthread_t t[8];
	int n = 0;
	sem_init(&never, 0, 0);
	for (long i = 0; i < 8; i++) {
		int rc = pthread_create(&t[n], NULL, thread, (void *)i);
		if (rc != 0) {
			/* A kernel thread that was not to be had may be tried for again a little later only. */
			for (int ms = 0; rc == EAGAIN && policy == ONCE && ms < 2000; ms++) {
				sleep_ms(1);
				rc = pthread_create(&t[n], NULL, thread, (void *)i);
			}
			if (rc != EAGAIN && rc != 0)
				wrong(7);
			if (rc != 0 && policy == ONCE)
				wrong(8);
		}
		n += rc == 0;
	}
	while (n > 0)
		join(t[--n]);
}

static void forks(void)
{
	free(GET(malloc(100000)));
	pid_t pid = fork();
	if (pid == 0) {
		small();
		threads();
		_exit(bad != 0);
	}
	if (pid > 0 && reap(pid) != 0)
		wrong(9);
}

static const struct load {
	const char *name;
	void (*run)(void);
	const char *godebug; /* NULL: as it is */
} loads[] = {
	{"small", small, NULL},
	{"large", large, NULL},
	{"huge", huge, NULL},
	{"threads", threads, NULL},
	{"fork", forks, NULL},
	{"small, hardened", small, "hardened=1,zerofree=1"},
	{"large, fenced", large, "efence=1"},
};
enum { LOADS = sizeof loads / sizeof *loads };

static int as_child(const char *what)
{
	const struct load *l = &loads[what[0] - '0'];
	policy = (enum policy)(what[1] - '0');
	madvise(NULL, 4096, BEGIN);
	l->run();
	madvise(NULL, 4096, END);
	/* all is to be had again */
	failed = 0;
	policy = ONCE;
	l->run();
	if (failed)
		wrong(10);
	struct mallinfo2 m = mallinfo2(); /* a debug build walks through the heap here */
	if (m.uordblks > m.arena + m.hblkhd)
		wrong(11);
	if (bad)
		fprintf(stderr, "%s: wrong: %#x\n", l->name, (unsigned)bad);
	return bad != 0;
}

/* ---- the parent ---- */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))

static int install(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		IF(SYS_mremap, 5, 0),
		IF(SYS_mprotect, 4, 0),
		IF(SYS_madvise, 3, 0),
		IF(SYS_mmap, 0, 3),
		LOAD(args[3]), /* the flags: low half */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

union control {
	struct cmsghdr h;
	char room[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int to, int fd)
{
	char c = fd < 0;
	struct iovec io = {&c, 1};
	union control u;
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	if (fd >= 0) {
		m.msg_control = u.room;
		m.msg_controllen = sizeof u.room;
		u.h = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&u.h), &fd, sizeof fd);
	}
	if (sendmsg(to, &m, 0) != 1)
		_exit(126);
}

static int receive_fd(int from)
{
	char c = 1;
	int fd = -1;
	struct iovec io = {&c, 1};
	union control u;
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof u.room};
	EXPECT_EQ(1, recvmsg(from, &m, MSG_CMSG_CLOEXEC));
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (c == 0 && h)
		memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

/* Answers until the child has ended: the call number `at` fails, and those after it too if the policy says so, up to END. How many calls
 * there were up to it. */
static int answer(int fd, enum policy how, int at)
{
	int calls = 0, open = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	for (;;) {
		struct seccomp_notif n = {0};
		struct seccomp_notif_resp resp = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
		if (poll(&p, 1, -1) < 0 && errno == EINTR)
			continue;
		if (!(p.revents & POLLIN))
			return calls;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n) != 0)
			continue; /* it was killed, or a signal was first */
		resp.id = n.id;
		int told = n.data.nr == SYS_madvise && n.data.args[0] == 0 ? (int)n.data.args[2] : 0, counted = 0;
		if (told == BEGIN || told == END) {
			open = told == BEGIN;
			resp.flags = 0;
		} else if (open) {
			calls++;
			counted = 1;
			if (how == ONCE ? calls == at : calls >= at) {
				resp.flags = 0;
				resp.error = -ENOMEM;
			}
		}
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp) != 0)
			calls -= counted; /* a signal interrupted it: the call comes again */
	}
}

/* One life of the child; its status, or -1: such filters are refused here. */
static int run(int load, enum policy how, int at, int *calls)
{
	int s[2];
	char what[3] = {(char)('0' + load), (char)('0' + how), 0};
	EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (loads[load].godebug)
			setenv("GODEBUG", loads[load].godebug, 1);
		int fd = install();
		send_fd(s[1], fd);
		if (fd < 0)
			_exit(0);
		close(fd);
		execl("/proc/self/exe", "self", what, (char *)NULL);
		_exit(126);
	}
	close(s[1]);
	int fd = receive_fd(s[0]);
	close(s[0]);
	if (fd >= 0) {
		*calls = answer(fd, how, at);
		close(fd);
	}
	int status = reap(pid);
	return fd < 0 ? -1 : status;
}

int main(int argc, char **argv)
{
	static const char *const how[POLICIES] = {"fails once", "and all after it fail"};
	char text[128];
	if (argc == 2)
		return as_child(argv[1]);
	if (argc > 3) {
		int calls = 0, status = run(atoi(argv[1]), (enum policy)atoi(argv[2]), atoi(argv[3]), &calls);
		printf("status %#x, %d calls\n", (unsigned)status, calls);
		return status != 0;
	}
	for (int load = 0; load < LOADS; load++)
		for (int policy = 0; policy < POLICIES; policy++) {
			int wrongs = 0, at = 1, calls = 1;
			for (; at <= calls; at += 1 + at / (policy == ONCE ? 10 : 3)) {
				int status = run(load, (enum policy)policy, at, &calls);
				if (status < 0) {
					puts("SKIP no filter with a listener is to be had here");
					return 77;
				}
				if (status != 0) {
					fprintf(stderr, "%s, call %d %s: status %#x\n", loads[load].name, at, how[policy], status);
					wrongs++;
				}
			}
			fprintf(stderr, "%s: %d calls\n", loads[load].name, at - 1);
			snprintf(text, sizeof text, "%s: each call for memory %s", loads[load].name, how[policy]);
			CHECK_EQ(text, 0, wrongs);
		}
	return check_done();
}
