#include "api/panic.h"
#include "observe/crash.h"
#include "observe/traceback.h"

#define OUT (&grt__report_out)

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

static void say_panic(void *text)
{
	grt__out_str(OUT, "panic: ");
	grt__out_str(OUT, text);
	grt__out_str(OUT, "\n");
}

void grt__panic(const char *text)
{
	grt__crash_end(say_panic, (void *)text, false);
}
