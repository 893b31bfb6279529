/* transport_int.h - between transport.c (flows by id), udp.c, listener.c, accept.c, tcp.c and ws.c (connections) and gate.c (how many).
 *
 * Owner:  struct transport, of listeners and connections; a connection frees itself when its handles have closed. Thread: loop thread.
 */
#pragma once

#include "base/table.h"

#include "sip/guard.h"
#include "sip/hostnames.h"
#include "sip/networks.h"
#include "sip/tls.h"
#include "sip/transport.h"

#define CONNS_MAX 20000              /* and no more than half of the descriptors: the rest is for media */
#define CONNS_PER_ADDRESS_MAX 2000   /* a large office behind one address, and no reason to refuse all others */
#define TCP_BUFFER_MIN 4096
#define TLS_READ 16384
#define TCP_UNSENT_MAX (256 * 1024)  /* a peer that doesn't read for so long is gone */
#define PONGS_UNSENT_MAX 4096        /* nor is it sent more of what is an answer to a keep-alive alone */
#define TCP_PARTIAL_MAX_MS 30000     /* a message must be whole by then: slow writers hold no memory */
#define TCP_SILENT_MAX_MS 60000      /* one that has never said anything: connecting alone holds nothing for long */
#define TCP_IDLE_MAX_MS (3600 * 1000 + 60000) /* a little more than the longest registration */
#define TCP_SWEEP_MS 5000
#define FLOW_GRACE_MS 15000          /* a keep-alive may be late by so much */
#define PONG_MAX_MS 10000            /* RFC 5626 §4.4.1 */
#define HANDSHAKE_MAX_MS 10000       /* TLS, and HTTP of WebSocket */
#define HELD_MAX (256u << 20)        /* of buffers of messages that are coming in, */
#define HELD_SHARE 16                /* and one source holds no more than this part of what nobody does, */
#define HELD_LEAST (128u << 10)      /* but the largest message it may always have */
/* Of the kernel: a peer that doesn't acknowledge what it is sent, or three probes in the silence of a minute, is gone. */
#define TCP_PROBE_IDLE_S 60
#define TCP_PROBE_EVERY_S 10
#define TCP_PROBES 3
#define TCP_UNACKED_MAX_MS 30000
#define WS_PING_MS 30000             /* a WebSocket that is silent for so long is asked, */
#define WS_DEAD_MS (2 * WS_PING_MS + 2 * TCP_SWEEP_MS) /* and one that doesn't answer is gone */
#define REFUSED_MAX_MS 5000          /* for a peer to read why, and to end the connection itself */
#define FLOW_FIRST_CONN 1000000      /* below: listeners, of which no two have one id */
#define LOCAL_CACHE 256
#define LOCAL_CACHE_MS 30000

struct lws_vhost;
struct ws;

struct listener {
	struct listener *next;
	struct transport *transport;
	unsigned protos;                 /* UDP, TCP or both, or one of the others */
	struct tls_context *tls;         /* TLS and WSS */
	char *origins;                   /* WS and WSS: who may connect, NULL: anybody */
	struct lws_vhost *vhost;         /* WS and WSS */
	unsigned nconns;                 /* of these */
	int fd;                          /* all but UDP: the socket below poll */
	uint64_t id;
	union sockaddr_any addr;         /* as bound, with its port */
	bool is_wildcard;
	union sockaddr_any external;     /* what those see who aren't in networks */
	struct networks *networks;       /* NULL: no NAT */
	bool is_left;                    /* removed, and without connections at the last sweep */
	bool is_listening;               /* in the transport's list, freed with it; else freed with its last handle */
	unsigned handles;                /* open ones of these; all but UDP have poll alone */
	int udp_fd;                      /* UDP: the socket below udp_poll */
	uv_poll_t udp_poll;
	uv_poll_t poll;
	void (*take)(struct listener *l, int fd, const union sockaddr_any *peer); /* NULL: UDP alone */
};

/* What a connection is good for, besides its id: requests to this address and port, meant for this name. */
struct conn_key {
	uint16_t proto, family, port;
	uint16_t zero;
	uint32_t name;
	unsigned char host[16];
};

