/*
 * A server with one thread for each connection, which sends back what it gets. An ordinary pthread program that knows nothing
 * of libgrt; under it a connection costs a parked task instead of a kernel thread.
 *
 *   echo_threads [PORT]      default 7007, on 127.0.0.1
 */
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *arg)
{
	char buf[4096];
	int fd = (int)(long)arg;
	for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(fd, buf + done, (size_t)(n - done))) <= 0)
				goto out;
out:
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? (uint16_t)atoi(argv[1]) : 7007)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	pthread_attr_t small;
	pthread_t t;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	signal(SIGPIPE, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 4096) != 0)
		err(1, "port %d", ntohs(a.sin_port));
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			usleep(10000); /* too many descriptors: some will be closed */
		else if (pthread_create(&t, &small, serve, (void *)(long)fd) != 0)
			close(fd);
	}
}
