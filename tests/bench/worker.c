/* The common worker: as small as a worker can be, so that what is measured is the supervisor. It is
 * ready at once, says so in whatever way it was asked (NOTIFY_SOCKET; a line feed to the descriptor
 * in $BENCH_READY_FD), and writes down when main began, when it said so, and when SIGTERM came.
 *
 * With $BENCH_SERVE it answers HTTP/1.1 on the listeners of SERVER_STARTER_PORT or LISTEN_FDS, or
 * whose numbers are its arguments (circus), and drains on SIGTERM: connections that are open get their
 * answer, with "Connection: close". */
#define _GNU_SOURCE
#include "record.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { MOST = 1024 };
static struct pollfd polled[MOST];
static int count, listeners;
static const char *generation = "0";

/* Says so; the record is of the moment before. */
static struct record say_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *fd = getenv("BENCH_READY_FD");
	struct record r;
	if (path != NULL && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		strcpy(address.sun_path, path);
		if (*path == '@')
			address.sun_path[0] = 0;
		int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		r = note('R');
		sendto(s, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address,
		       offsetof(struct sockaddr_un, sun_path) + strlen(path));
		close(s);
	} else {
		r = note('R');
	}
	if (fd != NULL) {
		write(atoi(fd), "\n", 1);
		close(atoi(fd));
	}
	return r;
}

static void add(int fd)
{
	if (count < MOST)
		polled[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* Not blocking: the other generation may accept a connection that woke us both. */
static void add_listener(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	add(fd);
}

static void find_listeners(char **fds_given)
{
	char *ports = getenv("SERVER_STARTER_PORT"), *fds = getenv("LISTEN_FDS");
	for (; *fds_given != NULL; fds_given++)
		add_listener(atoi(*fds_given));
	if (count > 1)
		return;
	if (ports != NULL && *ports != 0) {
		for (char *p = strtok(strdup(ports), ";"); p != NULL; p = strtok(NULL, ";"))
			add_listener(atoi(strrchr(p, '=') + 1));
	} else {
		for (int i = 0; fds != NULL && i < atoi(fds); i++)
			add_listener(3 + i);
	}
}

static int answer(int fd, int last)
{
	char in[2048], out[512], body[128];
	ssize_t got = read(fd, in, sizeof in - 1);
	if (got <= 0)
		return 0;
	in[got] = 0;
	int close_it = last || strcasestr(in, "connection: close") != NULL;
	int length = snprintf(body, sizeof body, "hello from generation %s (bench, pid %d)\n", generation, getpid());
	length = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s", length,
			  close_it ? "close" : "keep-alive", body);
	write(fd, out, (size_t)length);
	return !close_it;
}

static void serve(int signals, int log, char **fds)
{
	add(signals);
	find_listeners(fds);
	listeners = count - 1;
	for (int draining = 0; !draining || count > 1;) {
		/* What is idle while we drain has a moment to ask, then it is closed. */
		int ready = poll(polled, (nfds_t)count, draining ? 100 : -1);
		if (draining && ready == 0)
			return;
		for (int i = count - 1; i >= 0; i--) {
			if (polled[i].revents == 0)
				continue;
			if (i == 0) {
				struct signalfd_siginfo info;
				read(signals, &info, sizeof info);
				struct record r = note('T');
				write(log, &r, sizeof r);
				draining = 1;
				/* The listeners are the generation's no more. */
				for (int l = 1; l <= listeners; l++)
					polled[l].fd = -1;
				polled[0].fd = -1;
			} else if (i <= listeners) {
				int fd = accept4(polled[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
				if (fd != -1)
					add(fd);
			} else if (!answer(polled[i].fd, draining)) {
				close(polled[i].fd);
				polled[i] = polled[--count];
			}
		}
		if (draining && count == listeners + 1)
			return;
	}
}

int main(int argc, char **argv)
{
	struct record records[2] = { note('M') };
	(void)argc;
	sigset_t stop;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGQUIT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	const char *path = getenv("BENCH_LOG"), *number = getenv("SERVER_STARTER_GENERATION");
	int log = open(path != NULL ? path : "/dev/null", O_WRONLY | O_CLOEXEC);
	if (number != NULL)
		generation = number;
	records[1] = say_ready();
	write(log, &records[0], sizeof records[0]);
	write(log, &records[1], sizeof records[1]);
	int signals = signalfd(-1, &stop, SFD_CLOEXEC);
	if (getenv("BENCH_SERVE") != NULL) {
		serve(signals, log, argv + 1);
		return 0;
	}
	/* Not sigwaitinfo(2): while that waits, /proc shows the signal as one that nothing catches. */
	struct signalfd_siginfo info;
	while (read(signals, &info, sizeof info) == -1 && errno == EINTR)
		;
	struct record r = note('T');
	write(log, &r, sizeof r);
	return 0;
}
