// LDFLAGS: -Wl,--no-as-needed -lpthread
/* lib_newlm.c - for a namespace of its own (dlmopen): allocates, prints, keeps thread-local state and makes threads with the libc there. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static __thread int here __attribute__((tls_model("initial-exec"))) = 40;
static __thread char big[64] = "big";

/* Blocks of all sizes, some of which stay until the next call on this thread. How much was wrong. */
int newlm_churn(unsigned seed)
{
	static __thread char *kept[4];
	int bad = 0;
	for (int i = 0; i < 50; i++) {
		size_t n = 10 + (size_t)(seed * 7 + (unsigned)i * 977) % 5000;
		char *p = i % 3 ? malloc(n) : calloc(n, 1), *q = strdup("of the other libc");
		bad += !p || !q || (i % 3 == 0 && p[n - 1]);
		memset(p, i + 1, n);
		p = realloc(p, n * 2);
		bad += !p || p[0] != (char)(i + 1) || p[n - 1] != (char)(i + 1);
		if (i % 16 == 0) {
			bad += kept[i / 16] && kept[i / 16][0] != (char)(i + 1);
			free(kept[i / 16]);
			kept[i / 16] = p;
		} else {
			free(p);
		}
		free(q);
	}
	return bad;
}

int newlm_print(const char *text)
{
	printf("%s, says a namespace of its own\n", text);
	return fflush(stdout);
}

/* Counted for each thread, from 41 on. */
int newlm_tls(void)
{
	return strcmp(big, "big") == 0 ? ++here : -1;
}

static void *thread(void *arg)
{
	struct timespec ms = {0, 1000000};
	long bad = 0;
	for (int i = 0; i < 20; i++) {
		bad += newlm_churn((unsigned)(long)arg + (unsigned)i);
		nanosleep(&ms, NULL);
	}
	return (void *)(bad + (newlm_tls() != 41));
}

/* Threads of that libc's. How much was wrong. */
int newlm_threads(int n)
{
	pthread_t t[16];
	void *result;
	int bad = 0;
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, thread, (void *)(long)i) != 0)
			return 1000;
	for (int i = 0; i < n; i++) {
		bad += pthread_join(t[i], &result) != 0;
		bad += (int)(long)result;
	}
	return bad;
}
