#include "elf/module.h"
#include "base/atomic.h"
#include "elf/symbol.h"
#include "os/os.h"
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>

static struct grt_modules *current; /* atomic: exchanged by refresh, pairs with grt__modules_get_sig */
static struct grt_modules *retired; /* atomic: stack of snapshots that a reader may still hold */
static uint32_t readers;            /* atomic */

/* A snapshot under construction: one mapping, three areas. The callback counts on when an area is full; then it is
 * built anew with room for what was counted. */
struct build {
	struct grt_modules *mods;
	size_t cap_modules, cap_segments, cap_text;
	size_t n_modules, n_segments, n_text;
	char *text;
	uint64_t version;
};

/* Text that must be copied; NULL when it does not fit. */
static char *keep_text(struct build *b, const char *s, const char *prefix, size_t prefix_len)
{
	size_t len = strlen(s);
	char *p = b->text + b->n_text;
	b->n_text += prefix_len + len + 1;
	if (b->n_text > b->cap_text)
		return NULL;
	memcpy(p, prefix, prefix_len);
	memcpy(p + prefix_len, s, len + 1);
	return p;
}

static const char *module_path(struct build *b, const char *name, bool first, struct grt_module *m)
{
	char buf[PATH_MAX];
	if (!*name && first) {
		m->is_main = 1;
		long n = grt__sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", buf, sizeof buf - 1);
		buf[n > 0 ? n : 0] = '\0';
		return keep_text(b, n > 0 ? buf : "[program]", "", 0);
	}
	if (*name == '/')
		return keep_text(b, name, "", 0);
	if (!strchr(name, '/')) {
		m->in_memory = 1;
		return keep_text(b, !*name || strstr(name, "vdso") ? "[vdso]" : name, "", 0);
	}
	long n = grt__sys2(SYS_getcwd, buf, sizeof buf - 1); /* counts the NUL */
	if (n <= 1)
		return keep_text(b, name, "", 0);
	if (buf[n - 2] != '/')
		buf[n - 1] = '/';
	else
		n--;
	return keep_text(b, name, buf, (size_t)n);
}

/* The header that gcc and every linker make: version 1, pcrel sdata4 pointer, udata4 count, datarel sdata4 table. A
 * module that has another kind is unwound by frame pointers. */
static void read_eh_hdr(struct grt_module *m, uintptr_t hdr, size_t size)
{
	const uint8_t *p = (const uint8_t *)hdr;
	m->eh_hdr = hdr;
	if (size < 12 || p[0] != 1 || p[2] != 0x03 || p[3] != 0x3b)
		return;
	size_t pointer = (p[1] & 0x0f) == 0x0c || (p[1] & 0x0f) == 0x04 || p[1] == 0 ? 8 : 4;
	uint32_t count;
	if (size < 4 + pointer + 4)
		return;
	memcpy(&count, p + 4 + pointer, 4);
	if (count > (size - 8 - pointer) / 8)
		return;
	m->eh_table = hdr + 8 + pointer;
	m->eh_count = count;
}

static void read_notes(struct grt_module *m, uintptr_t addr, size_t size)
{
	const uint8_t *id;
	size_t len = grt__elf_build_id((const uint8_t *)addr, size, &id);
	if (len && len <= sizeof m->build_id) {
		memcpy(m->build_id, id, len);
		m->build_id_len = (uint8_t)len;
	}
}

static void add_segment(struct build *b, struct grt_module *m, size_t index, const ElfW(Phdr) * ph)
{
	uintptr_t lo = m->bias + ph->p_vaddr, hi = lo + ph->p_memsz;
	if (lo < m->lo)
		m->lo = lo;
	if (hi > m->hi)
		m->hi = hi;
	if (b->n_segments < b->cap_segments)
		b->mods->segments[b->n_segments] =
			(struct grt_segment){.lo = lo, .hi = hi, .flags = ph->p_flags, .module = (uint32_t)index};
	b->n_segments++;
}

/* Under the loader's lock: the module stays, its memory may be read. */
static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct build *b = arg;
	size_t index = b->n_modules++;
	struct grt_module scratch, *m = index < b->cap_modules ? &b->mods->modules[index] : &scratch;

	*m = (struct grt_module){.bias = info->dlpi_addr, .lo = UINTPTR_MAX};
	b->version = info->dlpi_adds + info->dlpi_subs;
	m->path = module_path(b, info->dlpi_name ? info->dlpi_name : "", index == 0, m);
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t addr = m->bias + ph->p_vaddr;
		switch (ph->p_type) {
		case PT_LOAD:
			add_segment(b, m, index, ph);
			break;
		case PT_DYNAMIC:
			m->dynamic = addr;
			break;
		case PT_GNU_EH_FRAME:
			read_eh_hdr(m, addr, ph->p_memsz);
			break;
		case PT_GNU_RELRO:
			m->relro_lo = addr;
			m->relro_hi = addr + ph->p_memsz;
			break;
		case PT_NOTE:
			if (!m->build_id_len)
				read_notes(m, addr, ph->p_memsz);
			break;
		}
	}
	if (m->hi == 0)
		m->lo = 0;
	return 0;
}

static void sort_segments(struct grt_segment *s, size_t n)
{
	for (size_t gap = n / 2; gap; gap /= 2)
		for (size_t i = gap; i < n; i++) {
			struct grt_segment x = s[i];
			size_t j = i;
			for (; j >= gap && s[j - gap].lo > x.lo; j -= gap)
				s[j] = s[j - gap];
			s[j] = x;
		}
}

