/*
 * The operating system, as the runtime sees it: raw system calls under their own names, each the kernel's result or -errno; the
 * clock through the vDSO; what this kernel can do, probed once; how many CPUs we may use. Nothing here touches libc's errno, and all
 * of it is async-signal-safe except where said.
 */
#ifndef GRT_OS_OS_H
#define GRT_OS_OS_H

#include "arch/arch.h"
#include "base/throw.h"
#include <signal.h>
#include <time.h>

/* ---- files, memory ---- */
static inline long grt__sys_open(const char *path, int flags, int mode)
{
	return grt__sys4(SYS_openat, -100 /* AT_FDCWD */, path, flags, mode);
}
static inline long grt__sys_close(int fd)
{
	return grt__sys1(SYS_close, fd);
}
static inline long grt__sys_read(int fd, void *buf, size_t n)
{
	return grt__sys3(SYS_read, fd, buf, n);
}
static inline long grt__sys_write(int fd, const void *buf, size_t n)
{
	return grt__sys3(SYS_write, fd, buf, n);
}
static inline long grt__sys_fstat(int fd, void *st)
{
	return grt__sys2(SYS_fstat, fd, st);
}
/* The address or -errno; test with grt__sys_failed. */
static inline long grt__sys_mmap(void *addr, size_t len, int prot, int flags, int fd, long off)
{
	return grt__sys6(SYS_mmap, addr, len, prot, flags, fd, off);
}
static inline bool grt__sys_failed(long r)
{
	return (unsigned long)r > -4096ul;
}
static inline long grt__sys_munmap(void *addr, size_t len)
{
	return grt__sys2(SYS_munmap, addr, len);
}
static inline long grt__sys_mprotect(void *addr, size_t len, int prot)
{
	return grt__sys3(SYS_mprotect, addr, len, prot);
}
static inline long grt__sys_madvise(void *addr, size_t len, int advice)
{
	return grt__sys3(SYS_madvise, addr, len, advice);
}

/* Anonymous zeroed memory for the runtime's own tables; NULL when there is none. */
void *grt__os_alloc(size_t size);
void grt__os_free(void *p, size_t size);

/* ---- threads, signals ---- */
static inline int grt__sys_gettid(void)
{
	return (int)grt__sys0(SYS_gettid);
}
static inline int grt__sys_getpid(void)
{
	return (int)grt__sys0(SYS_getpid);
}
static inline long grt__sys_tgsigqueue(int pid, int tid, int sig, siginfo_t *info)
{
	return grt__sys4(SYS_rt_tgsigqueueinfo, pid, tid, sig, info);
}
static inline long grt__sys_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return grt__sys4(SYS_rt_sigprocmask, how, set, old, 8);
}

/* Sleeps while *word == expected, at most until the absolute CLOCK_MONOTONIC deadline (ns; INT64_MAX: for ever; negative: minus
 * a CLOCK_REALTIME one).
 * 0, -EAGAIN, -EINTR or -ETIMEDOUT. */
long grt__os_futex_wait(uint32_t *word, uint32_t expected, int64_t deadline);
long grt__os_futex_wake(uint32_t *word, int n);

/* Moves a descriptor of the runtime's out of the way of programs that count on the lowest free number; the new one, or -1 if there is
 * no such place under RLIMIT_NOFILE: then it is closed, and its user does without. */
int grt__os_high_fd(int fd);

/* A signal for a thread of this process. tgkill, or where that is refused (a seccomp filter) one of its relatives. */
long grt__os_tgkill(int pid, int tid, int sig);

/*
 * The program installs a seccomp filter, which may kill for what the program does not do itself. From then on the runtime makes none of the
 * calls that it can do without: no files of /proc (CPU clocks alone tell who sleeps), no membarrier, no process_vm_readv, no new timerfd. What
 * stays is what threads and signals are made of (HACKING.md, "What a task is to the outside").
 */
void grt__os_filter_comes(void);

/* Every other thread of this process has passed a full barrier: membarrier(PRIVATE_EXPEDITED), or what there is without it. True: by
 * membarrier. */
bool grt__os_membarrier(void);

/* The i-th round of a wait for what another thread does in a moment: spins, then yields, then sleeps, for the other may have a
 * lower real-time priority than we. */
void grt__os_pause(unsigned i);

/* The kernel's struct sigaction. */
struct grt_ksigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};
static inline long grt__sys_sigaction(int sig, const struct grt_ksigaction *act, struct grt_ksigaction *old)
{
	return grt__sys4(SYS_rt_sigaction, sig, act, old, 8);
}

/* ---- clock ---- */
void grt__os_clock_init(void);
int64_t grt__nanotime(void);            /* CLOCK_MONOTONIC */
int64_t grt__os_clock(clockid_t clock); /* any clock, ns; -1 when unknown */

/* ---- features of this kernel, filled by grt__os_probe (boot, once) ---- */
struct grt_os {
	bool guard_madvise; /* MADV_GUARD_INSTALL, Linux 6.13 */
	bool filtered;      /* the program has installed a system call filter: grt__os_filter_comes */
	int ncpu;           /* sched_getaffinity */
	int cpu_quota;      /* cgroup limit in whole CPUs rounded up; 0: none */
	size_t page_size;
	size_t sigframe_size; /* AT_MINSIGSTKSZ, at least 2048 */
};
extern struct grt_os grt__os;
void grt__os_probe(void);

/* ---- procfs ---- */
/* Reads a small file into buf, NUL-terminated; the length or -errno. */
long grt__os_read_file(const char *path, char *buf, size_t size);
/* The calling process's page at addr is there, and no other process can mean it: neither a file's nor shared. False too where the kernel
 * does not say (not dumpable, no /proc). open: boot, one thread; keeps a descriptor out of the program's way, so that none of the
 * low numbers is taken for a moment at each question. forget: its child of fork. */
void grt__os_pagemap_open(void);
void grt__os_pagemap_forget(void);
bool grt__os_page_is_private(const void *addr);
/* True when the thread is asleep inside a system call (/proc/self/task/TID/syscall says a number >= 0), or nobody can tell. */
bool grt__os_thread_asleep(int tid);
/* Of the control group and those above it: CPUs that its quota is worth, 0: none; bytes of memory, SIZE_MAX: no limit (cgroup.c). */
int grt__os_cgroup_cpus(void);
size_t grt__os_cgroup_memory(void);
/* ns of CPU time used by a thread of this process; -1 if it is gone. */
int64_t grt__os_thread_cputime(int tid);

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#endif