struct tcp_conn {
	UT_hash_handle hh;               /* by id */
	UT_hash_handle hh_addr, hh_alias;
	struct conn_key key, alias;      /* alias.family 0: none */
	struct transport *transport;
	uint64_t id;
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	struct tls *tls;                 /* NULL: plain TCP */
	uint32_t name;                   /* TLS that we opened: for whom; 0: for the address */
	union sockaddr_any peer, local;
	char *buf;                       /* plain bytes */
	size_t len, size;
	uint64_t listener;           /* that it came to, 0: it is ours */
	uint64_t began_ms, last_ms, partial_since_ms; /* partial_since_ms 0: nothing is pending */
	uint64_t heard_ms;           /* when anything came last */
	uint64_t silent_max_ms;      /* the peer says something more often; 0: it didn't promise */
	uint64_t ping_every_ms, ping_at_ms; /* our own keep-alives; 0: none */
	uint64_t pinged_ms;          /* nothing has come since; 0: no answer is waited for */
	bool must_pong;              /* else what is sent as a ping may stay without answer */
	size_t crlf_len;             /* line ends seen where a message could begin */
	bool is_closing;
	bool is_counted;             /* by the gate */
	bool is_used;                /* a message came or went */
	bool is_ours;                /* TLS: we called */
	bool is_refused;             /* it has been told why; what still comes is dropped */
	bool is_silent;              /* nobody knows its id: its end isn't told */
};

struct local_entry { union sockaddr_any peer, local; uint64_t until_ms; };

struct transport {
	void (*on_seen)(const struct transport_seen *seen, void *arg); /* NULL: nobody looks */
	void *on_seen_arg;
	uv_loop_t *loop;
	const struct log *log;
	struct transport_handler h;
	void *arg;
	struct listener *listeners, *retired; /* retired: WebSockets still refer to them, or have just now */
	uint64_t last_listener;          /* the highest id so far */
	struct tcp_conn *conns;          /* by id */
	struct tcp_conn *conns_addr, *conns_alias;
	struct ws *ws;                   /* NULL: no WebSockets */
	uint64_t idle_max_ms;
	struct gate *gate;
	struct guard *guard;
	struct intake *intake;
	uint64_t next_id;
	uv_timer_t sweep;
	struct transport_counters n;
	struct local_entry locals[LOCAL_CACHE];
	struct udp *udp;                 /* the datagrams of one reading */
	struct batch *batch;             /* of datagrams to send */
	uint64_t turn_ms;                /* the loop's time when turn_received began */
	unsigned turn_received;          /* datagrams in one turn of the loop */
	char tls_buf[TLS_READ];          /* what came off the wire, until it is decrypted */
	struct tls_context *tls_client;  /* for connections that we open; NULL: we don't speak TLS */
	struct hostnames *names;         /* of servers called over TLS */
	struct sip_msg msg;              /* the one being received */
	unsigned handles;                /* open libuv handles: freed at 0 */
	bool is_closing;
};

/* One whole message: handed up at once, or soon if it can wait and there is much to do. False: it wasn't one, or is put off. */
bool transport_receive(struct transport *t, char *buf, size_t len, const struct sip_source *src);
/* To on_seen, which there is; a message that comes before it is read, as that changes its folds. */
void transport_show(struct transport *t, bool is_sent, const struct sip_dest *peer, struct str bytes);
/* Parses it and hands it up; false when it wasn't one. */
bool transport_take(struct transport *t, char *buf, size_t len, const struct sip_source *src);
void transport_shed(struct transport *t, char *buf, size_t len, const struct sip_source *src); /* the same, as one to be answered 503 */

/* udp.c */
struct udp;
int udp_new(struct udp **out);
void udp_free(struct udp *u);       /* NULL: nothing */
int udp_listen(struct listener *l);
int udp_send(struct transport *t, const struct listener *l, const union sockaddr_any *to, struct str bytes);

