/* process.c - everything else that makes or replaces a process. */
#include "check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>

extern char **environ;

static int stop, ticks;

static void *ticks_on(void *arg)
{
	(void)arg;
	while (!flag_get(&stop)) {
		flag_add(&ticks, 1);
		sched_yield();
	}
	return NULL;
}

static __attribute__((noinline)) pid_t vfork_exec(const char *cmd)
{
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static __attribute__((noinline)) int vfork_shares(void)
{
	volatile int shared = 1;
	pid_t pid = vfork();
	if (pid == 0) {
		shared = 2;
		_exit(4);
	}
	return exited_with(reap(pid), 4) ? shared : -1;
}

static void *vforks(void *arg)
{
	(void)arg;
	return (void *)(long)reap(vfork_exec("exit 6"));
}

static void *spawns(void *arg)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 11", NULL};
	pid_t pid = 0;
	(void)arg;
	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) != 0)
		return NULL;
	return (void *)(long)reap(pid);
}

static void *systems(void *arg)
{
	(void)arg;
	return (void *)(long)system("exit 12");
}

static void *popens(void *arg)
{
	char line[64] = "";
	(void)arg;
	FILE *f = popen("echo from popen; exit 13", "r");
	if (!f || !fgets(line, sizeof line, f))
		return NULL;
	int status = pclose(f);
	return (void *)(long)(strcmp(line, "from popen\n") == 0 ? status : -1);
}

static void *execs(void *arg)
{
	(void)arg;
	execl("/bin/sh", "sh", "-c", "echo exec; exit 14", (char *)NULL);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static void many(const char *clause, void *(*fn)(void *), int code)
{
	pthread_t ts[8];
	int bad = 0;
	for (int i = 0; i < 8; i++)
		ts[i] = spawn(fn, NULL);
	for (int i = 0; i < 8; i++)
		bad |= !exited_with((int)(long)join(ts[i]), code);
	CHECK_EQ(clause, 0, bad);
}

/* Re-run with an argument: what must be seen from outside. */
static int as_child(const char *mode)
{
	if (strcmp(mode, "exec") == 0) {
		spawn(ticks_on, NULL);
		pthread_join(spawn(execs, NULL), NULL);
		return 1;
	}
	if (strcmp(mode, "exec-main") == 0) {
		spawn(ticks_on, NULL);
		execs(NULL);
		return 1;
	}
	if (strcmp(mode, "daemon") == 0 || strcmp(mode, "daemon-threads") == 0) {
		/* the launcher's exit is 0; the daemon reports on the pipe */
		if (strcmp(mode, "daemon-threads") == 0)
			join(spawn(nothing, NULL));
		if (daemon(1, 1) != 0)
			return 1;
		void *v = join(spawn(nothing, (void *)21));
		printf("daemon %ld %d\n", (long)v, getsid(0) != getpid() || getppid() != getpid());
		fflush(stdout);
		exit(0);
	}
	return 2;
}

int main(int argc, char **argv)
{
	char out[256];
	char *args[] = {(char *)"sh", (char *)"-c", (char *)"echo spawned; exit 5", NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t sa;
	sigset_t set;
	pid_t pid;
	pthread_t ticker;
	int fds[2], status, before;

	if (argc > 1)
		return as_child(argv[1]);

	ticker = spawn(ticks_on, NULL);
	CHECK("vfork and exec", exited_with(reap(vfork_exec("exit 3")), 3));
	CHECK_EQ("a vfork child shares the parent's memory", 2, vfork_shares());
	CHECK("vfork and exec from a thread", exited_with((int)(long)join(spawn(vforks, NULL)), 6));
	EXPECT_EQ(0, pipe(fds));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	posix_spawnattr_init(&sa);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&sa, &set);
	posix_spawnattr_setflags(&sa, POSIX_SPAWN_SETSIGMASK);
	CHECK_EQ("posix_spawnp with actions and attributes", 0, posix_spawnp(&pid, "sh", &fa, &sa, args, environ));
	CHECK("its status", exited_with(reap(pid), 5));
	memset(out, 0, sizeof out);
	EXPECT(read(fds[0], out, sizeof out) > 0);
	CHECK("its output", strcmp(out, "spawned\n") == 0);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&sa);
	CHECK_EQ("ENOENT: posix_spawn of nothing", ENOENT,
	         posix_spawn(&pid, "/nonexistent/program", NULL, NULL, args, environ));

	before = flag_get(&ticks);
	CHECK("system", exited_with(system("sleep 0.1; exit 2"), 2));
	CHECK("other threads run during system", flag_get(&ticks) > before);
	CHECK("system(NULL)", system(NULL) != 0);
	FILE *f = popen("cat >/dev/null; exit 4", "w");
	EXPECT(f != NULL);
	fputs("some input\n", f);
	CHECK("popen for writing", exited_with(pclose(f), 4));

	many("8 threads at once: posix_spawn", spawns, 11);
	many("8 threads at once: system", systems, 12);
	many("8 threads at once: popen", popens, 13);
	many("8 threads at once: vfork", vforks, 6);

	pid = _Fork();
	if (pid == 0) {
		pthread_t t;
		void *v = NULL;
		/* only async-signal-safe calls are promised; threads work in glibc all the same */
		if (pthread_create(&t, NULL, nothing, (void *)8) != 0)
			_exit(1);
		pthread_join(t, &v);
		_exit((int)(long)v);
	}
	CHECK("_Fork: the child runs and makes a thread", exited_with(reap(pid), 8));

	status = run_self("exec", out, sizeof out);
	CHECK("exec from a thread replaces the process", exited_with(status, 14) && strcmp(out, "exec\n") == 0);
	status = run_self("exec-main", out, sizeof out);
	CHECK("exec from main with a thread alive", exited_with(status, 14) && strcmp(out, "exec\n") == 0);
	status = run_self("daemon", out, sizeof out);
	CHECK("daemon before threads", exited_with(status, 0) && strcmp(out, "daemon 21 1\n") == 0);
	status = run_self("daemon-threads", out, sizeof out);
	CHECK("daemon after threads", exited_with(status, 0) && strcmp(out, "daemon 21 1\n") == 0);
	flag_set(&stop, 1);
	join(ticker);
	return check_done();
}
