#include "elf/symbol.h"
#include "base/atomic.h"
#include "elf/peek.h"
#include "os/os.h"
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef ElfW(Ehdr) ehdr;
typedef ElfW(Phdr) phdr;
typedef ElfW(Shdr) shdr;
typedef ElfW(Sym) sym;
typedef ElfW(Dyn) dyn;
#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)

enum { SYM_UNKNOWN, SYM_OPENING, SYM_FILE, SYM_MEMORY, SYM_NONE };

struct grt_symfile {
	uint32_t state; /* atomic: release by whoever set it to OPENING */
	uint32_t count;
	void *map;
	size_t size;
	const sym *syms; /* SYM_MEMORY: read by peek only */
	const char *strs;
	size_t strs_size;
	char name[256]; /* SYM_MEMORY: the last name; its address is what callers get */
};
const size_t grt__symfile_size = sizeof(struct grt_symfile);

size_t grt__elf_build_id(const uint8_t *notes, size_t size, const uint8_t **id)
{
	size_t at = 0;
	while (at + sizeof(ElfW(Nhdr)) <= size) {
		ElfW(Nhdr) n;
		memcpy(&n, notes + at, sizeof n);
		size_t name = at + sizeof n;
		if (n.n_namesz > size || n.n_descsz > size)
			return 0;
		size_t desc = name + ((n.n_namesz + 3) & ~3u);
		size_t next = desc + ((n.n_descsz + 3) & ~3u);
		if (next > size)
			return 0;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !memcmp(notes + name, "GNU", 4)) {
			*id = notes + desc;
			return n.n_descsz;
		}
		at = next;
	}
	return 0;
}

/* ---- a file, mapped ---- */

struct file {
	const uint8_t *p;
	size_t size;
};

static bool inside(const struct file *f, uint64_t off, uint64_t len)
{
	return off <= f->size && len <= f->size - off;
}

static bool file_map(const char *path, struct file *f)
{
	struct stat st;
	long fd = grt__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	long p = -1;
	if (grt__sys_fstat((int)fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (long)sizeof(ehdr))
		p = grt__sys_mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0);
	grt__sys_close((int)fd);
	if (grt__sys_failed(p))
		return false;
	f->p = (const uint8_t *)p;
	f->size = (size_t)st.st_size;
	return true;
}

/* An ELF file of our kind whose headers are inside of it. */
static bool file_ok(const struct file *f)
{
	const ehdr *eh = (const ehdr *)f->p;
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == NATIVE_CLASS &&
	       eh->e_shentsize == sizeof(shdr) && eh->e_phentsize == sizeof(phdr) && eh->e_shoff % 8 == 0 &&
	       inside(f, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(shdr)) &&
	       inside(f, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(phdr));
}

/* The same build as what is in memory, as far as can be told. */
static bool same_build(const struct file *f, const struct grt_module *m)
{
	const ehdr *eh = (const ehdr *)f->p;
	const phdr *ph = (const phdr *)(f->p + eh->e_phoff);
	for (int i = 0; m->build_id_len && i < eh->e_phnum; i++) {
		const uint8_t *id;
		if (ph[i].p_type != PT_NOTE || !inside(f, ph[i].p_offset, ph[i].p_filesz))
			continue;
		size_t len = grt__elf_build_id(f->p + ph[i].p_offset, ph[i].p_filesz, &id);
		if (len)
			return len == m->build_id_len && !memcmp(id, m->build_id, len);
	}
	return true;
}

static bool use_table(const struct file *f, uint32_t type, struct grt_symfile *sf)
{
	const ehdr *eh = (const ehdr *)f->p;
	const shdr *sh = (const shdr *)(f->p + eh->e_shoff);
	for (int i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != type || sh[i].sh_entsize != sizeof(sym) || sh[i].sh_link >= eh->e_shnum)
			continue;
		const shdr *str = &sh[sh[i].sh_link];
		if (sh[i].sh_offset % 8 || !inside(f, sh[i].sh_offset, sh[i].sh_size) ||
		    !inside(f, str->sh_offset, str->sh_size) || str->sh_size == 0 || str->sh_type != SHT_STRTAB ||
		    f->p[str->sh_offset + str->sh_size - 1] != '\0')
			continue;
		sf->map = (void *)f->p;
		sf->size = f->size;
		sf->syms = (const sym *)(f->p + sh[i].sh_offset);
		sf->count = (uint32_t)(sh[i].sh_size / sizeof(sym));
		sf->strs = (const char *)f->p + str->sh_offset;
		sf->strs_size = str->sh_size;
		return sf->count > 1;
	}
	return false;
}

