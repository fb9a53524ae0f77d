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

GRT_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(poll)(fds, n, timeout));
}
GRT_ALIAS(__poll, poll);

GRT_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	return GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(__poll_chk)(fds, n, timeout, size));
}

GRT_EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	return GRT_BLOCKING_IF(tv_sleeps(timeout), int, tv_lasts(timeout), REAL(select)(n, r, w, e, timeout));
}
GRT_ALIAS(__select, select);

GRT_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	return GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(epoll_wait)(epfd, events, max, timeout));
}
