#include "os/os.h"
#include "base/atomic.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct grt_os grt__os;

void grt__os_filter_comes(void)
{
	grt__os.filtered = true;
}

void *grt__os_alloc(size_t size)
{
	long p = grt__sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return grt__sys_failed(p) ? NULL : (void *)p;
}

void grt__os_free(void *p, size_t size)
{
	if (p)
		grt__sys_munmap(p, size);
}

long grt__os_futex_wait(uint32_t *word, uint32_t expected, int64_t deadline)
{
	struct timespec ts, *tsp = NULL;
	int op = FUTEX_WAIT_BITSET_PRIVATE; /* its time-out is absolute, of CLOCK_MONOTONIC unless told otherwise */
	if (deadline != INT64_MAX) {
		if (deadline < 0) {
			deadline = -deadline;
			op |= FUTEX_CLOCK_REALTIME;
		}
		ts.tv_sec = deadline / 1000000000;
		ts.tv_nsec = deadline % 1000000000;
		tsp = &ts;
	}
	return grt__sys6(SYS_futex, word, op, expected, tsp, NULL, FUTEX_BITSET_MATCH_ANY);
}

long grt__os_futex_wake(uint32_t *word, int n)
{
	return grt__sys3(SYS_futex, word, FUTEX_WAKE_PRIVATE, n);
}

void grt__os_pause(unsigned i)
{
	struct timespec pause = {0, 50000};
	grt__cpu_relax();
	if (i % 128 != 127)
		return;
	if (i < 128 * 16)
		grt__sys0(SYS_sched_yield);
	else
		grt__sys2(SYS_nanosleep, &pause, NULL);
}

/* The call itself was refused: no such call here, or a filter's answer; not one of the errors that it has of its own. */
static bool refused(long r)
{
	return r < 0 && r != -EAGAIN && r != -ESRCH && r != -EINVAL;
}

long grt__os_tgkill(int pid, int tid, int sig)
{
	long r = grt__sys3(SYS_tgkill, pid, tid, sig);
	if (grt_likely(!refused(r)))
		return r;
	r = grt__sys2(SYS_tkill, tid, sig);
	if (!refused(r))
		return r;
	siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};
	info.si_pid = pid;
	info.si_uid = (uid_t)grt__sys0(SYS_getuid);
	return grt__sys_tgsigqueue(pid, tid, sig, &info);
}

/*
 * Without membarrier. A page that was written is unmapped: the kernel interrupts each CPU that runs this process, to empty its TLB,
 * and waits for it, and an interrupt is a full barrier; a thread on no CPU has passed one when it was switched away from. CPUs that
 * empty each other's TLB without an interrupt do not promise that, so the pause: what waits in a store buffer is written in a
 * small part of it.
 */
static void barrier_by_unmap(void)
{
	struct timespec pause = {0, 50000};
	long p = grt__sys_mmap(NULL, grt__os.page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!grt__sys_failed(p)) {
		*(volatile char *)p = 1;
		grt__sys_munmap((void *)p, grt__os.page_size);
	}
	grt__sys2(SYS_nanosleep, &pause, NULL);
	grt_fence_seqcst();
}

bool grt__os_membarrier(void)
{
	if (grt_likely(!grt__os.filtered) &&
	    grt_likely(grt__sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0))
		return true;
	barrier_by_unmap();
	return false;
}

enum { HIGH_FD = 900, FEW_FDS = 64 };

int grt__os_high_fd(int fd)
{
	struct rlimit rl;
	long high = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
	/* A lower limit: the highest there is; one of very few would be missed. */
	if (high < 0 && grt__sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl) == 0 && rl.rlim_cur >= FEW_FDS &&
	    rl.rlim_cur <= HIGH_FD)
		high = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (int)rl.rlim_cur - 1);
	grt__sys_close(fd);
	return high < 0 ? -1 : (int)high;
}

