#include "observe/print.h"
#include "os/os.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

void grt__out_flush(struct grt_out *o)
{
	size_t done = 0;
	int fd = grt__stderr_open();
	while (done < o->len) {
		long n = grt__sys_write(fd, o->buf + done, o->len - done);
		if (n > 0) {
			done += (size_t)n;
		} else if (n == -EAGAIN) {
			/* Somebody made it non-blocking. Wait a second for the reader, no longer: a report must end. */
			struct pollfd p = {.fd = fd, .events = POLLOUT};
			struct timespec second = {1, 0};
			if (grt__sys5(SYS_ppoll, &p, 1, &second, NULL, 0) <= 0)
				break;
		} else if (n != -EINTR) {
			break;
		}
	}
	grt__stderr_close(fd);
	o->len = 0;
}

static void put(struct grt_out *o, const char *s, size_t n)
{
	if (n > o->size - o->len) {
		if (o->no_flush)
			return;
		grt__out_flush(o);
	}
	if (n > o->size)
		n = o->size;
	memcpy(o->buf + o->len, s, n);
	o->len += n;
}

void grt__out(struct grt_out *o, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	size_t n = grt__vformat(line, sizeof line, fmt, ap);
	va_end(ap);
	put(o, line, n);
}

void grt__out_str(struct grt_out *o, const char *s)
{
	put(o, s, strlen(s));
}
