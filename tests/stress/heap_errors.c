/*
 * PROCS: 1 2 8
 * TIMEOUT: 120
 * CFLAGS: -Wno-use-after-free -Wno-free-nonheap-object
 * Every double free and every free of what is no block ends the process with SIGABRT and a line "fatal error:", for all sizes, and
 * whoever freed first: glibc misses those of other threads' (tests/shim/malloc_errors.c has what it finds).
 */
#define _GNU_SOURCE
#include "../shim/check.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPAQUE(x)                                                                                                      \
	({                                                                                                                 \
		__typeof__(x) opaque_ = (x);                                                                                   \
		__asm__ volatile("" : "+r"(opaque_)::"memory");                                                                \
		opaque_;                                                                                                       \
	})

static const size_t sizes[] = {1,    8,     16,    24,    100,    512,     1024,    3000,
                               8192, 20000, 32768, 32769, 100000, 1000000, 5000000, 200000000};
enum { N = sizeof sizes / sizeof *sizes };

/* Threads that are there before the block is: to make one takes memory, perhaps the very block that is free by then. */
static struct freer {
	pthread_t thread;
	sem_t go, done;
	void *p;
} freer[2];
static int nfreed;

static void *frees(void *arg)
{
	struct freer *f = arg;
	while (sem_wait(&f->go) != 0)
		;
	free(f->p);
	sem_post(&f->done);
	return NULL;
}

static void make_freers(void)
{
	for (int i = 0; i < 2; i++) {
		sem_init(&freer[i].go, 0, 0);
		sem_init(&freer[i].done, 0, 0);
		if (pthread_create(&freer[i].thread, NULL, frees, &freer[i]) != 0)
			_exit(9);
	}
}

static void by_thread(void *p)
{
	struct freer *f = &freer[nfreed++];
	f->p = p;
	sem_post(&f->go);
	while (sem_wait(&f->done) != 0)
		;
}

static void *allocates(void *n)
{
	return malloc((size_t)n);
}

/* Others of the size, some of them free, so that the block's span is a usual one. */
static void company(size_t n)
{
	void *p[20];
	for (int i = 0; i < 20; i++)
		p[i] = malloc(n);
	for (int i = 0; i < 20; i += 2)
		free(p[i]);
}

enum way {
	TWICE,
	MAIN_THREAD,
	THREAD_MAIN,
	THREADS_BLOCK,
	LATER,
	IN_REALLOC,
	TWO_THREADS,
	INSIDE,
	INSIDE_16,
	INSIDE_END,
	GIVEN_BACK,
	WAYS
};
static const char *const name[WAYS] = {"twice",
                                       "main, then a thread",
                                       "a thread, then main",
                                       "a thread's block, twice by main",
                                       "others freed in between",
                                       "realloc",
                                       "a thread, then another",
                                       "inside, at 8",
                                       "inside, at 16",
                                       "inside, at the end",
                                       "twice, its memory given back in between"};

/* The block in the middle of a free run, which goes back to the kernel: nothing of what free left there is to be seen. */
static void given_back(size_t n)
{
	enum { MANY = 400 };
	static char *p[MANY];
	int many = n > 100000 ? 4 : MANY;
	for (int i = 0; i < many; i++)
		p[i] = OPAQUE((char *)malloc(n));
	for (int i = 0; i < many; i++)
		free(p[i]);
	malloc_trim(0);
	free(p[many / 2]);
}

static void does(enum way way, size_t n)
{
	char *p, *q;
	pthread_t t;
	company(n);
	if (way == MAIN_THREAD || way == THREAD_MAIN || way == TWO_THREADS)
		make_freers();
	p = OPAQUE((char *)malloc(n));
	switch (way) {
	case TWICE:
		free(p);
		free(p);
		break;
	case MAIN_THREAD:
		free(p);
		by_thread(p);
		break;
	case THREAD_MAIN:
		by_thread(p);
		free(p);
		break;
	case THREADS_BLOCK:
		if (pthread_create(&t, NULL, allocates, (void *)n) != 0)
			_exit(9);
		pthread_join(t, (void **)&p);
		free(p);
		free(p);
		break;
	case LATER:
		q = malloc(n);
		free(p);
		free(q);
		free(p);
		break;
	case IN_REALLOC:
		free(p);
		p = realloc(p, n * 2);
		break;
	case TWO_THREADS:
		by_thread(p);
		by_thread(p);
		break;
	case INSIDE:
		free(p + 8);
		break;
	case INSIDE_16:
		free(n > 16 ? p + 16 : p + 1);
		break;
	case GIVEN_BACK:
		given_back(n);
		break;
	case INSIDE_END:
		free(p + n - (n > 1 ? 1 : -1));
		break;
	default:
		break;
	}
}

int main(void)
{
	int bad = 0;
	signal(SIGPIPE, SIG_IGN);
	for (int way = 0; way < WAYS; way++)
		for (int i = 0; i < N; i++) {
			int fds[2], status = 0;
			char text[4096];
			if (pipe(fds) != 0)
				return 1;
			pid_t pid = fork();
			if (pid == 0) {
				prctl(PR_SET_DUMPABLE, 0);
				dup2(fds[1], 2);
				close(fds[0]);
				close(fds[1]);
				alarm(20);
				does((enum way)way, sizes[i]);
				_exit(7);
			}
			close(fds[1]);
			read_end(fds[0], text, sizeof text);
			waitpid(pid, &status, 0);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(text, "fatal error:")) {
				printf("%s, %zu bytes: status %#x, it said: %s\n", name[way], sizes[i], status, text);
				bad++;
			}
		}
	puts(bad ? "failed" : "ok");
	return bad != 0;
}
