/* The numbers of syscall() that concern the table of descriptors (fd.c). */
#ifndef GRT_SHIM_FD_H
#define GRT_SHIM_FD_H

#include <stdbool.h>

/* True: the call was one that closes descriptors, and was made; *r is its result, or -errno. */
bool grt__fd_syscall(long nr, const long a[6], long *r);

#endif