long grt__os_read_file(const char *path, char *buf, size_t size)
{
	long fd = grt__sys_open(path, 02000000 /* O_CLOEXEC */, 0);
	if (fd < 0)
		return fd;
	size_t n = 0;
	while (n + 1 < size) {
		long r = grt__sys_read((int)fd, buf + n, size - 1 - n);
		if (r < 0 && r != -EINTR) {
			grt__sys_close((int)fd);
			return r;
		}
		if (r == 0)
			break;
		if (r > 0)
			n += (size_t)r;
	}
	buf[n] = '\0';
	grt__sys_close((int)fd);
	return (long)n;
}

static int pagemap = -1;
static uint64_t pagemap_id[2];

/* Not a file that the program has put at its number. */
static bool pagemap_is_ours(void)
{
	struct stat st;
	return pagemap >= 0 && grt__sys_fstat(pagemap, &st) == 0 && st.st_dev == pagemap_id[0] &&
	       st.st_ino == pagemap_id[1];
}

void grt__os_pagemap_open(void)
{
	struct stat st;
	long fd = grt__sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	pagemap = grt__os_high_fd((int)fd);
	if (pagemap < 0 || grt__sys_fstat(pagemap, &st) < 0)
		return;
	pagemap_id[0] = st.st_dev;
	pagemap_id[1] = st.st_ino;
}

void grt__os_pagemap_forget(void)
{
	if (pagemap_is_ours())
		grt__sys_close(pagemap);
	pagemap = -1; /* it shows the parent's pages */
}

bool grt__os_page_is_private(const void *addr)
{
	enum { PRESENT = 63, SWAPPED = 62, FILE_OR_SHARED = 61 };
	uint64_t entry = 0;
	long off = (long)((uintptr_t)addr / grt__os.page_size * sizeof entry);
	bool ours = pagemap_is_ours();
	long fd = ours ? pagemap : grt__sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	long r = grt__sys4(SYS_pread64, fd, &entry, sizeof entry, off);
	if (!ours)
		grt__sys_close((int)fd);
	return r == sizeof entry && (entry >> PRESENT & 1 || entry >> SWAPPED & 1) && !(entry >> FILE_OR_SHARED & 1);
}

bool grt__os_thread_asleep(int tid)
{
	char path[48], line[32];
	if (grt__os.filtered)
		return true;
	grt__format(path, sizeof path, "/proc/self/task/%d/syscall", tid);
	if (grt__os_read_file(path, line, sizeof line) <= 0)
		return true; /* no /proc, no descriptor, not dumpable: its CPU clock stands still, that must do */
	return line[0] >= '0' && line[0] <= '9'; /* else "running" or "-1 ..." */
}

int64_t grt__os_thread_cputime(int tid)
{
	struct timespec ts;
	/* CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED of the kernel's dynamic clock ids */
	if (grt__sys2(SYS_clock_gettime, ~(unsigned)tid << 3 | 6, &ts) < 0)
		return -1;
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void probe_guard(void)
{
	size_t size = 2 * grt__os.page_size;
	char *p = grt__os_alloc(size);
	if (!p)
		return;
	grt__os.guard_madvise = grt__sys_madvise(p, grt__os.page_size, MADV_GUARD_INSTALL) == 0;
	grt__os_free(p, size);
}

static int count_cpus(void)
{
	uint64_t mask[16384 / 64];
	long n = grt__sys3(SYS_sched_getaffinity, 0, sizeof mask, mask);
	int cpus = 0;
	for (long i = 0; i < n / 8; i++)
		cpus += __builtin_popcountll(mask[i]);
	return cpus > 0 ? cpus : 1;
}

void grt__os_probe(void)
{
	grt__os.page_size = getauxval(AT_PAGESZ) ? getauxval(AT_PAGESZ) : 4096;
	grt__os.sigframe_size = getauxval(AT_MINSIGSTKSZ);
	if (grt__os.sigframe_size < 2048)
		grt__os.sigframe_size = 4096;
#ifdef __x86_64__
	grt__have_fsgsbase = (getauxval(AT_HWCAP2) & 2) != 0;
#endif
	probe_guard();
	grt__sys3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	grt__os.ncpu = count_cpus();
	grt__os.cpu_quota = grt__os_cgroup_cpus();
}
