/* lib_tlslinked.c - TLS of a library that is there from the start; see tls_linked.c. */
static __thread int counter = 31;
static __thread char text[48] = "linked";

int tlslinked_next(void)
{
	return counter++;
}

char *tlslinked_text(void)
{
	return text;
}
