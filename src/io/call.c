/* One descriptor: see io.h. */
#include "io/io.h"
#include "io/wait.h"
#include "os/os.h"
#include "sched/cancel.h"
#include "sched/netpoll.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>

/* A call with its arguments; made again and again with MSG_DONTWAIT or RWF_NOWAIT. */
struct attempt {
	long (*make)(const struct attempt *a, int fd, enum grt_fd_kind kind);
	struct msghdr *msg;
	const struct sockaddr *addr;
	socklen_t *addr_len; /* of recv */
	struct iovec *iov;   /* what is left */
	int count;
	int flags;
	socklen_t len;         /* of send's addr */
	enum grt_fd_kind kind; /* as found; FD_UNKNOWN at first */
	uint8_t turns;         /* of several that wait one at a time is woken */
	uint8_t stream;        /* a result shorter than what was asked for says that nothing is left (TCP alone) */
	size_t done;           /* by earlier attempts */
};

/* ---- the attempts ---- */

static long make_read(const struct attempt *a, int fd, enum grt_fd_kind kind)
{
	if (kind != FD_FLAGGED && a->count == 1)
		return grt__sys6(SYS_recvfrom, fd, a->iov->iov_base, a->iov->iov_len, MSG_DONTWAIT, NULL, NULL);
	return grt__sys6(SYS_preadv2, fd, a->iov, a->count, -1, -1, RWF_NOWAIT);
}

static long make_write(const struct attempt *a, int fd, enum grt_fd_kind kind)
{
	int flags = MSG_DONTWAIT | (a->done ? MSG_NOSIGNAL : 0);
	if (kind == FD_FLAGGED)
		return grt__sys6(SYS_pwritev2, fd, a->iov, a->count, -1, -1, RWF_NOWAIT);
	if (a->count == 1)
		return grt__sys6(SYS_sendto, fd, a->iov->iov_base, a->iov->iov_len, flags, NULL, 0);
	struct msghdr msg = {.msg_iov = a->iov, .msg_iovlen = (size_t)a->count};
	return grt__sys3(SYS_sendmsg, fd, &msg, flags);
}

static long make_recv(const struct attempt *a, int fd, enum grt_fd_kind kind)
{
	(void)kind;
	if (a->msg)
		return grt__sys3(SYS_recvmsg, fd, a->msg, a->flags | MSG_DONTWAIT);
	return grt__sys6(SYS_recvfrom, fd, a->iov->iov_base, a->iov->iov_len, a->flags | MSG_DONTWAIT, a->addr,
	                 a->addr_len);
}

static long make_send(const struct attempt *a, int fd, enum grt_fd_kind kind)
{
	(void)kind;
	int flags = a->flags | MSG_DONTWAIT | (a->done ? MSG_NOSIGNAL : 0);
	if (a->msg)
		return grt__sys3(SYS_sendmsg, fd, a->msg, flags);
	return grt__sys6(SYS_sendto, fd, a->iov->iov_base, a->iov->iov_len, flags, a->addr, a->len);
}

/* Would a call of that kind do something? */
static long make_look(const struct attempt *a, int fd, enum grt_fd_kind kind)
{
	(void)kind;
	struct timespec none = {0, 0};
	struct pollfd pfd = {.fd = fd, .events = (short)a->flags};
	long r = grt__sys5(SYS_ppoll, &pfd, 1, &none, NULL, 8);
	return r == 0 ? -EAGAIN : r < 0 ? r : 0;
}

/* ---- until it is done ---- */

static bool known_spent(const struct grt_fd *e, enum grt_dir dir, uint32_t seen)
{
	uint32_t spent = grt_load_relaxed(&e->spent[dir]);
	return spent && spent == seen + 1 && !grt_load_relaxed(&e->hup);
}

static size_t iov_size(const struct iovec *iov, size_t count)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

/* Bytes asked for. After an attempt: the kernel has found that what it reads is there. */
static size_t asked(const struct attempt *a)
{
	return a->msg ? iov_size(a->msg->msg_iov, a->msg->msg_iovlen) : iov_size(a->iov, (size_t)a->count);
}

