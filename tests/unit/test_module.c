/*
 * The module table against the loader's own answers, symbols against libelf's, refresh against readers.
 *
 * libc comes before libgrt.a, so that the test itself stays on plain libc.
 * CFLAGS: -D_GNU_SOURCE -Wl,--no-as-needed -lc
 * LDFLAGS: -lelf
 */
#include "elf/module.h"
#include "elf/peek.h"
#include "elf/symbol.h"
#include "unit.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

int a_variable = 42;

__attribute__((noinline, used)) static int local_function(int x)
{
	__asm__ volatile("");
	return x + 1;
}

__attribute__((noinline, used, visibility("default"))) int global_function(int x)
{
	__asm__ volatile("");
	return x + 2;
}

static int check_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct grt_modules *mods = arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t addr = info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type == PT_LOAD) {
			struct grt_segment *s = grt__segment_find_sig(mods, addr + ph->p_memsz - 1);
			ck_assert_ptr_nonnull(s);
			ck_assert_uint_eq(s->lo, addr);
			ck_assert_uint_eq(s->flags, ph->p_flags);
			ck_assert_ptr_eq(grt__segment_find_sig(mods, addr), s);
			ck_assert_uint_eq(mods->modules[s->module].bias, info->dlpi_addr);
			if (info->dlpi_name[0] == '/')
				ck_assert_str_eq(mods->modules[s->module].path, info->dlpi_name);
		} else if (ph->p_type == PT_GNU_EH_FRAME) {
			struct grt_module *m = grt__module_find_sig(mods, addr);
			ck_assert_uint_eq(m->eh_hdr, addr);
			ck_assert_uint_ne(m->eh_table, 0);
			ck_assert_uint_gt(m->eh_count, 0);
		}
	}
	return 0;
}

START_TEST(like_the_loader)
{
	grt__modules_refresh();
	struct grt_modules *mods = grt__modules_get_sig();
	ck_assert_ptr_nonnull(mods);
	dl_iterate_phdr(check_module, mods);
	struct grt_module *self = grt__module_find_sig(mods, (uintptr_t)&local_function);
	ck_assert(self->is_main);
	char exe[PATH_MAX] = "";
	ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
	ck_assert_str_eq(self->path, exe);
	ck_assert_int_gt(self->build_id_len, 8);
	ck_assert_uint_eq(grt__segment_find_sig(mods, (uintptr_t)&a_variable)->flags, PF_R | PF_W);
	ck_assert_ptr_null(grt__module_find_sig(mods, 0));
	ck_assert_ptr_null(grt__module_find_sig(mods, UINTPTR_MAX));
	ck_assert_ptr_null(grt__module_find_sig(mods, (uintptr_t)&mods)); /* the stack */
	ck_assert_ptr_null(grt__module_find_sig(NULL, (uintptr_t)&local_function));
	grt__modules_put_sig(mods);
}
END_TEST

static const char *name_of(struct grt_modules *mods, uintptr_t pc, struct grt_symbol *sym)
{
	struct grt_module *m = grt__module_find_sig(mods, pc);
	return m && grt__module_symbol_sig(m, pc, sym) ? sym->name : "";
}

