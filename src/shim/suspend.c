/*
 * <signal.h>, <poll.h>, <sys/select.h>, <sys/epoll.h>: the calls that wait with a signal mask of their own. The kernel puts the mask in
 * force and takes it back in one step with the wait; directed signals, which are queued on the task, get the same
 * by grt__suspend_begin: one that the mask lets through and that is queued already has its handler run at once, one
 * that comes later ends the call first.
 */
#include "shim/suspend.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __xpg_sigpause(int sig);
int __sigpause(int sig_or_mask, int is_sig);
int __sigsuspend(const sigset_t *mask);

/* What is left of the timeout; false: nothing. */
bool grt__time_left(struct timespec *ts, int64_t until)
{
	int64_t ns = until - grt__nanotime();
	if (ns < 0)
		ns = 0;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return ns > 0;
}

/* A bad timeout is the kernel's to refuse, and one of centuries needs no count. */
int64_t grt__time_until(const struct timespec *asked)
{
	if (!asked || asked->tv_sec < 0 || asked->tv_sec >= 1 << 30 || (unsigned long)asked->tv_nsec >= 1000000000)
		return 0;
	return grt__nanotime() + asked->tv_sec * 1000000000 + asked->tv_nsec;
}

int grt__suspend(struct grt_suspend *s, const sigset_t *mask)
{
	struct g *gp = grt__self.g;
	int64_t until = grt__time_until(s->timeout);
	memcpy(&s->mask, mask, sizeof s->mask);
	s->mask &= ~GRT_MASK_LIBC;
	memset(&s->set, 0, sizeof s->set);
	memcpy(&s->set, &s->mask, sizeof s->mask);
	for (;;) {
		uint32_t ran = gp->handlers_ran;
		int r, error;
		if (grt__suspend_begin(s->mask)) {
			r = s->call(s);
			error = errno;
			bool kicked = grt__suspend_end();
			errno = error;
			if (r >= 0 || error != EINTR || gp->handlers_ran != ran || !kicked)
				return r;
		} else if (s->looks) {
			const struct timespec none = {0, 0}, *was = s->timeout;
			s->timeout = &none;
			r = s->call(s);
			s->timeout = was;
			if (r != 0)
				return r;
		}
		grt__suspend_deliver(s->mask);
		if (gp->handlers_ran != ran) {
			errno = EINTR;
			return -1;
		}
		/* Ignored, or not for the program at all. */
		if (until) {
			grt__time_left(&s->rest, until);
			s->timeout = &s->rest;
		}
	}
}

/* ---- signals alone ---- */

static int call_sigsuspend(const struct grt_suspend *s)
{
	return REAL(sigsuspend)(&s->set);
}

GRT_EXPORT int sigsuspend(const sigset_t *mask)
{
	if (!grt__on_task())
		return REAL(sigsuspend)(mask);
	struct grt_suspend s = {.call = call_sigsuspend};
	return grt__suspend(&s, mask);
}
GRT_ALIAS(__sigsuspend, sigsuspend);

static int pause_with(uint64_t mask)
{
	sigset_t set = {0};
	memcpy(&set, &mask, sizeof mask);
	return sigsuspend(&set);
}

/* The symbol "sigpause" is BSD's, which takes a mask; signal.h maps the name to X/Open's, which takes a signal. */
int grt__bsd_sigpause(int mask) __asm__("sigpause");
GRT_EXPORT int grt__bsd_sigpause(int mask)
{
	return grt__on_task() ? pause_with((unsigned)mask) : REAL(sigpause)(mask);
}

GRT_EXPORT int __xpg_sigpause(int sig)
{
	if (!grt__on_task() || sig < 1 || sig > 64)
		return REAL(__xpg_sigpause)(sig);
	return pause_with(grt__self.g->sigmask & ~(1ull << (sig - 1)));
}

GRT_EXPORT int __sigpause(int sig_or_mask, int is_sig)
{
	if (!grt__on_task())
		return REAL(__sigpause)(sig_or_mask, is_sig);
	return is_sig ? __xpg_sigpause(sig_or_mask) : pause_with((unsigned)sig_or_mask);
}

