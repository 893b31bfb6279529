/* floor.c - the bare relay: the least that the kernel lets a packet cost.
 *
 *   floor --pairs FILE
 *
 * FILE is rtpload's, two lines a call: `localport remotehost:remoteport` is the flow of a caller, the next line that of its callee.
 * Binds the remote of each, connects it to the local port, and sends what comes in on one socket of a call out on the other: no header
 * is looked at, no source checked, nothing counted but the packets. One thread, one epoll, connected sockets, and a round each
 * millisecond, so that a wake-up serves many packets: all that makes a relay cheap, and nothing else. What the server costs is
 * compared with this, on the same machine in the same minute, since both go up and down with whoever is busy beside them.
 *
 * Prints "ready" when its sockets are bound, and for each line of its input "packets=N", those sent so far. Ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUND_NS 1000000
#define PACKET_MAX 2048
#define EVENTS 256
#define STDIN_EVENT UINT32_MAX

struct floor {
	int epoll_fd;
	int *fds;                  /* of flow i; its partner is i ^ 1 */
	unsigned nflows;
	uint64_t packets;
};

/* Returns a descriptor or a negative errno; -EINVAL: no such line. */
static int flow_open(const char *line)
{
	struct sockaddr_in ours = { .sin_family = AF_INET }, theirs = { .sin_family = AF_INET };
	unsigned local_port, port;
	char host[64];
	int fd;

	if (sscanf(line, " %u %63[^:]:%u", &local_port, host, &port) != 3 || inet_pton(AF_INET, host, &ours.sin_addr) != 1)
		return -EINVAL;
	ours.sin_port = htons((uint16_t)port);
	theirs.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	theirs.sin_port = htons((uint16_t)local_port);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ours, sizeof(ours)) < 0 || connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)) < 0)
		return -errno;
	return fd;
}

static int watch(const struct floor *f, int fd, uint32_t what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int flows_open(struct floor *f, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[256];
	int err = 0;

	if (!file)
		return -errno;
	while (err == 0 && fgets(line, sizeof(line), file)) {
		int *fds = realloc(f->fds, (f->nflows + 1) * sizeof(*fds));
		int fd = fds ? flow_open(line) : -ENOMEM;

		if (fds)
			f->fds = fds;
		err = fd < 0 ? fd : watch(f, fd, f->nflows);
		if (err == 0)
			f->fds[f->nflows++] = fd;
	}
	fclose(file);
	return err < 0 ? err : f->nflows == 0 || f->nflows % 2 ? -ENODATA : 0;
}

static void relay(struct floor *f, uint32_t i)
{
	uint8_t packet[PACKET_MAX];
	ssize_t n = recv(f->fds[i], packet, sizeof(packet), MSG_DONTWAIT);

	if (n > 0 && send(f->fds[i ^ 1], packet, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
		f->packets++;
}

/* False at the end of the input. */
static bool asked(const struct floor *f)
{
	char line[64];

	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		return false;
	printf("packets=%lu\n", f->packets);
	fflush(stdout);
	return true;
}

static void run(struct floor *f)
{
	const struct timespec round = { 0, ROUND_NS };
	struct epoll_event ready[EVENTS];

	for (;;) {
		int n = epoll_wait(f->epoll_fd, ready, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ready[i].data.u32 != STDIN_EVENT)
				relay(f, ready[i].data.u32);
			else if (!asked(f))
				return;
		}
		if (n < EVENTS)
			nanosleep(&round, NULL);
	}
}

int main(int argc, char **argv)
{
	struct floor f = { 0 };
	struct rlimit files;
	int err;

	if (argc != 3 || strcmp(argv[1], "--pairs") != 0) {
		fputs("usage: floor --pairs FILE\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* a socket a flow */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	f.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	err = f.epoll_fd < 0 ? -errno : flows_open(&f, argv[2]);
	if (err == 0)
		err = watch(&f, STDIN_FILENO, STDIN_EVENT);
	if (err < 0) {
		fprintf(stderr, "floor: %s\n", strerror(-err));
	} else {
		puts("ready");
		fflush(stdout);
		run(&f);
	}
	for (unsigned i = 0; i < f.nflows; i++)
		close(f.fds[i]);
	free(f.fds);
	if (f.epoll_fd >= 0)
		close(f.epoll_fd);
	return err < 0 ? 2 : 0;
}
