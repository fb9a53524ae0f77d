/*
 * dlfcn.h: loading. A library that is loaded while tasks live may have static TLS, which libc initialises in the threads it
 * knows, before the constructors run: grt__dlopen_enter and _leave make it know the tasks meanwhile.
 *
 * dlopen looks at its caller when the name has no slash, or has a $ in it. So that our call in between changes nothing, libc's
 * dlopen is then called with the address of a `ret` instruction in the calling library as its return address
 * (dl_entry.S). Rejected: searching the RPATH and RUNPATH ourselves with RTLD_DI_SERINFO, which knows neither the loader's
 * whole chain of RPATHs, nor DF_1_NODEFLIB, nor the rules for a library that is already loaded.
 */
#include "elf/deepbind.h"
#include "elf/module.h"
#include "observe/callers.h"
#include "sched/tcb.h"
#include "shim/shim.h"
#include <link.h>
#include <string.h>

_Static_assert(GRT_BOOTED == 1 && RTLD_DEEPBIND == 8, "dl_entry.S");

void *grt__dlopen_from(const char *file, int mode, void *caller);
void *grt__dlmopen_from(Lmid_t ns, const char *file, int mode, void *caller);
int grt__deepbind_mode(int mode);
void *grt__call_through(void *ret, void *fn, long a, long b, long c);

struct ret_search {
	const unsigned char *caller;
	const unsigned char *ret; /* the answer */
	bool main_seen;
};

/* The first `ret` in the n bytes at `from`, as far as they are readable code of this module; or NULL. */
static const unsigned char *ret_from(const struct dl_phdr_info *info, const unsigned char *from, size_t n)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const unsigned char *lo = (const unsigned char *)info->dlpi_addr + ph->p_vaddr, *hi = lo + ph->p_filesz;

		if (ph->p_type == PT_LOAD && (ph->p_flags & (PF_R | PF_X)) == (PF_R | PF_X) && from >= lo && from < hi)
			return memchr(from, 0xc3, n < (size_t)(hi - from) ? n : (size_t)(hi - from));
	}
	return NULL;
}

/* Best the one of _fini or _init: those have no unwind information, so a backtrace from a constructor ends there, where in
 * another function it would be led astray. */
static const unsigned char *ret_of(const struct dl_phdr_info *info, const unsigned char *caller)
{
	const unsigned char *ret = NULL;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		const ElfW(Dyn) *d = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
		for (; d->d_tag != DT_NULL && ret == NULL; d++)
			if (d->d_tag == DT_FINI || d->d_tag == DT_INIT)
				ret = ret_from(info, (const unsigned char *)info->dlpi_addr + d->d_un.d_ptr, 64);
	}
	return ret != NULL || caller == NULL ? ret : ret_from(info, caller, SIZE_MAX);
}

static int ret_in_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct ret_search *s = arg;
	bool is_main = !s->main_seen; /* the main program comes first */

	(void)size;
	s->main_seen = true;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		if (ph->p_type == PT_LOAD && (uintptr_t)s->caller - info->dlpi_addr - ph->p_vaddr < ph->p_memsz) {
			s->ret = ret_of(info, s->caller);
			return 1;
		}
	}
	if (is_main)
		s->ret = ret_of(info, NULL);
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

/* Without a table of libc's that says us, such a library is better loaded like others. */
int grt__deepbind_mode(int mode)
{
	if (grt_unlikely(mode & RTLD_DEEPBIND) && !grt__deepbind_prepare((const void *)REAL(dlopen)))
		mode &= ~RTLD_DEEPBIND;
	return mode;
}

void *grt__dlopen_from(const char *file, int mode, void *caller)
{
	void *ret = ret_like(file, caller);

	if (grt__self.in_vfork)
		return REAL(dlopen)(file, mode);
	mode = grt__deepbind_mode(mode);
	grt__dlopen_enter();
	void *h =
		ret == NULL ? REAL(dlopen)(file, mode) : grt__call_through(ret, (void *)REAL(dlopen), (long)file, mode, 0);
	int saved_errno = errno;
	grt__dlopen_leave();
	grt__modules_refresh();
	errno = saved_errno;
	return h;
}

void *grt__dlmopen_from(Lmid_t ns, const char *file, int mode, void *caller)
{
	void *ret = ret_like(file, caller);

	if (grt__self.in_vfork)
		return REAL(dlmopen)(ns, file, mode);
	if (ns == LM_ID_BASE)
		mode = grt__deepbind_mode(mode);
	grt__dlopen_enter();
	void *h = ret == NULL ? REAL(dlmopen)(ns, file, mode)
	                      : grt__call_through(ret, (void *)REAL(dlmopen), ns, (long)file, mode);
	int saved_errno = errno;
	grt__dlopen_leave();
	grt__modules_refresh();
	errno = saved_errno;
	return h;
}

GRT_EXPORT int dlclose(void *handle)
{
	int r;
	if (grt_load_relaxed(&grt__state) != GRT_BOOTED || grt__self.in_vfork) {
		r = REAL(dlclose)(handle);
		grt__callers_forget();
		if (!grt__self.in_vfork)
			grt__callers_init(); /* what is gone must not be looked into */
		return r;
	}
	grt__dlopen_enter();
	r = REAL(dlclose)(handle);
	grt__callers_forget();
	int saved_errno = errno;
	grt__dlopen_leave();
	grt__modules_refresh();
	errno = saved_errno;
	return r;
}