/* ---- descriptors ---- */

static bool sleeps(const struct timespec *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_nsec != 0;
}

static bool lasts(const struct timespec *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_nsec > 1000000;
}

static int call_ppoll(const struct grt_suspend *s)
{
	return REAL(ppoll)(s->p[0], (nfds_t)s->size, s->timeout, &s->set);
}

GRT_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!mask || !grt__on_task())
		return GRT_BLOCKING_IF(sleeps(timeout), int, lasts(timeout), REAL(ppoll)(fds, n, timeout, mask));
	struct grt_suspend s = {.call = call_ppoll, .timeout = timeout, .looks = true, .p = {fds}, .size = n};
	return grt__suspend(&s, mask);
}

GRT_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                           size_t size)
{
	if (size / sizeof *fds < n)
		return REAL(__ppoll_chk)(fds, n, timeout, mask, size); /* it ends the program */
	return ppoll(fds, n, timeout, mask);
}

static int whole_ms(const struct timespec *t)
{
	return t ? (int)(t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000) : -1;
}

/* A number of syscall(): no cancellation point. */
static int call_raw(const struct grt_suspend *s)
{
	struct {
		const sigset_t *set;
		size_t size;
	} pair = {&s->set, sizeof s->mask};
	struct timespec left;
	long a[6], set = (long)&s->set;
	memcpy(a, s->raw, sizeof a);
	if (s->timeout)
		left = *s->timeout; /* a copy: the kernel writes what is left */
	long t = s->timeout ? (long)&left : 0;
	switch (s->nr) {
	case SYS_rt_sigsuspend:
		a[0] = set;
		break;
	case SYS_ppoll:
		a[2] = t;
		a[3] = set;
		break;
	case SYS_epoll_pwait:
		a[3] = whole_ms(s->timeout);
		a[4] = set;
		break;
	case SYS_epoll_pwait2:
		a[3] = t;
		a[4] = set;
		break;
	default: /* SYS_pselect6, SYS_io_pgetevents */
		a[4] = t;
		a[5] = (long)&pair;
		break;
	}
	return (int)REAL(syscall)(s->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The sets are results too: a call that is made again needs them as they were, and EINTR leaves them so. */
static int call_pselect(const struct grt_suspend *s)
{
	if (s->raw)
		return call_raw(s);
	return REAL(pselect)(s->n, s->p[0], s->p[1], s->p[2], s->timeout, &s->set);
}

static void keep_sets(const struct grt_suspend *s, void *kept[3], char *room, size_t bytes, bool restore)
{
	for (int i = 0; i < 3; i++) {
		if (s->p[i] == NULL)
			continue;
		if (restore)
			memcpy(s->p[i], kept[i], bytes);
		else
			memcpy(kept[i] = room + (size_t)i * bytes, s->p[i], bytes);
	}
}

/* A look that finds nothing clears them. */
static int call_pselect_kept(const struct grt_suspend *s)
{
	size_t bytes = ((size_t)(s->n > 0 ? s->n : 0) + 63) / 64 * 8;
	if (!s->timeout || sleeps(s->timeout) || bytes > 4096)
		return call_pselect(s);
	char room[3 * (bytes ? bytes : 1)];
	void *kept[3];
	keep_sets(s, kept, room, bytes, false);
	int r = call_pselect(s);
	if (r == 0 && !s->fd)
		keep_sets(s, kept, room, bytes, true);
	return r;
}

GRT_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *mask)
{
	if (!mask || !grt__on_task())
		return GRT_BLOCKING_IF(sleeps(timeout), int, lasts(timeout), REAL(pselect)(n, r, w, e, timeout, mask));
	struct grt_suspend s = {.call = call_pselect_kept,
	                        .timeout = timeout,
	                        .looks = true,
	                        .n = n,
	                        .fd = !sleeps(timeout), /* a look is all that was asked for: its answer stands */
	                        .p = {r, w, e}};
	return grt__suspend(&s, mask);
}

static int call_epoll_pwait(const struct grt_suspend *s)
{
	return REAL(epoll_pwait)(s->fd, s->p[0], s->n, whole_ms(s->timeout), &s->set);
}

GRT_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
	const struct timespec ts = {timeout / 1000, timeout % 1000 * 1000000L}, *t = timeout < 0 ? NULL : &ts;
	if (!mask || !grt__on_task() || !sleeps(t)) /* the kernel's does not look for signals if it cannot sleep */
		return GRT_BLOCKING_IF(sleeps(t), int, lasts(t), REAL(epoll_pwait)(epfd, events, max, timeout, mask));
	struct grt_suspend s = {.call = call_epoll_pwait, .timeout = t, .looks = true, .n = max, .fd = epfd, .p = {events}};
	return grt__suspend(&s, mask);
}

