// TIMEOUT: 60
/* malloc_exit.c - blocks and the ends of threads: freed in destructors, by others after the end, by threads that libc makes itself. */
#include "check.h"
#include "blocks.h"

#include <semaphore.h>

static pthread_key_t key, second;
static int dtors, bad;

/* As every function may count on; the compiler must not know. */
static void check_stack(const void *frame)
{
	if ((uintptr_t)OPAQUE(frame) % 16)
		_exit(9);
}

/* Frees, allocates anew, and puts that into the other key: it is run again. */
static void dtor(void *p)
{
	flag_add(&dtors, 1);
	check_stack(__builtin_frame_address(0));
	if (!filled_all(p, 500, 1))
		flag_add(&bad, 1);
	free(p);
	p = malloc(700);
	fill_all(p, 700, 2);
	pthread_setspecific(second, p);
}

static void second_dtor(void *p)
{
	flag_add(&dtors, 1);
	if (!filled_all(p, 700, 2))
		flag_add(&bad, 1);
	free(p);
	free(malloc(50000));
}

static void *with_keys(void *arg)
{
	void *p = malloc(500);
	fill_all(p, 500, 1);
	pthread_setspecific(key, p);
	return arg;
}

enum { LEFT = 50 };

/* What it returns is freed after its end. */
static void *leaves(void *arg)
{
	unsigned r = (unsigned)(long)arg | 1;
	void **p = malloc(LEFT * sizeof *p);
	for (int i = 0; i < LEFT; i++) {
		size_t n = 100 + (rnd_size(&r) & 0x7fff);
		p[i] = malloc(n);
		fill(p[i], 100, (unsigned)i);
	}
	return p;
}

static int drop(void **p)
{
	int wrong = 0;
	for (int i = 0; i < LEFT; i++) {
		wrong |= !filled(p[i], 100, (unsigned)i);
		free(p[i]);
	}
	free(p);
	return wrong;
}

static void *drops(void *arg)
{
	return (void *)(long)drop(arg);
}

static void *detached(void *arg)
{
	free(arg);
	with_keys(NULL);
	free(malloc(100));
	return NULL;
}

static void cleanup(void *p)
{
	free(p);
	free(malloc(10000));
}

static void *cancelled(void *arg)
{
	pthread_cleanup_push(cleanup, malloc(5000));
	with_keys(NULL);
	for (;;) {
		free(malloc(100));
		sleep_ms(1);
	}
	pthread_cleanup_pop(0);
	return arg;
}

static void *exits(void *arg)
{
	char *kept[10];
	for (int i = 0; i < 10; i++)
		kept[i] = malloc(1000);
	for (int i = 0; i < 10; i++)
		free(kept[i]);
	with_keys(NULL);
	pthread_exit(arg);
}

/* Threads of libc's own, for each expiry. */
static sem_t expired;
static void *from_timer[64]; /* atomic */

static void on_timer(union sigval v)
{
	unsigned r = (unsigned)v.sival_int * 977u | 1;
	for (int i = 0; i < 200; i++) {
		void *p = malloc(rnd_size(&r) & 0xffff), *q;
		q = __atomic_exchange_n(&from_timer[rnd(&r) % 64], p, __ATOMIC_ACQ_REL);
		free(q);
	}
	sem_post(&expired);
}

static void timers(void)
{
	timer_t t[4];
	unsigned r = 5;
	EXPECT_EQ(0, sem_init(&expired, 0, 0));
	for (int i = 0; i < 4; i++) {
		struct sigevent ev = {.sigev_notify = SIGEV_THREAD};
		struct itimerspec every = {{0, 1000000 + i * 300000}, {0, 1000000}};
		ev.sigev_notify_function = on_timer;
		ev.sigev_value.sival_int = i;
		EXPECT_EQ(0, timer_create(CLOCK_MONOTONIC, &ev, &t[i]));
		EXPECT_EQ(0, timer_settime(t[i], 0, &every, NULL));
	}
	for (int n = 0; n < 300; n++) {
		while (sem_wait(&expired) != 0)
			;
		for (int i = 0; i < 50; i++)
			free(__atomic_exchange_n(&from_timer[rnd(&r) % 64], malloc(rnd(&r) % 3000), __ATOMIC_ACQ_REL));
	}
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, timer_delete(t[i]));
	sleep_ms(50);
	for (int i = 0; i < 64; i++)
		free(__atomic_exchange_n(&from_timer[i], NULL, __ATOMIC_ACQ_REL));
	CHECK("threads of SIGEV_THREAD timers allocate and free", 1);
}

int main(void)
{
	pthread_t ts[20];
	void *p[20];
	int wrong = 0;
	EXPECT_EQ(0, pthread_key_create(&key, dtor));
	EXPECT_EQ(0, pthread_key_create(&second, second_dtor));
	for (int round = 0; round < 50; round++) {
		for (long i = 0; i < 20; i++)
			ts[i] = spawn(i % 2 ? with_keys : exits, (void *)i);
		for (int i = 0; i < 20; i++)
			wrong |= (long)join(ts[i]) != i;
	}
	CHECK("destructors of keys free and allocate", !wrong && !bad);
	CHECK_EQ("each was run", 2000, dtors);

	for (int round = 0; round < 50; round++) {
		for (long i = 0; i < 20; i++)
			ts[i] = spawn(leaves, (void *)(round * 20 + i + 1));
		for (int i = 0; i < 20; i++)
			p[i] = join(ts[i]);
		for (int i = 0; i < 10; i++)
			wrong |= drop(p[i]);
		for (int i = 10; i < 20; i++)
			ts[i] = spawn(drops, p[i]);
		for (int i = 10; i < 20; i++)
			wrong |= (int)(long)join(ts[i]);
	}
	CHECK("blocks outlive their thread, and are freed by others", !wrong);

	dtors = 0;
	for (int i = 0; i < 500; i++)
		pthread_detach(spawn(detached, malloc(200)));
	flag_wait_bounded(&dtors, 1000);
	CHECK_EQ("detached threads", 1000, flag_get(&dtors));

	for (int i = 0; i < 20; i++)
		ts[i] = spawn(cancelled, NULL);
	sleep_ms(20);
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(0, pthread_cancel(ts[i]));
	for (int i = 0; i < 20; i++)
		wrong |= join(ts[i]) != PTHREAD_CANCELED;
	CHECK("cancelled between mallocs: cleanup handlers free", !wrong && !bad);
	timers();

	/* main ends, others go on and free what it allocated */
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		void **q = leaves((void *)7);
		pthread_detach(spawn(drops, q));
		with_keys(NULL);
		pthread_exit(NULL);
	}
	CHECK_EQ("main ends before those that free its blocks", 0, reap(pid));
	return check_done();
}
