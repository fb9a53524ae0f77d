/* See panic.h. */
#include "api/panic.h"
#include "grt.h"
#include "observe/crash.h"
#include "observe/traceback.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/tcb.h"

#define OUT (&grt__report_out)

struct panic {
	struct panic *link; /* in progress when this one began */
	const void *value;
	const char *text;
	const char *cfa; /* frame of the deferred call that it runs now, or NULL */
	bool recovered, aborted, goexit;
};

struct scope {
	struct scope *outer;
	void *jump[5];
};

static GRT_TLS struct {
	struct grt_defer *defers;
	struct panic *panics;
	struct scope *scopes;
} self;

/* ---- words ---- */

static void say_fatal(void *text)
{
	grt__out_str(OUT, "fatal error: ");
	grt__out_str(OUT, text);
	grt__out_str(OUT, "\n");
}

void grt__fatal(const char *text, bool all)
{
	grt__crash_end(say_fatal, (void *)text, all);
}

static void say_panics(void *arg)
{
	const struct panic *p = arg, *order[64];
	size_t n = 0;
	for (; p && n < GRT_COUNT(order); p = p->link)
		order[n++] = p;
	while (n-- > 0) {
		p = order[n];
		if (p->link && !p->link->goexit && !p->goexit)
			grt__out_str(OUT, "\t");
		if (p->goexit)
			continue;
		grt__out_str(OUT, "panic: ");
		grt__out_str(OUT, p->text);
		grt__out_str(OUT, p->recovered ? " [recovered]\n" : "\n");
	}
}

/* ---- deferred calls ---- */

/* The record of each is on the stack of who deferred it: it must be in the list no more when that is gone. */
GRT_EXPORT void grt_defer_push(struct grt_defer *d, void (*fn)(void *), void *arg)
{
	*d = (struct grt_defer){.next = self.defers, .fn = fn, .arg = arg, .scope = self.scopes};
	self.defers = d;
}

static void take(struct grt_defer *d)
{
	while (self.defers && self.defers != d) { /* the program left some by a longjmp of its own */
		self.defers->done = 1;
		self.defers = self.defers->next;
	}
	self.defers = d->next;
	d->done = 1;
}

GRT_EXPORT void grt_defer_pop(struct grt_defer *d)
{
	if (d->done) /* by a panic, or grt_exit */
		return;
	take(d);
	d->fn(d->arg);
}

/* Its frame begins where our stack pointer is at the call: nothing is passed on the stack. */
static GRT_NOINLINE void call(struct grt_defer *d, struct panic *p)
{
	p->cfa = grt__stack_pointer();
	d->fn(d->arg);
	p->cfa = NULL; /* also keeps it from being a tail call */
}

/* All there is to run, newest first; returns when one of them recovered p: that one. */
static struct grt_defer *run(struct panic *p)
{
	struct grt_defer *d;
	while ((d = self.defers)) {
		if (d->panic) {
			((struct panic *)d->panic)->aborted = true;
			take(d);
			continue;
		}
		d->panic = p;
		call(d, p);
		take(d);
		if (p->recovered)
			return d;
	}
	return NULL;
}

/* ---- the end of a panic ---- */

/* The task's own function returns. */
static GRT_NORETURN void end_of_task(void)
{
	if (grt__self.g == &grt__main_g || (!grt__self.g && grt__sys_gettid() == grt__sys_getpid()))
		grt__libc.exit(0);
	grt_exit();
}

static GRT_NORETURN void go_on_after(struct scope *to)
{
	struct grt_defer *d;
	bool exiting = false;
	for (; self.panics && self.panics->aborted; self.panics = self.panics->link)
		exiting |= self.panics->goexit;
	if (exiting)
		grt_exit();
	while ((d = self.defers) && d->scope == to) {
		take(d);
		d->fn(d->arg);
	}
	self.scopes = to;
	if (!to)
		end_of_task();
	__builtin_longjmp(to->jump, 1);
}

static GRT_NORETURN void panic(const void *value, const char *text)
{
	struct panic p = {.link = self.panics, .value = value, .text = text};
	self.panics = &p;
	struct grt_defer *d = run(&p);
	if (!d)
		grt__crash_end(say_panics, &p, false);
	self.panics = p.link;
	go_on_after(d->scope);
}

void grt__panic(const char *text)
{
	panic(text, text);
}

void grt__goexit(void)
{
	struct panic p = {.link = self.panics, .goexit = true};
	self.panics = &p;
	run(&p);
	self.panics = NULL;
	self.scopes = NULL;
}

const void *grt__panic_now(const char **text)
{
	*text = self.panics ? self.panics->text : NULL;
	return self.panics ? self.panics->value : NULL;
}

/* ---- grt.h ---- */

GRT_EXPORT void grt_panic(const char *text)
{
	if (!text)
		text = "panic called with nil argument";
	panic(text, text);
}

GRT_EXPORT void grt_panic_value(const void *value, const char *text)
{
	if (!value)
		grt_panic(NULL);
	panic(value, text ? text : "(value)");
}

GRT_EXPORT void *grt_recover_in(const void *frame)
{
	struct panic *p = self.panics;
	if (!p || p->goexit || p->recovered || p->cfa != frame)
		return NULL;
	p->recovered = true;
	return (void *)p->value;
}

/* The receiver of the jump may count on no register: nothing of the first pass is used after it. */
static GRT_NOINLINE bool call_in(struct scope *s, void (*fn)(void *), void *arg)
{
	if (__builtin_setjmp(s->jump))
		return false;
	fn(arg);
	return true;
}

GRT_EXPORT bool grt_call(void (*fn)(void *), void *arg)
{
	struct scope s = {.outer = self.scopes};
	self.scopes = &s;
	bool returned = call_in(&s, fn, arg);
	self.scopes = s.outer;
	return returned;
}