static int call_epoll_pwait2(const struct grt_suspend *s)
{
	return REAL(epoll_pwait2)(s->fd, s->p[0], s->n, s->timeout, &s->set);
}

GRT_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                            const sigset_t *mask)
{
	if (!mask || !grt__on_task() || !sleeps(timeout))
		return GRT_BLOCKING_IF(sleeps(timeout), int, lasts(timeout),
		                       REAL(epoll_pwait2)(epfd, events, max, timeout, mask));
	struct grt_suspend s = {
		.call = call_epoll_pwait2, .timeout = timeout, .looks = true, .n = max, .fd = epfd, .p = {events}};
	return grt__suspend(&s, mask);
}

/* ---- syscall() ---- */

/* The mask of such a call; NULL: it has none, or one that the kernel refuses. */
static const uint64_t *raw_mask(long nr, const long a[6])
{
	const struct {
		const uint64_t *set;
		size_t size;
	} * pair;
	switch (nr) {
	case SYS_rt_sigsuspend:
		return a[1] == 8 ? (const uint64_t *)a[0] : NULL;
	case SYS_ppoll:
		return a[4] == 8 ? (const uint64_t *)a[3] : NULL;
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
		return a[5] == 8 ? (const uint64_t *)a[4] : NULL;
	case SYS_pselect6:
	case SYS_io_pgetevents:
		pair = (const void *)a[5];
		return pair && pair->size == 8 ? pair->set : NULL;
	default:
		return NULL;
	}
}

bool grt__suspend_syscall(long nr, const long a[6], long *r)
{
	const uint64_t *mask = raw_mask(nr, a);
	struct timespec ts, *given = NULL;
	sigset_t set;
	if (!mask)
		return false;
	memset(&set, 0, sizeof set);
	memcpy(&set, mask, sizeof *mask);
	struct grt_suspend s = {.call = call_raw, .looks = true, .nr = nr, .raw = a};
	if (nr == SYS_epoll_pwait) {
		int ms = (int)a[3];
		ts = (struct timespec){ms / 1000, ms % 1000 * 1000000L};
		s.timeout = ms < 0 ? NULL : &ts;
	} else if (nr == SYS_rt_sigsuspend) {
		s.looks = false;
	} else {
		given = (struct timespec *)a[nr == SYS_ppoll ? 2 : nr == SYS_epoll_pwait2 ? 3 : 4];
		if (given)
			ts = *given;
		s.timeout = given ? &ts : NULL;
	}
	if (nr == SYS_pselect6) {
		s.call = call_pselect_kept;
		s.n = (int)a[0];
		s.fd = !sleeps(s.timeout);
		for (int i = 0; i < 3; i++)
			s.p[i] = (void *)a[1 + i];
	}
	if ((nr == SYS_epoll_pwait || nr == SYS_epoll_pwait2) && !sleeps(s.timeout))
		return false;
	int64_t until = grt__time_until(s.timeout);
	*r = grt__shim_result(grt__suspend(&s, &set));
	if (until && (nr == SYS_ppoll || nr == SYS_pselect6)) /* the kernel's habit */
		grt__time_left(given, until);
	return true;
}