static bool try_file(const char *path, uint32_t type, const struct grt_module *m, struct grt_symfile *sf)
{
	struct file f;
	if (!file_map(path, &f))
		return false;
	if (file_ok(&f) && same_build(&f, m) && use_table(&f, type, sf))
		return true;
	grt__sys_munmap((void *)f.p, f.size);
	return false;
}

static bool open_file(const struct grt_module *m, struct grt_symfile *sf)
{
	/* The link opens the program's file even when it was renamed or removed. */
	const char *path = m->is_main ? "/proc/self/exe" : m->path;
	if (try_file(path, SHT_SYMTAB, m, sf))
		return true;
	if (m->build_id_len > 2) {
		char debug[160];
		size_t n = grt__format(debug, sizeof debug, "/usr/lib/debug/.build-id/%02x/", m->build_id[0]);
		for (int i = 1; i < m->build_id_len; i++)
			n += grt__format(debug + n, sizeof debug - n, "%02x", m->build_id[i]);
		grt__format(debug + n, sizeof debug - n, ".debug");
		if (try_file(debug, SHT_SYMTAB, m, sf))
			return true;
	}
	return try_file(path, SHT_DYNSYM, m, sf);
}

/* ---- the dynamic symbol table in memory ---- */

static bool peek_u32(uintptr_t addr, uint32_t *v)
{
	return grt__peek_sig(addr, v, sizeof *v) == sizeof *v;
}

/* DT_GNU_HASH does not say how many symbols there are: the end of the last chain does. */
static uint32_t gnu_hash_count(uintptr_t hash)
{
	uint32_t head[4], last = 0, word; /* nbuckets, symoffset, bloom size, bloom shift */
	if (grt__peek_sig(hash, head, sizeof head) != sizeof head || head[0] > 1u << 20)
		return 0;
	uintptr_t buckets = hash + 16 + head[2] * sizeof(uintptr_t);
	uintptr_t chains = buckets + head[0] * 4ul;
	for (uint32_t i = 0; i < head[0]; i++)
		if (peek_u32(buckets + i * 4ul, &word) && word > last)
			last = word;
	if (last < head[1])
		return 0;
	while (peek_u32(chains + (last - head[1]) * 4ul, &word) && !(word & 1))
		last++;
	return last + 1;
}

static bool open_memory(const struct grt_module *m, struct grt_symfile *sf)
{
	uintptr_t symtab = 0, strtab = 0, hash = 0, gnu_hash = 0, strsz = 0;
	dyn d;
	for (uintptr_t at = m->dynamic; at && grt__peek_sig(at, &d, sizeof d) == sizeof d && d.d_tag; at += sizeof d) {
		/* The loader has relocated these, except in the vDSO. */
		uintptr_t v = d.d_un.d_ptr, address = v < m->bias ? v + m->bias : v;
		switch (d.d_tag) {
		case DT_SYMTAB:
			symtab = address;
			break;
		case DT_STRTAB:
			strtab = address;
			break;
		case DT_STRSZ:
			strsz = v;
			break;
		case DT_HASH:
			hash = address;
			break;
		case DT_GNU_HASH:
			gnu_hash = address;
			break;
		}
	}
	if (!symtab || !strtab)
		return false;
	if (hash)
		peek_u32(hash + 4, &sf->count);
	else if (gnu_hash)
		sf->count = gnu_hash_count(gnu_hash);
	sf->syms = (const sym *)symtab;
	sf->strs = (const char *)strtab;
	sf->strs_size = strsz;
	return sf->count > 1;
}

