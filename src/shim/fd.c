/*
 * unistd.h, sys/socket.h, stdio.h, dirent.h: the calls that open and close descriptors, or change what a wait for one depends on. The table
 * of descriptors (io/fd.h) is told; the call is libc's.
 *
 * The runtime's own descriptors are not open for the program: closing one is EBADF, a range goes round them, and a file that is put at such a
 * number takes its place.
 */
#include "io/netpoll.h"
#include "shim/fd.h"
#include "shim/shim.h"
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

int __close(int fd);
int __dup2(int old, int new);
int __pipe(int fds[2]);
int _IO_fclose(FILE *f);

/* A child of vfork has a table of its own, but our memory. */
static inline bool told(void)
{
	return !grt_unlikely(grt__self.in_vfork);
}

static int opened(int fd, bool nonblock)
{
	if (fd >= 0 && told())
		grt__fd_opened(fd, nonblock);
	return fd;
}

/* The number that a call is about to close, around it. -1: none. */
static void closing(int fd)
{
	if (fd >= 0 && told())
		grt__fd_closing((unsigned)fd, (unsigned)fd);
}

static void closed(int fd)
{
	if (fd >= 0 && told())
		grt__fd_closed((unsigned)fd, (unsigned)fd);
}

static bool ours(int fd)
{
	return fd >= 0 && told() && grt__fd_ours((unsigned)fd, (unsigned)fd) >= 0;
}

/* ---- close ---- */

GRT_EXPORT int close(int fd)
{
	if (grt_unlikely(ours(fd))) {
		errno = EBADF;
		return -1;
	}
	closing(fd);
	int r = GRT_BLOCKING(int, false, REAL(close)(fd));
	closed(fd);
	return r;
}
GRT_ALIAS(__close, close);

/* From first to last, but not those of the runtime; fn makes the call. */
static int close_parts(unsigned first, unsigned last, int flags)
{
	int r = 0, mine;
	while (first <= last && r == 0 && (mine = grt__fd_ours(first, last)) >= 0) {
		if ((unsigned)mine > first)
			r = REAL(close_range)(first, (unsigned)mine - 1, flags);
		first = (unsigned)mine + 1;
	}
	return r == 0 && first <= last ? REAL(close_range)(first, last, flags) : r;
}

GRT_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (!told() || first > last || flags) /* of its own table, or not closed yet */
		return REAL(close_range)(first, last, flags);
	grt__fd_closing(first, last);
	int r = close_parts(first, last, flags);
	grt__fd_closed(first, last);
	return r;
}

GRT_EXPORT void closefrom(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;
	if (!told()) {
		REAL(closefrom)(first);
		return;
	}
	grt__fd_closing(from, FD_MAX - 1);
	if (grt__fd_ours(from, FD_MAX - 1) < 0 || close_parts(from, ~0u, 0) != 0)
		REAL(closefrom)(first);
	grt__fd_closed(from, FD_MAX - 1);
}

GRT_EXPORT int fclose(FILE *f)
{
	int fd = fileno_unlocked(f);
	closing(fd);
	int r = REAL(fclose)(f);
	closed(fd);
	return r;
}
GRT_ALIAS(_IO_fclose, fclose);

GRT_EXPORT int pclose(FILE *f)
{
	int fd = fileno_unlocked(f);
	closing(fd);
	int r = REAL(pclose)(f);
	closed(fd);
	return r;
}

GRT_EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
	int fd = fileno_unlocked(f);
	closing(fd);
	FILE *r = REAL(freopen)(path, mode, f);
	closed(fd);
	if (r && fileno_unlocked(r) != fd)
		opened(fileno_unlocked(r), false);
	return r;
}

GRT_EXPORT FILE *freopen64(const char *path, const char *mode, FILE *f)
{
	int fd = fileno_unlocked(f);
	closing(fd);
	FILE *r = REAL(freopen64)(path, mode, f);
	closed(fd);
	if (r && fileno_unlocked(r) != fd)
		opened(fileno_unlocked(r), false);
	return r;
}

