// CFLAGS: -Wno-use-after-free -Wno-free-nonheap-object
// TIMEOUT: 60
/* malloc_errors.c - what no program may free: each ends the process with SIGABRT, and a line on standard error. */
#include "check.h"
#include "blocks.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char in_bss[4096] __attribute__((aligned(64)));
static const char in_text[] = "a constant that is long enough to be looked into by free";

static void *frees(void *p)
{
	free(p);
	return NULL;
}

static int as_child(const char *way)
{
	char on_stack[4096] __attribute__((aligned(64)));
	char *p = malloc(100), *q = malloc(100000), *r = malloc(10 << 20);
	struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	memset(on_stack, 0, sizeof on_stack);
	free(malloc(100)); /* there are free blocks */
	p = OPAQUE(p), q = OPAQUE(q), r = OPAQUE(r);
#define WAY(name) if (strcmp(way, name) == 0)
	WAY("double")
	{
		free(p);
		free(p);
	}
	WAY("double-large")
	{
		free(q);
		free(q);
	}
	WAY("double-realloc")
	{
		free(p);
		p = realloc(p, 200);
	}
	WAY("interior")
	free(p + 8);
	WAY("interior-16")
	free(p + 16);
	WAY("interior-large")
	free(q + 4096 + 8);
	WAY("interior-huge")
	free(r + (1 << 20) + 8);
	WAY("realloc-interior")
	p = realloc(p + 8, 300);
	WAY("stack")
	free(OPAQUE((char *)on_stack) + 64);
	WAY("static")
	free(OPAQUE((char *)in_bss) + 64);
	WAY("constant")
	free((void *)(OPAQUE((uintptr_t)in_text) & ~(uintptr_t)15));
	WAY("realloc-static")
	p = realloc(OPAQUE((char *)in_bss) + 64, 100);
	WAY("mapped")
	{
		char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		free(m + 8192);
	}
	WAY("in-thread")
	join(spawn(frees, OPAQUE((char *)in_bss) + 64));
	WAY("in-child")
	{
		pid_t pid = fork();
		if (pid == 0)
			free(OPAQUE((char *)in_bss) + 64);
		int status;
		waitpid(pid, &status, 0);
		if (pid != 0 && killed_by(status, SIGABRT))
			abort();
	}
	return 7;
}

/* Runs itself with standard error to a pipe: how it ended, and whether it said something. */
static int ends(const char *way)
{
	int fds[2], status;
	char text[65536];
	EXPECT_EQ(0, pipe(fds));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", "self", way, (char *)NULL);
		_exit(126);
	}
	close(fds[1]);
	size_t n = read_end(fds[0], text, sizeof text);
	status = reap(pid);
	fputs(text, stderr);
	return killed_by(status, SIGABRT) && n > 10 && strchr(text, '\n');
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return as_child(argv[1]);
	CHECK("free twice: killed by SIGABRT", ends("double"));
	CHECK("free of something large twice: killed by SIGABRT", ends("double-large"));
	CHECK("realloc of a block that is free: killed by SIGABRT", ends("double-realloc"));
	CHECK("free inside of a block: killed by SIGABRT", ends("interior"));
	CHECK("free inside of a block, aligned: killed by SIGABRT", ends("interior-16"));
	CHECK("free inside of a large block: killed by SIGABRT", ends("interior-large"));
	CHECK("free inside of a block of 10 MiB: killed by SIGABRT", ends("interior-huge"));
	CHECK("realloc inside of a block: killed by SIGABRT", ends("realloc-interior"));
	CHECK("free of the stack: killed by SIGABRT", ends("stack"));
	CHECK("free of a static variable: killed by SIGABRT", ends("static"));
	CHECK("free of a constant: killed by SIGABRT", ends("constant"));
	CHECK("realloc of a static variable: killed by SIGABRT", ends("realloc-static"));
	CHECK("free of mapped memory: killed by SIGABRT", ends("mapped"));
	CHECK("free of a static variable in a thread: killed by SIGABRT", ends("in-thread"));
	CHECK("free of a static variable in a child: killed by SIGABRT", ends("in-child"));
	return check_done();
}
