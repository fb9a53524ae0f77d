/*
 * Calls on descriptors that may sleep, for tasks: tried without sleeping, then the task parks (wait.h) and tries again. A few lines of
 * shim/ call each; what cannot be done like that is GRT_IO_PLAIN, and the caller makes the call in a blocking section.
 *
 *   sockets           recv, send and their kin with MSG_DONTWAIT
 *   pipes, eventfd    preadv2 and pwritev2 with RWF_NOWAIT
 *   accept            parks until there is something to accept, then makes the call; so do recv with MSG_WAITALL, reads of inotify
 *   poll, select      of up to GRT_POLL_MOST descriptors: a look with time-out 0, then a wait for all of them
 *   epoll_wait        in the kernel, like an event loop without us; parks if very many do it
 *
 * What decides between our way and the kernel's, at each call:
 *   - The program's O_NONBLOCK. Where it is known to be set, the call is the kernel's, so event loops make no additional call. Before a
 *     task parks F_GETFL is asked, for another process may share the file.
 *   - A task that is alone, or has a kernel thread for itself, sleeps in the kernel.
 *   - A program that has installed a filter (seccomp): calls that it does not make might be forbidden, so all is the kernel's.
 *
 * EINTR and SA_RESTART as signal(7) has them: a handler without SA_RESTART ends a wait, and any handler does if the socket has a
 * time-out, for poll and for select. What was written before is the result then.
 */
#ifndef GRT_IO_IO_H
#define GRT_IO_IO_H

#include "io/fd.h"
#include "os/os.h"
#include "sched/sched.h"
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define GRT_IO_PLAIN LONG_MIN        /* the kernel's to do */
#define GRT_IO_CANCEL (LONG_MIN + 1) /* a cancellation is due: act on it, and begin again if it was withdrawn */

enum { GRT_POLL_MOST = 8, GRT_IOV_MOST = 16 };

/* The calling thread's calls may park. */
static inline bool grt__io_parks(void)
{
	return grt__on_task() && !grt__self.g->lockedm && !grt__self.g->own_p && !grt__os.filtered && !grt__task_alone();
}

/* All: the result, -errno, or one of the two above. A task for which grt__io_parks is true, outside critical sections. */
long grt__io_read(int fd, void *buf, size_t n);
long grt__io_readv(int fd, const struct iovec *iov, int count);
long grt__io_write(int fd, const void *buf, size_t n);
long grt__io_writev(int fd, const struct iovec *iov, int count);
long grt__io_recv(int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len);
long grt__io_recvmsg(int fd, struct msghdr *msg, int flags);
long grt__io_send(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t len);
long grt__io_sendmsg(int fd, const struct msghdr *msg, int flags);

/* Parks until a call of that kind has something to do: 0. The caller makes it then, in a blocking section all the same: somebody else may
 * have been faster. `turns`: of several tasks one is to go on at a time. */
struct grt_io_held {
	int fd; /* in: the number; out: what the call has to be made on: its file, if it was closed meanwhile */
	bool shadow;
};
long grt__io_await(struct grt_io_held *h, enum grt_dir dir, bool turns);
/* After that call. */
static inline void grt__io_release(const struct grt_io_held *h)
{
	if (grt_unlikely(h->shadow))
		grt__fd_shadow_release(h->fd);
}
/* shutdown() was called: who waits for that file looks again. */
void grt__io_shutdown(int fd);
/* The program is about to install a filter (grt__os_filter_comes was called): who is parked goes on in the kernel. */
void grt__io_filter_comes(void);

struct pollfd;
struct epoll_event;
/* until: a deadline; 0 is not one. */
long grt__io_poll(struct pollfd *fds, unsigned long n, int64_t until);
/* The three sets (NULL: none) are results too. */
long grt__io_select(int n, unsigned long *in, unsigned long *out, unsigned long *except, int64_t until);
long grt__io_epoll_wait(int fd, struct epoll_event *events, int max, int64_t until);

#endif
