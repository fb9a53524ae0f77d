/* Random numbers, and pauses to fill with them. */
#ifndef RANDOM_H
#define RANDOM_H

#include <time.h>

/* xorshift; *r is not 0. */
static unsigned next(unsigned *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 17;
	return *r ^= *r << 5;
}

static void ns(long n)
{
	struct timespec t = {n / 1000000000, n % 1000000000};
	nanosleep(&t, NULL);
}

#endif