/* Only what the poller watches: else the next event would go unseen, and the mark stand. */
static void note_spent(struct grt_fd *e, enum grt_dir dir, const struct grt_wait_fd *w)
{
	if (grt_load_relaxed(&e->registered) && grt_load_relaxed(&e->gen) == w->gen)
		grt_store_relaxed(&e->spent[dir], w->seen[dir] + 1);
}

/* The program's O_NONBLOCK: the answer stands. */
static long nonblocking(int fd, struct grt_fd *e)
{
	long flags = grt__sys3(SYS_fcntl, fd, F_GETFL, 0);
	if (flags < 0)
		return flags;
	if (!(flags & O_NONBLOCK))
		return 0;
	grt_store_relaxed(&e->nonblock, 1);
	return -EAGAIN;
}

static bool listens(int fd)
{
	int value = 0;
	socklen_t size = sizeof value;
	return grt__sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static int64_t deadline_of(const struct grt_fd *e, enum grt_dir dir)
{
	uint32_t ms = grt_load_relaxed(&e->timeout[dir]);
	return ms ? grt__nanotime() + ms * INT64_C(1000000) : GRT_FOREVER;
}

/* One more wait: 0 for another attempt, or the result. */
static long wait_more(struct grt_wait_fd *w, struct grt_fd **e, int64_t deadline, const struct attempt *a)
{
	switch (grt__wait_fds(w, 1, deadline)) {
	case WAITED_READY:
		*e = grt_load_relaxed(&w->e);
		return grt_unlikely(w->lost) ? -EBADF : 0;
	case WAITED_TIMEOUT:
		return -EAGAIN;
	case WAITED_RESTART:
		*e = grt_load_relaxed(&w->e);
		return deadline != GRT_FOREVER || a->done ? -EINTR : 0;
	case WAITED_EINTR:
		return -EINTR;
	case WAITED_CANCELLED:
		return GRT_IO_CANCEL;
	default:
		return GRT_IO_PLAIN;
	}
}

/* w: a wait that lasts as long as the call, with fd and one_of set; whoever made it ends it (grt__wait_done). */
static long run(struct attempt *a, struct grt_wait_fd *w, enum grt_dir dir)
{
	struct grt_fd *e = w->shadow ? grt_load_relaxed(&w->e) : grt__fd_get(w->fd);
	int64_t deadline = 0;
	long r;
	if (!e)
		return GRT_IO_PLAIN;
	grt__wait_look(w, e, w->fd, GRT_DIR(dir));
	enum grt_fd_kind kind = a->kind && w->shadow ? a->kind : grt__fd_classify(w->fd, e);
	if (kind == FD_PLAIN || kind == FD_UNKNOWN)
		return GRT_IO_PLAIN;
	a->kind = kind;
	for (uint32_t gen = w->gen;; grt__wait_look(w, e, w->fd, GRT_DIR(dir))) {
		if ((grt_unlikely(grt__os.filtered) && !w->shadow) || grt__wait_orphaned(w))
			return GRT_IO_PLAIN;
		if (grt_unlikely(w->gen != gen) && !w->shadow) /* another file has the number: of what kind is it? */
			return GRT_IO_PLAIN;
		if (!known_spent(e, dir, w->seen[dir])) {
			r = a->make(a, w->fd, kind);
			if (r != -EAGAIN) {
				if (kind == FD_TCP && a->stream && r > 0 && (size_t)r < asked(a))
					note_spent(e, dir, w);
				break;
			}
			note_spent(e, dir, w);
		}
		if ((r = nonblocking(w->fd, e)) != 0)
			break;
		if (a->turns && !listens(w->fd)) { /* it would wait for nothing */
			r = GRT_IO_PLAIN;
			break;
		}
		if (!deadline)
			deadline = deadline_of(e, dir);
		if ((r = wait_more(w, &e, deadline, a)) != 0)
			break;
	}
	if (grt_unlikely(r == -ENOTSOCK) && (a->make == make_read || a->make == make_write))
		return GRT_IO_PLAIN; /* the same, in the middle of an attempt */
	if (grt_unlikely(r == -EOPNOTSUPP || r == -ENOSYS || r == -EPERM) && kind == FD_FLAGGED) {
		grt_store_relaxed(&e->kind, FD_PLAIN); /* has no such call, or a filter forbids it */
		return GRT_IO_PLAIN;
	}
	return r;
}

static long run_once(struct attempt *a, int fd, enum grt_dir dir)
{
	struct grt_wait_fd w = {.fd = fd};
	long r = run(a, &w, dir);
	grt__wait_done(&w);
	return r;
}

/* ---- reading ---- */

long grt__io_read(int fd, void *buf, size_t n)
{
	struct iovec iov = {buf, n};
	struct attempt a = {.make = make_read, .iov = &iov, .count = 1, .stream = true};
	return n ? run_once(&a, fd, GRT_IN) : GRT_IO_PLAIN; /* read says 0 to that, recv waits */
}

long grt__io_readv(int fd, const struct iovec *iov, int count)
{
	if (count < 2) /* of one, it may be read's 0 bytes */
		return GRT_IO_PLAIN;
	struct attempt a = {.make = make_read, .iov = (struct iovec *)iov, .count = count, .stream = true};
	return run_once(&a, fd, GRT_IN);
}

enum { NEVER_WAITS = MSG_OOB | MSG_ERRQUEUE | MSG_DONTWAIT };

static long recv_any(struct attempt *a, int fd)
{
	if (a->flags & NEVER_WAITS)
		return GRT_IO_PLAIN;
	if (a->flags & MSG_WAITALL) {
		struct grt_io_held h = {.fd = fd};
		long r = grt__io_await(&h, GRT_IN, false);
		if (r == 0 && h.shadow) { /* the number is another file's */
			grt__block_enter(false);
			r = a->msg
			        ? grt__sys3(SYS_recvmsg, h.fd, a->msg, a->flags)
			        : grt__sys6(SYS_recvfrom, h.fd, a->iov->iov_base, a->iov->iov_len, a->flags, a->addr, a->addr_len);
			grt__block_exit();
			grt__io_release(&h);
			return r;
		}
		grt__io_release(&h);
		return r == 0 ? GRT_IO_PLAIN : r;
	}
	a->stream = !(a->flags & (MSG_PEEK | MSG_TRUNC));
	return run_once(a, fd, GRT_IN);
}

long grt__io_recv(int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len)
{
	struct iovec iov = {buf, n};
	struct attempt a = {.make = make_recv, .iov = &iov, .count = 1, .flags = flags, .addr = addr, .addr_len = len};
	return recv_any(&a, fd);
}

long grt__io_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct attempt a = {.make = make_recv, .msg = msg, .flags = flags};
	return msg ? recv_any(&a, fd) : GRT_IO_PLAIN;
}

