/* LINK: grt
 *
 * sync.c - locks, wait groups, conditions, once, semaphores and pools of grt.h: Go's package sync. */
#include "../shim/check.h"
#include "misuse.h"
#include <stdatomic.h>

static grt_mutex m;
static grt_wait_group wg;
static long count;

static void go(void (*fn)(void *), void *arg)
{
	EXPECT_EQ(0, grt_go(fn, arg));
}

static void let_run(void)
{
	for (int i = 0; i < 50; i++)
		grt_yield();
	usleep(1000);
}

/* ---- mutex ---- */

static void *adds(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		grt_mutex_lock(&m);
		count++;
		grt_mutex_unlock(&m);
	}
	return arg;
}

static void adds_task(void *arg)
{
	adds(arg);
	grt_wait_group_done(&wg);
}

static atomic_int stop;
static atomic_long rounds;

/* Holds it nearly always. */
static void hogs(void *arg)
{
	while (!stop) {
		grt_mutex_lock(&m);
		for (volatile int i = 0; i < 20000; i++) {
		}
		rounds++;
		grt_mutex_unlock(&m);
	}
	grt_wait_group_done(&wg);
}

static void mutexes(void)
{
	pthread_t t[4];
	CHECK("a zero mutex is free", grt_mutex_try_lock(&m));
	CHECK("and held then", !grt_mutex_try_lock(&m));
	grt_mutex_unlock(&m);
	grt_wait_group_add(&wg, 4);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, pthread_create(&t[i], NULL, adds, NULL));
		go(adds_task, NULL);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	grt_wait_group_wait(&wg);
	CHECK_EQ("it excludes", 8 * 20000, count);

	grt_wait_group_add(&wg, 1);
	go(hogs, NULL);
	while (!rounds)
		grt_yield();
	for (int i = 0; i < 10; i++) {
		grt_mutex_lock(&m);
		grt_mutex_unlock(&m);
	}
	CHECK("a waiter that waits for more than 1 ms is served, whoever takes it again and again", 1);
	stop = 1;
	grt_wait_group_wait(&wg);
	CHECK("at the end it is free and has no waiters", m.state == 0 && m.sema == 0);
}

/* ---- readers and writers ---- */

static grt_rwmutex rw;
static atomic_int readers, writers, wrong;

static void writes(void *arg)
{
	grt_rwmutex_lock(&rw);
	writers++;
	wrong += readers != 0 || writers != 1;
	count++;
	writers--;
	grt_rwmutex_unlock(&rw);
	grt_wait_group_done(&wg);
}

static void both(void *arg)
{
	for (int i = 0; i < 500; i++) {
		grt_rwmutex_rlock(&rw);
		readers++;
		wrong += writers != 0;
		if (i % 16 == 0)
			grt_yield();
		readers--;
		grt_rwmutex_runlock(&rw);
		if (i % 10 == 0) {
			grt_wait_group_add(&wg, 1);
			writes(NULL);
		}
	}
	grt_wait_group_done(&wg);
}

static void rwlocks(void)
{
	grt_rwmutex_rlock(&rw);
	CHECK("readers share", grt_rwmutex_try_rlock(&rw));
	CHECK("and keep a writer out", !grt_rwmutex_try_lock(&rw));
	grt_rwmutex_runlock(&rw);
	grt_wait_group_add(&wg, 1);
	go(writes, NULL);
	let_run();
	CHECK("a writer that waits keeps new readers out", !grt_rwmutex_try_rlock(&rw));
	grt_rwmutex_runlock(&rw);
	grt_wait_group_wait(&wg);
	CHECK("a free one can be had for writing", grt_rwmutex_try_lock(&rw) && !grt_rwmutex_try_rlock(&rw));
	grt_rwmutex_unlock(&rw);
	count = 0;
	grt_wait_group_add(&wg, 8);
	for (int i = 0; i < 8; i++)
		go(both, NULL);
	grt_wait_group_wait(&wg);
	CHECK_EQ("writers are alone", 0, wrong);
	CHECK_EQ("all of them wrote", 400, count);
}

/* ---- conditions ---- */

static grt_cond c;
static int order[8], told, next_in;

static void waits(void *arg)
{
	grt_mutex_lock(&m);
	int me = next_in++;
	grt_cond_wait(&c, &m);
	order[told++] = me;
	grt_mutex_unlock(&m);
	grt_wait_group_done(&wg);
}

