/* media_int.h - what the files of this folder share, and nobody else sees.
 *
 * Two halves of every stream:
 *   struct stream   the loop's handle (stream.c); touched by the loop thread only
 *   struct rtp_session  the RTP session itself (rtp_session.c, relay.c, ...); touched by its worker only, from the command
 *                   that opens it to the event that it is closed or released for a handover
 * Messages carry the ownership across: down in a worker's queue, up in the queue of struct media. Both are
 * linked lists under a mutex that is held for a few instructions; the receiver takes the whole list at once
 * and is woken only when the list was empty.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/timer.h"
#include "media/addr.h"
#include "media/dtmf.h"
#include "media/latch.h"
#include "media/media.h"
#include "media/quality.h"
#include "media/recorder.h"
#include "media/rtcp.h"
#include "media/rtp.h"
#include "media/sound.h"
#include "media/tonegen.h"

#define PACKET_MAX 2048     /* a longer datagram is no audio packet */
_Static_assert(PACKET_MAX - RTP_HEADER_LEN == CODEC_UNCUT_MAX, "what can't be cut is kept whole");
#define TICK_US 10000
#define RTCP_INTERVAL_MS 5000
#define SPEAK_HZ 8000       /* of what we make ourselves, tones and digits, for codecs that take any rate */
#define FRAME_SAMPLES_MAX 960 /* 20 ms at 48 kHz */

struct worker;
struct rtp_session;
struct mixer_desk;
struct mixing;
struct dtls_session;

/* ---- queues (queue.c) ---- */

struct msg {
	struct msg *next;
};

struct mqueue {
	pthread_mutex_t mu;
	struct msg *head, **tail;
};

void mqueue_init(struct mqueue *q);
void mqueue_fini(struct mqueue *q);
/* Appends the chain from first to last; true if the queue was empty: wake the receiver. */
bool mqueue_push(struct mqueue *q, struct msg *first, struct msg *last);
struct msg *mqueue_take(struct mqueue *q); /* all, in order */

/* ---- commands: loop -> worker ---- */

enum command_type {
	CMD_OPEN,
	CMD_CONFIGURE,
	CMD_ICE,
	CMD_BRIDGE,
	CMD_UNBRIDGE,
	CMD_ECHO,
	CMD_SILENCE,
	CMD_PLAY,
	CMD_PLAY_LIST, /* the same sounds in another codec */
	CMD_PLAY_STOP,
	CMD_PLAY_PAUSE,
	CMD_PLAY_RESUME,
	CMD_PLAY_SEEK,
	CMD_MUSIC,
	CMD_TONES,
	CMD_RECORD,
	CMD_RECORD_STOP,
	CMD_TAP,      /* a call's recording hears it, or does no longer, */
	CMD_TAP_SAID, /* and what its peer hears of us */
	CMD_DUMP,     /* its packets are kept, or are no longer */
	CMD_BEEP,
	CMD_DIGIT,
	CMD_LISTEN,
	CMD_MIX,
	CMD_MIX_PLAY, /* these name no session */
	CMD_MIX_PLAY_STOP,
	CMD_MIX_TONES,
	CMD_MIX_TAP,
	CMD_MIX_CLOSE,
	CMD_RELEASE,  /* hand the session back to the loop, alive (EV_RELEASED) */
	CMD_ADOPT,    /* and take it over */
	CMD_CLOSE,
	CMD_FORGET,   /* a pair of ports nobody needs any more */
	CMD_STOP,     /* the worker ends */
};

struct rtp_session_config {         /* struct stream_config without its slack; what each packet needs first */
	uint8_t dir, codec, send_pt, ptime_ms, nrecv;
	struct { uint8_t codec, pt; } recv[8];
	bool relearn;
	int16_t dtmf_send_pt, dtmf_recv_pt;
	bool is_opaque;
	uint32_t dtmf_clock_hz;      /* of an opaque stream: its clock, 0: unknown */
	bool rtcp_mux;
	uint8_t hears;               /* enum stream_hears */
	bool digits_elsewhere, is_udptl;
	struct addr remote, remote_rtcp;
	uint32_t timeout_ms;         /* 0: never */
	bool dtls_is_due;            /* as in dtls_params */
};

