/* poll.h, sys/select.h, sys/epoll.h. A timeout of zero cannot sleep: no section. More than a millisecond: may last. */
#include "shim/maskwait.h"
#include "shim/shim.h"

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);

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

static inline bool ts_sleeps(const struct timespec *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_nsec != 0;
}

static inline bool ts_lasts(const struct timespec *t)
{
	return t == NULL || t->tv_sec != 0 || t->tv_nsec > LONG_NS;
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

GRT_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (mask != NULL && ts_sleeps(timeout))
		return GRT_BLOCKING_UNDER(grt__mask_bits(mask), int, ts_lasts(timeout), REAL(ppoll)(fds, n, timeout, mask));
	return GRT_BLOCKING_IF(ts_sleeps(timeout), int, ts_lasts(timeout), REAL(ppoll)(fds, n, timeout, mask));
}

GRT_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                           size_t size)
{
	if (mask != NULL && ts_sleeps(timeout))
		return GRT_BLOCKING_UNDER(grt__mask_bits(mask), int, ts_lasts(timeout),
		                          REAL(__ppoll_chk)(fds, n, timeout, mask, size));
	return GRT_BLOCKING_IF(ts_sleeps(timeout), int, ts_lasts(timeout), REAL(__ppoll_chk)(fds, n, timeout, mask, size));
}

GRT_EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	return GRT_BLOCKING_IF(tv_sleeps(timeout), int, tv_lasts(timeout), REAL(select)(n, r, w, e, timeout));
}
GRT_ALIAS(__select, select);

GRT_EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *mask)
{
	if (mask != NULL && ts_sleeps(timeout))
		return GRT_BLOCKING_UNDER(grt__mask_bits(mask), int, ts_lasts(timeout),
		                          REAL(pselect)(n, r, w, e, timeout, mask));
	return GRT_BLOCKING_IF(ts_sleeps(timeout), int, ts_lasts(timeout), REAL(pselect)(n, r, w, e, timeout, mask));
}

GRT_EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	return GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout), REAL(epoll_wait)(epfd, events, max, timeout));
}

GRT_EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
	if (mask != NULL && ms_sleeps(timeout))
		return GRT_BLOCKING_UNDER(grt__mask_bits(mask), int, ms_lasts(timeout),
		                          REAL(epoll_pwait)(epfd, events, max, timeout, mask));
	return GRT_BLOCKING_IF(ms_sleeps(timeout), int, ms_lasts(timeout),
	                       REAL(epoll_pwait)(epfd, events, max, timeout, mask));
}

GRT_EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                            const sigset_t *mask)
{
	if (mask != NULL && ts_sleeps(timeout))
		return GRT_BLOCKING_UNDER(grt__mask_bits(mask), int, ts_lasts(timeout),
		                          REAL(epoll_pwait2)(epfd, events, max, timeout, mask));
	return GRT_BLOCKING_IF(ts_sleeps(timeout), int, ts_lasts(timeout),
	                       REAL(epoll_pwait2)(epfd, events, max, timeout, mask));
}
