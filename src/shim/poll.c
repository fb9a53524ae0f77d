/* poll.h, sys/select.h, sys/epoll.h, without the calls that take a mask (suspend.c). A timeout of zero cannot sleep: no section. More than a millisecond: may last. */
#include "shim/shim.h"

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);

#define LONG_MS 1
#define LONG_NS (LONG_MS * 1000000L)

static inline bool ms_sleeps(int timeout)
{
	return timeout != 0;
}

static inline bool ms_lasts(int timeout)
{
	return timeout < 0 || timeout > LONG_MS;
}

static inline bool tv_sleeps(const struct timeval *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_usec != 0;
}

static inline bool tv_lasts(const struct timeval *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_usec > LONG_NS / 1000;
}

static int64_t ms_until(int timeout)
{
	return timeout < 0 ? GRT_FOREVER : grt__nanotime() + timeout * INT64_C(1000000);
}

static long park_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return ms_sleeps(timeout) ? grt__io_poll(fds, n, ms_until(timeout)) : GRT_IO_PLAIN;
}

static long park_epoll(int epfd, struct epoll_event *events, int max, int timeout)
{
	return ms_sleeps(timeout) ? grt__io_epoll_wait(epfd, events, max, ms_until(timeout)) : GRT_IO_PLAIN;
}

/* Linux's select says what is left of the time-out; a bad one is the kernel's to refuse. */
static long park_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t)
{
	int64_t until = GRT_FOREVER;
	if (!tv_sleeps(t) || (t && (t->tv_sec < 0 || t->tv_usec < 0 || t->tv_usec >= 1000000)))
		return GRT_IO_PLAIN;
	if (t && t->tv_sec < 1 << 30)
		until = grt__nanotime() + t->tv_sec * INT64_C(1000000000) + t->tv_usec * INT64_C(1000);
	long found = grt__io_select(n, (unsigned long *)r, (unsigned long *)w, (unsigned long *)e, until);
	if (t && until != GRT_FOREVER && found != GRT_IO_PLAIN) {
		int64_t left = until - grt__nanotime();
		*t = left <= 0 ? (struct timeval){0} : (struct timeval){left / 1000000000, left / 1000 % 1000000};
	}
	return found;
}

GRT_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return GRT_PARKING(int, park_poll(fds, n, timeout),
	                   GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(poll)(fds, n, timeout)));
}
GRT_ALIAS(__poll, poll);

GRT_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	if (size / sizeof *fds >= n)
		return poll(fds, n, timeout);
	return REAL(__poll_chk)(fds, n, timeout, size); /* it ends the program */
}

GRT_EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	return GRT_PARKING(int, park_select(n, r, w, e, timeout),
	                   GRT_BLOCKING_IF(tv_sleeps(timeout), int, tv_lasts(timeout), REAL(select)(n, r, w, e, timeout)));
}
GRT_ALIAS(__select, select);

GRT_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	return GRT_PARKING(
		int, park_epoll(epfd, events, max, timeout),
		GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(epoll_wait)(epfd, events, max, timeout)));
}
