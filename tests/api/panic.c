/* LINK: grt
 *
 * panic.c - defer, panic, recover and Goexit: the Go specification, "Handling panics" and "Defer statements". */
#include "../shim/check.h"
#include "misuse.h"

static char trail[256];

static void note(void *arg)
{
	strcat(trail, arg);
}

static int trail_is(const char *what)
{
	int same = strcmp(trail, what) == 0;
	if (!same)
		printf("trail: %s\n", trail);
	trail[0] = 0;
	return same;
}

static const char *got;

static void recovers(void *arg)
{
	(void)arg;
	got = grt_recover();
	note(got ? (char *)got : "-");
}

static __attribute__((noinline)) void *helper(void)
{
	void *r = grt_recover();
	__asm__ volatile("" ::: "memory");
	return r;
}

static void recovers_in_helper(void *arg)
{
	(void)arg;
	note(helper() ? "helper" : "none");
}

/* ---- defer ---- */

static int blocks(int early)
{
	GRT_DEFER(note, "1");
	GRT_DEFER(note, "2");
	for (int i = 0; i < 2; i++) {
		GRT_DEFER(note, "l");
		if (i == 1)
			break;
	}
	if (early)
		return 1;
	GRT_DEFER(note, "3");
	return 0;
}

/* ---- panic, recover ---- */

static void plain(void *arg)
{
	GRT_DEFER(note, "a");
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(note, "b");
	if (arg)
		grt_panic(arg);
}

static void outer(void *arg)
{
	GRT_DEFER(note, "o");
	note(grt_call(plain, arg) ? "returned" : "false");
	note(grt_recover() ? "?" : "");
}

static void not_in_helper(void *arg)
{
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(recovers_in_helper, NULL);
	grt_panic("p");
}

static void panics_again(void *arg)
{
	grt_panic(arg);
}

static void nested(void *arg)
{
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(panics_again, "second");
	grt_panic("first");
}

static void inner_panic(void *arg)
{
	GRT_DEFER(recovers, NULL);
	grt_panic("inner");
}

static void recovers_its_own(void *arg)
{
	note(grt_call(inner_panic, NULL) ? "?" : "f");
}

static void panic_in_defer(void *arg)
{
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(recovers_its_own, NULL);
	grt_panic("outer");
}

static void recover_then_panic(void *arg)
{
	note(grt_recover());
	grt_panic("again");
}

static void repanic(void *arg)
{
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(recover_then_panic, NULL);
	grt_panic("one");
}

static void recover_twice(void *arg)
{
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(recovers, NULL);
	grt_panic("x");
}

static void deep(void *arg)
{
	long n = (long)(intptr_t)arg;
	GRT_DEFER(note, "d");
	if (n > 0)
		deep((void *)(n - 1));
	if (n == 0)
		grt_panic("deep");
}

static void catches_deep(void *arg)
{
	GRT_DEFER(recovers, NULL);
	deep((void *)3);
}

static void recovers_value(void *arg)
{
	int *v = grt_recover();
	*v += *(int *)arg;
}

static void value(void *arg)
{
	int one = 1;
	GRT_DEFER(recovers_value, &one);
	grt_panic_value(arg, "a number");
}

static void own_closed(void *arg)
{
	GRT_DEFER(recovers, NULL);
	grt_chan_close(NULL);
}

/* ---- Goexit ---- */

static grt_chan *ended;

static void tell(void *arg)
{
	grt_chan_send(ended, NULL);
}

static void exits(void *arg)
{
	GRT_DEFER(tell, NULL);
	GRT_DEFER(note, "x");
	GRT_DEFER(recovers, NULL); /* sees no panic */
	grt_exit();
}

static void exits_deferred(void *arg)
{
	note("e");
	grt_exit();
}

/* Goexit in a deferred call ends the panic. */
static void exits_while_panicking(void *arg)
{
	GRT_DEFER(tell, NULL);
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(exits_deferred, NULL);
	grt_panic("gone");
}

static void calls_panics_in_exit(void *arg)
{
	grt_panic("in exit");
}

/* A panic in a deferred call of Goexit, recovered: Goexit goes on. */
static void panics_while_exiting(void *arg)
{
	GRT_DEFER(tell, NULL);
	GRT_DEFER(note, "z");
	GRT_DEFER(recovers, NULL);
	GRT_DEFER(calls_panics_in_exit, NULL);
	grt_exit();
}

static void never_returns(void *arg)
{
	grt_call(panics_while_exiting, NULL);
	note("returned");
}

static void recovers_and_ends(void *arg)
{
	GRT_DEFER(tell, NULL);
	GRT_DEFER(recovers, NULL);
	grt_panic("task");
}

