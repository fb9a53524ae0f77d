#ifndef GRT_SHIM_TIDS_H
#define GRT_SHIM_TIDS_H

#include "shim/shim.h"
#include <limits.h>

/* Make the real call. */
#define GRT_TID_REAL LONG_MIN

/* Any thread, booted: a number of syscall() that names a thread or changes its signals. The result or -errno, or GRT_TID_REAL. */
long grt__tid_syscall(long nr, long a, long b, long c, long d, long e, long f);

#endif
