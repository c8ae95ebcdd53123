/* The floor: the least that a readiness-driven supervisor can be. It binds its ports, spawns the
 * worker, waits for a line feed on a pipe and then tells the old worker to go: SIGHUP again and
 * again, SIGTERM to end. No options, no checks, no answers, no log.
 *
 *	floor PORT... -- PROGRAM
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *program;
static pid_t serving, starting;
static int ready = -1, children;

static void spawn(void)
{
	int ends[2];
	char number[16];
	char *argv[] = { program, NULL };
	sigset_t none;
	posix_spawnattr_t attributes;
	pipe2(ends, O_CLOEXEC);
	fcntl(ends[1], F_SETFD, 0);
	snprintf(number, sizeof number, "%d", ends[1]);
	setenv("BENCH_READY_FD", number, 1);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	if (posix_spawn(&starting, program, NULL, &attributes, argv, environ) != 0)
		exit(1);
	children++;
	close(ends[1]);
	ready = ends[0];
}

static void listen_on(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
		exit(98);
}

int main(int argc, char **argv)
{
	int count = 0;
	char *ports = malloc((size_t)argc * 16), *end = ports;
	for (argv++; argc > 1 && *argv != NULL && strcmp(*argv, "--") != 0; argv++, count++) {
		listen_on(atoi(*argv));
		end += sprintf(end, "%s%s=%d", count > 0 ? ";" : "", *argv, 3 + count);
	}
	if (count > 0)
		setenv("SERVER_STARTER_PORT", ports, 1);
	program = argv[1];

	sigset_t heard;
	sigemptyset(&heard);
	sigaddset(&heard, SIGHUP);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGCHLD);
	sigprocmask(SIG_BLOCK, &heard, NULL);
	struct pollfd polled[2] = { { .fd = signalfd(-1, &heard, SFD_CLOEXEC), .events = POLLIN } };
	spawn();
	for (;;) {
		polled[1] = (struct pollfd){ .fd = ready, .events = POLLIN };
		poll(polled, 2, -1);
		if (ready != -1 && polled[1].revents != 0) {
			if (serving != 0)
				kill(serving, SIGTERM);
			serving = starting;
			close(ready);
			ready = -1;
		}
		if (polled[0].revents == 0)
			continue;
		struct signalfd_siginfo info;
		read(polled[0].fd, &info, sizeof info);
		if (info.ssi_signo == SIGHUP && ready == -1) {
			spawn();
		} else if (info.ssi_signo == SIGTERM) {
			kill(serving, SIGTERM);
			if (starting != serving)
				kill(starting, SIGTERM);
			while (children > 0 && wait(NULL) > 0)
				children--;
			return 0;
		} else {
			while (waitpid(-1, NULL, WNOHANG) > 0)
				children--;
		}
	}
}
