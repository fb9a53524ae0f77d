/*
 * An HTTP server with one thread for each connection, written as if threads cost nothing: read a request, write the answer.
 *
 *   http_threads [PORT]      default 8080, on 127.0.0.1;  GET /anything says hello, connections are kept
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *arg)
{
	char request[8192], answer[256], path[64];
	size_t have = 0;
	ssize_t n;
	int fd = (int)(long)arg, keep = 1;
	while (keep && (n = read(fd, request + have, sizeof(request) - 1 - have)) > 0) {
		char *end;
		request[have += (size_t)n] = 0;
		while (keep && (end = strstr(request, "\r\n\r\n")) != NULL) {
			end[2] = 0;
			int ok = sscanf(request, "GET %63[^ ?]", path) == 1;
			keep = ok && strcasestr(request, "\r\nConnection: close\r\n") == NULL;
			int body = ok ? (int)strlen(path) + 7 : 0;
			int len = snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s%s",
			                   ok ? "200 OK" : "501 Not Implemented", body, ok ? "hello, " : "", ok ? path : "");
			if (write(fd, answer, (size_t)len) != len)
				keep = 0;
			have -= (size_t)(end + 4 - request);
			memmove(request, end + 4, have + 1);
		}
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? (uint16_t)atoi(argv[1]) : 8080)};
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
