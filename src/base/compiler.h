/*
 * What the rest of the runtime assumes of the compiler. Included first by every file.
 */
#ifndef GRT_BASE_COMPILER_H
#define GRT_BASE_COMPILER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define grt_likely(x) __builtin_expect(!!(x), 1)
#define grt_unlikely(x) __builtin_expect(!!(x), 0)
#define GRT_NORETURN __attribute__((noreturn))
#define GRT_NOINLINE __attribute__((noinline))
#define GRT_COLD_FN __attribute__((cold, noinline))
#define GRT_HOT __attribute__((hot))
/* It aligns its stack itself. */
#define GRT_ENTERED_BY_JUMP __attribute__((force_align_arg_pointer))
#define GRT_ALWAYS_INLINE static inline __attribute__((always_inline))
/* An exported function. Its own code lies in a section apart: there a task may be preempted like in the program's own code (it touches
 * M and P through calls only), elsewhere in libgrt it is not (sched/preempt.c). */
#define GRT_EXPORT __attribute__((visibility("default"), section("grt_user_text")))
#define GRT_PRINTF(f, a) __attribute__((format(printf, f, a)))
/* A preload is part of the initial set of libraries, so its TLS is static and one load away. */
#define GRT_TLS __thread __attribute__((tls_model("initial-exec")))
#define GRT_CACHE_LINE 64
#define GRT_ALIGNED(n) __attribute__((aligned(n)))

#define grt_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define GRT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Keeps the compiler, not the CPU, from moving memory accesses across. */
#define grt_barrier() __asm__ volatile("" ::: "memory")

/*
 * Debug level of this build: 0 release, 1 cheap checks and lock ranks, 2 invariants, 3 walks. Debug builds also
 * shrink constants (GRT_SMALL(normal, small)) so that every test meets the rare paths.
 */
#ifndef GRT_DEBUG
#define GRT_DEBUG 0
#endif
#if GRT_DEBUG
#define GRT_SMALL(normal, small) (small)
#else
#define GRT_SMALL(normal, small) (normal)
#endif

#endif
