/*
 * The clock without libc: the vDSO's clock_gettime, found in the image that the kernel mapped (AT_SYSINFO_EHDR). Until it is
 * found, and on a kernel without one, the system call.
 */
#include "base/atomic.h"
#include "os/os.h"
#include <elf.h>
#include <sys/auxv.h>

static int (*vdso_clock_gettime)(clockid_t, struct timespec *);

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

void grt__os_clock_init(void)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const char *strtab = NULL;
	const Elf64_Sym *symtab = NULL;
	const uint32_t *hash = NULL;
	uintptr_t bias = 0;
	const Elf64_Dyn *dyn = NULL;
	if (!base)
		return;
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)base;
	const Elf64_Phdr *ph = (const Elf64_Phdr *)(base + eh->e_phoff);
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
			bias = (uintptr_t)base - ph[i].p_vaddr;
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const Elf64_Dyn *)(base + ph[i].p_offset);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		uintptr_t at = bias + dyn->d_un.d_ptr;
		if (dyn->d_tag == DT_STRTAB)
			strtab = (const char *)at;
		if (dyn->d_tag == DT_SYMTAB)
			symtab = (const Elf64_Sym *)at;
		if (dyn->d_tag == DT_HASH)
			hash = (const uint32_t *)at;
	}
	if (!strtab || !symtab || !hash)
		return;
	for (uint32_t i = 0; i < hash[1]; i++) {
		const char *name = strtab + symtab[i].st_name;
		if (symtab[i].st_shndx != SHN_UNDEF &&
		    (same(name, "__vdso_clock_gettime") || same(name, "__kernel_clock_gettime")))
			vdso_clock_gettime = (int (*)(clockid_t, struct timespec *))(bias + symtab[i].st_value);
	}
}

int64_t grt__os_clock(clockid_t clock)
{
	struct timespec ts;
	int (*fn)(clockid_t, struct timespec *) = vdso_clock_gettime;
	if (grt_likely(fn != NULL) ? fn(clock, &ts) != 0 : grt__sys2(SYS_clock_gettime, clock, &ts) != 0)
		return -1;
	return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

int64_t grt__nanotime(void)
{
	return grt__os_clock(CLOCK_MONOTONIC);
}
