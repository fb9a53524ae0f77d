/* keys.c - thread-specific data. */
#include "check.h"

#include <limits.h>

static pthread_key_t k1, k2, k3;
static int rounds, saw_value;
static char order[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void again(void *value)
{
	EXPECT(value != NULL);
	EXPECT(pthread_getspecific(k1) == NULL);
	rounds++;
	pthread_setspecific(k1, value);
}

static void takes_value(void *value)
{
	saw_value = (int)(long)value;
}

static void blocks(void *value)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	sleep_ms(5);
	sched_yield();
	*(int *)value += 1;
}

static void letter(void *value)
{
	strcat(order, (const char *)value);
}

static void *sets_again(void *arg)
{
	EXPECT_EQ(0, pthread_setspecific(k1, arg));
	return NULL;
}

static void *sets_value(void *arg)
{
	EXPECT(pthread_getspecific(k1) == NULL);
	EXPECT_EQ(0, pthread_setspecific(k1, arg));
	EXPECT(pthread_getspecific(k1) == arg);
	return NULL;
}

static void *sets_then_null(void *arg)
{
	EXPECT_EQ(0, pthread_setspecific(k1, arg));
	EXPECT_EQ(0, pthread_setspecific(k1, NULL));
	return NULL;
}

static void *sets_three(void *arg)
{
	(void)arg;
	pthread_setspecific(k3, "c");
	pthread_setspecific(k1, "a");
	pthread_setspecific(k2, "b");
	pthread_exit(NULL);
}

static int phase;

static void *holds_key(void *arg)
{
	(void)arg;
	pthread_setspecific(k1, (void *)1);
	flag_set(&phase, 1);
	flag_wait(&phase, 2);
	/* k1 was deleted and made anew meanwhile */
	return pthread_getspecific(k1);
}

static void *holds_deleted(void *arg)
{
	pthread_setspecific(k1, arg);
	flag_set(&phase, 1);
	flag_wait(&phase, 2);
	return NULL;
}

static void *expects_null(void *arg)
{
	return pthread_getspecific(*(pthread_key_t *)arg);
}

static void *makes_thread(void *arg)
{
	return arg;
}

static void spawns(void *value)
{
	*(int *)value = (int)(long)join(spawn(makes_thread, (void *)31));
}

static pthread_key_t all[PTHREAD_KEYS_MAX + 1];
static int many_runs;

static void counted(void *value)
{
	flag_add(&many_runs, value != NULL);
}

static void *sets_all(void *arg)
{
	int n = *(int *)arg;
	for (int i = 0; i < n; i++)
		EXPECT_EQ(0, pthread_setspecific(all[i], (void *)(long)(i + 1)));
	for (int i = 0; i < n; i++)
		if (pthread_getspecific(all[i]) != (void *)(long)(i + 1))
			return (void *)1;
	return NULL;
}

static pthread_key_t own;

static void *own_value(void *arg)
{
	for (int i = 0; i < 200; i++) {
		pthread_setspecific(own, (char *)arg + i);
		sched_yield();
		if (pthread_getspecific(own) != (char *)arg + i)
			return (void *)1;
	}
	pthread_setspecific(own, NULL);
	return NULL;
}