#define STOP_DIGITS_MAX 16

/* What some commands need beside lies behind them, in their memory: a stream has a few as part of itself, which need nothing. */

struct command_configure {
	struct rtp_session_config config;
	uint32_t riding_pts[4];
	struct opus_params opus;
	struct secure *secure;       /* passes to the worker; NULL: the contexts stay as they are, if is_secure */
	bool is_secure, is_dtls;
	struct dtls_session *dtls;   /* passes to the worker; NULL: the association goes on, if is_dtls */
};

struct command_play {                /* the reference on list passes to the worker */
	uint32_t id;
	struct playlist *list;
	bool loop, is_paused;
	uint32_t start_ms;
	uint64_t epoch_us;           /* music: when its first frame was */
	char stop_digits[STOP_DIGITS_MAX + 1];
};

struct command_tones { unsigned n; struct tone cadence[TONEGEN_CADENCE_MAX]; };

struct command_record {              /* the recorder passes to the worker */
	struct recorder *recorder;
	uint32_t max_ms, silence_ms;
	char stop_digits[STOP_DIGITS_MAX + 1];
};

struct command {
	struct msg m;
	enum command_type type : 8;
	bool is_embedded;            /* part of its stream: not to be freed */
	uint32_t tap_rate_hz;
	struct stream *s, *other;    /* for the loop; never looked into by the worker */
	struct rtp_session *session;
	struct mix *mix;             /* for the loop, too */
	union {
		struct rtp_session *session2; /* CMD_BRIDGE */
		struct mixing *mixing;        /* CMD_MIX... */
	};
	union {
		struct command_configure *configure;
		struct command_play *play;
		struct command_tones *tones;
		struct command_record *record;
		struct agent *agent; /* passes to the worker; NULL: no ICE */
		struct port_pair *pair;
		struct { char digit; uint32_t ms; } digit;
		unsigned listen;
		int32_t seek_ms;
		struct { uint16_t gain_in, gain_out; bool is_muted, is_deaf; } seat; /* gains as in mixer.h */
		struct tap *tap;     /* passes to the worker; NULL: none any more */
		struct dump *dump;   /* the same */
		uint32_t beep_ms;    /* between two; 0: one alone; UINT32_MAX: no more */
	};
};

_Static_assert(sizeof(struct command) <= 64, "a stream has three");

/* The room behind a command, of what it was made with. */
static inline void *command_room(struct command *c) { return c + 1; }

/* ---- events: worker -> loop ---- */

enum event_type {
	EV_DIGIT, EV_PLAY_END, EV_RECORD_END, EV_LATCHED, EV_UNWANTED, EV_TIMEOUT, EV_TALKING, EV_HEARD, EV_STATS,
	EV_SECURED, EV_INSECURE, EV_RELEASED, EV_CLOSED,
	EV_MIX_PLAY_END, EV_MIX_CLOSED, /* of a mix; these name no stream, */
	EV_CAPTURE_END,                 /* nor does this, */
	EV_DUMP, EV_DUMP_END,           /* nor do these */
};

struct event {
	struct msg m;
	enum event_type type;
	bool is_embedded;
	struct stream *s;
	struct mix *mix;             /* NULL: it's the stream's */
	union {
		struct dtmf_digit digit;
		bool is_talking;
		struct { enum stream_heard what; uint32_t lasted_ms; } heard;
		struct { uint32_t id; enum play_end end; } play;
		struct { uint32_t id; struct record_result result; } record;
		struct { struct addr peer; enum latch_reason reason; } latched;
		struct stream_stats *stats; /* behind the event, in its memory */
		struct capture *capture;
		struct chunk *chunk;
		struct dump *dump;
		enum secure_suite secured;
		struct { enum stream_insecure why; bool is_over; } insecure;
	};
};

/* ---- ports (ports.c): loop thread ---- */

struct ports;

struct endpoint {               /* what epoll hands back: a socket, and whom it serves now */
	struct rtp_session *s;  /* NULL: nobody */
	int fd;
	bool is_rtcp;
	_Atomic bool is_watched; /* by its worker, which alone writes it */
};

/* Bound, unconnected, non-blocking sockets. Belongs to who took it, its endpoints to the worker that watches them, also while
 * the pair rests: to begin and to end that for each stream would cost four system calls. */