static void conditions(void)
{
	int right = 1;
	grt_wait_group_add(&wg, 8);
	for (int i = 0; i < 8; i++) {
		go(waits, NULL);
		let_run();
	}
	for (int i = 0; i < 4; i++) {
		grt_cond_signal(&c);
		for (;;) {
			grt_mutex_lock(&m);
			int n = told;
			grt_mutex_unlock(&m);
			if (n > i)
				break;
			grt_yield();
		}
		right &= order[i] == i;
	}
	CHECK("signal wakes the one that waited longest", right && told == 4);
	grt_cond_broadcast(&c);
	grt_wait_group_wait(&wg);
	CHECK_EQ("broadcast wakes all", 8, told);
	grt_cond_signal(&c);
	grt_cond_broadcast(&c);
	CHECK("nobody waits: nothing happens", c.wait == c.notify);
}

static void handler(int sig)
{
	(void)sig;
}

static void *waits_thread(void *arg)
{
	waits(arg);
	return NULL;
}

/* A signal and a handler at about the same time: what is told while the handler runs counts. */
static void interrupted(void)
{
	struct sigaction sa = {.sa_handler = handler};
	pthread_t t;
	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < 300; i++) {
		grt_mutex_lock(&m);
		told = next_in = 0;
		grt_mutex_unlock(&m);
		grt_wait_group_add(&wg, 1);
		EXPECT_EQ(0, pthread_create(&t, NULL, waits_thread, NULL));
		for (int in = 0; !in; grt_yield()) {
			grt_mutex_lock(&m);
			in = next_in;
			grt_mutex_unlock(&m);
		}
		pthread_kill(t, SIGUSR1);
		if (i % 3 == 0)
			grt_yield();
		grt_cond_signal(&c);
		grt_wait_group_wait(&wg);
		pthread_join(t, NULL);
	}
	CHECK_EQ("a handler in the middle of a wait loses no signal", 1, told);
}

/* ---- once, semaphores, pools ---- */

static grt_once once, once_panics;
static grt_once_value value, bad_value;
static atomic_int ran;

static void runs(void *arg)
{
	usleep(2000);
	ran++;
}

static void comes(void *arg)
{
	grt_once_do(&once, runs, NULL);
	EXPECT(ran == 1);
	grt_wait_group_done(&wg);
}

static void panics(void *arg)
{
	grt_panic("once");
}

static const char *caught;

static void catches(void *arg)
{
	caught = grt_recover();
}

static void calls_panics(void *arg)
{
	GRT_DEFER(catches, NULL);
	grt_once_do(&once_panics, panics, NULL);
}

static void *computes(void *arg)
{
	ran++;
	return arg;
}

static void *fails(void *arg)
{
	ran++;
	grt_panic("no value");
}

static void gets_bad(void *arg)
{
	GRT_DEFER(catches, NULL);
	grt_once_value_get(&bad_value, fails, NULL);
}

static void onces(void)
{
	grt_wait_group_add(&wg, 10);
	for (int i = 0; i < 10; i++)
		go(comes, NULL);
	grt_wait_group_wait(&wg);
	CHECK_EQ("once runs once, and everybody waits for it", 1, ran);
	CHECK("a panic goes on to the first caller", !grt_call(calls_panics, NULL) && strcmp(caught, "once") == 0);
	CHECK("and then it counts as done", grt_call(calls_panics, NULL));
	ran = 0;
	CHECK("a value is computed once",
	      grt_once_value_get(&value, computes, "x") == grt_once_value_get(&value, computes, "y"));
	CHECK_EQ("by one call", 1, ran);
	for (int i = 0; i < 2; i++) {
		caught = NULL;
		EXPECT(!grt_call(gets_bad, NULL) && caught && strcmp(caught, "no value") == 0);
	}
	CHECK_EQ("a panic is kept for all callers", 2, ran);
}

static grt_sem sem = GRT_SEM_INIT(2);
static atomic_int inside, most;

static void acquires(void *arg)
{
	for (int i = 0; i < 100; i++) {
		grt_sem_acquire(&sem);
		int n = ++inside;
		if (n > most)
			most = n;
		grt_yield();
		inside--;
		grt_sem_release(&sem);
	}
	grt_wait_group_done(&wg);
}

