/*
 * grt: runs an unmodified program under libgrt, and says what libgrt will find on this machine.
 *
 *   grt run [--gomaxprocs N] [--] program args...
 *   grt doctor
 *   grt version | help
 *
 * An ordinary program that uses libc as it likes; the layers of src/ do not apply here. `run` only sets up the environment
 * (LD_PRELOAD, GLIBC_TUNABLES, GOMAXPROCS) and executes the program, after looking whether the loader would obey. Exit
 * status as env(1): 127 not found, 126 cannot be run; 2 for wrong usage.
 */
#define _GNU_SOURCE
#include "config.h"
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static const char usage_text[] = "usage: grt run [--gomaxprocs N] [--] program [argument...]\n"
								 "       grt doctor\n"
								 "       grt version\n"
								 "       grt help\n";

static int usage(FILE *to)
{
	fputs(usage_text, to);
	return to == stderr ? EXIT_USAGE : 0;
}

static int complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("grt: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return status;
}

/* ---- where libgrt.so is ---- */

static bool readable(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

/* The part of `path` below `prefix`, or NULL when it is not below. */
static const char *below(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(path, prefix, n) == 0 && path[n] == '/' ? path + n : NULL;
}

/*
 * In this order: $GRT_LIB (a file, or a folder that holds libgrt.so); the build tree in which this grt stands; the
 * libdir that belongs to this grt's bindir, wherever the whole was moved to; the libdir of configure.
 */
static bool find_library(char out[PATH_MAX])
{
	const char *env = getenv("GRT_LIB");
	if (env && *env) {
		struct stat st;
		bool dir = stat(env, &st) == 0 && S_ISDIR(st.st_mode);
		char named[PATH_MAX];
		snprintf(named, sizeof(named), dir ? "%s/libgrt.so" : "%s", env);
		return realpath(named, out) && readable(out);
	}
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0'; /* the kernel's path is absolute */
		snprintf(out, PATH_MAX, "%.*s/.libs/libgrt.so", PATH_MAX - 32, exe);
		if (readable(out))
			return true;
		const char *bin = below(GRT_BINDIR, GRT_PREFIX), *lib = below(GRT_LIBDIR, GRT_PREFIX);
		size_t len = strlen(exe), blen = bin ? strlen(bin) : 0;
		if (bin && lib && len >= blen && strcmp(exe + len - blen, bin) == 0) {
			snprintf(out, PATH_MAX, "%.*s%s/libgrt.so", (int)(len - blen), exe, lib);
			if (readable(out))
				return true;
		}
	}
	snprintf(out, PATH_MAX, "%s/libgrt.so", GRT_LIBDIR);
	return readable(out);
}

/* Puts `value` before (or after) what the variable holds already, joined by a colon. */
static void join_env(const char *name, const char *value, bool before)
{
	const char *old = getenv(name);
	char *joined = NULL;
	if (!old || !*old)
		setenv(name, value, 1);
	else if (asprintf(&joined, "%s:%s", before ? value : old, before ? old : value) >= 0)
		setenv(name, joined, 1);
	free(joined);
}

static void set_preload(const char *library)
{
	join_env("LD_PRELOAD", library, true);
	/* A task's thread block has no rseq registration (sched/tcb.h); libc's users of it must know from the start. */
	join_env("GLIBC_TUNABLES", "glibc.pthread.rseq=0", false);
}

/* ---- will the loader obey? ---- */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#endif

/*
 * Where execvp would find `name`. Returns 0, or the errno that execvp would give.
 */
static int resolve(const char *name, char out[PATH_MAX])
{
	int error = ENOENT;
	struct stat st;
	if (strchr(name, '/')) {
		if (snprintf(out, PATH_MAX, "%s", name) >= PATH_MAX)
			return ENAMETOOLONG;
		if (stat(out, &st) != 0)
			return errno;
		return S_ISREG(st.st_mode) && access(out, X_OK) == 0 ? 0 : EACCES;
	}
	const char *path = getenv("PATH");
	if (!path)
		path = "/bin:/usr/bin";
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, ":");
		if (snprintf(out, PATH_MAX, "%.*s%s%s", (int)n, p, n ? "/" : "", name) < PATH_MAX && stat(out, &st) == 0) {
			if (S_ISREG(st.st_mode) && access(out, X_OK) == 0)
				return 0;
			error = EACCES;
		}
		p += n;
		if (!*p)
			return error;
	}
}

