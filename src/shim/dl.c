/*
 * dlfcn.h: loading. A library that is loaded while tasks live may have static TLS, which libc initialises in the threads it
 * knows, before the constructors run: grt__dlopen_enter and _leave make it know the tasks meanwhile.
 *
 * dlopen looks at its caller when the name has no slash, or has a $ in it. So that our call in between changes nothing, libc's
 * dlopen is then called with the address of a `ret` instruction in the calling library as its return address
 * (dl_entry.S). Rejected: searching the RPATH and RUNPATH ourselves with RTLD_DI_SERINFO, which knows neither the loader's
 * whole chain of RPATHs, nor DF_1_NODEFLIB, nor the rules for a library that is already loaded.
 */
#include "shim/hooks.h"
#include "shim/shim.h"
#include <link.h>
#include <string.h>

_Static_assert(GRT_BOOTED == 1, "dl_entry.S");

void *grt__dlopen_from(const char *file, int mode, void *caller);
void *grt__dlmopen_from(Lmid_t ns, const char *file, int mode, void *caller);
void *grt__call_through(void *ret, void *fn, long a, long b, long c);

struct ret_search {
	const unsigned char *caller;
	const unsigned char *ret; /* the answer */
	bool main_seen;
};

/* The first readable `ret` at or after `from` in an executable segment of the module that contains it. */
static int ret_in_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct ret_search *s = arg;
	bool is_main = !s->main_seen; /* the main program comes first */

	(void)size;
	s->main_seen = true;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const unsigned char *lo = (const unsigned char *)info->dlpi_addr + ph->p_vaddr;
		bool here = s->caller >= lo && s->caller < lo + ph->p_memsz;

		if (ph->p_type != PT_LOAD || (ph->p_flags & (PF_R | PF_X)) != (PF_R | PF_X) || !(here || is_main))
			continue;
		const unsigned char *from = here ? s->caller : lo;
		const unsigned char *ret = memchr(from, 0xc3, (size_t)(lo + ph->p_filesz - from));
		if (ret == NULL)
			ret = memchr(lo, 0xc3, ph->p_filesz);
		if (here || ret != NULL)
			s->ret = ret;
		if (here)
			return 1;
	}
	return 0;
}

/* A return address by which libc takes the same library for the caller; code in no library counts as the main program's, as
 * in libc. NULL: any caller will do, or none can be had (a CPU that checks return addresses, unreadable code). */
static void *ret_like(const char *file, void *caller)
{
	struct ret_search s = {.caller = caller};
	unsigned long shadow_stack = 0;

	if (file == NULL || (strchr(file, '/') != NULL && strchr(file, '$') == NULL))
		return NULL;
	__asm__("rdsspq %0" : "+r"(shadow_stack)); /* a nop where there is none */
	if (shadow_stack != 0)
		return NULL;
	dl_iterate_phdr(ret_in_module, &s);
	return (void *)s.ret;
}

void *grt__dlopen_from(const char *file, int mode, void *caller)
{
	void *ret = ret_like(file, caller);

	grt__dlopen_enter();
	void *h = ret == NULL ? REAL(dlopen)(file, mode)
	                      : grt__call_through(ret, (void *)REAL(dlopen), (long)file, mode, 0);
	int saved_errno = errno;
	grt__dlopen_leave();
	errno = saved_errno;
	return h;
}

void *grt__dlmopen_from(Lmid_t ns, const char *file, int mode, void *caller)
{
	void *ret = ret_like(file, caller);

	grt__dlopen_enter();
	void *h = ret == NULL ? REAL(dlmopen)(ns, file, mode)
	                      : grt__call_through(ret, (void *)REAL(dlmopen), ns, (long)file, mode);
	int saved_errno = errno;
	grt__dlopen_leave();
	errno = saved_errno;
	return h;
}

GRT_EXPORT int dlclose(void *handle)
{
	if (grt_load_relaxed(&grt__state) != GRT_BOOTED)
		return REAL(dlclose)(handle);
	grt__dlopen_enter();
	int r = REAL(dlclose)(handle);
	int saved_errno = errno;
	grt__dlopen_leave();
	errno = saved_errno;
	return r;
}
