/* misuse.h - runs a mistake in a child, and compares how it ends. */
#ifndef MISUSE_H
#define MISUSE_H

#include "grt.h"
#include <sys/wait.h>

/* The child's exit status; what it wrote to standard error is in text. */
static int child_of(void (*mistake)(void), char *text, size_t size)
{
	int fd[2], status = -1;
	size_t n = 0;
	ssize_t r;
	EXPECT_EQ(0, pipe(fd));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd[1], 2);
		close(fd[0]);
		close(fd[1]);
		mistake();
		_exit(0);
	}
	close(fd[1]);
	while (n < size - 1 && (r = read(fd[0], text + n, size - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = 0;
	close(fd[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* It ends with status 2 and text that begins with `words`. */
#define dies(mistake, words) dies_as(#mistake, mistake, words)
static CHECK_UNUSED void dies_as(const char *name, void (*mistake)(void), const char *words)
{
	static char text[65536];
	int status = child_of(mistake, text, sizeof text);
	bool same = strncmp(text, words, strlen(words)) == 0;
	if (!same)
		printf("%s wrote: %s\n", name, text);
	check_clause(name, status == 2 && same, "exit status 2 and the words", __FILE__, __LINE__);
}

#endif