static void *pthread_recovers(void *arg)
{
	GRT_DEFER(recovers, NULL);
	grt_panic("pthread");
}

static void run(void (*fn)(void *))
{
	EXPECT_EQ(0, grt_go(fn, NULL));
	grt_chan_recv(ended, NULL);
	while (grt_num_tasks() > 1)
		grt_yield();
}

/* ---- how it ends ---- */

static void uncaught(void)
{
	grt_panic("no one");
}

static void *in_thread(void *arg)
{
	grt_panic("in a thread");
}

static void uncaught_thread(void)
{
	pthread_t t;
	pthread_create(&t, NULL, in_thread, NULL);
	pthread_join(t, NULL);
}

static void chain(void)
{
	GRT_DEFER(panics_again, "second");
	grt_panic("first");
}

static void chain_recovered(void)
{
	GRT_DEFER(recover_then_panic, NULL);
	grt_panic("one");
}

static void nil(void)
{
	grt_panic(NULL);
}

static void main_recovers(void)
{
	GRT_DEFER(recovers, NULL);
	grt_panic("main");
}

static void crashes(void)
{
	grt_panic("x");
}

int main(int argc, char **argv)
{
	static char text[65536];
	if (argc == 2) {
		crashes();
		return 0;
	}
	blocks(0);
	CHECK("deferred calls run in reverse order, at the end of their block", trail_is("ll321"));
	blocks(1);
	CHECK("only those that were reached", trail_is("ll21"));
	outer("p");
	CHECK("a recovered panic returns from grt_call, after the rest of its deferred calls", trail_is("bpafalseo"));
	outer(NULL);
	CHECK("without a panic recover is NULL", trail_is("b-areturnedo"));
	grt_call(not_in_helper, NULL);
	CHECK("recover counts in the deferred call itself only", trail_is("nonep"));
	grt_call(nested, NULL);
	CHECK("a panic in a deferred call takes the place of the first", trail_is("second"));
	grt_call(panic_in_defer, NULL);
	CHECK("one that ends in the deferred call leaves the first as it was", trail_is("innerfouter"));
	grt_call(repanic, NULL);
	CHECK("after recover a new panic may follow", trail_is("oneagain"));
	grt_call(recover_twice, NULL);
	CHECK("a panic is recovered once", trail_is("x-"));
	grt_call(catches_deep, NULL);
	CHECK("the frames between are left", trail_is("dddddeep"));
	int v = 41;
	CHECK("a value may be passed", !grt_call(value, &v) && v == 42);
	grt_call(own_closed, NULL);
	CHECK("the runtime's own panics can be recovered", trail_is("close of nil channel"));

	ended = grt_chan_make(0, 0);
	run(exits);
	CHECK("grt_exit runs deferred calls, which see no panic", trail_is("-x"));
	run(exits_while_panicking);
	CHECK("Goexit ends a panic", trail_is("e-"));
	ended = grt_chan_make(0, 0);
	run(never_returns);
	CHECK("a panic during Goexit, recovered, does not end Goexit", trail_is("in exitz"));
	run(recovers_and_ends);
	CHECK("a panic recovered in a task's own function ends the task", trail_is("task"));
	pthread_t t;
	pthread_create(&t, NULL, pthread_recovers, NULL);
	pthread_join(t, NULL);
	CHECK("and a pthread", trail_is("pthread"));

	dies(uncaught, "panic: no one\n\ngoroutine 1 [running]");
	dies(uncaught_thread, "panic: in a thread\n\ngoroutine ");
	dies(chain, "panic: first\n\tpanic: second\n\ngoroutine 1 [running]");
	dies(chain_recovered, "panic: one [recovered]\n\tpanic: again\n\n");
	dies(nil, "panic: panic called with nil argument\n");
	CHECK_EQ("a panic recovered in main ends the process with 0", 0, child_of(main_recovers, text, sizeof text));
	char command[512];
	FILE *f;
	snprintf(command, sizeof command, "GOTRACEBACK=crash exec %s x 2>/dev/null", argv[0]);
	int status = system(command);
	CHECK("dies of SIGABRT",
	      (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) || WEXITSTATUS(status) == 128 + SIGABRT);
	snprintf(command, sizeof command, "GOTRACEBACK=none %s x 2>&1", argv[0]);
	f = popen(command, "r");
	size_t n = fread(text, 1, sizeof text - 1, f);
	text[n] = 0;
	CHECK("GOTRACEBACK=none prints no stack", strcmp(text, "panic: x\n") == 0);
	pclose(f);
	return check_done();
}
