/* LINK: grt
 *
 * introspect.c - stacks, build and metrics of grt.h. */
#include "../shim/check.h"
#include "grt.h"

static struct grt_frame frame;
static int depth;
static char text[65536];

__attribute__((noinline)) static void inner(void)
{
	void *pc[64];
	grt_caller(0, &frame);
	depth = grt_callers(0, pc, 64);
	EXPECT(grt_callers(1, pc, 64) == depth - 1);
	EXPECT(grt_callers(0, pc, 2) == 2);
	grt_stack(text, sizeof text, false);
}

__attribute__((noinline)) static void outer(void)
{
	inner();
	__asm__ volatile("" ::: "memory");
}

static grt_chan *c;

static void waits(void *arg)
{
	grt_chan_recv(c, NULL);
}

static void runs(void *arg)
{
	outer();
	grt_chan_send(c, NULL);
}

int main(void)
{
	uint64_t v, before;
	outer();
	CHECK("the caller has a name, a module and an offset",
	      strcmp(frame.function, "inner") == 0 && strstr(frame.module, "introspect") && frame.offset > 0 && frame.pc);
	CHECK("callers go to main and beyond", depth >= 3);
	CHECK("the stack of a thread that is no task yet, or of main",
	      strstr(text, "inner(") && strstr(text, "outer(") && strstr(text, "main("));
	CHECK("a stack is not that deep", !grt_caller(200, &frame));
	c = grt_chan_make(0, 0);
	EXPECT_EQ(0, grt_go(runs, NULL));
	grt_chan_recv(c, NULL);
	CHECK("the stack of a task",
	      strstr(text, "goroutine 2 [running]") == text && strstr(text, "inner(") && strstr(text, "runs("));
	EXPECT_EQ(0, grt_go(waits, NULL));
	while (grt_num_tasks() != 2)
		grt_yield();
	for (int i = 0; i < 100; i++)
		grt_yield();
	usleep(2000);
	size_t n = grt_stack(text, sizeof text, true);
	CHECK("all stacks", n == strlen(text) && strstr(text, "goroutine 1 [running]") && strstr(text, "[chan receive") &&
	                        strstr(text, "waits("));
	n = grt_stack(text, 20, true);
	CHECK("cut at the size", n == strlen(text) && n <= 19);
	CHECK("build", strncmp(grt_build_info(), "libgrt 0.1.0, ", 14) == 0);

	CHECK("tasks are counted", grt_read_metric("/sched/goroutines:goroutines", &v) && v == 2);
	CHECK("P's", grt_read_metric("/sched/gomaxprocs:threads", &v) && v == (uint64_t)grt_gomaxprocs(0));
	grt_read_metric("/sched/goroutines-created:goroutines", &before);
	grt_chan_send(c, NULL);
	EXPECT_EQ(0, grt_go(waits, NULL));
	grt_chan_send(c, NULL);
	CHECK("made ones", grt_read_metric("/sched/goroutines-created:goroutines", &v) && v == before + 1);
	grt_read_metric("/memory/classes/heap/objects:bytes", &before);
	void *volatile big = malloc(10 << 20);
	memset(big, 1, 10 << 20);
	CHECK("living bytes", grt_read_metric("/memory/classes/heap/objects:bytes", &v) && v >= before + (10 << 20));
	free(big);
	int right = 1;
	for (size_t i = 0; grt_metric_name(i); i++)
		right &= grt_read_metric(grt_metric_name(i), &v);
	CHECK("all names can be read, others not", right && !grt_read_metric("/x", &v));
	return check_done();
}
