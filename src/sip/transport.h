/* transport.h - bytes to messages and back: UDP, TCP, TLS and WebSocket (RFC 3261 §18, §26.3, RFC 3581, RFC 5626 §4.4.1, RFC 7118).
 *
 * A flow is one path to a peer: a UDP pair of addresses, or a TCP, TLS or WebSocket connection. Flows are found again by
 * id, so that somebody who keeps an id over time never holds a dead pointer. A WebSocket is opened by the peer alone: it is
 * reached by its flow or not at all.
 *
 * A client that has shown a certificate of its own over TLS, and says ";alias" in its Via, is called back over the same connection
 * (RFC 5923): what goes to the host of that Via, which its certificate must name, at the address it comes from.
 *
 * What a peer may hold, by default:
 *   a connection        one of 20,000 (and of half of the descriptors), one of 2,000 of its address; some 2 KiB, with TLS or WebSocket 10
 *   a message coming in 64 KiB, its buffer 128; those of all connections together 256 MiB: who needs more then is closed
 *   what it doesn't read 256 KiB, then it is closed
 *   time                10 s for handshakes of TLS and WebSocket, 60 s to the first message, 30 s for each from its first byte, and
 *                       an hour of silence, or what it has promised; a peer that vanished is noticed within 2 minutes by keep-alives
 *                       of TCP, or pings
 * A datagram holds nothing.
 *
 * Owner:  struct transport belongs to the stack. Flows belong to the transport.
 * Thread: loop thread.
 * Sending never calls back before it returns; a TCP error comes later through on_flow_closed. Datagrams of a busy turn of the loop leave
 * together at its end: one that the kernel then doesn't take is as if lost on the way, and counted in send_errors.
 */
#pragma once

#include <netinet/in.h>
#include <uv.h>

#include "base/log.h"
#include "sip/msg.h"

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Where a request goes or a message came from. */
struct sip_dest {
	enum sip_proto proto;
	union sockaddr_any addr;
	bool has_tcp;         /* UDP: what is too large for a datagram may go there by TCP; false behind NAT */
	uint32_t name;        /* TLS: whom we mean to reach there, see transport_name(); 0: whoever has that address */
	uint64_t flow;        /* !=0: this connection (TCP, TLS, WS, WSS) or listener (UDP) and no other; 0: any, for WS and WSS none */
};

struct sip_source {
	enum sip_proto proto;
	union sockaddr_any peer, local;
	uint64_t flow;        /* usable in sip_dest.flow to answer on the same path */
};

struct guard;
struct transport;

struct transport_handler {
	/* m is valid until the handler returns. err.status != 0: m is broken but answerable. */
	void (*on_message)(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg);
	/* A connection has ended; its id will not be used again. */
	void (*on_flow_closed)(uint64_t flow, void *arg);
	/* May be NULL: a STUN answer has come, to something that we asked (RFC 5626 §4.4.2). */
	void (*on_stun)(struct str answer, const struct sip_source *src, void *arg);
};

/* A message as it is on the wire. */
struct transport_seen {
	bool is_sent;
	enum sip_proto proto;
	const union sockaddr_any *peer, *local;
	struct str bytes;
};
/* fn sees every message that comes, before it is read, or is sent; it mustn't send. NULL: nobody does, and it costs nothing. */
void transport_watch(struct transport *t, void (*fn)(const struct transport_seen *seen, void *arg), void *arg);

struct transport_counters {
	uint64_t received, sent, dropped_malformed, dropped_oversize, refused, send_errors, keepalives, tcp_accepted, tcp_closed;
};

int transport_new(struct transport **out, uv_loop_t *loop, const struct log *log,
		  const struct transport_handler *h, void *arg);
/* Binds UDP and TCP on addr ("0.0.0.0", "::", "127.0.0.1") and port. "::" is IPv6 only: dual stack is two
 * listeners. Negative errno when busy. port 0 picks a free one for both protocols. */
