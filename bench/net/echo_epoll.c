/*
 * echo_epoll PORT: the same service as examples/echo_threads.c, written by hand as one thread and one epoll: what blocking threads
 * are set beside.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512 };

static void add(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
		err(1, "epoll_ctl");
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? (uint16_t)atoi(argv[1]) : 7007)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, ep = epoll_create1(0);
	struct epoll_event e[EVENTS];
	char buf[4096];

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	signal(SIGPIPE, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 4096) != 0)
		err(1, "port %d", ntohs(a.sin_port));
	add(ep, listener);
	for (;;) {
		int n = epoll_wait(ep, e, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = e[i].data.fd;
			ssize_t got;

			if (fd == listener) {
				while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
					add(ep, fd);
				continue;
			}
			/* Answers are shorter than a socket's buffer: a write that does not take all is an error here. */
			got = read(fd, buf, sizeof buf);
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= 0 || write(fd, buf, (size_t)got) != got)
				close(fd);
		}
	}
}
