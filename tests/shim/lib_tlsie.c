// CFLAGS: -ftls-model=initial-exec
/* lib_tlsie.c - static TLS with an image, loaded by tls_dlopen.c when threads exist already. */
static __thread int counter = 4321;
static __thread char text[32] = "static";
static __thread int zero;

int tlsie_next(void)
{
	return counter++;
}

char *tlsie_text(void)
{
	return text;
}

int *tlsie_zero(void)
{
	return &zero;
}

/* runs inside dlopen: sees its own static TLS already */
static int at_load;

static __attribute__((constructor)) void load(void)
{
	at_load = counter;
	counter = 4321;
}

int tlsie_at_load(void)
{
	return at_load;
}