int transport_listen(struct transport *t, const char *addr, uint16_t port);
/* TLS on addr and port, with a certificate. asks and needs: of client certificates, see tls.h. The files are looked at every few
 * seconds and read again when they have changed. Once for each address; the certificate, the authorities and checks_server of
 * the last call are those that we call others with.
 * checks_server: a connection that we open carries nothing until the server has shown a certificate that an authority vouches
 * for and that is made out to the name of the dest, or to its address where it has none (RFC 5922 §7.2); else it ends. */
struct tls_pair;
struct transport_tls {
	const char *addr;
	uint16_t port;
	const char *ocsp;             /* what the authority says of cert, shown to clients that ask (ocsp.h); NULL: nothing */
	const char *cert, *key, *ca;  /* PEM files; key NULL: in cert; ca NULL: the system's */
	const char *crl;              /* lists of what those have revoked: connections with such a peer end when they are read; NULL: none */
	const struct tls_pair *more;  /* further certificates, for who calls one of their names (tls.h); cert for all others */
	unsigned nmore;
	char *why;                    /* of TLS_WHY_MAX bytes: as in tls.h, for this once; NULL: it is logged */
	bool asks_client, needs_client, checks_server;
	bool needs_ocsp;              /* with checks_server: servers must show that their certificate isn't revoked */
};
int transport_listen_tls(struct transport *t, const struct transport_tls *p);

#define SIP_PROTO_BIT(proto) (1u << (proto))
/* All there is to say of an address and port to listen on. WebSocket (RFC 7118) is served at any path. */
struct transport_listen {
	const char *addr;
	uint16_t port;
	unsigned protos;              /* SIP_PROTO_BIT()s: UDP, TCP or both, or one of TLS, WS and WSS alone */
	const struct transport_tls *tls; /* TLS, WSS: the certificate, and what is asked of clients */
	const char *origins;          /* WS, WSS: the sites whose scripts may connect ("https://a.example https://b.example"), NULL or "": any;
				       * who names none may always */
	/* Behind a NAT: the address (of the same family) and port that Via, Contact and session descriptions carry towards peers that
	 * aren't in local_networks ("10.0.0.0/8 fd00::/8"; NULL or "": private ones). NULL or "": no NAT; port 0: the same. */
	const char *external;
	uint16_t external_port;
	const char *local_networks;
	bool is_extra;                /* TLS: the certificate isn't for calling others, unless there is no other */
};
/* As above; -EINVAL also for a malformed network. */
int transport_listen_on(struct transport *t, const struct transport_listen *p);
/* The same, and as it was when it fails; *id (in): 0, or that of one that was removed, whose place it takes: what has its flow goes on by this one; (out) its own. -ENOSPC:
 * there have been too many. */
int transport_listen_as(struct transport *t, const struct transport_listen *p, uint64_t *id);
/* Listens as p says from now on, on the sockets it has (p's address, port and protocols are those it was made with): nothing that has come
 * is lost. -ENOTSUP: one for WSS can't; -ENOENT: there is no such listener. As it was when it fails. */
int transport_relisten(struct transport *t, uint64_t id, const struct transport_listen *p);
/* It accepts nothing any more, and its address is free at once. Connections that came to it go on; what was to be sent by its datagrams is
 * sent by another listener of the family. Not from inside a handler of the transport. */
void transport_unlisten(struct transport *t, uint64_t id);
/* Could it be listened on now? 0, or what listening would return (-EADDRINUSE, -EACCES, ...); nothing stays open. protos: SIP_PROTO_BIT()s. */
int transport_probe(const char *addr, uint16_t port, unsigned protos);
uint16_t transport_port(const struct transport *t); /* of the first listener on UDP and TCP */
uint16_t transport_tls_port(const struct transport *t); /* of the first TLS listener, 0: none */
uint16_t transport_ws_port(const struct transport *t, bool is_secure); /* of the first such listener, 0: none */
/* How many connections, TCP, TLS and WebSocket together, there may be: in all, and from one address (of IPv6: from one /64); and how
 * long one may be silent. 0: the default. */
struct transport_limits { unsigned conns, per_address, idle_s; };
void transport_limit(struct transport *t, const struct transport_limits *l);
void transport_close(struct transport *t); /* asynchronous; frees itself */

