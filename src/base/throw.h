/*
 * Printing and dying without libc: no allocation, no stdio, async-signal-safe, from any stack.
 */
#ifndef GRT_BASE_THROW_H
#define GRT_BASE_THROW_H

#include "base/compiler.h"
#include <stdarg.h>

/* Formats %s %c %d %u %x %p %ld %lu %lx %llu %zu with width and 0-padding, and %% into buf; always NUL-terminated; returns
 * the length that was written. */
size_t grt__format(char *buf, size_t size, const char *fmt, ...) GRT_PRINTF(3, 4);
size_t grt__vformat(char *buf, size_t size, const char *fmt, va_list ap);

/* Writes a formatted line to standard error with one write(2). Lines over 1 KiB are cut. */
void grt__print(const char *fmt, ...) GRT_PRINTF(1, 2);

/* "fatal error: what", then the traceback that observe/ registered, then abort with the default action of SIGABRT. */
void grt__throw(const char *fmt, ...) GRT_PRINTF(1, 2) GRT_NORETURN;

/* The end of it alone. */
void grt__throw_silently(void) GRT_NORETURN;

/* Called by grt__throw after the message; registered by observe/ (a need that points up). */
extern void (*grt__throw_hook)(void);

/* The program's stderr, for one message: 2, or where the calling thread's descriptors are not the program's a duplicate, made by sched/. */
extern int (*grt__stderr_hook)(void);
int grt__stderr_open(void);
void grt__stderr_close(int fd);

#if GRT_DEBUG >= 1
#define grt_assert(x) ((x) ? (void)0 : grt__throw("%s:%d: assertion failed: %s", __FILE__, __LINE__, #x))
#else
#define grt_assert(x) ((void)0)
#endif
#if GRT_DEBUG >= 2
#define grt_invariant(x) grt_assert(x)
#else
#define grt_invariant(x) ((void)0)
#endif

#endif