START_TEST(names)
{
	struct grt_symbol sym;
	grt__modules_refresh();
	struct grt_modules *mods = grt__modules_get_sig();
	ck_assert_str_eq(name_of(mods, (uintptr_t)&local_function + 1, &sym), "local_function");
	ck_assert(!sym.exported);
	ck_assert_uint_eq(sym.start, (uintptr_t)&local_function);
	ck_assert_str_eq(name_of(mods, (uintptr_t)&global_function, &sym), "global_function");
	ck_assert(sym.exported);
	uintptr_t fn = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort_r");
	ck_assert_str_eq(name_of(mods, fn + 4, &sym), "qsort_r");
	fn = (uintptr_t)dlsym(RTLD_DEFAULT, "read"); /* aliases: __read, __GI___read */
	ck_assert_str_eq(name_of(mods, fn, &sym), "read");
	ck_assert_str_eq(name_of(mods, (uintptr_t)&a_variable, &sym), ""); /* data is no function */
	ck_assert_str_eq(name_of(mods, 16, &sym), "");
	/* the vDSO has no file */
	struct grt_module *vdso = grt__module_find_sig(mods, getauxval(AT_SYSINFO_EHDR));
	if (vdso) {
		ck_assert_str_eq(vdso->path, "[vdso]");
		void *h = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
		uintptr_t clock = h ? (uintptr_t)dlsym(h, "__vdso_clock_gettime") : 0;
		if (clock) {
			ck_assert_ptr_nonnull(strstr(name_of(mods, clock, &sym), "clock_gettime"));
			ck_assert(sym.transient);
		}
	}
	grt__modules_put_sig(mods);
}
END_TEST

/* Every sized function that libelf sees in a file must be found by an address in it, under one of the names at its
 * place. */
static void compare_with_libelf(struct grt_modules *mods, struct grt_module *m, GElf_Word type, int *compared)
{
	struct grt_symbol sym;
	int fd = open(m->path, O_RDONLY);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	ck_assert_ptr_nonnull(elf);
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn)) != NULL;) {
		GElf_Shdr sh;
		gelf_getshdr(scn, &sh);
		if (sh.sh_type != type)
			continue;
		Elf_Data *data = elf_getdata(scn, NULL);
		for (int i = 0; i < (int)(sh.sh_size / sh.sh_entsize); i += 7) {
			GElf_Sym s;
			gelf_getsym(data, i, &s);
			if (GELF_ST_TYPE(s.st_info) != STT_FUNC || s.st_size < 2 || s.st_shndx == SHN_UNDEF)
				continue;
			uintptr_t pc = m->bias + s.st_value + s.st_size / 2;
			ck_assert_msg(name_of(mods, pc, &sym)[0] != '\0', "%s: %s not found", m->path,
			              elf_strptr(elf, sh.sh_link, s.st_name));
			ck_assert_uint_ge(sym.start, m->bias + s.st_value); /* the same, or one nested in it */
			if (sym.start == m->bias + s.st_value)
				++*compared;
		}
	}
	elf_end(elf);
	close(fd);
}

START_TEST(like_libelf)
{
	int own = 0, libc = 0;
	elf_version(EV_CURRENT);
	grt__modules_refresh();
	struct grt_modules *mods = grt__modules_get_sig();
	compare_with_libelf(mods, grt__module_find_sig(mods, (uintptr_t)&local_function), SHT_SYMTAB, &own);
	compare_with_libelf(mods, grt__module_find_sig(mods, (uintptr_t)dlsym(RTLD_DEFAULT, "read")), SHT_DYNSYM, &libc);
	ck_assert_int_gt(own, 5);
	ck_assert_int_gt(libc, 100);
	grt__modules_put_sig(mods);
}
END_TEST

START_TEST(dlopen_dlclose)
{
	grt__modules_refresh();
	void *h = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL), *fn = NULL;
	if (!h || (fn = dlsym(h, "lgamma")) == NULL)
		return;
	struct grt_modules *before = grt__modules_get_sig();
	bool linked = grt__module_find_sig(before, (uintptr_t)fn) != NULL; /* libcheck may need it already */
	grt__modules_refresh();
	struct grt_modules *with = grt__modules_get_sig();
	ck_assert_ptr_nonnull(grt__module_find_sig(with, (uintptr_t)fn));
	dlclose(h);
	grt__modules_refresh();
	struct grt_modules *after = grt__modules_get_sig();
	if (!linked) {
		ck_assert_ptr_ne(before, with);
		ck_assert_ptr_null(grt__module_find_sig(after, (uintptr_t)fn));
		/* held snapshots stay whole */
		ck_assert_ptr_nonnull(grt__module_find_sig(with, (uintptr_t)fn));
		ck_assert_ptr_nonnull(grt__module_find_sig(before, (uintptr_t)&local_function));
	}
	grt__modules_put_sig(before);
	grt__modules_put_sig(with);
	grt__modules_refresh(); /* nothing changed: the same table */
	struct grt_modules *same = grt__modules_get_sig();
	ck_assert_ptr_eq(same, after);
	grt__modules_put_sig(same);
	grt__modules_put_sig(after);
}
END_TEST