static uint32_t open_symfile(const struct grt_module *m, struct grt_symfile *sf)
{
	uint32_t state = grt_load_acquire(&sf->state);
	if (state != SYM_UNKNOWN)
		return state;
	if (!grt_cas(&sf->state, SYM_UNKNOWN, SYM_OPENING))
		return SYM_OPENING; /* by somebody else; perhaps by the code that we interrupt: no name this time */
	if (!m->in_memory && open_file(m, sf))
		state = SYM_FILE;
	else
		state = open_memory(m, sf) ? SYM_MEMORY : SYM_NONE;
	grt_store_release(&sf->state, state);
	return state;
}

void grt__symfile_close(struct grt_symfile *sf)
{
	if (sf && sf->map)
		grt__sys_munmap(sf->map, sf->size);
}

/* ---- search ---- */

/* Of several names for one place: sized before unsized, global before weak before local, few underscores in front. */
static int goodness(const sym *s, const char *name)
{
	static const uint8_t by_binding[] = {[STB_LOCAL] = 0, [STB_GLOBAL] = 2, [STB_WEAK] = 1};
	int bind = ELF64_ST_BIND(s->st_info), g = s->st_size ? 100 : 0;
	g += bind < 3 ? by_binding[bind] * 10 : 0;
	for (int i = 0; i < 3 && name[i] == '_'; i++)
		g--;
	return g;
}

/* Keeps s in *best if it covers addr (of the file) better. An unsized function (assembly) covers what follows it, but a
 * sized one always wins, and the nearest below. */
static bool better(const sym *s, uintptr_t addr, const sym *best)
{
	int type = ELF64_ST_TYPE(s->st_info);
	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s->st_shndx == SHN_UNDEF || s->st_shndx >= SHN_LORESERVE ||
	    s->st_name == 0 || s->st_value > addr)
		return false;
	if (s->st_size ? addr - s->st_value >= s->st_size : addr - s->st_value >= 4096)
		return false;
	if (!best->st_name || (s->st_size && !best->st_size))
		return true;
	return s->st_value >= best->st_value && !(best->st_size && !s->st_size);
}

static bool search_file(const struct grt_symfile *sf, uintptr_t addr, sym *best)
{
	for (uint32_t i = 1; i < sf->count; i++) {
		const sym *s = &sf->syms[i];
		if (s->st_name >= sf->strs_size || !better(s, addr, best))
			continue;
		if (best->st_name && s->st_value == best->st_value &&
		    goodness(s, sf->strs + s->st_name) <= goodness(best, sf->strs + best->st_name))
			continue;
		*best = *s;
	}
	return best->st_name != 0;
}

static bool search_memory(const struct grt_symfile *sf, uintptr_t addr, sym *best)
{
	sym chunk[16];
	for (uint32_t i = 1; i < sf->count; i += GRT_COUNT(chunk)) {
		size_t n = grt__peek_sig((uintptr_t)(sf->syms + i), chunk, sizeof chunk) / sizeof *chunk;
		if (n > sf->count - i)
			n = sf->count - i;
		for (size_t j = 0; j < n; j++)
			if (better(&chunk[j], addr, best))
				*best = chunk[j];
	}
	return best->st_name != 0;
}

bool grt__module_symbol_sig(struct grt_module *m, uintptr_t pc, struct grt_symbol *out)
{
	struct grt_symfile *sf = m->sym;
	uintptr_t addr = pc - m->bias;
	sym best = {0};
	uint32_t state = open_symfile(m, sf);
	if (state == SYM_FILE && search_file(sf, addr, &best)) {
		out->name = sf->strs + best.st_name;
	} else if (state == SYM_MEMORY && search_memory(sf, addr, &best)) {
		size_t n = grt__peek_sig((uintptr_t)sf->strs + best.st_name, sf->name, sizeof sf->name - 1);
		sf->name[n] = '\0';
		out->name = sf->name;
	} else {
		return false;
	}
	out->transient = state == SYM_MEMORY;
	out->start = m->bias + best.st_value;
	out->exported = ELF64_ST_BIND(best.st_info) != STB_LOCAL && ELF64_ST_VISIBILITY(best.st_other) != STV_HIDDEN &&
	                ELF64_ST_VISIBILITY(best.st_other) != STV_INTERNAL;
	return true;
}
