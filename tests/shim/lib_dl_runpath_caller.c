/* CFLAGS: -D_GNU_SOURCE -Wl,--enable-new-dtags,-rpath,$ORIGIN */
#include <dlfcn.h>

void *open_in_caller(const char *name, int flags, int dlm);
void *open_in_caller(const char *name, int flags, int dlm)
{
	void *h = dlm ? dlmopen(LM_ID_BASE, name, flags) : dlopen(name, flags);
	__asm__ volatile("" ::: "memory"); /* not a tail call */
	return h;
}