static uint32_t stop;

static void *reader(void *arg)
{
	struct grt_symbol sym;
	size_t n = 0;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct grt_modules *mods = grt__modules_get_sig();
		struct grt_module *m = grt__module_find_sig(mods, (uintptr_t)&local_function);
		if (!m || m->path[0] != '/' || !m->is_main)
			return (void *)1;
		if (n++ % 16 == 0)
			grt__module_symbol_sig(m, (uintptr_t)&local_function, &sym); /* opens the file, or finds it being opened */
		grt__modules_put_sig(mods);
	}
	return NULL;
}

static long mappings(void)
{
	char line[4096];
	long n = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f))
		n++;
	fclose(f);
	return n;
}

START_TEST(readers_and_writers)
{
	pthread_t t[2];
	void *bad;
	grt__modules_refresh();
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, reader, NULL);
	long before = mappings();
	for (int i = 0; i < 200; i++) {
		void *h = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
		grt__modules_refresh();
		if (h)
			dlclose(h);
		grt__modules_refresh();
	}
	stop = 1;
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
	void *h = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
	grt__modules_refresh(); /* no readers: everything retired goes */
	if (h)
		dlclose(h);
	grt__modules_refresh();
	ck_assert_int_lt(mappings(), before + 30);
}
END_TEST

START_TEST(peek)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), buf[64];
	memset(p, 'a', 3 * 4096);
	munmap(p + 4096, 4096);
	mprotect(p + 8192, 4096, PROT_NONE);
	ck_assert_uint_eq(grt__peek_sig((uintptr_t)p, buf, 64), 64);
	ck_assert_int_eq(buf[63], 'a');
	ck_assert_uint_le(grt__peek_sig((uintptr_t)p + 4096 - 32, buf, 64), 32);
	ck_assert_uint_eq(grt__peek_sig((uintptr_t)p + 4096, buf, 64), 0);
	ck_assert_uint_eq(grt__peek_sig((uintptr_t)p + 8192, buf, 64), 0);
	ck_assert_uint_eq(grt__peek_sig(0, buf, 64), 0);
	ck_assert_uint_eq(grt__peek_sig(0xdeadbeefdeadbeef, buf, 64), 0);
}
END_TEST

START_TEST(notes)
{
	static const uint32_t good[] = {4, 3, 1, 0x554e47, 0xffffff, 4, 4, 3, 0x554e47, 0x11223344};
	const uint8_t *id;
	ck_assert_uint_eq(grt__elf_build_id((const uint8_t *)good, sizeof good, &id), 4);
	ck_assert_int_eq(id[0], 0x44);
	for (size_t n = 0; n < sizeof good; n++) /* cut short: nothing is read beyond */
		ck_assert_uint_eq(grt__elf_build_id((const uint8_t *)good, n, &id), 0);
	static const uint32_t huge[] = {0xfffffffd, 0xfffffffd, 3, 0};
	ck_assert_uint_eq(grt__elf_build_id((const uint8_t *)huge, sizeof huge, &id), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("module");
	TCase *tc = tcase_create("module");
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, like_the_loader);
	tcase_add_test(tc, names);
	tcase_add_test(tc, like_libelf);
	tcase_add_test(tc, dlopen_dlclose);
	tcase_add_test(tc, readers_and_writers);
	tcase_add_test(tc, peek);
	tcase_add_test(tc, notes);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
