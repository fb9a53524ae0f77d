#include "base/throw.h"
#include "arch/arch.h"
#include <signal.h>

void (*grt__throw_hook)(void);
int (*grt__stderr_hook)(void);

int grt__stderr_open(void)
{
	return grt__stderr_hook ? grt__stderr_hook() : 2;
}

void grt__stderr_close(int fd)
{
	if (fd != 2)
		grt__sys1(SYS_close, fd);
}

static void say(const char *line, size_t n)
{
	int fd = grt__stderr_open();
	grt__sys3(SYS_write, fd, line, n);
	grt__stderr_close(fd);
}

struct out {
	char *p, *end;
};

static void put(struct out *o, char c)
{
	if (o->p < o->end)
		*o->p++ = c;
}

static void put_number(struct out *o, unsigned long v, unsigned base, bool negative, int width, char pad)
{
	char digits[24];
	int n = 0;
	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	int len = n + negative;
	if (negative && pad == '0')
		put(o, '-');
	for (; len < width; len++)
		put(o, pad);
	if (negative && pad != '0')
		put(o, '-');
	while (n)
		put(o, digits[--n]);
}

/* One conversion after '%': flags, width, length, letter. Returns the character after it. */
static const char *convert(struct out *o, const char *f, va_list *ap)
{
	char pad = ' ';
	int width = 0, longs = 0;
	bool left = false;
	if (*f == '-')
		left = true, f++;
	if (*f == '0')
		pad = '0', f++;
	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + (*f - '0');
	for (; *f == 'l' || *f == 'z'; f++)
		longs++;
	switch (*f) {
	case 'd': {
		long v = longs ? va_arg(*ap, long) : va_arg(*ap, int);
		put_number(o, v < 0 ? 0 - (unsigned long)v : (unsigned long)v, 10, v < 0, width, pad);
		break;
	}
	case 'u':
		put_number(o, longs ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned), 10, false, width, pad);
		break;
	case 'x':
		put_number(o, longs ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned), 16, false, width, pad);
		break;
	case 'p':
		put(o, '0'), put(o, 'x');
		put_number(o, va_arg(*ap, unsigned long), 16, false, width, '0');
		break;
	case 'c':
		put(o, (char)va_arg(*ap, int));
		break;
	case 's': {
		const char *s = va_arg(*ap, const char *);
		int n = 0;
		for (s = s ? s : "(null)"; s[n]; n++) {
		}
		for (int i = n; !left && i < width; i++)
			put(o, ' ');
		for (int i = 0; i < n; i++)
			put(o, s[i]);
		for (int i = n; left && i < width; i++)
			put(o, ' ');
		break;
	}
	case '\0':
		return f;
	default:
		put(o, *f);
	}
	return f + 1;
}

size_t grt__vformat(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = {buf, buf + size - 1};
	va_list args;
	va_copy(args, ap);
	while (*fmt) {
		if (*fmt == '%')
			fmt = convert(&o, fmt + 1, &args);
		else
			put(&o, *fmt++);
	}
	va_end(args);
	*o.p = '\0';
	return (size_t)(o.p - buf);
}

size_t grt__format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	size_t n = grt__vformat(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

void grt__print(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	size_t n = grt__vformat(line, sizeof line, fmt, ap);
	va_end(ap);
	say(line, n);
}

void grt__throw(const char *fmt, ...)
{
	static uint32_t throwing;
	char line[1024];
	va_list ap;
	size_t n = grt__format(line, sizeof line, "fatal error: ");
	va_start(ap, fmt);
	n += grt__vformat(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	say(line, n);
	if (__atomic_fetch_add(&throwing, 1, __ATOMIC_RELAXED) == 0 && grt__throw_hook)
		grt__throw_hook();
	grt__throw_silently();
}

void grt__throw_silently(void)
{
	/* SIGABRT with its default action, unblocked: the program's own handler has no say in our broken invariants. */
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} dfl = {0};
	uint64_t abrt = 1ull << (SIGABRT - 1);
	grt__sys4(SYS_rt_sigaction, SIGABRT, &dfl, NULL, 8);
	grt__sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &abrt, NULL, 8);
	grt__sys3(SYS_tgkill, grt__sys0(SYS_getpid), grt__sys0(SYS_gettid), SIGABRT);
	for (;;)
		grt__sys1(SYS_exit_group, 2);
}
