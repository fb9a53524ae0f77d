// CFLAGS: -Wl,-z,execstack
/* lib_execstack.c - asks for executable stacks: calls a nested function by its trampoline. */
int execstack_call(int (*through)(int (*)(int), int), int n)
{
	int base = 100;
	int add(int k)
	{
		return base + k;
	}
	return through(add, n);
}
