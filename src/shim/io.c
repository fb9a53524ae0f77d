/* unistd.h, fcntl.h, sys/uio.h and their kin: calls on one descriptor, each in a blocking section. */
#include "shim/shim.h"

/* Names that no header declares. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t off, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t off, size_t size);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

/* ---- read and write ---- */

GRT_EXPORT ssize_t read(int fd, void *buf, size_t n)
{
	return GRT_PARKING(ssize_t, grt__io_read(fd, buf, n), GRT_BLOCKING(ssize_t, false, REAL(read)(fd, buf, n)));
}
GRT_ALIAS(__read, read);

GRT_EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
	return GRT_PARKING(ssize_t, grt__io_write(fd, buf, n), GRT_BLOCKING(ssize_t, false, REAL(write)(fd, buf, n)));
}
GRT_ALIAS(__write, write);

GRT_EXPORT ssize_t pread(int fd, void *buf, size_t n, off_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pread)(fd, buf, n, off));
}

GRT_EXPORT ssize_t pwrite(int fd, const void *buf, size_t n, off_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pwrite)(fd, buf, n, off));
}

GRT_EXPORT ssize_t pread64(int fd, void *buf, size_t n, off64_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pread64)(fd, buf, n, off));
}
GRT_ALIAS(__pread64, pread64);

GRT_EXPORT ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pwrite64)(fd, buf, n, off));
}
GRT_ALIAS(__pwrite64, pwrite64);

GRT_EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	return GRT_PARKING(ssize_t, grt__io_readv(fd, iov, count),
	                   GRT_BLOCKING(ssize_t, false, REAL(readv)(fd, iov, count)));
}

GRT_EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return GRT_PARKING(ssize_t, grt__io_writev(fd, iov, count),
	                   GRT_BLOCKING(ssize_t, false, REAL(writev)(fd, iov, count)));
}

GRT_EXPORT ssize_t preadv(int fd, const struct iovec *iov, int count, off_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(preadv)(fd, iov, count, off));
}

GRT_EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pwritev)(fd, iov, count, off));
}

GRT_EXPORT ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(preadv64)(fd, iov, count, off));
}

GRT_EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
	return GRT_BLOCKING(ssize_t, false, REAL(pwritev64)(fd, iov, count, off));
}

GRT_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t off, int flags)
{
	return GRT_BLOCKING_IF(!(flags & RWF_NOWAIT), ssize_t, false, REAL(preadv2)(fd, iov, count, off, flags));
}

GRT_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t off, int flags)
{
	return GRT_BLOCKING_IF(!(flags & RWF_NOWAIT), ssize_t, false, REAL(pwritev2)(fd, iov, count, off, flags));
}

GRT_EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t off, int flags)
{
	return GRT_BLOCKING_IF(!(flags & RWF_NOWAIT), ssize_t, false, REAL(preadv64v2)(fd, iov, count, off, flags));
}

GRT_EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t off, int flags)
{
	return GRT_BLOCKING_IF(!(flags & RWF_NOWAIT), ssize_t, false, REAL(pwritev64v2)(fd, iov, count, off, flags));
}

GRT_EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	if (n <= size)
		return read(fd, buf, n);
	return REAL(__read_chk)(fd, buf, n, size); /* it ends the program */
}

GRT_EXPORT ssize_t __pread_chk(int fd, void *buf, size_t n, off_t off, size_t size)
{
	return GRT_BLOCKING(ssize_t, false, REAL(__pread_chk)(fd, buf, n, off, size));
}

GRT_EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t off, size_t size)
{
	return GRT_BLOCKING(ssize_t, false, REAL(__pread64_chk)(fd, buf, n, off, size));
}

GRT_EXPORT int eventfd_read(int fd, eventfd_t *value)
{
	ssize_t r = read(fd, value, sizeof *value);
	return r == sizeof *value ? 0 : -1;
}

GRT_EXPORT int eventfd_write(int fd, eventfd_t value)
{
	ssize_t r = write(fd, &value, sizeof value);
	return r == sizeof value ? 0 : -1;
}

/* ---- open: sleeps on fifos, ttys, leases and slow file systems ---- */

/* The table of descriptors is told. */
static int opened(int fd, int flags)
{
	if (fd >= 0 && !grt_unlikely(grt__self.in_vfork))
		grt__fd_opened(fd, flags & O_NONBLOCK);
	return fd;
}