/* True when executing the file gives it privileges that the caller lacks: the loader then ignores LD_PRELOAD. */
static bool gains_privileges(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static bool read_at(int fd, void *buf, size_t n, off_t at)
{
	return pread(fd, buf, n, at) == (ssize_t)n;
}

/* 0 when an ELF file can be preloaded into, else complains about `name`. */
static int check_elf(int fd, const Elf64_Ehdr *eh, const char *name)
{
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != OUR_MACHINE)
		return complain(EXIT_CANNOT_RUN, "%s: is made for another CPU or word size than libgrt.so", name);
	char interp[PATH_MAX] = "";
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph;
		if (!read_at(fd, &ph, sizeof(ph), (off_t)(eh->e_phoff + (uint64_t)i * eh->e_phentsize)))
			return 0; /* damaged: the kernel will say so */
		if (ph.p_type == PT_INTERP && ph.p_filesz < sizeof(interp)) {
			if (!read_at(fd, interp, ph.p_filesz, (off_t)ph.p_offset))
				return 0;
			interp[ph.p_filesz] = '\0';
		}
	}
	if (!*interp)
		return complain(EXIT_CANNOT_RUN, "%s: is statically linked: nothing can be preloaded into it", name);
	if (strstr(interp, "/ld-musl"))
		return complain(EXIT_CANNOT_RUN, "%s: uses musl (%s): libgrt needs glibc", name, interp);
	return 0;
}

/* Follows #! lines to the binary that the kernel will run. 0, or complains. What cannot be read is left to execvp. */
static int check_program(const char *name, const char *path)
{
	char at[PATH_MAX];
	snprintf(at, sizeof(at), "%s", path);
	for (int depth = 0; depth < 5; depth++) {
		union {
			Elf64_Ehdr eh;
			char text[PATH_MAX];
		} head = {0};
		int fd = open(at, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return 0;
		ssize_t n = pread(fd, &head, sizeof(head) - 1, 0);
		int status = 0;
		bool script = n > 2 && memcmp(head.text, "#!", 2) == 0;
		if (n >= (ssize_t)sizeof(head.eh) && memcmp(head.text, ELFMAG, SELFMAG) == 0) {
			if (gains_privileges(fd))
				status = complain(EXIT_CANNOT_RUN,
				                  "%s: is setuid, setgid or has capabilities: the loader ignores LD_PRELOAD", name);
			else
				status = check_elf(fd, &head.eh, name);
		}
		close(fd);
		if (status || !script)
			return status;
		char *interp = head.text + 2 + strspn(head.text + 2, " \t");
		interp[strcspn(interp, " \t\r\n")] = '\0';
		snprintf(at, sizeof(at), "%s", interp);
	}
	return 0;
}

/* ---- grt run ---- */

static bool valid_gomaxprocs(const char *s)
{
	char *end;
	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	unsigned long n = strtoul(s, &end, 10);
	return !*end && !errno && n >= 1 && n <= INT32_MAX;
}

static int cmd_run(int argc, char **argv)
{
	const char *procs = NULL;
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "--gomaxprocs") == 0) {
			if (++i == argc) {
				complain(0, "run: --gomaxprocs needs a number");
				return usage(stderr);
			}
			procs = argv[i];
		} else if (strncmp(argv[i], "--gomaxprocs=", 13) == 0) {
			procs = argv[i] + 13;
		} else {
			complain(0, "run: unknown option %s", argv[i]);
			return usage(stderr);
		}
	}
	if (procs && !valid_gomaxprocs(procs)) {
		complain(0, "run: --gomaxprocs takes a whole number from 1 up, not '%s'", procs);
		return usage(stderr);
	}
	if (i >= argc) {
		complain(0, "run: no program given");
		return usage(stderr);
	}

	char library[PATH_MAX], path[PATH_MAX];
	if (!find_library(library))
		return complain(EXIT_CANNOT_RUN, "libgrt.so not found at %s; GRT_LIB can name it",
		                getenv("GRT_LIB") && *getenv("GRT_LIB") ? getenv("GRT_LIB") : library);
	if (strpbrk(library, " :"))
		return complain(EXIT_CANNOT_RUN, "%s: LD_PRELOAD cannot hold a path with a blank or a colon", library);
	char **program = argv + i;
	int error = resolve(program[0], path);
	if (error)
		return complain(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN, "%s: %s", program[0], strerror(error));
	int status = check_program(program[0], path);
	if (status)
		return status;

	set_preload(library);
	if (procs)
		setenv("GOMAXPROCS", procs, 1);
	execvp(program[0], program);
	error = errno;
	return complain(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN, "%s: %s", program[0], strerror(error));
}

/* ---- grt doctor ---- */

/* Kernel interfaces that are younger than the headers of the oldest system we build on. */
#define DOCTOR_MADV_GUARD_INSTALL 102
#define DOCTOR_UFFD_USER_MODE_ONLY 1
#define DOCTOR_UFFD_FEATURE_WP_ASYNC (1ull << 15)
#define DOCTOR_HWCAP2_FSGSBASE (1ul << 1)
struct doctor_pm_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define DOCTOR_PAGEMAP_SCAN _IOWR('f', 16, struct doctor_pm_scan)

