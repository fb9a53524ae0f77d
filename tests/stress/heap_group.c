/*
 * PROCS: 2
 * TIMEOUT: 120
 * CFLAGS: -fno-builtin
 * In a control group that allows 100 MiB a program lives that holds 70 MiB at a time, of one size after the other, all freed in between: what is
 * free goes back before the kernel kills. Without threads, and in one. Skipped where no such group can be made. But first: a program that
 * may open nothing any more is not killed for what the heap wants to know.
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const size_t LIMIT = (size_t)100 << 20, HELD = (size_t)70 << 20;

static char group[PATH_MAX];

static int put(const char *file, const char *text)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", group, file);
	int fd = open(path, O_WRONLY);
	if (fd < 0)
		return 0;
	int ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* A group below our own, or below the root of what is mounted. */
static int make_group(const char *mount, const char *ours, const char *file)
{
	char limit[32];
	snprintf(limit, sizeof limit, "%zu", LIMIT);
	for (int root = 0; root < 2; root++) {
		snprintf(group, sizeof group, "%s%s/grt-%d", mount, root ? "" : ours, (int)getpid());
		if (mkdir(group, 0755) == 0 && put(file, limit))
			return 1;
		rmdir(group);
	}
	return 0;
}

static int any_group(void)
{
	char line[PATH_MAX];
	FILE *f = fopen("/proc/self/cgroup", "r");
	int made = 0;
	while (f && !made && fgets(line, sizeof line, f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (strcmp(path, "/") == 0)
			path = "";
		if (strcmp(names + 1, "memory") == 0)
			made = make_group("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
		else if (strncmp(line, "0:", 2) == 0)
			made = make_group("/sys/fs/cgroup", path, "memory.max");
	}
	if (f)
		fclose(f);
	return made;
}

static void *waves(void *arg)
{
	static const size_t sizes[] = {64, 2000, 40000, 200, 8000, 1000000, 96, 4000, 3000000, 64};
	for (int round = 0; round < 3; round++)
		for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			void **last = NULL;
			for (size_t sum = 0; sum < HELD; sum += sizes[s]) {
				void **p = malloc(sizes[s]);
				if (!p)
					exit(3);
				memset(p, 1, sizes[s]);
				*p = last;
				last = p;
			}
			while (last) {
				void **p = last;
				last = *p;
				free(p);
			}
		}
	return arg;
}

/* Whoever opens a file is killed. */
static int filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

static int as_child(const char *mode)
{
	if (mode[0] == 'f' && !filter())
		return 0; /* refused here: nothing to see */
	if (mode[0] == 't')
		join(spawn(waves, NULL));
	else
		waves(NULL);
	return 0;
}

static int runs(const char *mode)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		if (group[0] && !put("cgroup.procs", "0"))
			_exit(77);
		execl("/proc/self/exe", "self", mode, (char *)NULL);
		_exit(126);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return as_child(argv[1]);
	int filtered = runs("filter");
	if (filtered != 0) {
		printf("status %#x with a filter\nfailed\n", (unsigned)filtered);
		return 1;
	}
	if (!any_group()) {
		puts("SKIP no control group for memory can be made here");
		return 77;
	}
	int alone = runs("alone"), thread = runs("thread");
	rmdir(group);
	if (exited_with(alone, 77)) {
		puts("SKIP the control group cannot be entered");
		return 77;
	}
	if (alone || thread)
		printf("status %#x without threads, %#x with one\n", (unsigned)alone, (unsigned)thread);
	puts(alone || thread ? "failed" : "ok");
	return alone || thread;
}
