/* threads.h: the results of its functions. */
#ifndef GRT_SHIM_C11_H
#define GRT_SHIM_C11_H

#include <errno.h>
#include <threads.h>

static inline int grt__c11_result(int error)
{
	switch (error) {
	case 0:
		return thrd_success;
	case ENOMEM:
		return thrd_nomem;
	case ETIMEDOUT:
		return thrd_timedout;
	case EBUSY:
		return thrd_busy;
	default:
		return thrd_error;
	}
}

#endif
