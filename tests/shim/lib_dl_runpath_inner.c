/* CFLAGS: -ftls-model=initial-exec */
__thread int tls = 41;
__thread char zero[32];
int constructor_saw;

int value(void);
int value(void)
{
	return ++tls + zero[7];
}

__attribute__((constructor)) static void start(void)
{
	constructor_saw = value();
}

__attribute__((destructor)) static void end(void)
{
	constructor_saw = 0;
}