int main(void)
{
	pthread_t t, ts[32];
	int value = 0, n, rc, ok;

	CHECK_EQ("pthread_key_create returns 0", 0, pthread_key_create(&k1, again));
	join(spawn(sets_again, &value));
	CHECK_EQ("a destructor that sets the value again runs PTHREAD_DESTRUCTOR_ITERATIONS times",
	         PTHREAD_DESTRUCTOR_ITERATIONS, rounds);
	EXPECT_EQ(0, pthread_key_delete(k1));

	EXPECT_EQ(0, pthread_key_create(&k1, takes_value));
	join(spawn(sets_value, (void *)42));
	CHECK_EQ("the destructor gets the value", 42, saw_value);
	saw_value = 0;
	join(spawn(sets_then_null, (void *)43));
	CHECK_EQ("no destructor for NULL", 0, saw_value);
	CHECK("a value is each thread's own", pthread_getspecific(k1) == NULL);

	phase = 0;
	t = spawn(holds_deleted, (void *)44);
	flag_wait(&phase, 1);
	CHECK_EQ("pthread_key_delete returns 0", 0, pthread_key_delete(k1));
	flag_set(&phase, 2);
	join(t);
	CHECK_EQ("no destructor of a deleted key", 0, saw_value);
	CHECK_EQ("EINVAL: pthread_key_delete of a deleted key", EINVAL, pthread_key_delete(k1));
	CHECK_EQ("EINVAL: pthread_setspecific of a deleted key", EINVAL, pthread_setspecific(k1, &value));
	CHECK("glibc: pthread_getspecific of a deleted key is NULL", pthread_getspecific(k1) == NULL);
	CHECK_EQ("EINVAL: a key out of range", EINVAL, pthread_setspecific(PTHREAD_KEYS_MAX, &value));

	EXPECT_EQ(0, pthread_key_create(&k1, NULL));
	phase = 0;
	t = spawn(holds_key, NULL);
	flag_wait(&phase, 1);
	EXPECT_EQ(0, pthread_key_delete(k1));
	EXPECT_EQ(0, pthread_key_create(&k1, NULL));
	flag_set(&phase, 2);
	CHECK("a new key is NULL in every thread, whatever its number held", join(t) == NULL);
	EXPECT_EQ(0, pthread_key_delete(k1));

	EXPECT_EQ(0, pthread_key_create(&k1, letter));
	EXPECT_EQ(0, pthread_key_create(&k2, letter));
	EXPECT_EQ(0, pthread_key_create(&k3, letter));
	join(spawn(sets_three, NULL));
	CHECK("glibc: destructors run in the order of the keys", strcmp(order, "abc") == 0);
	pthread_key_delete(k1);
	pthread_key_delete(k2);
	pthread_key_delete(k3);

	EXPECT_EQ(0, pthread_key_create(&k1, blocks));
	value = 0;
	pthread_mutex_lock(&lock);
	t = spawn(sets_value, &value);
	sleep_ms(30);
	EXPECT_EQ(0, value);
	pthread_mutex_unlock(&lock);
	join(t);
	CHECK_EQ("a destructor may block, sleep and yield; join waits for it", 1, value);
	pthread_key_delete(k1);

	EXPECT_EQ(0, pthread_key_create(&k1, spawns));
	join(spawn(sets_value, &value));
	CHECK_EQ("a destructor may create and join a thread", 31, value);
	pthread_key_delete(k1);

	for (n = 0; n <= PTHREAD_KEYS_MAX; n++)
		if ((rc = pthread_key_create(&all[n], counted)) != 0)
			break;
	CHECK_EQ("EAGAIN: more than PTHREAD_KEYS_MAX keys", EAGAIN, rc);
	CHECK("all keys up to PTHREAD_KEYS_MAX can be made", n <= PTHREAD_KEYS_MAX && n >= PTHREAD_KEYS_MAX - 16);
	CHECK("every key holds its own value", join(spawn(sets_all, &n)) == NULL);
	CHECK("every key's destructor ran once", many_runs == n);
	for (int i = 0; i < n; i++)
		EXPECT_EQ(0, pthread_key_delete(all[i]));

	EXPECT_EQ(0, pthread_key_create(&own, NULL));
	for (long i = 0; i < 32; i++)
		ts[i] = spawn(own_value, (void *)(i * 1000 + 1));
	ok = 1;
	for (int i = 0; i < 32; i++)
		ok &= join(ts[i]) == NULL;
	CHECK("32 threads keep their own values over yields", ok);

	EXPECT_EQ(0, pthread_setspecific(own, &value));
	CHECK("a new thread does not inherit values", join(spawn(expects_null, &own)) == NULL);
	CHECK("main keeps its value", pthread_getspecific(own) == &value);
	return check_done();
}
