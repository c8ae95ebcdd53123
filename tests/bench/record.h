/* What the bench's C programs write down: a record a line of 32 bytes, in one write(2), to the FIFO
 * that $BENCH_LOG names. The harness (main.rs) reads them. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct record {
	uint32_t what; /* a letter: M main, R says ready, T is told to stop */
	int32_t pid;
	uint64_t at;  /* CLOCK_MONOTONIC, ns */
	uint64_t cpu; /* of the process since its fork, ns */
	uint64_t unused;
};

static uint64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct record note(char what)
{
	struct record r = { (uint32_t)what, 0, now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID), 0 };
	r.pid = getpid();
	return r;
}
