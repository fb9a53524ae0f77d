/* Several descriptors, and event loops: see io.h. */
#include "io/io.h"
#include "io/wait.h"
#include "elf/peek.h"
#include "os/os.h"
#include "sched/proc.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

/* A signalfd tells what is pending on the kernel thread that looks, so whoever may wait for one does it there (sched/signal.h). */
static bool for_signals(void)
{
	return grt_unlikely((grt_load_relaxed(&grt__signalfd_mask) & grt__self.g->sigmask) != 0);
}

/* So many kernel threads beyond GOMAXPROCS may sleep in event loops. */
enum { MANY_MS = 16 };

static unsigned dirs_of(const struct pollfd *p)
{
	unsigned dirs = 0;
	if (p->events & (POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI | POLLRDHUP) || !(p->events & (POLLOUT | POLLWRNORM)))
		dirs |= GRT_DIR(GRT_IN); /* also of those that ask for nothing: an end is told to all */
	if (p->events & (POLLOUT | POLLWRNORM | POLLWRBAND))
		dirs |= GRT_DIR(GRT_OUT);
	return dirs;
}

static long look(struct pollfd *fds, unsigned long n)
{
	struct timespec none = {0, 0};
	return grt__sys5(SYS_ppoll, fds, n, &none, NULL, 8);
}

static void done(struct grt_wait_fd *w, int n)
{
	for (int i = 0; i < n; i++)
		grt__wait_done(&w[i]);
}

/* The rest of the wait is the kernel's. */
static bool left_alone(const struct grt_wait_fd *w, int n)
{
	for (int i = 0; i < n; i++)
		if (grt__wait_orphaned(&w[i]))
			return true;
	return grt_unlikely(grt__os.filtered);
}

/* -EINTR or the kernel's; 0: look again. */
static long waited(enum grt_waited r)
{
	switch (r) {
	case WAITED_READY:
	case WAITED_TIMEOUT:
		return 0;
	case WAITED_RESTART:
	case WAITED_EINTR:
		return -EINTR;
	case WAITED_CANCELLED:
		return GRT_IO_CANCEL;
	default:
		return GRT_IO_PLAIN;
	}
}

/* The task's own: it is there. */
static bool on_stack(const void *p, size_t size)
{
	const struct g *gp = grt__self.g;
	const char *here = __builtin_frame_address(0), *lo = p;
	return lo >= here && lo < (const char *)gp->birth.stack_hi &&
	       size <= (size_t)((const char *)gp->birth.stack_hi - lo);
}

long grt__io_poll(struct pollfd *fds, unsigned long n, int64_t until)
{
	struct pollfd copy[GRT_POLL_MOST];
	struct grt_wait_fd w[GRT_POLL_MOST];
	int index[GRT_POLL_MOST], nw = 0;
	bool over = false;
	long r;
	if (n == 0 || n > GRT_POLL_MOST || for_signals())
		return GRT_IO_PLAIN;
	if (!on_stack(fds, n * sizeof *fds) && (r = look(fds, n)) != 0) /* also where it is not there to be read */
		return r;
	memcpy(copy, fds, n * sizeof *copy);
	for (unsigned long i = 0; i < n; i++) {
		if (copy[i].fd < 0)
			continue;
		struct grt_fd *e = grt__fd_get(copy[i].fd);
		if (!e)
			return GRT_IO_PLAIN;
		w[nw] = (struct grt_wait_fd){.e = e, .fd = copy[i].fd};
		index[nw++] = (int)i;
	}
	if (nw == 0)
		return GRT_IO_PLAIN;
	for (;;) {
		for (int i = 0; i < nw; i++)
			grt__wait_look(&w[i], w[i].e, w[i].fd, dirs_of(&copy[index[i]]));
		/* By the numbers, as the kernel looks again each time: one that was closed meanwhile is invalid. */
		if ((r = look(copy, n)) != 0 || over)
			break;
		enum grt_waited how = grt__wait_fds(w, nw, until);
		over = how == WAITED_TIMEOUT; /* a last look, as the kernel takes it */
		if ((r = waited(how)) != 0 || (r = left_alone(w, nw) ? GRT_IO_PLAIN : 0) != 0)
			break;
	}
	done(w, nw);
	if (r >= 0)
		for (unsigned long i = 0; i < n; i++)
			fds[i].revents = copy[i].revents;
	return r;
}

/* ---- select ---- */

enum { BITS = 64, SELECT_WORDS = 16 }; /* 1024, as FD_SETSIZE */
struct sets {
	unsigned long set[3][SELECT_WORDS];
};

static bool has(const unsigned long *set, int fd)
{
	return set && set[fd / BITS] >> (fd % BITS) & 1;
}