GRT_EXPORT int closedir(DIR *dir)
{
	DIR *given = dir;
	__asm__("" : "+r"(given)); /* declared never NULL, but libc says EINVAL to that */
	int fd = given ? dirfd(given) : -1;
	closing(fd);
	int r = REAL(closedir)(given);
	closed(fd);
	return r;
}

/* ---- dup ---- */

GRT_EXPORT int dup(int fd)
{
	return opened(REAL(dup)(fd), false);
}

/* The number gets another file, if the call succeeds. */
static void replacing(int fd)
{
	if (grt_unlikely(ours(fd)))
		grt__netpoll_make_room(fd);
	closing(fd);
}

static int replaced(int r, int fd)
{
	closed(
		fd); /* renewed already: whoever waits for the new file by now shall not be taken for one that the old one left behind */
	return r;
}

GRT_EXPORT int dup2(int old, int new)
{
	if (old == new)
		return REAL(dup2)(old, new);
	replacing(new);
	return replaced(REAL(dup2)(old, new), new);
}
GRT_ALIAS(__dup2, dup2);

GRT_EXPORT int dup3(int old, int new, int flags)
{
	if (old == new)
		return REAL(dup3)(old, new, flags);
	replacing(new);
	return replaced(REAL(dup3)(old, new, flags), new);
}

/* ---- new ones ---- */

static int opened_pair(int r, const int fds[2], bool nonblock)
{
	if (r == 0) {
		opened(fds[0], nonblock);
		opened(fds[1], nonblock);
	}
	return r;
}

GRT_EXPORT int socket(int domain, int type, int protocol)
{
	return opened(REAL(socket)(domain, type, protocol), type & SOCK_NONBLOCK);
}

GRT_EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	return opened_pair(REAL(socketpair)(domain, type, protocol, fds), fds, type & SOCK_NONBLOCK);
}

GRT_EXPORT int pipe(int fds[2])
{
	return opened_pair(REAL(pipe)(fds), fds, false);
}
GRT_ALIAS(__pipe, pipe);

GRT_EXPORT int pipe2(int fds[2], int flags)
{
	return opened_pair(REAL(pipe2)(fds, flags), fds, flags & O_NONBLOCK);
}

GRT_EXPORT int eventfd(unsigned value, int flags)
{
	return opened(REAL(eventfd)(value, flags), flags & EFD_NONBLOCK);
}

GRT_EXPORT int timerfd_create(int clock, int flags)
{
	return opened(REAL(timerfd_create)(clock, flags), flags & TFD_NONBLOCK);
}

/* ---- syscall() ---- */

/* What a number closes: true, from *first to *last. */
static bool closes(long nr, const long a[6], unsigned *first, unsigned *last)
{
	switch (nr) {
	case SYS_close:
		*first = *last = (unsigned)a[0];
		return true;
	case SYS_close_range:
		*first = (unsigned)a[0];
		*last = (unsigned)a[1];
		return *first <= *last && !a[2];
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case SYS_dup3:
		*first = *last = (unsigned)a[1];
		return (int)a[0] != (int)a[1];
	default:
		return false;
	}
}

bool grt__fd_syscall(long nr, const long a[6], long *r)
{
	unsigned first, last;
	if (!closes(nr, a, &first, &last))
		return false;
	int mine = grt__fd_ours(first, last);
	if (mine >= 0 && nr == SYS_close) {
		*r = -EBADF;
		return true;
	}
	if (mine >= 0 && nr != SYS_close_range)
		grt__netpoll_make_room(mine);
	grt__fd_closing(first, last);
	if (nr == SYS_close_range)
		*r = grt__shim_result(close_parts(first, last, 0));
	else
		*r = grt__shim_result(GRT_BLOCKING(long, false, REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5])));
	grt__fd_closed(first, last);
	return true;
}

/* ---- options ---- */

GRT_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int r = REAL(setsockopt)(fd, level, name, value, len);
	if ((level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO || name == SO_RCVLOWAT)) ||
	    (level == IPPROTO_TCP && name == TCP_ULP))
		grt__fd_options_changed();
	return r;
}