/* Who may speak, and how much: guard.h. Never NULL. */
struct guard *transport_guard(struct transport *t);

/* By how many per cent others are to send less, as what comes piles up; 0: it is handled as it comes. */
unsigned transport_loss(const struct transport *t);

/* A name for sip_dest.name: the host of the URI before it was looked up (RFC 5922 §4). Numbers of names that are long out of use may
 * be forgotten: a dest with such a one can't be sent to and is to be looked up anew. -EINVAL, -ENOMEM. */
int transport_name(struct transport *t, struct str host, uint32_t *name);

/* Sends bytes (copied when they can't go at once). To a TCP or TLS dest without a flow it reuses an open connection to that address,
 * which must have been opened for the same name, or opens one. *flow (may be NULL) gets the flow used. 0; -ENOTCONN the flow is
 * gone; -EHOSTUNREACH no listener of that family or a name forgotten; -ENOBUFS the peer doesn't read. */
int transport_send(struct transport *t, const struct sip_dest *dest, struct str bytes, uint64_t *flow);

/* The peer of this TCP or TLS connection has promised to say something, if only a line end, at least so often (RFC 5626 §4.4.1): when it is
 * silent for that long and some seconds, the flow has failed and is closed. 0: no promise, the idle limit alone. Nothing for other flows: a
 * WebSocket is asked by pings. */
void transport_flow_expect(struct transport *t, uint64_t flow, uint32_t every_s);

/* Shows the peer of this TCP or TLS connection about so often that we are there, by a double line end (RFC 5626 §4.4.1); 0: no more. Once the
 * peer has answered one, or from the first one on if it must, a connection on which nothing comes within ten seconds is closed. */
void transport_flow_ping(struct transport *t, uint64_t flow, uint32_t every_s, bool must_answer);
/* The i-th of the domains, in lower case, and then of the users ("alice@example.com"), for which the peer of this TLS connection has shown a
 * certificate that our authorities vouch for (RFC 5922 §7.1); NULL: no more, none, or no such flow. Valid as long as the flow. */
const char *transport_flow_identity(const struct transport *t, uint64_t flow, unsigned i);
/* Closes a connection; on_flow_closed is called later. Nothing for other flows. */
void transport_flow_close(struct transport *t, uint64_t flow);

/* Our address as the peer at dest sees it, for Via sent-by, Contact and SDP: the listener's, or where that is a wildcard the one the
 * kernel routes from (cached for some seconds), or the external one. -EHOSTUNREACH. */
int transport_local(struct transport *t, const struct sip_dest *dest, union sockaddr_any *local);
/* Turns an external address into the one to bind behind it (maybe a wildcard); leaves others as they are. */
void transport_behind(const struct transport *t, union sockaddr_any *local);
const struct transport_counters *transport_counters(const struct transport *t);

/* sockaddr helpers */
bool sockaddr_eq(const union sockaddr_any *a, const union sockaddr_any *b);      /* address and port */
bool sockaddr_host_eq(const union sockaddr_any *a, const union sockaddr_any *b); /* address alone */
socklen_t sockaddr_len(const union sockaddr_any *a);
uint16_t sockaddr_port(const union sockaddr_any *a);
void sockaddr_set_port(union sockaddr_any *a, uint16_t port);
int sockaddr_parse(union sockaddr_any *out, struct str host, uint16_t port);     /* literal only; brackets allowed */
#define SOCKADDR_TEXT_MAX 64
const char *sockaddr_print_host(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX]); /* no brackets */
const char *sockaddr_print_uri(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX]);  /* the host as in a URI: [2001:db8::1] */
const char *sockaddr_print(const union sockaddr_any *a, char buf[SOCKADDR_TEXT_MAX]);      /* host:port */
int sockaddr_parse_printed(union sockaddr_any *out, struct str text);               /* what that wrote; -EINVAL */
const char *sip_proto_name(enum sip_proto p); /* "UDP" */
const char *sip_proto_word(enum sip_proto p); /* "udp", as SQL has it */
int sip_proto_parse(enum sip_proto *out, struct str name); /* in any case; -EINVAL */