static void semaphores(void)
{
	grt_wait_group_add(&wg, 6);
	for (int i = 0; i < 6; i++)
		go(acquires, NULL);
	grt_wait_group_wait(&wg);
	CHECK("a semaphore lets as many in as it counts", most <= 2 && sem.count == 2);
	grt_sem_acquire(&sem);
	grt_sem_acquire(&sem);
	CHECK("none left", !grt_sem_try_acquire(&sem) && !grt_sem_acquire_timed(&sem, 2 * GRT_MILLISECOND));
	grt_sem_release(&sem);
	CHECK("one again", grt_sem_acquire_timed(&sem, GRT_SECOND));
}

static atomic_int made, dropped;

static void *make_one(void *arg)
{
	made++;
	return malloc(16);
}

static void drop_one(void *object, void *arg)
{
	dropped++;
	free(object);
}

static grt_pool pool = {make_one, drop_one, NULL, NULL};

static void uses_pool(void *arg)
{
	void *o[20];
	for (int i = 0; i < 500; i++) {
		int n = i % 20;
		for (int j = 0; j < n; j++) {
			o[j] = grt_pool_get(&pool);
			memset(o[j], (int)(intptr_t)arg, 16);
		}
		grt_yield();
		for (int j = 0; j < n; j++) {
			EXPECT(*(char *)o[j] == (char)(intptr_t)arg);
			grt_pool_put(&pool, o[j]);
		}
	}
	grt_wait_group_done(&wg);
}

static void pools(void)
{
	grt_pool none = {0};
	void *o = grt_pool_get(&pool);
	grt_pool_put(&pool, o);
	CHECK("what was put is got again", grt_pool_get(&pool) == o);
	grt_pool_put(&pool, o);
	grt_wait_group_add(&wg, 8);
	for (long i = 0; i < 8; i++)
		go(uses_pool, (void *)i);
	grt_wait_group_wait(&wg);
	CHECK("nobody else has an object, and most are used again", made < 2000);
	grt_pool_free(&pool);
	CHECK_EQ("in the end all are dropped", made, dropped);
	CHECK("without make there is NULL", grt_pool_get(&none) == NULL);
}

/* ---- mistakes ---- */

static grt_mutex bad_m;
static grt_rwmutex bad_rw;
static grt_wait_group bad_wg;

static void unlock_unlocked(void)
{
	grt_mutex_unlock(&bad_m);
}

static void runlock_unlocked(void)
{
	grt_rwmutex_runlock(&bad_rw);
}

static void wunlock_unlocked(void)
{
	grt_rwmutex_unlock(&bad_rw);
}

static void negative(void)
{
	grt_wait_group_done(&bad_wg);
}

static void waits_bad(void *arg)
{
	grt_wait_group_wait(&bad_wg);
}

/* The count goes to 0 and up again before the waiter is back. */
static void reused(void)
{
	grt_wait_group_add(&bad_wg, 1);
	grt_gomaxprocs(1);
	grt_go(waits_bad, NULL);
	grt_yield();
	grt_wait_group_done(&bad_wg);
	grt_wait_group_add(&bad_wg, 1);
	for (int i = 0; i < 1000; i++)
		usleep(1000);
}

static void in_child(void)
{
	int status;
	grt_mutex_lock(&m);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		grt_mutex_unlock(&m);
		grt_wait_group_add(&wg, 1);
		go(adds_task, NULL);
		grt_wait_group_wait(&wg);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	grt_mutex_unlock(&m);
	CHECK_EQ("a child of fork has the locks as they were", 0, status);
}

int main(void)
{
	mutexes();
	rwlocks();
	conditions();
	interrupted();
	onces();
	semaphores();
	pools();
	in_child();
	dies(unlock_unlocked, "fatal error: sync: unlock of unlocked mutex\n");
	dies(runlock_unlocked, "fatal error: sync: RUnlock of unlocked RWMutex\n");
	dies(wunlock_unlocked, "fatal error: sync: Unlock of unlocked RWMutex\n");
	dies(negative, "panic: sync: negative WaitGroup counter\n");
	dies(reused, "panic: sync: WaitGroup is reused before previous Wait has returned\n");
	return check_done();
}