static size_t symfiles_offset(const struct build *b)
{
	return sizeof *b->mods + b->cap_modules * sizeof(struct grt_module) + b->cap_segments * sizeof(struct grt_segment);
}

static bool build_alloc(struct build *b)
{
	size_t size = symfiles_offset(b) + b->cap_modules * grt__symfile_size + b->cap_text;
	size = (size + 4095) & ~(size_t)4095;
	char *p = grt__os_alloc(size);
	if (!p)
		return false;
	b->mods = (struct grt_modules *)p;
	b->mods->map_size = size;
	b->mods->modules = (struct grt_module *)(p + sizeof *b->mods);
	b->mods->segments = (struct grt_segment *)(b->mods->modules + b->cap_modules);
	b->text = p + symfiles_offset(b) + b->cap_modules * grt__symfile_size;
	b->n_modules = b->n_segments = b->n_text = 0;
	return true;
}

static struct grt_modules *build_snapshot(void)
{
	struct build b = {.cap_modules = 32, .cap_segments = 160, .cap_text = 2048};
	for (;;) {
		if (!build_alloc(&b))
			return NULL;
		dl_iterate_phdr(add_module, &b);
		if (b.n_modules <= b.cap_modules && b.n_segments <= b.cap_segments && b.n_text <= b.cap_text)
			break;
		grt__os_free(b.mods, b.mods->map_size);
		b.cap_modules = b.n_modules + 8;
		b.cap_segments = b.n_segments + 40;
		b.cap_text = b.n_text + 1024;
	}
	struct grt_modules *mods = b.mods;
	char *symfiles = (char *)mods + symfiles_offset(&b);
	mods->version = b.version;
	mods->nmodules = (uint32_t)b.n_modules;
	mods->nsegments = (uint32_t)b.n_segments;
	for (size_t i = 0; i < b.n_modules; i++)
		mods->modules[i].sym = (struct grt_symfile *)(symfiles + i * grt__symfile_size);
	sort_segments(mods->segments, b.n_segments);
	return mods;
}

static void free_snapshot(struct grt_modules *mods)
{
	for (uint32_t i = 0; i < mods->nmodules; i++)
		grt__symfile_close(mods->modules[i].sym);
	grt__os_free(mods, mods->map_size);
}

static void push_retired(struct grt_modules *first, struct grt_modules *last)
{
	struct grt_modules *head = grt_load_relaxed(&retired);
	do
		last->retired_next = head;
	while (!__atomic_compare_exchange_n(&retired, &head, first, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* Frees what was retired, unless a reader is active: it may have come before the exchange. */
static void reclaim(void)
{
	struct grt_modules *list = grt_xchg_seqcst(&retired, NULL);
	if (!list)
		return;
	if (grt_load_seqcst(&readers) != 0) {
		struct grt_modules *last = list;
		while (last->retired_next)
			last = last->retired_next;
		push_retired(list, last);
		return;
	}
	while (list) {
		struct grt_modules *next = list->retired_next;
		free_snapshot(list);
		list = next;
	}
}

static int read_version(struct dl_phdr_info *info, size_t size, void *version)
{
	*(uint64_t *)version = info->dlpi_adds + info->dlpi_subs;
	return 1;
}

static bool up_to_date(void)
{
	uint64_t version = 0;
	dl_iterate_phdr(read_version, &version);
	struct grt_modules *mods = grt__modules_get_sig();
	bool same = mods && mods->version >= version;
	grt__modules_put_sig(mods);
	return same;
}

void grt__modules_refresh(void)
{
	if (up_to_date())
		return;
	struct grt_modules *mods = build_snapshot();
	if (!mods)
		return;                  /* the old table serves on */
	grt_add_seqcst(&readers, 1); /* so that `old` may be looked at */
	struct grt_modules *old = grt_load_seqcst(&current);
	do {
		if (old && old->version >= mods->version) {
			grt_add_seqcst(&readers, -1);
			free_snapshot(mods);
			return;
		}
	} while (!__atomic_compare_exchange_n(&current, &old, mods, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	grt_add_seqcst(&readers, -1);
	if (old)
		push_retired(old, old);
	reclaim();
}

struct grt_modules *grt__modules_get_sig(void)
{
	grt_add_seqcst(&readers, 1);
	struct grt_modules *mods = grt_load_seqcst(&current);
	if (!mods)
		grt_add_seqcst(&readers, -1);
	return mods;
}

void grt__modules_put_sig(struct grt_modules *mods)
{
	if (mods)
		grt_add_seqcst(&readers, -1);
}

struct grt_segment *grt__segment_find_sig(const struct grt_modules *mods, uintptr_t addr)
{
	size_t lo = 0, hi = mods ? mods->nsegments : 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (mods->segments[mid].lo <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || addr >= mods->segments[lo - 1].hi)
		return NULL;
	return &mods->segments[lo - 1];
}

struct grt_module *grt__module_find_sig(const struct grt_modules *mods, uintptr_t addr)
{
	struct grt_segment *s = grt__segment_find_sig(mods, addr);
	return s ? &mods->modules[s->module] : NULL;
}

void grt__modules_fork_child(void)
{
	grt_store_relaxed(&readers, 0);
}