/* ---- writing ---- */

/* What is left of a call, in place of the program's own structures: so many parts at a time, for a stream does not mind. */
struct rest {
	struct iovec iov[GRT_IOV_MOST];
	struct msghdr msg;
};

/* The parts of all from a->done on. */
static void set_rest(struct attempt *a, struct rest *rest, const struct iovec *all, size_t count)
{
	size_t skip = a->done;
	a->iov = rest->iov;
	a->count = 0;
	for (size_t i = 0; i < count && a->count < GRT_IOV_MOST; i++) {
		if (skip >= all[i].iov_len) {
			skip -= all[i].iov_len;
			continue;
		}
		rest->iov[a->count++] = (struct iovec){(char *)all[i].iov_base + skip, all[i].iov_len - skip};
		skip = 0;
	}
	if (!a->msg)
		return;
	rest->msg = *a->msg;
	rest->msg.msg_iov = rest->iov;
	rest->msg.msg_iovlen = (size_t)a->count;
	rest->msg.msg_control = NULL; /* went with the first of it */
	rest->msg.msg_controllen = 0;
	a->msg = &rest->msg;
}

/* The rest of a call that began with us. */
static long finish_in_kernel(const struct attempt *a, int fd)
{
	grt__block_enter(false);
	long r = grt__sys3(SYS_writev, fd, a->iov, a->count);
	grt__block_exit();
	return r;
}

