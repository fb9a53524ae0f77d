/* lib_tlsdyn.c - dynamic TLS: loaded by tls_dlopen.c when threads exist already. */
static __thread int counter = 1234;
static __thread char text[64] = "initial";
static __thread int zero;
static __thread char big[5000] = "big";

int tlsdyn_next(void)
{
	return counter++;
}

char *tlsdyn_text(void)
{
	return text;
}

int *tlsdyn_zero(void)
{
	return &zero;
}

char *tlsdyn_big(void)
{
	return big;
}
