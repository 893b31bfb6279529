/* flood.c - datagrams as fast as they go, from one address or from very many.
 *
 *   flood KIND FROM TO COUNT SECONDS
 *
 * Sends requests of KIND (invite, register, guess: one with credentials that are made up, options, bye, junk) to TO, port 5060, until there were COUNT or SECONDS have passed. FROM is the
 * source; "any": each from another address of 127.128.0.0/9, as phones after a power cut. Prints how many it has sent and how many
 * answers came; reading them is all it does with them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define TEXT_MAX 1536

struct letter {
	char text[TEXT_MAX];
	struct iovec part;
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int write_request(char *text, const char *kind, const char *from, const char *to, unsigned n, unsigned port)
{
	static const char *const methods[][2] = { { "invite", "INVITE" }, { "register", "REGISTER" }, { "options", "OPTIONS" }, { "bye", "BYE" } };
	const char *method = !strcmp(kind, "guess") ? "REGISTER" : NULL;
	char credentials[256] = "";

	if (method)
		snprintf(credentials, sizeof(credentials),
			 "Authorization: Digest username=\"%u\",realm=\"cordboard\",nonce=\"%032x\",uri=\"sip:%s\",response=\"%032x\",algorithm=MD5\r\n",
			 n % 10000, n, to, n);
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (!strcmp(kind, methods[i][0]))
			method = methods[i][1];
	if (!method)
		return snprintf(text, TEXT_MAX, "INVITE sip:%u@%s SIP/2.0\r\nVia: ;;;\r\n\xff%u\r\n\r\n", n, to, n);
	return snprintf(text, TEXT_MAX,
			"%s sip:%u@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%u;branch=z9hG4bK%x-%u;rport\r\nFrom: \"sipvicious\" <sip:%u@cordboard>;tag=%x\r\n"
			"To: <sip:%u@cordboard>%s\r\nCall-ID: %x-%u\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\nUser-Agent: friendly-scanner\r\n"
			"Contact: <sip:%u@%s:%u>\r\n%sContent-Length: 0\r\n\r\n",
			method, n % 10000, to, from, port, (unsigned)getpid(), n, n % 10000, n, n % 10000,
			!strcmp(kind, "bye") ? ";tag=nobody" : "", (unsigned)getpid(), n, method, n % 10000, from, port, credentials);
}

/* The source of one datagram, whatever the socket is bound to. */
static void set_source(struct msghdr *msg, struct letter *l, struct in_addr from)
{
	struct in_pktinfo info = { .ipi_spec_dst = from };
	struct cmsghdr *c;

	msg->msg_control = l->control;
	msg->msg_controllen = sizeof(l->control);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

static unsigned long read_answers(int fd)
{
	static char room[65536];
	unsigned long n = 0;

	while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		n++;
	return n;
}

int main(int argc, char **argv)
{
	static struct letter letters[BATCH];
	struct mmsghdr msgs[BATCH] = { 0 };
	struct sockaddr_in here = { .sin_family = AF_INET }, there = { .sin_family = AF_INET, .sin_port = htons(5060) };
	socklen_t len = sizeof(here);
	unsigned long sent = 0, answers = 0, count;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), is_any, room = 4 << 20;
	double end;

	if (argc != 6 || fd < 0 || inet_pton(AF_INET, argv[3], &there.sin_addr) != 1) {
		fprintf(stderr, "usage: flood KIND FROM|any TO COUNT SECONDS\n");
		return 2;
	}
	is_any = !strcmp(argv[2], "any");
	if (!is_any && inet_pton(AF_INET, argv[2], &here.sin_addr) != 1)
		return 2;
	count = strtoul(argv[4], NULL, 10);
	end = now_s() + atof(argv[5]);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0 || getsockname(fd, (struct sockaddr *)&here, &len) != 0)
		return 1;
	while (sent < count && now_s() < end) {
		unsigned n = count - sent < BATCH ? (unsigned)(count - sent) : BATCH;
		int done;

		for (unsigned i = 0; i < n; i++) {
			struct in_addr from = here.sin_addr;
			char host[INET_ADDRSTRLEN];

			if (is_any)
				from.s_addr = htonl(0x7f800001u + (unsigned)(sent + i) * 7 % 0x7ffff0u);
			inet_ntop(AF_INET, &from, host, sizeof(host));
			letters[i].part = (struct iovec){ letters[i].text,
				(size_t)write_request(letters[i].text, argv[1], host, argv[3], (unsigned)sent + i, ntohs(here.sin_port)) };
			msgs[i].msg_hdr = (struct msghdr){ .msg_name = &there, .msg_namelen = sizeof(there), .msg_iov = &letters[i].part, .msg_iovlen = 1 };
			if (is_any)
				set_source(&msgs[i].msg_hdr, &letters[i], from);
		}
		done = sendmmsg(fd, msgs, n, 0);
		if (done < 0 && errno != ECONNREFUSED) {
			perror("sendmmsg");
			return 1;
		}
		sent += done > 0 ? (unsigned)done : 0;
		answers += read_answers(fd);
	}
	printf("sent=%lu answers=%lu\n", sent, answers);
	return 0;
}