/* intake.c: what is heard first. */
struct intake;
int intake_new(struct intake **out, struct transport *t);
void intake_close(struct intake *in);                       /* NULL: nothing */
/* True: it is queued, or refused. Else it is to be handled now. */
bool intake_put_off(struct intake *in, char *buf, size_t len, const struct sip_source *src);
void intake_on_idle(uv_idle_t *idle);
unsigned intake_loss(const struct intake *in);              /* per cent: overload.h */
void intake_is_behind(struct intake *in);                   /* in this turn there were more datagrams than could be read */
/* Hands up the front of one that is too large, to be refused: 413, or 513 if its header section is. False: it can't be answered. */
bool transport_refuse(struct transport *t, char *buf, size_t len, const struct sip_source *src);
void transport_handle_closed(struct transport *t);
/* A buffer for at least so many bytes from there; NULL: no memory, or all is held that may be. buf stays valid then. */
char *transport_grow(struct transport *t, const union sockaddr_any *peer, char *buf, size_t *size, size_t need);
void transport_drop(struct transport *t, const union sockaddr_any *peer, char *buf, size_t *size);
/* Keep-alives, and no waiting for more bytes before some are sent. */
void tcp_options(int fd);
/* Telephony's signalling, to routers that sort by that (RFC 4594 §4.2). */
void socket_mark(int fd);
void transport_refresh(struct transport *t); /* certificates that have changed */

/* listener.c */
struct listener *transport_listener(const struct transport *t, int family, enum sip_proto proto);
struct listener *listener_for(const struct transport *t, const struct sip_dest *dest);
void listener_close(struct listener *l);
void listener_handle_closed(uv_handle_t *handle);
void listener_free(struct listener *l);

/* gate.c: how many connections there are and what they hold, in all and from one address (of IPv6 a /64). */
struct gate;
int gate_new(struct gate **out, const struct log *log);
void gate_free(struct gate *g);
void gate_limits(struct gate *g, unsigned conns, unsigned per_address); /* 0: the default */
/* One more from there? Each that may enter leaves when it ends. */
bool gate_enter(struct gate *g, const union sockaddr_any *peer);
void gate_leave(struct gate *g, const union sockaddr_any *peer);
/* So many bytes more of what comes from there? They are given back, also after it has left. */
bool gate_hold(struct gate *g, const union sockaddr_any *peer, size_t n);
void gate_give(struct gate *g, const union sockaddr_any *peer, size_t n);

/* accept.c: opens the socket; from accept_start() on, each connection that there is a place for (gate_enter) is handed to take(), which
 * owns the socket, and the place, from then on. */
int accept_open(struct listener *l, void (*take)(struct listener *l, int fd, const union sockaddr_any *peer));
int accept_start(struct listener *l);
void accept_sweep(struct transport *t); /* starts again where there were no descriptors */

/* batch.c: datagrams that are sent together when the loop waits again, or there are too many. */
struct batch;
int batch_new(struct batch **out, uv_loop_t *loop, uint64_t *lost); /* *lost counts what the kernel didn't take */
void batch_close(struct batch *b);                                  /* sends what is left; NULL: nothing */
bool batch_is_open(const struct batch *b);                          /* something waits: what follows goes behind it */
bool batch_add(struct batch *b, int fd, const union sockaddr_any *to, struct str bytes); /* copies; false: too large */
void batch_flush(struct batch *b);

int tcp_listen(struct listener *l);
int tcp_send(struct transport *t, const struct sip_dest *dest, struct str bytes, uint64_t *flow);
uint64_t tcp_listener(const struct transport *t, uint64_t flow); /* that the connection came to, 0: none */
bool tcp_is_open(const struct transport *t, uint64_t flow);
void tcp_flow_expect(struct transport *t, uint64_t flow, uint32_t every_s);
void tcp_flow_ping(struct transport *t, uint64_t flow, uint32_t every_s, bool must_answer);
void tcp_flow_close(struct transport *t, uint64_t flow);
/* Connections whose peer's certificate is revoked by now. */
void tcp_close_revoked(struct transport *t);
const char *tcp_flow_identity(const struct transport *t, uint64_t flow, unsigned i);
void tcp_close_all(struct transport *t);
void tcp_sweep(struct transport *t);

int ws_listen(struct listener *l);
int ws_send(struct transport *t, const struct sip_dest *dest, struct str bytes);
uint64_t ws_listener(const struct transport *t, uint64_t flow);
bool ws_is_open(const struct transport *t, uint64_t flow);
void ws_sweep(struct transport *t, uint64_t now_ms);
/* As tcp_close_revoked(). */
void ws_close_revoked(struct transport *t);
void ws_close(struct transport *t);