/* A call that sleeps writes all it is given, unless it is interrupted or fails in the middle. */
static long write_parts(struct attempt *a, struct grt_wait_fd *w, struct rest *rest)
{
	const struct iovec *all = NULL;
	size_t count = 0, size = 0;
	for (;;) {
		long r = run(a, w, GRT_OUT);
		if (r == GRT_IO_PLAIN && a->done)
			r = finish_in_kernel(a, w->fd);
		if (r <= 0)
			return a->done && r != GRT_IO_CANCEL ? (long)a->done : r;
		if (!a->done) { /* the kernel has read them: they are there */
			all = a->msg ? a->msg->msg_iov : a->iov;
			count = !all ? 0 : a->msg ? a->msg->msg_iovlen : (size_t)a->count;
			size = iov_size(all, count);
		}
		a->done += (size_t)r;
		if (a->done >= size)
			return (long)a->done;
		set_rest(a, rest, all, count);
	}
}

static long write_all(struct attempt *a, int fd)
{
	struct rest rest;
	struct grt_wait_fd w = {.fd = fd};
	long r = write_parts(a, &w, &rest);
	grt__wait_done(&w);
	a->iov = NULL; /* the rest's */
	a->msg = NULL;
	return r;
}

long grt__io_write(int fd, const void *buf, size_t n)
{
	struct iovec iov = {(void *)buf, n};
	struct attempt a = {.make = make_write, .iov = &iov, .count = 1};
	return n ? write_all(&a, fd) : GRT_IO_PLAIN;
}

long grt__io_writev(int fd, const struct iovec *iov, int count)
{
	if (count < 2) /* of one, it may be write's 0 bytes */
		return GRT_IO_PLAIN;
	struct attempt a = {.make = make_write, .iov = (struct iovec *)iov, .count = count};
	return write_all(&a, fd);
}

/* What a later attempt could not go on with: one notification for each call, a connection made by the first. */
enum { SEND_WHOLE = MSG_ZEROCOPY | MSG_FASTOPEN };

long grt__io_send(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t len)
{
	struct iovec iov = {(void *)buf, n};
	struct attempt a = {.make = make_send, .iov = &iov, .count = 1, .flags = flags, .addr = addr, .len = len};
	if (flags & (MSG_OOB | MSG_DONTWAIT | SEND_WHOLE))
		return GRT_IO_PLAIN;
	return write_all(&a, fd);
}

long grt__io_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (!msg || flags & (MSG_OOB | MSG_DONTWAIT | SEND_WHOLE))
		return GRT_IO_PLAIN;
	struct attempt a = {.make = make_send, .msg = (struct msghdr *)msg, .flags = flags};
	return write_all(&a, fd);
}

/* ---- waiting alone ---- */

long grt__io_await(struct grt_io_held *h, enum grt_dir dir, bool turns)
{
	struct attempt a = {.make = make_look, .flags = dir == GRT_IN ? POLLIN : POLLOUT, .turns = turns};
	struct grt_wait_fd w = {.fd = h->fd, .one_of = turns};
	long r = run(&a, &w, dir);
	struct grt_fd *e = grt_load_relaxed(&w.e);
	if (r == 0 && turns && e && !grt_list_empty(&e->waiters)) /* only a hint, but of whoever was there before us */
		grt__wait_pass(e);
	if (r != 0) {
		grt__wait_done(&w);
		return r;
	}
	h->fd = w.fd;
	h->shadow = w.shadow;
	return 0;
}

static void look_again(struct grt_fd *e)
{
	struct gqueue ready = {0};
	struct g *gp;
	grt__enter();
	grt_lock(&e->lock);
	grt__wait_event_locked(e, GRT_DIR(GRT_IN) | GRT_DIR(GRT_OUT), true, &ready);
	grt_unlock(&e->lock);
	while ((gp = grt__gqueue_pop(&ready)))
		grt__ready(gp);
	grt__leave();
}

static void look_again_all(void)
{
	struct grt_fd *e;
	for (int i = 0; (e = grt__fd_next_waited(&i)) != NULL; i++)
		look_again(e);
}

/* TCP tells the poller whatever ends; others do not tell a blocked writer that its own side was shut down, by whatever number. */
void grt__io_shutdown(int fd)
{
	struct grt_fd *e = grt__fd_find(fd);
	if (!grt__on_task() || !grt__net_waits() || !e || grt_load_relaxed(&e->kind) == FD_TCP)
		return;
	look_again_all();
}

void grt__io_filter_comes(void)
{
	if (grt__on_task())
		look_again_all();
}
