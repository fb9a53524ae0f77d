/*
 * GODEBUG, GOMAXPROCS, GOMEMLIMIT and GOTRACEBACK, with Go's syntax and meaning; and of GLIBC_TUNABLES what asks for huge pages.
 *
 * They are read once, from the environment that the program was started with: a later setenv changes nothing, as in
 * Go. Parsing is silent, because the constructor runs in every child process; what is wrong is said, one line
 * each, when the value would first have mattered: at the first malloc, or at boot.
 */
#ifndef GRT_OBSERVE_KNOBS_H
#define GRT_OBSERVE_KNOBS_H

#include "base/compiler.h"

/* What a fatal signal or grt__throw prints. */
enum knob_traceback {
	KNOB_TRACEBACK_NONE,   /* no stacks */
	KNOB_TRACEBACK_SINGLE, /* the current task; all for SIGQUIT and grt__throw */
	KNOB_TRACEBACK_ALL,    /* all tasks of the program */
	KNOB_TRACEBACK_SYSTEM, /* and the runtime's own, with its frames */
	KNOB_TRACEBACK_CRASH,  /* as SYSTEM, and the process dumps core: it always dies of the signal here */
};

#define KNOBS_BAD 8 /* complaints kept */

struct grt_knobs {
	int gomaxprocs;    /* 0: not set, or not usable */
	int schedtrace_ms; /* 0: off */
	bool scheddetail;
	bool asyncpreemptoff;
	bool preemptstress;
	bool hardened, zerofree, efence, allocfreetrace; /* heap/modes.h */
	bool madvdontneed;                               /* true if not set */
	bool hugepages;                                  /* glibc's tunable glibc.malloc.hugetlb as well */
	bool scavtrace;
	size_t memlimit;        /* GOMEMLIMIT in bytes; SIZE_MAX: off */
	size_t memprofilerate;  /* heapprof.h */
	const char *memprofile; /* a file name, or NULL */
	bool memlimit_given;    /* there is one */
	bool preloaded;         /* LD_PRELOAD names libgrt */
	uint8_t traceback;      /* enum knob_traceback */
	uint8_t nbad;
	bool parsed;
	struct {
		const char *name; /* "GOMAXPROCS", "GODEBUG: schedtrace" */
		bool heap;        /* matters to the heap */
		char value[48];
	} bad[KNOBS_BAD];
};
extern struct grt_knobs grt__knobs;

/* Any context, no libc. Sets every field from envp (NULL: defaults). */
void grt__knobs_parse(char *const *envp);

/* Boot. One line on standard error per unusable value; `procs`: what GOMAXPROCS is instead. */
void grt__knobs_complain(int procs);
/* The first malloc: the same for what matters to the heap. */
void grt__knobs_complain_heap(void);

#endif