/* The mode argument, which is there only if the flags say so. */
#define GRT_OPEN_MODE(flags)                                                                                           \
	({                                                                                                                 \
		mode_t grt_mode = 0;                                                                                           \
		if (__OPEN_NEEDS_MODE(flags)) {                                                                                \
			va_list ap;                                                                                                \
			va_start(ap, flags);                                                                                       \
			grt_mode = va_arg(ap, mode_t);                                                                             \
			va_end(ap);                                                                                                \
		}                                                                                                              \
		grt_mode;                                                                                                      \
	})

GRT_EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode = GRT_OPEN_MODE(flags);
	return opened(GRT_BLOCKING(int, false, REAL(open)(path, flags, mode)), flags);
}
GRT_ALIAS(__open, open);

GRT_EXPORT int open64(const char *path, int flags, ...)
{
	mode_t mode = GRT_OPEN_MODE(flags);
	return opened(GRT_BLOCKING(int, false, REAL(open64)(path, flags, mode)), flags);
}
GRT_ALIAS(__open64, open64);

GRT_EXPORT int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = GRT_OPEN_MODE(flags);
	return opened(GRT_BLOCKING(int, false, REAL(openat)(dir, path, flags, mode)), flags);
}

GRT_EXPORT int openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = GRT_OPEN_MODE(flags);
	return opened(GRT_BLOCKING(int, false, REAL(openat64)(dir, path, flags, mode)), flags);
}

GRT_EXPORT int __open_2(const char *path, int flags)
{
	return opened(GRT_BLOCKING(int, false, REAL(__open_2)(path, flags)), flags);
}

GRT_EXPORT int __open64_2(const char *path, int flags)
{
	return opened(GRT_BLOCKING(int, false, REAL(__open64_2)(path, flags)), flags);
}

GRT_EXPORT int __openat_2(int dir, const char *path, int flags)
{
	return opened(GRT_BLOCKING(int, false, REAL(__openat_2)(dir, path, flags)), flags);
}

GRT_EXPORT int __openat64_2(int dir, const char *path, int flags)
{
	return opened(GRT_BLOCKING(int, false, REAL(__openat64_2)(dir, path, flags)), flags);
}

GRT_EXPORT int creat(const char *path, mode_t mode)
{
	return opened(GRT_BLOCKING(int, false, REAL(creat)(path, mode)), 0);
}

GRT_EXPORT int creat64(const char *path, mode_t mode)
{
	return opened(GRT_BLOCKING(int, false, REAL(creat64)(path, mode)), 0);
}

GRT_EXPORT int open_by_handle_at(int mount_fd, struct file_handle *handle, int flags)
{
	return opened(GRT_BLOCKING(int, false, REAL(open_by_handle_at)(mount_fd, handle, flags)), flags);
}

/* ---- control and locks ---- */

/* The one argument of fcntl and ioctl, whatever its type: a register's worth, as libc itself takes it. */
#define GRT_CTL_ARG(last)                                                                                              \
	({                                                                                                                 \
		va_list ap;                                                                                                    \
		va_start(ap, last);                                                                                            \
		void *grt_arg = va_arg(ap, void *);                                                                            \
		va_end(ap);                                                                                                    \
		grt_arg;                                                                                                       \
	})

static inline bool fcntl_sleeps(int cmd)
{
	return cmd == F_SETLKW || cmd == F_OFD_SETLKW;
}

/* The table of descriptors is told what has changed (io/fd.h). */
static int fcntl_done(int fd, int cmd, void *arg, int r)
{
	if (grt_unlikely(grt__self.in_vfork) || r < 0)
		return r;
	if (cmd == F_SETFL)
		grt__fd_set_nonblock(fd, (uintptr_t)arg & O_NONBLOCK);
	else if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		grt__fd_opened(r, false);
	return r;
}

GRT_EXPORT int fcntl(int fd, int cmd, ...)
{
	void *arg = GRT_CTL_ARG(cmd);
	return fcntl_done(fd, cmd, arg, GRT_BLOCKING_IF(fcntl_sleeps(cmd), int, true, REAL(fcntl)(fd, cmd, arg)));
}
GRT_ALIAS(__fcntl, fcntl);

GRT_EXPORT int fcntl64(int fd, int cmd, ...)
{
	void *arg = GRT_CTL_ARG(cmd);
	return fcntl_done(fd, cmd, arg, GRT_BLOCKING_IF(fcntl_sleeps(cmd), int, true, REAL(fcntl64)(fd, cmd, arg)));
}

