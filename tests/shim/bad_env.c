/* bad_env.c - malformed or extreme settings in the environment change nothing that is visible. */
#include "check.h"

static pthread_barrier_t b;

static void *works(void *arg)
{
	pthread_barrier_wait(&b);
	sched_yield();
	return (void *)((long)arg * 2);
}

static int as_child(void)
{
	pthread_t ts[8];
	long sum = 0;
	pthread_barrier_init(&b, NULL, 8);
	for (long i = 0; i < 8; i++)
		ts[i] = spawn(works, (void *)i);
	for (int i = 0; i < 8; i++)
		sum += (long)join(ts[i]);
	printf("sum %ld\n", sum);
	return check_done();
}

int main(int argc, char **argv)
{
	static const char *const settings[][2] = {
		{"GOMAXPROCS", ""},
		{"GOMAXPROCS", "0"},
		{"GOMAXPROCS", "-3"},
		{"GOMAXPROCS", "two"},
		{"GOMAXPROCS", "2x"},
		{"GOMAXPROCS", " 2"},
		{"GOMAXPROCS", "99999999999999999999"},
		{"GOMAXPROCS", "1000000"},
		{"GODEBUG", ""},
		{"GODEBUG", "nonsense"},
		{"GODEBUG", "=,,=1,schedtrace"},
		{"GODEBUG", "schedtrace=x"},
		{"GODEBUG", "schedtrace=-1,scheddetail=99999999999999999999"},
		{"GODEBUG", "unknown=1,also=2"},
		{"GOTRACEBACK", "wrong"},
		{"GOTRACEBACK", "-1"},
		{"GOGC", "minus"},
		{"GOGC", "-5"},
		{"GOMEMLIMIT", "5XiB"},
		{"GOMEMLIMIT", "-1"},
	};
	char out[256], clause[128];
	(void)argv;
	if (argc > 1)
		return as_child();
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		const char *old = getenv(settings[i][0]);
		char *kept = old ? strdup(old) : NULL;
		setenv(settings[i][0], settings[i][1], 1);
		int status = run_self("child", out, sizeof out);
		if (kept)
			setenv(settings[i][0], kept, 1);
		else
			unsetenv(settings[i][0]);
		free(kept);
		snprintf(clause, sizeof clause, "%s=\"%s\"", settings[i][0], settings[i][1]);
		CHECK(clause, exited_with(status, 0) && strcmp(out, "sum 56\n") == 0);
	}
	return check_done();
}