struct port_pair {
	union {
		struct port_pair *next;  /* while it rests */
		struct command forget;   /* to the worker: close and free it */
	};
	struct port_set *set;
	struct worker *worker;  /* NULL: none yet. Written by workers, while the pair is taken. */
	struct endpoint rtp, rtcp;
	uint16_t port;
	bool is_video;          /* its packets are marked as that */
	struct dump *dump;      /* dump.c: what passes is kept; NULL: it isn't. Here because sessions have no room for what few need */
};

_Static_assert(sizeof(struct port_pair) <= 128, "a call has two");

int ports_new(struct ports **out, uv_loop_t *loop, unsigned nworkers, uint16_t port_min, uint16_t port_max);
/* Every pair must be back, every worker gone. Frees itself when the loop has closed its handle, then calls done. */
void ports_close(struct ports *p, void (*done)(void *arg), void *arg);
/* For a stream that w will serve. -EADDRINUSE: all are taken; another worker may have some. */
int ports_take(struct ports *p, const struct sockaddr *local, const struct worker *w, struct port_pair **out);
/* was_connected: the RTP socket still is. */
void ports_give(struct ports *p, struct port_pair *pair, bool was_connected);
void port_pair_mark(struct port_pair *pair, bool is_video); /* any thread */
void endpoint_drain(const struct endpoint *e); /* any thread: throws away what came while nobody listened */
void ports_count(const struct ports *p, unsigned *nopen, unsigned *pooled); /* sockets */
void port_pair_free(struct port_pair *pair); /* any thread, when nobody knows it */

/* ---- workers (worker.c) ---- */

struct worker_counters {        /* written by the worker alone, read by the loop */
	_Atomic uint64_t received, sent, mixed, dropped_source, dropped_malformed, dropped_insecure, icmp_errors;
	_Atomic uint64_t handshakes, handshakes_failed;
};