static void fact(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fact(const char *name, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("  %-20s ", name);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}

/* One rung of the ladder. why is said in both cases: how it is done, or what is missing and what happens instead. */
static void rung(const char *name, bool ok, const char *why)
{
	printf("  %-20s %-9s %s\n", name, ok ? "ok" : "degraded", why);
}

static const char *yes_no(bool b)
{
	return b ? "yes" : "no";
}

static bool has_fsgsbase(void)
{
#if defined(__x86_64__)
	return getauxval(AT_HWCAP2) & DOCTOR_HWCAP2_FSGSBASE;
#else
	return true; /* the thread pointer is an ordinary register */
#endif
}

static bool has_guard_install(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	bool ok = madvise(p, page, DOCTOR_MADV_GUARD_INSTALL) == 0;
	munmap(p, page);
	return ok;
}

static bool has_membarrier(void)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static bool has_proc_syscall(void)
{
	return access("/proc/thread-self/syscall", R_OK) == 0;
}

/* Asynchronous write protection; async reports the feature, the result whether userfaultfd works at all. */
static bool has_userfaultfd(bool *async)
{
	*async = false;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | DOCTOR_UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return false;
	struct uffdio_api api = {.api = UFFD_API, .features = DOCTOR_UFFD_FEATURE_WP_ASYNC};
	*async = ioctl(fd, UFFDIO_API, &api) == 0;
	close(fd);
	return true;
}

static bool has_pagemap_scan(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct doctor_pm_scan arg = {.size = sizeof(arg)}; /* an empty range */
	bool ok = ioctl(fd, DOCTOR_PAGEMAP_SCAN, &arg) >= 0;
	close(fd);
	return ok;
}

static bool has_io_uring(void)
{
	uint64_t params[15] = {0}; /* struct io_uring_params: 120 bytes */
	int fd = (int)syscall(SYS_io_uring_setup, 2, params);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool loads(const char *soname)
{
	void *h = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
	if (!h)
		return false;
	dlclose(h);
	return true;
}

/* The first of the names that can be loaded, or NULL. */
static const char *first_loadable(const char *const *names)
{
	for (; *names; names++)
		if (loads(*names))
			return *names;
	return NULL;
}

static int affinity_count(void)
{
	for (size_t cpus = 1024; cpus <= (1u << 20); cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		if (!set)
			break;
		size_t size = CPU_ALLOC_SIZE(cpus);
		int n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
		CPU_FREE(set);
		if (n > 0)
			return n;
	}
	return 1;
}

static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, (int)size, f);
	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* The tightest CPU quota of our cgroup (version 2) and the groups above it, in CPUs; 0 when there is none. */
static double cgroup_quota(void)
{
	char line[PATH_MAX], path[PATH_MAX + 64], group[PATH_MAX] = "";
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	if (f)
		fclose(f);
	double least = 0;
	for (;;) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", group);
		double quota, period;
		if (read_line(path, line, sizeof(line)) && sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0)
			if (least == 0 || quota / period < least)
				least = quota / period;
		char *slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* What the library said of itself, from a process of its own under the preload. */
struct probe {
	bool ok; /* tasks will run M:N */
	char why[256];
	char text[4096]; /* the library's own lines */
};

/* `grt __probe`, which runs under LD_PRELOAD. Prints the library's report; exit status 0 when tasks run M:N. */
static int cmd_probe(void)
{
	union {
		void *sym;
		int (*fn)(char *buf, size_t size);
	} report = {dlsym(RTLD_DEFAULT, "grt_doctor_report")};
	if (!report.sym) {
		puts("libgrt.so was not loaded, or is another version");
		return 1;
	}
	char buf[4096] = "";
	int r = report.fn(buf, sizeof(buf));
	fputs(buf, stdout);
	return r == 0 ? 0 : 1;
}

static void probe_library(const char *library, struct probe *pr)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0) {
		snprintf(pr->why, sizeof(pr->why), "pipe: %s", strerror(errno));
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		set_preload(library);
		alarm(20);
		execl("/proc/self/exe", "grt", "__probe", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	size_t len = 0;
	for (ssize_t n; len < sizeof(pr->text) - 1; len += (size_t)n) {
		n = read(fds[0], pr->text + len, sizeof(pr->text) - 1 - len);
		if (n <= 0)
			break;
	}
	pr->text[len] = '\0';
	close(fds[0]);
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		snprintf(pr->why, sizeof(pr->why), "the probe could not be started");
	else if (WIFSIGNALED(status))
		snprintf(pr->why, sizeof(pr->why), "the probe died of signal %d (%s)", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 0) {
		pr->ok = true;
		snprintf(pr->why, sizeof(pr->why), "glibc's thread block was proved at boot");
	} else {
		/* The reason is the first line. */
		int n = (int)strcspn(pr->text, "\n");
		snprintf(pr->why, sizeof(pr->why), "threads stay 1:1: %.*s", n < 200 ? n : 200,
		         n ? pr->text : "no reason given");
	}
}

static void print_indented(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		printf("  %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static int cmd_doctor(void)
{
	static const char *const unwind_names[] = {"libunwind.so.8", "libunwind.so", NULL};
	struct utsname un;
	uname(&un);
	bool fsgsbase = has_fsgsbase(), guard = has_guard_install(), membarrier = has_membarrier();
	bool proc_syscall = has_proc_syscall(), wp_async, uffd = has_userfaultfd(&wp_async), scan = has_pagemap_scan();
	bool uring = has_io_uring();
	const char *unwind = first_loadable(unwind_names);
	double quota = cgroup_quota();
	const char *asked = getenv("GOMAXPROCS");
	char library[PATH_MAX];
	bool found = find_library(library);
	struct probe pr = {0};
	if (!found)
		snprintf(pr.why, sizeof(pr.why), "libgrt.so not found; GRT_LIB can name it");
	else if (strpbrk(library, " :"))
		snprintf(pr.why, sizeof(pr.why), "LD_PRELOAD cannot hold a path with a blank or a colon");
	else
		probe_library(library, &pr);

	printf("grt %s\n\nThis machine\n", PACKAGE_VERSION);
	fact("kernel", "%s %s %s", un.sysname, un.release, un.machine);
	fact("glibc", "%s", gnu_get_libc_version());
	fact("library", "%s", found ? library : "not found");
	fact("FSGSBASE", "%s", yes_no(fsgsbase));
	fact("MADV_GUARD_INSTALL", "%s", yes_no(guard));
	fact("membarrier", "%s", yes_no(membarrier));
	fact("/proc task syscall", "%s", yes_no(proc_syscall));
	fact("userfaultfd", "%s",
	     !uffd      ? "no"
	     : wp_async ? "yes, with asynchronous write protection"
	                : "yes, not asynchronous");
	fact("PAGEMAP_SCAN", "%s", yes_no(scan));
	fact("io_uring", "%s", yes_no(uring));
	fact("libunwind", "%s", unwind ? unwind : "no");
	fact("CPUs allowed", "%d", affinity_count());
	if (quota > 0)
		fact("cgroup CPU quota", "%.2f", quota);
	else
		fact("cgroup CPU quota", "none");
	fact("GOMAXPROCS", "%s", asked ? asked : "not set: from the two lines above");

	if (*pr.text) {
		puts("\nWhat the library says");
		print_indented(pr.text);
	}

	puts("\nWhat will be used");
	rung("tasks", pr.ok, pr.why);
	rung("task switch", fsgsbase, fsgsbase ? "wrfsbase" : "no FSGSBASE: arch_prctl, a system call per switch");
	rung("stack guards", guard,
	     guard ? "MADV_GUARD_INSTALL"
	           : "no MADV_GUARD_INSTALL (Linux 6.13): mprotect up to a budget of mappings, then none, with a warning");
	rung("hand-off", membarrier && proc_syscall,
	     !membarrier     ? "no membarrier: munmap and a pause, which takes longer"
	     : !proc_syscall ? "/proc/PID/task/TID/syscall is not readable: the thread's CPU clock alone"
	                     : "membarrier and /proc");
	rung("tracebacks", unwind, unwind ? "libunwind" : "no libunwind: the first frame only");
	printf("\n%s\n", pr.ok ? "Tasks run M:N." : "Threads stay 1:1.");
	return pr.ok ? 0 : 1;
}

/* ---- main ---- */

int main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";
	if (strcmp(cmd, "run") == 0)
		return cmd_run(argc - 1, argv + 1);
	if (strcmp(cmd, "help") == 0 || strcmp(cmd, "--help") == 0 || strcmp(cmd, "-h") == 0)
		return usage(stdout);
	bool doctor = strcmp(cmd, "doctor") == 0, probe = strcmp(cmd, "__probe") == 0;
	bool version = strcmp(cmd, "version") == 0 || strcmp(cmd, "--version") == 0;
	if (argc > 2 && (doctor || version)) {
		complain(0, "%s takes no arguments", cmd);
		return usage(stderr);
	}
	if (doctor)
		return cmd_doctor();
	if (probe)
		return cmd_probe();
	if (version) {
		printf("grt %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (*cmd)
		complain(0, "unknown command %s", cmd);
	return usage(stderr);
}
