/* See deepbind.h. */
#include "elf/deepbind.h"
#include "base/atomic.h"
#include "base/lock.h"
#include "os/os.h"
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

/* The dynamic symbols of one module that is loaded. */
struct table {
	const void *inside;
	uintptr_t bias;
	ElfW(Sym) * sym;
	const char *str;
	const uint32_t *hash; /* DT_GNU_HASH */
	uintptr_t ro_lo, ro_hi;
	bool is_main;
};

/* What libc's names stood for, by our address. */
static struct original {
	void *ours, *libcs;
} * originals; /* atomic: published when complete */
static uint32_t noriginals;
static struct grt_lock preparing = GRT_LOCK_INIT(GRT_RANK_NONE);

static bool inside(const struct dl_phdr_info *info, const void *addr)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		if (ph->p_type == PT_LOAD && (uintptr_t)addr - info->dlpi_addr - ph->p_vaddr < ph->p_memsz)
			return true;
	}
	return false;
}

static int find_table(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct table *t = arg;
	(void)size;
	if (!inside(info, t->inside))
		return 0;
	t->bias = info->dlpi_addr;
	t->is_main = !info->dlpi_name || !info->dlpi_name[0];
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		const ElfW(Dyn) *d = (const ElfW(Dyn) *)(t->bias + info->dlpi_phdr[i].p_vaddr);
		for (; d->d_tag != DT_NULL; d++) {
			uintptr_t p = d->d_un.d_ptr < t->bias ? t->bias + d->d_un.d_ptr : d->d_un.d_ptr;
			if (d->d_tag == DT_SYMTAB)
				t->sym = (ElfW(Sym) *)p;
			else if (d->d_tag == DT_STRTAB)
				t->str = (const char *)p;
			else if (d->d_tag == DT_GNU_HASH)
				t->hash = (const uint32_t *)p;
		}
	}
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t lo = t->bias + ph->p_vaddr;
		if (ph->p_type == PT_LOAD && (uintptr_t)t->sym - lo < ph->p_memsz) {
			t->ro_lo = ph->p_flags & PF_W ? 0 : lo & ~(grt__os.page_size - 1);
			t->ro_hi = lo + ph->p_memsz;
		}
	}
	return 1;
}

static bool table_of(const void *addr, struct table *t)
{
	*t = (struct table){.inside = addr};
	return dl_iterate_phdr(find_table, t) && t->sym && t->str && t->hash;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = 5381;
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		h = h * 33 + *p;
	return h;
}

/* DT_GNU_HASH: nbuckets, first symbol, filter words (of a pointer's size each), a shift; filter; buckets; hashes, the last of a bucket's
 * chain marked by bit 0. */
static void for_each_named(const struct table *t, const char *name, void (*fn)(ElfW(Sym) *, void *), void *arg)
{
	uint32_t n = t->hash[0], first = t->hash[1], h = hash_of(name);
	const uint32_t *bucket = t->hash + 4 + t->hash[2] * (sizeof(uintptr_t) / 4), *chain = bucket + n;
	uint32_t i = n ? bucket[h % n] : 0;
	if (i < first)
		return;
	do
		if ((chain[i - first] | 1) == (h | 1) && strcmp(t->str + t->sym[i].st_name, name) == 0)
			fn(&t->sym[i], arg);
	while (!(chain[i++ - first] & 1));
}

static void for_each(const struct table *t, void (*fn)(ElfW(Sym) *, void *), void *arg)
{
	uint32_t n = t->hash[0], first = t->hash[1];
	const uint32_t *bucket = t->hash + 4 + t->hash[2] * (sizeof(uintptr_t) / 4), *chain = bucket + n;
	for (uint32_t b = 0; b < n; b++) {
		uint32_t i = bucket[b];
		if (i < first)
			continue;
		do
			fn(&t->sym[i], arg);
		while (!(chain[i++ - first] & 1));
	}
}

struct change {
	struct table libc, us;
	void *ours;
	uint32_t n, size;
	struct original *into; /* NULL: only count */
};

/* Each version of the name: with us before libc all are ours. */
static void change_one(ElfW(Sym) * s, void *arg)
{
	struct change *c = arg;
	if (s->st_shndx == SHN_UNDEF || !s->st_value || ELF64_ST_TYPE(s->st_info) != STT_FUNC)
		return;
	if (!c->into) {
		c->size++;
		return;
	}
	c->into[c->n++] = (struct original){c->ours, (void *)(c->libc.bias + s->st_value)};
	grt_store_release(&s->st_value, (uintptr_t)c->ours - c->libc.bias);
}

static void change_name(ElfW(Sym) * s, void *arg)
{
	struct change *c = arg;
	if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC)
		return;
	c->ours = (void *)(c->us.bias + s->st_value);
	for_each_named(&c->libc, c->us.str + s->st_name, change_one, c);
}

static bool prepare_locked(const void *in_libc)
{
	struct change c = {0};
	if (!grt__os.page_size)
		grt__os_probe();
	if (!table_of(in_libc, &c.libc) || !table_of((void *)grt__deepbind_prepare, &c.us))
		return false;
	if (!c.us.is_main) /* libgrt.a in a program: what else that exports is its own affair */
		for_each(&c.us, change_name, &c);
	struct original *all = grt__os_alloc((c.size + 1) * sizeof *all);
	size_t bytes = c.libc.ro_hi - c.libc.ro_lo;
	if (!all)
		return false;
	if (c.libc.ro_lo && grt__sys_mprotect((void *)c.libc.ro_lo, bytes, PROT_READ | PROT_WRITE) < 0) {
		grt__os_free(all, (c.size + 1) * sizeof *all);
		return false;
	}
	c.into = all;
	noriginals = c.size;
	grt_store_release(&originals, all);
	if (!c.us.is_main)
		for_each(&c.us, change_name, &c);
	if (c.libc.ro_lo)
		grt__sys_mprotect((void *)c.libc.ro_lo, bytes, PROT_READ);
	return true;
}

bool grt__deepbind_prepare(const void *in_libc)
{
	if (grt_load_acquire(&originals))
		return true;
	grt_lock(&preparing);
	bool ok = originals || prepare_locked(in_libc);
	grt_unlock(&preparing);
	return ok;
}

void *grt__libc_function(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);
	const struct original *all = grt_load_acquire(&originals);
	for (uint32_t i = 0; all && i < noriginals; i++)
		if (all[i].ours == f)
			return all[i].libcs;
	return f;
}
