#include "sched/tls_images.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/stack.h"
#include <errno.h>
#include <link.h>
#include <string.h>

enum { TLS_IMAGES = 256 };

/* Initial images of static TLS, to give pooled blocks a new life. */
struct tls_image {
	uintptr_t below; /* distance of the segment's start below the thread pointer */
	const void *image;
	uint32_t filesz, memsz;
};
static struct image_set {
	uint32_t n;
	struct tls_image image[TLS_IMAGES];
} * image_set;            /* atomic: immutable once published */
static bool images_stale; /* atomic: no memory for those of the libraries that came since */

static uint32_t tls_offset; /* in struct link_map */
static size_t tls_size;

void grt__tls_images_init(uint32_t offset, size_t size)
{
	tls_offset = offset;
	tls_size = size;
}

bool grt__tls_images_stale(void)
{
	return grt_load_relaxed(&images_stale);
}

static const char *libc_name; /* its file, as the loader calls it */

/* How far below the thread pointer a module's TLS lies; 0: not in static TLS but in the DTV. dlpi_tls_data would say it only for a thread
 * whose DTV has met the module. */
static uintptr_t static_tls_offset(const struct link_map *lm)
{
	uintptr_t offset = *(const uintptr_t *)((const char *)lm + tls_offset);
	return (intptr_t)offset > 0 && offset <= tls_size ? offset : 0;
}

static void add_image(struct image_set *set, const struct link_map *lm, const ElfW(Phdr) * ph, int n)
{
	uintptr_t below = static_tls_offset(lm);
	char *here = (char *)grt__thread_pointer() - below;
	for (; below && n > 0; n--, ph++) {
		if (ph->p_type != PT_TLS || set->n == TLS_IMAGES)
			continue;
		/* libc's own segment holds errno and the caches that outlive a task; so does that of a libc in another namespace. */
		if ((uintptr_t)&errno - (uintptr_t)here < ph->p_memsz)
			libc_name = lm->l_name;
		else if (!libc_name || strcmp(lm->l_name, libc_name) != 0)
			set->image[set->n++] = (struct tls_image){below, (const void *)(lm->l_addr + ph->p_vaddr),
			                                          (uint32_t)ph->p_filesz, (uint32_t)ph->p_memsz};
	}
}

/* The program's namespace. Under the loader's lock, as the next. */
static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (const struct link_map *lm = _r_debug.r_map; lm && info->dlpi_tls_modid; lm = lm->l_next)
		if (lm->l_addr == info->dlpi_addr) {
			add_image(arg, lm, info->dlpi_phdr, info->dlpi_phnum);
			break;
		}
	return 0;
}

/* Those of dlmopen, which dl_iterate_phdr leaves out. Their modules are libraries: the program headers are where the file header says. */
static int add_namespaces(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
#if __GLIBC_PREREQ(2, 35)
	const struct r_debug_extended *ns = (const struct r_debug_extended *)&_r_debug;
	while (ns->base.r_version >= 2 && (ns = ns->r_next))
		for (const struct link_map *lm = ns->base.r_map; lm; lm = lm->l_next) {
			const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)lm->l_addr;
			if (static_tls_offset(lm))
				add_image(arg, lm, (const ElfW(Phdr) *)((const char *)eh + eh->e_phoff), eh->e_phnum);
		}
#endif
	return 1;
}

static int has_exec_stack(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_STACK && (info->dlpi_phdr[i].p_flags & PF_X))
			*(bool *)arg = true;
	return 0;
}

/* Written by one refresh at a time, into the set that no reader has been given. */
static struct grt_lock images_lock = GRT_LOCK_INIT(GRT_RANK_DLOPEN);

static bool take_images(void)
{
	struct image_set *set = grt__os_alloc(sizeof(struct image_set));
	grt_store_seqcst(&images_stale, !set);
	if (!set)
		return grt_load_relaxed(&image_set) != NULL;
	dl_iterate_phdr(add_module, set);
	dl_iterate_phdr(add_namespaces, set);
	bool task = grt__self.g != NULL;
	if (task) /* no handler of the program may run, wait or jump away while the lock is held */
		grt__enter();
	grt_lock(&images_lock);
	struct image_set *old = image_set;
	if (!old || old->n != set->n || memcmp(old->image, set->image, set->n * sizeof set->image[0]) != 0)
		grt_store_release(&image_set, set); /* the old one stays: a task being made may read it */
	else
		grt__os_free(set, sizeof *set);
	grt_unlock(&images_lock);
	if (task)
		grt__leave();
	return true;
}

bool grt__tls_images_refresh(void)
{
	bool exec = false;
	if (!take_images())
		return false;
	dl_iterate_phdr(has_exec_stack, &exec);
	if (exec)
		grt__stack_make_executable();
	return true;
}

/* Static TLS as each module has it at a thread's birth. */
void grt__tls_images_copy(char *tcb)
{
	const struct image_set *set = grt_load_acquire(&image_set);
	for (uint32_t i = 0; i < set->n; i++) {
		const struct tls_image *im = &set->image[i];
		char *dst = tcb - im->below;
		memcpy(dst, im->image, im->filesz);
		if (im->memsz > im->filesz)
			memset(dst + im->filesz, 0, im->memsz - im->filesz);
	}
}