static inline void count_one(_Atomic uint64_t *c)
{
	/* One writer: a plain load and store, no locked instruction. */
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

struct worker {
	struct media *media;
	unsigned index;              /* among the workers */
	const struct log *log;
	const struct clock *clock;   /* NULL: the system's; else there is no thread */
	pthread_t thread;
	int epoll_fd, wake_fd;
	struct mqueue commands;
	struct msg *posted, **posted_tail; /* loop thread: commands that gather */
	struct event *up_first, *up_last; /* events of this round */
	struct timers *timers;
	struct rng rng;
	uint64_t now_us;             /* of this round, CLOCK_MONOTONIC */
	uint64_t tick_us;            /* when the next tick is due */
	struct rtp_session *ticking;     /* list of sessions that have something to do each tick */
	struct rtp_session *tick_next;   /* the one after the one being ticked */
	struct mixing *mixings;      /* mixes that somebody is in */
	struct mixer_desk *desk;     /* of all of them; made with the first */
	bool mix_half;               /* whose turn it is */
	uint32_t rtcp_interval_ms;
	struct dtls_session *handshakes; /* whose queues have something, the next first */
	unsigned nstreams;           /* loop thread: streams here, for balancing; and how busy it was when looked at last */
	uint64_t looked_us, cpu_us;
	unsigned busy_permille;
	struct worker_counters count;
	_Alignas(8) uint8_t packet[PACKET_MAX];
	_Alignas(8) uint8_t sealed[PACKET_MAX + SECURE_TRAILER_MAX]; /* what goes out as SRTP: the packet itself stays as it is */
};

int worker_start(struct worker *w, struct media *m, const struct media_params *p);
void worker_join(struct worker *w); /* after CMD_STOP */
void worker_turn(struct worker *w); /* one without a thread: all that is due */
uint64_t worker_clock_us(const struct clock *clock); /* any thread */
/* Loop thread: how much of a core the worker took lately, by its CPU time. One without a thread: 0. */
unsigned worker_busy_permille(struct worker *w);
uint64_t worker_ntp(const struct worker *w);         /* wall-clock time for RTCP */
int64_t worker_wall_ms(const struct worker *w);      /* Unix time */
/* The worker gets it with the next worker_flush(), among all that have gathered. */
void worker_post(struct worker *w, struct command *c);
void worker_flush(struct worker *w);
/* From the worker: queues an event for the loop, sent at the end of the round. */
void worker_emit(struct worker *w, struct event *e);
/* Is there something to do each tick? */
static inline bool worker_ticks(const struct worker *w) { return w->ticking || w->mixings; }
static inline uint64_t worker_now_ms(const struct worker *w) { return w->now_us / 1000; }

/* A command has been posted: worker_flush() is to be called soon (media.c). */
void media_posted(struct media *m);
/* What workers call up on the loop's side (media.c); any thread. */
void media_events(struct media *m, struct event *first, struct event *last);

/* ---- sessions ---- */

struct player;
struct recording;
struct seat;
struct tap;
struct ear;
struct mouth;
struct rider;
struct digit_sender;
struct agent;

#define CACHE_LINE 64

/* Between two packets of a session its memory leaves the cache: what a relayed packet costs in here is the lines of it that
 * are touched. They come first: 0, 1 and 2 when it receives, 0, 2 and 4 when it sends; rtp_session.c holds them to that. */
struct rtp_session {
	/* line 0 */
	_Alignas(CACHE_LINE) struct worker *worker;
	struct rtp_session *from, *to;   /* who feeds us, whom we feed: a.to == b exactly when b.from == a; both may be s itself */
	/* only what is in use is allocated */
	struct ear *ear;             /* ear.c: packets to PCM */
	struct recording *recording; /* recording.c: into a file of its own, a call's, or both */
	int rtp_fd, rtcp_fd;         /* of pair */
	uint8_t rx_codec;            /* of the last packet */
	bool is_connected;           /* the kernel filters sources */
	bool is_sifting;             /* connected, but packets from before are still queued */
	bool sent_since_report;
	bool is_dumped;              /* there is a dump */
	bool is_filtered;            /* its digits are taken out of what its partner hears: not relayed (ear.c) */
	bool has_riders, is_rider;   /* bundle.c */
	struct secure *secure;       /* NULL: plain RTP */

	/* line 1: received */
	_Alignas(CACHE_LINE) struct rtp_rx rx;

	/* line 2 */
	_Alignas(CACHE_LINE) uint64_t last_rx_us;
	uint64_t packets_received, bytes_received;
	struct rtp_session_config config; /* its addresses are line 3 */

	/* line 4: sent */
	_Alignas(CACHE_LINE) struct rtp_tx tx;
	uint64_t packets_sent, bytes_sent;
	struct digit_sender *digits; /* digit_send.c */

	struct port_pair *pair;      /* NULL: it rides */
	struct stream *handle;       /* for events only */
	struct rtp_session *tick_prev, *tick_next;
	bool is_ticking;
	bool tick_half;              /* every second tick ends a frame of 20 ms */
	bool has_timed_out;
	bool is_listening;           /* unconnected, because the locked source is silent and may have moved */
	bool is_looking;             /* unconnected for a moment: does somebody else send? */
	uint8_t nother_source;       /* opaque.c: packets since the source that is counted was last there */
	uint16_t looked_ms;          /* since when is_looking, of the worker's clock as it wraps */

	struct rider *riders;        /* bundle.c: those that have_riders, or its own as is_rider */
	struct dtls_session *dtls;   /* dtls_session.c; NULL: none */
	struct secure *rtcp_secure;  /* of RTCP that has an association of its own; NULL: it goes by secure */

	/* peer (rtp_session.c) */
	uint64_t watched_us;         /* its silence counts from here on, if nothing came since */
	struct latch latch;
	struct agent *agent;         /* agent.c: ICE; NULL: none */
	int64_t locked_wall_ms;      /* Unix time since when its source is the one; 0: it never was */
	struct addr rtcp_source;     /* learnt from the peer's RTCP; unset: none */
	uint32_t stranger_ms;        /* when somebody else sent last, of the worker's clock as it wraps; 0: never */
	/* digits */
	/* the event being passed on: where it began on the other side, our timestamp of its present segment, and how long it
	 * had lasted when that began, on our clock */
	bool event_open, event_is_full; /* full: all of the segment has been sent */
	bool has_cng;                /* told of the one that began at cng_ts */
	uint8_t remote_loss;         /* of 256 that the peer misses lately, by its RTCP */
	uint32_t event_in_ts, event_out_ts, event_out_base;
	struct dtmf_in digit_in;
	struct t38 *t38;             /* the gateway; NULL: none is needed */
	struct hearing *hearing;     /* NULL: it is not listened to for more */

	/* sources and sound */
	struct player *player;       /* player.c */
	struct tonegen *tones;
	struct seat *seat;           /* mixing.c: in a conference */
	struct mouth *mouth;         /* mouth.c: PCM to packets */
	struct opus_params opus;     /* what the peer wishes of it */
	struct heard heard;          /* by ears that are gone */

	/* RTCP (report.c) */
	uint32_t rtt_us, remote_lost, remote_jitter_us, cng_ts;
	struct quality quality;      /* quality.c */
	uint32_t dropped_insecure, dropped_rtcp, icmp_errors;
	struct timer rtcp_timer;
	char cname[17];
	uint32_t sr_ntp_mid;         /* middle of the last SR received */
	uint64_t sr_at_us, last_rtcp_us;

	union {
		struct {             /* while a worker has it: */
			struct timer watch_timer; /* nothing comes any more */
			struct timer digit_timer; /* nor the end of a digit */
		};
		struct event up;     /* and when it leaves: EV_RELEASED or EV_CLOSED, which must not fail for want of memory */
	};
};

static inline void prefetch_line(const void *p, unsigned line)
{
	__builtin_prefetch((const char *)p + line * CACHE_LINE);
}

struct rtp_session *rtp_session_new(struct stream *handle, struct port_pair *pair); /* pair NULL: it will ride */
void rtp_session_attach(struct worker *w, struct rtp_session *s); /* to where it was opened or handed over, */
void rtp_session_detach(struct rtp_session *s);              /* and away from there */
void rtp_session_free(struct rtp_session *s);                               /* loop: after EV_CLOSED */
void rtp_session_command(struct worker *w, struct command *c);
void rtp_session_readable(struct worker *w, struct endpoint *e);
void rtp_session_tick(struct rtp_session *s);
/* Puts the session on the worker's tick list or takes it off, as it needs. */
void rtp_session_update_tick(struct rtp_session *s);
void rtp_session_lock(struct rtp_session *s);                               /* the latch has locked */
void rtp_session_unlock(struct rtp_session *s);                             /* and is open again */
/* The kernel keeps others out, uncounted: for a moment from now on it doesn't, and as long as others send. */
void rtp_session_look_out(struct rtp_session *s);
/* A packet that is authentic, if SRTP was agreed: is it the peer's? */
bool rtp_session_is_from_peer(struct rtp_session *s, const struct addr *from, const struct rtp_packet *h);
/* Something is heard, or told of by the peer. */
void rtp_session_heard(struct rtp_session *s, enum stream_heard what, uint32_t lasted_ms);
/* Its peer has pressed a digit; is_sound: it was heard as tones. */
void rtp_session_digit(struct rtp_session *s, const struct dtmf_digit *d, bool is_sound);
/* A handshake has shown that the peer is there: the session is locked to it, unless ICE chooses. */
void rtp_session_prove(struct rtp_session *s, const struct addr *peer);
void rtp_session_event(struct rtp_session *s, enum event_type type, struct event *fill);
/* A packet can't be taken for the peer's, or the last one sent couldn't be delivered. */
void rtp_session_insecure(struct rtp_session *s);
void rtp_session_icmp(struct rtp_session *s);
/* Sends one whole RTP packet to where the peer is; drops it if that is unknown. */
void rtp_session_send(struct rtp_session *s, uint8_t *packet, size_t len, size_t payload_len);
bool rtp_session_may_send(const struct rtp_session *s);

/* relay.c: packets in, and on to the partner */
void relay_readable(struct rtp_session *s);
void relay_drain(struct rtp_session *s);                 /* all that has come so far */

/* dump.c: a packet, in clear, of a session that is_dumped. */
struct dump_mark { const struct addr *peer; bool is_sent, is_rtcp; };
void dump_packet(struct rtp_session *s, const struct dump_mark *m, const uint8_t *p, size_t n);
void dump_take(struct rtp_session *s, struct dump *d);   /* in place of the one before, which ends; NULL: none */

/* agent.c: ICE of a session, see ice.h */
struct agent *agent_new(const struct ice_credentials *ours); /* any thread */
void agent_free(struct agent *a);                        /* NULL: nothing */
void agent_take(struct rtp_session *s, struct agent *a); /* CMD_ICE */
void agent_start(struct rtp_session *s);                 /* the session is with a worker, */
void agent_stop(struct rtp_session *s);                  /* and leaves it */
void agent_packet(struct rtp_session *s, struct endpoint *e, const uint8_t *p, size_t n, const struct addr *from); /* STUN */
/* Has the peer checked this way? */
bool agent_accepts(struct rtp_session *s, const struct addr *from);

/* t38_relay.c: UDPTL, in and on to the partner, or to sound and back. from: NULL if the kernel has checked it */
void t38_packet(struct rtp_session *s, uint8_t *packet, size_t n, const struct addr *from);
/* The partner, who is sound, has said this; pcm NULL: it is missing. */
void t38_hear(struct rtp_session *s, int16_t *pcm, size_t n, uint32_t rate_hz);
void t38_tick(struct rtp_session *s);                    /* each 20 ms, while there is a gateway */
void t38_free(struct rtp_session *s);

/* opaque.c: RTP and RTCP that nobody here understands, on to the partner */
void opaque_packet(struct rtp_session *s, uint8_t *packet, size_t n, const struct rtp_packet *h);
bool opaque_rtcp(struct rtp_session *s, const uint8_t *p, size_t n); /* false: malformed */

/* bundle.c: sessions that ride on another one's transport */
int bundle_board(struct rtp_session *s, struct rtp_session *carrier); /* any thread, before s is opened. -ENOMEM */
void bundle_join(struct rtp_session *s);                 /* s is with its carrier's worker, */
void bundle_leave(struct rtp_session *s);                /* and ends; or is a carrier, which does */
void bundle_free(struct rtp_session *s);                 /* loop: after EV_CLOSED */
void bundle_attach(struct worker *w, struct rtp_session *s); /* what rides on s comes along, */
void bundle_detach(struct rtp_session *s);               /* and leaves with it */
void bundle_configure(struct rtp_session *s, const uint32_t pts[4]);
/* Whose it is among all on the transport of s; NULL: its own. */
struct rtp_session *bundle_find(const struct rtp_session *s, const struct rtp_packet *h);
struct rtp_session *bundle_find_rtcp(const struct rtp_session *s, const uint8_t *p, size_t n);
/* A source that s, which rides, is about to send. */
void bundle_said(struct rtp_session *s, uint32_t ssrc);
/* By whose ports and keys it sends; NULL: nobody's any more. */
struct rtp_session *bundle_carrier(const struct rtp_session *s);
static inline struct rtp_session *rtp_session_way(const struct rtp_session *s)
{
	return s->is_rider ? bundle_carrier(s) : (struct rtp_session *)s;
}

/* report.c */
/* RTCP of somebody else's, to its peer: as it is, up to PACKET_MAX. */
void report_pass(struct rtp_session *s, const uint8_t *p, size_t n);
void report_start(struct rtp_session *s);
void report_readable(struct rtp_session *s);
bool report_packet(struct rtp_session *s, const uint8_t *p, size_t n); /* false: malformed */
void report_bye(struct rtp_session *s);

/* quality.c */
void quality_start(struct rtp_session *s);
void quality_stop(struct rtp_session *s);
void quality_end(struct rtp_session *s);                 /* the last interval, however short */
void quality_report(struct rtp_session *s, const struct rtcp_block *b); /* of the peer about us */
void quality_stats(const struct rtp_session *s, struct stream_stats *out); /* worker; loop: after EV_CLOSED */

/* source.c: what a session sends */
bool source_needs_tick(const struct rtp_session *s);
void source_tick(struct rtp_session *s);
void source_none(struct rtp_session *s);                 /* whatever it was, it ends */
void source_bridge(struct rtp_session *a, struct rtp_session *b);
void source_unbridge(struct rtp_session *s);
void source_echo(struct rtp_session *s);
void source_tones(struct rtp_session *s, const struct tone *cadence, unsigned n);

/* digit_send.c: digits beside the source, and beeps */
void digits_add(struct rtp_session *s, char digit, uint32_t ms);
bool digits_are_pending(const struct rtp_session *s);
bool digits_are_sounding(const struct rtp_session *s);   /* audio is held back meanwhile */
void digits_beep(struct rtp_session *s, uint32_t every_ms); /* as in CMD_BEEP */
void digits_attach(struct rtp_session *s);               /* the session is with a worker, */
void digits_detach(struct rtp_session *s);               /* and leaves it */
/* A coded packet or sound that s is about to send; true: it is to be held back. A beep may be in it now. */
bool digits_pass(struct rtp_session *s, enum codec_id codec, uint8_t *payload, size_t len);
bool digits_pass_pcm(struct rtp_session *s, int16_t *pcm, size_t nsamples, uint32_t rate_hz);
static inline bool digits_hold(struct rtp_session *s, enum codec_id codec, uint8_t *payload, size_t len)
{
	return s->digits && digits_pass(s, codec, payload, len);
}
void digits_tick(struct rtp_session *s);                 /* each 20 ms */
void digits_free(struct rtp_session *s);

/* player.c: prepared sound into packets */
void player_start(struct rtp_session *s, struct command *c);
void player_music(struct rtp_session *s, struct command *c);
void player_change_list(struct rtp_session *s, struct command *c);
void player_stop(struct rtp_session *s, enum play_end end); /* nothing without one */
void player_pause(struct rtp_session *s, bool is_paused);
void player_seek(struct rtp_session *s, int32_t by_ms);
void player_digit(struct rtp_session *s, char digit);
void player_tick(struct rtp_session *s);                 /* each 10 ms */

/* mouth.c: sound made here into packets. rate_hz: codec_rate() of the session's codec and of where pcm comes from. */
void mouth_speak(struct rtp_session *s, const int16_t *pcm, size_t nsamples, uint32_t rate_hz);
void mouth_free(struct rtp_session *s);
/* At which sound is best made for it. */
uint32_t mouth_rate(const struct rtp_session *s);
/* The receiver has said anew what it wishes, or what it misses. */
void mouth_tune(struct rtp_session *s);
/* Numbers and sends one packet of our own, so long on the codec's clock: payload lies RTP_HEADER_LEN into packet. */
void mouth_send(struct rtp_session *s, uint8_t *packet, size_t payload_len, uint32_t units);

/* ear.c: what a session hears, as sound: for a partner with another codec, the detector of digits. It sets is_filtered. */
void ear_update(struct rtp_session *s);                  /* allocates or frees it, as it is wanted */
void ear_packet(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, const struct codec *codec);
/* Comfort noise of -level dBov has come. */
void ear_noise(struct rtp_session *s, const struct rtp_packet *h, uint8_t level);
void ear_source_changed(struct rtp_session *s);
bool ear_needs_tick(const struct rtp_session *s);
void ear_tick(struct rtp_session *s);                    /* each 20 ms, unless somebody else takes what is heard: */
/* Writes 20 ms of what is heard; room for FRAME_SAMPLES_MAX. Returns samples, 0: nothing comes. */
size_t ear_take(struct rtp_session *s, int16_t *pcm, uint32_t *rate_hz);
void ear_listen(struct rtp_session *s, unsigned what);   /* bits of enum stream_listen */
void ear_free(struct rtp_session *s);
void ear_heard(const struct rtp_session *s, struct heard *out); /* in all, also by ears before */

/* recording.c */
bool recording_needs_tick(const struct rtp_session *s);
void recording_tap(struct rtp_session *s, struct tap *tap); /* in place of the one before; NULL: none, nor the following */
void recording_tap_said(struct rtp_session *s, struct tap *tap); /* what we say ourselves */
void recording_said(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, size_t len);
void recording_start(struct rtp_session *s, struct command *c);
void recording_stop(struct rtp_session *s, enum record_end end); /* nothing without one */
void recording_digit(struct rtp_session *s, char digit);
/* These may end the recording. */
void recording_packet(struct rtp_session *s, const struct rtp_packet *h, const uint8_t *payload, const struct codec *codec);
void recording_tick(struct rtp_session *s);              /* each 20 ms, while there is one */
void recording_source_changed(struct rtp_session *s);