GRT_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	void *arg = GRT_CTL_ARG(request);
	int r = GRT_BLOCKING(int, false, REAL(ioctl)(fd, request, arg));
	if (r == 0 && request == FIONBIO && !grt__self.in_vfork)
		grt__fd_set_nonblock(fd, *(const int *)arg != 0);
	return r;
}

GRT_EXPORT int flock(int fd, int op)
{
	return GRT_BLOCKING_IF(!(op & (LOCK_NB | LOCK_UN)), int, true, REAL(flock)(fd, op));
}

GRT_EXPORT int lockf(int fd, int cmd, off_t len)
{
	return GRT_BLOCKING_IF(cmd == F_LOCK, int, true, REAL(lockf)(fd, cmd, len));
}

GRT_EXPORT int lockf64(int fd, int cmd, off64_t len)
{
	return GRT_BLOCKING_IF(cmd == F_LOCK, int, true, REAL(lockf64)(fd, cmd, len));
}

GRT_EXPORT int tcdrain(int fd)
{
	return GRT_BLOCKING(int, false, REAL(tcdrain)(fd));
}

/* ---- to the disk ---- */

GRT_EXPORT int fsync(int fd)
{
	return GRT_BLOCKING(int, false, REAL(fsync)(fd));
}

GRT_EXPORT int fdatasync(int fd)
{
	return GRT_BLOCKING(int, false, REAL(fdatasync)(fd));
}

GRT_EXPORT void sync(void)
{
	(void)GRT_BLOCKING(int, false, (REAL(sync)(), 0));
}

GRT_EXPORT int syncfs(int fd)
{
	return GRT_BLOCKING(int, false, REAL(syncfs)(fd));
}

GRT_EXPORT int msync(void *addr, size_t len, int flags)
{
	return GRT_BLOCKING(int, false, REAL(msync)(addr, len, flags));
}

GRT_EXPORT int sync_file_range(int fd, off64_t off, off64_t len, unsigned flags)
{
	return GRT_BLOCKING(int, false, REAL(sync_file_range)(fd, off, len, flags));
}

GRT_EXPORT int fallocate(int fd, int mode, off_t off, off_t len)
{
	return GRT_BLOCKING(int, false, REAL(fallocate)(fd, mode, off, len));
}

GRT_EXPORT int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	return GRT_BLOCKING(int, false, REAL(fallocate64)(fd, mode, off, len));
}

GRT_EXPORT int posix_fallocate(int fd, off_t off, off_t len)
{
	return GRT_BLOCKING(int, false, REAL(posix_fallocate)(fd, off, len));
}

GRT_EXPORT int posix_fallocate64(int fd, off64_t off, off64_t len)
{
	return GRT_BLOCKING(int, false, REAL(posix_fallocate64)(fd, off, len));
}

/* ---- from one descriptor to another ---- */

GRT_EXPORT ssize_t sendfile(int out, int in, off_t *off, size_t n)
{
	return GRT_BLOCKING(ssize_t, false, REAL(sendfile)(out, in, off, n));
}

GRT_EXPORT ssize_t sendfile64(int out, int in, off64_t *off, size_t n)
{
	return GRT_BLOCKING(ssize_t, false, REAL(sendfile64)(out, in, off, n));
}

GRT_EXPORT ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t n, unsigned flags)
{
	return GRT_BLOCKING(ssize_t, false, REAL(splice)(in, in_off, out, out_off, n, flags));
}

GRT_EXPORT ssize_t tee(int in, int out, size_t n, unsigned flags)
{
	return GRT_BLOCKING(ssize_t, false, REAL(tee)(in, out, n, flags));
}

GRT_EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t count, unsigned flags)
{
	return GRT_BLOCKING(ssize_t, false, REAL(vmsplice)(fd, iov, count, flags));
}

GRT_EXPORT ssize_t copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off, size_t n, unsigned flags)
{
	return GRT_BLOCKING(ssize_t, false, REAL(copy_file_range)(in, in_off, out, out_off, n, flags));
}

/* ---- entropy ---- */

GRT_EXPORT ssize_t getrandom(void *buf, size_t n, unsigned flags)
{
	return GRT_BLOCKING_IF(!(flags & GRND_NONBLOCK), ssize_t, false, REAL(getrandom)(buf, n, flags));
}

GRT_EXPORT int getentropy(void *buf, size_t n)
{
	return GRT_BLOCKING(int, false, REAL(getentropy)(buf, n));
}
