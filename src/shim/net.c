/* sys/socket.h. The address parameters are transparent unions in libc's prototypes, hence the .__sockaddr__. */
#include "shim/shim.h"

ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, __SOCKADDR_ARG addr, socklen_t *len);

static inline bool msg_sleeps(int flags)
{
	return !(flags & MSG_DONTWAIT);
}

GRT_EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return GRT_PARKING(ssize_t, grt__io_recv(fd, buf, n, flags, NULL, NULL),
	                   GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(recv)(fd, buf, n, flags)));
}

GRT_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	if (n <= size)
		return recv(fd, buf, n, flags);
	return REAL(__recv_chk)(fd, buf, n, size, flags); /* it ends the program */
}

GRT_EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, __SOCKADDR_ARG addr, socklen_t *len)
{
	return GRT_PARKING(
		ssize_t, grt__io_recv(fd, buf, n, flags, addr.__sockaddr__, len),
		GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(recvfrom)(fd, buf, n, flags, addr.__sockaddr__, len)));
}

GRT_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, __SOCKADDR_ARG addr,
                                  socklen_t *len)
{
	if (n <= size)
		return recvfrom(fd, buf, n, flags, addr, len);
	return REAL(__recvfrom_chk)(fd, buf, n, size, flags, addr.__sockaddr__, len); /* it ends the program */
}

GRT_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return GRT_PARKING(ssize_t, grt__io_recvmsg(fd, msg, flags),
	                   GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(recvmsg)(fd, msg, flags)));
}

GRT_EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	return GRT_BLOCKING_IF(msg_sleeps(flags), int, false, REAL(recvmmsg)(fd, msgs, n, flags, timeout));
}

GRT_EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return GRT_PARKING(ssize_t, grt__io_send(fd, buf, n, flags, NULL, 0),
	                   GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(send)(fd, buf, n, flags)));
}
GRT_ALIAS(__send, send);

GRT_EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	return GRT_PARKING(
		ssize_t, grt__io_send(fd, buf, n, flags, addr.__sockaddr__, len),
		GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(sendto)(fd, buf, n, flags, addr.__sockaddr__, len)));
}

GRT_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return GRT_PARKING(ssize_t, grt__io_sendmsg(fd, msg, flags),
	                   GRT_BLOCKING_IF(msg_sleeps(flags), ssize_t, false, REAL(sendmsg)(fd, msg, flags)));
}

GRT_EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	return GRT_BLOCKING_IF(msg_sleeps(flags), int, false, REAL(sendmmsg)(fd, msgs, n, flags));
}

/* 0 would be a result: there is something to accept, which the kernel's call does. */
static long await_connection(struct grt_io_held *h)
{
	long r = grt__io_await(h, GRT_IN, true);
	return r == 0 ? GRT_IO_PLAIN : r;
}

static int accepted(int fd, const struct grt_io_held *h, int flags)
{
	int error = errno;
	grt__io_release(h);
	errno = error;
	if (fd >= 0)
		grt__fd_opened(fd, flags & SOCK_NONBLOCK);
	return fd;
}

GRT_EXPORT int accept(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	struct grt_io_held h = {.fd = fd};
	int r = GRT_PARKING(int, await_connection(&h), GRT_BLOCKING(int, true, REAL(accept)(h.fd, addr.__sockaddr__, len)));
	return accepted(r, &h, 0);
}

GRT_EXPORT int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
	struct grt_io_held h = {.fd = fd};
	int r = GRT_PARKING(int, await_connection(&h),
	                    GRT_BLOCKING(int, true, REAL(accept4)(h.fd, addr.__sockaddr__, len, flags)));
	return accepted(r, &h, flags);
}

GRT_EXPORT int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	return GRT_BLOCKING(int, false, REAL(connect)(fd, addr.__sockaddr__, len));
}
GRT_ALIAS(__connect, connect);

GRT_EXPORT int shutdown(int fd, int how)
{
	int r = REAL(shutdown)(fd, how);
	if (r == 0)
		grt__io_shutdown(fd);
	return r;
}