/* The descriptors in any of the sets; 0: too many, or none. */
static int collect(int n, unsigned long *const sets[3], struct grt_wait_fd *w)
{
	int nw = 0;
	for (int k = 0; k < (n + BITS - 1) / BITS; k++) {
		unsigned long any = 0;
		for (int s = 0; s < 3; s++)
			any |= sets[s] ? sets[s][k] : 0;
		for (; any; any &= any - 1) {
			int fd = k * BITS + __builtin_ctzl(any);
			if (fd >= n)
				break;
			struct grt_fd *e = grt__fd_get(fd);
			if (nw == GRT_POLL_MOST || !e)
				return 0;
			unsigned dirs = has(sets[0], fd) || has(sets[2], fd) ? GRT_DIR(GRT_IN) : 0;
			w[nw++] = (struct grt_wait_fd){
				.e = e, .fd = fd, .dirs = (uint8_t)(dirs | (has(sets[1], fd) ? GRT_DIR(GRT_OUT) : 0))};
		}
	}
	return nw;
}

static long select_now(int n, unsigned long *const sets[3], struct sets *found)
{
	struct timespec none = {0, 0};
	void *p[3];
	size_t bytes = (size_t)(n + BITS - 1) / BITS * sizeof(long);
	for (int s = 0; s < 3; s++)
		p[s] = sets[s] ? memcpy(found->set[s], sets[s], bytes) : NULL;
	return grt__sys6(SYS_pselect6, n, p[0], p[1], p[2], &none, NULL);
}

long grt__io_select(int n, unsigned long *in, unsigned long *out, unsigned long *except, int64_t until)
{
	unsigned long *const sets[3] = {in, out, except};
	struct grt_wait_fd w[GRT_POLL_MOST];
	struct sets found;
	bool over = false, moved = false;
	if (n < 1 || n > SELECT_WORDS * BITS || for_signals())
		return GRT_IO_PLAIN;
	for (int i = 0; i < 3; i++)
		if (sets[i] && grt__peek_sig((uintptr_t)sets[i], &found, (size_t)(n + BITS - 1) / BITS * sizeof(long)) == 0)
			return GRT_IO_PLAIN; /* the kernel's to refuse */
	int nw = collect(n, sets, w);
	if (nw == 0)
		return GRT_IO_PLAIN;
	for (;;) {
		for (int i = 0; i < nw; i++)
			grt__wait_look(&w[i], w[i].e, w[i].fd, w[i].dirs);
		long r = select_now(n, sets, &found);
		if (r != 0 || over || moved) {
			done(w, nw);
			for (int s = 0; s < 3 && r >= 0; s++)
				if (sets[s])
					memcpy(sets[s], found.set[s], (size_t)(n + BITS - 1) / BITS * sizeof(long));
			return r;
		}
		enum grt_waited how = grt__wait_fds(w, nw, until);
		over = how == WAITED_TIMEOUT;
		if ((r = waited(how)) != 0) {
			done(w, nw);
			return r;
		}
		if (left_alone(w, nw)) {
			done(w, nw);
			return GRT_IO_PLAIN;
		}
		for (int i = 0; i < nw; i++)
			moved |= w[i].shadow; /* closed meanwhile: what it says then is unspecified (select(2)) */
	}
}

/* ---- epoll ---- */

long grt__io_epoll_wait(int fd, struct epoll_event *events, int max, int64_t until)
{
	struct grt_wait_fd w = {.one_of = true};
	struct grt_fd *e;
	bool over = false;
	if (grt_likely(grt_load_relaxed(&grt__sched.nm_live) <= grt_load_relaxed(&grt__sched.nprocs) + MANY_MS))
		return GRT_IO_PLAIN;
	if (for_signals() || !(e = grt__fd_get(fd)))
		return GRT_IO_PLAIN;
	w.fd = fd;
	for (;;) {
		grt__wait_look(&w, e, w.fd, GRT_DIR(GRT_IN));
		long r = grt__sys6(SYS_epoll_pwait, w.fd, events, max, 0, NULL, 8);
		if (r != 0 || over) {
			if (r > 0 && !grt_list_empty(&e->waiters))
				grt__wait_pass(e); /* there may be more */
			grt__wait_done(&w);
			return r;
		}
		enum grt_waited how = grt__wait_fds(&w, 1, until);
		over = how == WAITED_TIMEOUT;
		e = grt_load_relaxed(&w.e);
		if ((r = waited(how)) != 0 || (r = left_alone(&w, 1) ? GRT_IO_PLAIN : 0) != 0) {
			grt__wait_done(&w);
			return r;
		}
	}
}
