/* media.h - streams: RTP sessions on worker threads, driven from the loop.
 *
 * A struct stream is the loop's handle of one RTP session that lives on a media worker. Functions here post
 * commands to that worker and return at once; events come back on the loop thread through stream_handler,
 * never from inside a call of this header.
 *
 *   loop thread: stream_*()  --command queue-->  worker: epoll, 10 ms tick, codecs, relay
 *   loop thread: handlers    <--event queue----
 *
 * What a stream sends is its one source: the partner of a bridge, a player, a shared music source, its own
 * echo, or nothing. What it receives goes to the partner, and besides to a recorder and the digit detector.
 * Whatever the source, the peer hears one RTP source: one SSRC, numbers and time that go on.
 *
 * Whom a stream listens to: with ICE (stream_ice), whom the peer's checks have named. Else the signalled address, or the first other
 * one that sends three packets in a row which form one flow (latch.h). Then it is locked: the socket is connected, and the kernel keeps
 * out what comes from elsewhere (as to a closed port: in its UdpNoPorts), until the peer has said something new, or nothing came for
 * LATCH_SILENCE_MS. With each RTCP interval it lets them in for a moment: whoever is seen then is dropped and counted here, packet by packet, until
 * he has been silent for ten seconds.
 *
 * Owner:  a stream belongs to its maker until on_closed has returned, exactly once, last.
 * Thread: loop thread.
 * Sources: RFC 3550, 3551, 4733, 4961, 7362 (latching, design section 7).
 */
#pragma once

#include <netinet/in.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "media/codec.h"
#include "media/dtls.h"
#include "media/ice.h"
#include "media/latch.h"
#include "media/secure.h"

struct media;
struct stream;
struct capture;
struct sound_list;

struct media_params {
	uv_loop_t *loop;
	const struct log *log;
	unsigned nworkers;            /* 0: one per core */
	unsigned streams_together;    /* a worker gets so many before the next one gets any, unless it is busy; 0: 2048 */
	uint16_t port_min, port_max;  /* RTP ports, even ones are used, RTCP is the next */
	uint32_t rtcp_interval_ms;    /* mean; 0: 5000 (RFC 3550 §6.2) */
	size_t sound_cache_bytes;     /* of prepared sound that is kept while nobody hears it, what was heard last first; 0: 64 MiB */
	/* NULL: the system's, of course. A test's: workers have no threads but run in media_turn(), and what they do depends
	 * on this clock and on what is in their sockets alone. Sound files are still read and written beside all that. */
	const struct clock *clock;
};

int media_new(struct media **out, const struct media_params *p);
/* Asynchronous: streams still open are dropped, their handlers are not called any more (those closed before still hear
 * on_closed); done is called when workers have ended and files are written. */
void media_close(struct media *m, void (*done)(void *arg), void *arg);

/* With a clock of the caller's: all workers do what is due by it, until nothing is. */
void media_turn(struct media *m);

struct media_counters {
	uint64_t packets_received, packets_sent, payloads_mixed, dropped_source, dropped_malformed, dropped_insecure, icmp_errors;
	uint64_t handshakes, handshakes_failed; /* of DTLS: those that came to keys, and the others, strangers' included */
	unsigned streams, sockets_open, sockets_pooled;
	unsigned sounds;               /* prepared and kept: files times codecs; sound_bytes of them */
	size_t sound_bytes;
	uint64_t sounds_made;          /* so often a file was read and encoded */
};
void media_counters(struct media *m, struct media_counters *out); /* approximate, any time */
/* Of the certificate that streams show, as in a=fingerprint. */
const char *media_fingerprint(const struct media *m);

enum stream_dir { STREAM_INACTIVE = 0, STREAM_SEND = 1, STREAM_RECV = 2, STREAM_BOTH = 3 };

struct stream_stats {                  /* totals of a stream */
	uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
	uint32_t lost;                 /* RFC 3550 §6.4.1 cumulative, received side */
	uint32_t remote_lost;          /* as reported by the peer's RTCP */
	uint32_t jitter_us, max_jitter_us;  /* RFC 3550 §6.4.1 interarrival jitter */
	uint32_t rtt_us;               /* 0: unknown */
	uint32_t remote_jitter_us;     /* as reported by it */
	uint32_t dropped_source;       /* packets from elsewhere that we have seen, see above */
	uint32_t dropped_insecure;     /* not protected as agreed, forged or repeated */
	uint32_t icmp_errors;          /* the network said that what we sent can't be delivered */
	uint32_t heard_ms;             /* where we listened ourselves; of it: */
	uint32_t concealed_ms;         /* made up by us; recovered_ms: said again by the next packet (FEC) */
	uint32_t recovered_ms;
	/* Estimated by the E-model (emodel.h), in hundredths; 0: unknown. mos: mean of what came; mos_now: of the last interval. */
	uint16_t mos, mos_now, mos_min;
	uint16_t remote_mos, remote_mos_now, remote_mos_min; /* the same of what we sent, by the peer's reports */
	int64_t mos_min_at_ms;         /* Unix time of the end of the worst interval; 0: none */
	bool latched;                  /* the media address differs from the signalled one */
	enum latch_reason reason;      /* why it is that address */
	int64_t since_ms;              /* Unix time since when */
	uint32_t changes;              /* how often it was learnt */
	struct addr remote;            /* where media went last */
	struct addr signalled;         /* unset: unknown */
	enum codec_id codec;           /* last received */
};

enum play_end { PLAY_DONE, PLAY_STOPPED, PLAY_DIGIT, PLAY_FAILED };
enum record_end { RECORD_STOPPED, RECORD_LIMIT, RECORD_SILENCE, RECORD_DIGIT, RECORD_CLOSED, RECORD_FAILED };

struct record_result {
	enum record_end end;
	uint32_t duration_ms;          /* of audio in the file */
	uint32_t talk_ms;              /* of it, above the silence threshold */
	int err;                       /* negative errno with RECORD_FAILED */
};

/* What is heard by a stream that listens, stream_listen(). */
enum stream_heard {
	STREAM_HEARD_TALK,             /* it begins, or ends; with the length of what was before */
	STREAM_HEARD_SILENCE,
	STREAM_HEARD_CNG,              /* a fax machine calls, or answers; once each, 0 ms */
	STREAM_HEARD_CED,
};

enum stream_insecure { STREAM_WRONG_CERTIFICATE, STREAM_HANDSHAKE_BROKEN, STREAM_HANDSHAKE_TIMEOUT };

struct stream_handler {                /* any may be NULL */
	void (*on_digit)(struct stream *s, char digit, uint32_t duration_ms, void *arg); /* 0-9 * # A-D, once, at its end */
	void (*on_play_end)(struct stream *s, uint32_t play_id, enum play_end end, void *arg);
	void (*on_record_end)(struct stream *s, uint32_t record_id, const struct record_result *r, void *arg);
	/* Its media go to another address than signalled, or than before, or to the one chosen by ICE. */
	void (*on_latched)(struct stream *s, const struct sockaddr *peer, enum latch_reason reason, void *arg);
	void (*on_timeout)(struct stream *s, void *arg); /* once, until another timeout is set */
	void (*on_closed)(struct stream *s, const struct stream_stats *final, void *arg);
	void (*on_talking)(struct stream *s, bool is_talking, void *arg); /* in a mix: begins or ends to talk */
	void (*on_heard)(struct stream *s, enum stream_heard what, uint32_t lasted_ms, void *arg);
	void (*on_unwanted)(struct stream *s, void *arg); /* ICE: the peer's consent has ended, nothing is sent until on_latched */
	/* So far, every 5 s from its first packet on; of all streams of a worker within a tenth of a second at once. */
	void (*on_stats)(struct stream *s, const struct stream_stats *stats, void *arg);
	/* DTLS: media flow from here on; may repeat, with new keys. */
	void (*on_secured)(struct stream *s, enum secure_suite suite, void *arg);
	/* A handshake has failed. Until it is over, once, another may still succeed; then none will, and the stream stays silent. */
	void (*on_insecure)(struct stream *s, enum stream_insecure why, bool is_over, void *arg);
};

struct stream_params {
	const struct sockaddr *local;  /* address to bind (port ignored), or a wildcard of the family */
	struct stream *near;           /* put it on the same worker as this one (its future partner); may be NULL */
	bool is_video;                 /* marked as that on its way (DSCP AF41, RFC 4594 §4.3), else as telephony */
	/* NULL: it has ports of its own. Else it rides on that stream: by its ports, its ICE, its keys (BUNDLE, RFC 9143), and is_opaque. It
	 * is where its carrier is, and is closed with it, before it. local and near don't count then. */
	struct stream *carrier;
};

/* Takes a bound socket pair from the pool, unless it rides. -EADDRINUSE: no port is free. */
int stream_new(struct stream **out, struct media *m, const struct stream_params *p,
	       const struct stream_handler *h, void *arg);
/* The ends of a play and a recording under way are still reported; on_closed follows with the final statistics. */
void stream_close(struct stream *s);
void stream_detach(struct stream *s);          /* forget the handler; on_closed is still called if set, nothing else */
uint16_t stream_port(const struct stream *s);  /* RTP, of the carrier if it rides; RTCP is the next one */
enum codec_id stream_codec(const struct stream *s); /* towards them, as configured; CODEC_NONE: not yet */

/* When tones are digits. */
enum stream_hears {
	STREAM_HEARS_ALONE,            /* while no telephone events are agreed on and it isn't bridged: a bridge passes them as sound */
	STREAM_HEARS_NEVER,
	STREAM_HEARS_ALWAYS,           /* in a bridge, too: a partner who gets digits otherwise doesn't hear the tones */
};

struct stream_config {                 /* what offer/answer agreed; may be set again at any time */
	struct sockaddr_storage remote;      /* signalled address of their RTP; port 0: unknown yet */
	struct sockaddr_storage remote_rtcp;
	enum stream_dir dir;                 /* ours */
	enum codec_id codec;                 /* towards them */
	int send_pt;
	/* every codec they may send us, the agreed one first */
	unsigned nrecv;
	struct { enum codec_id codec; int pt; } recv[8];
	int dtmf_send_pt, dtmf_recv_pt;      /* -1: none */
	uint32_t dtmf_clock_hz;
	enum stream_hears hears;
	bool digits_elsewhere;               /* digits for them go beside the media (SIP INFO): on_digit of the partner tells of them */
	uint32_t ptime_ms;                   /* 10..60, what we send, if the codec can */
	struct opus_params opus;             /* what they wish to get, when codec is Opus */
	bool relearn;                        /* signalling changed the address: learn the source anew */
	uint32_t timeout_ms;                 /* neither RTP nor RTCP for so long, from the call that sets another value on: on_timeout; 0: never */
	bool is_udptl;                       /* a fax as T.38 in place of RTP: packets pass to a partner who is the same */
	/* RTP that is none of ours to understand (video, text): it goes to a partner who is the same, and nowhere else, with its RTCP, source
	 * and numbers as they are. Of the rest here, addresses, dir, timeout_ms and what is below count. */
	bool is_opaque;
	uint32_t opaque_clock_hz;            /* of its timestamps, for the statistics; 0: unknown */
	uint32_t riding_pts[4];              /* of one that rides: a bit each of 128, by which its packets are known among all of its carrier */
	bool rtcp_mux;                       /* RTCP goes where RTP goes (RFC 5761); it may come either way */
	const struct secure_params *security;/* SRTP; NULL: plain RTP. What is not protected so is dropped, nothing else is sent */
	const struct dtls_params *dtls;      /* SRTP with keys by DTLS (dtls_session.h), in the place of security; NULL: none */
};
/* Copies *c. A play or music goes on in the new codec; keys that are as before, with their counters. */
void stream_configure(struct stream *s, const struct stream_config *c);

/* ICE by these credentials of ours (copied), from now on: checks are answered, and until the peer has named an address nothing is sent and
 * no media are taken. Others than before: it restarts. NULL: no ICE, the address of the next stream_configure()
 * counts. May be called before the first stream_configure(), for checks may come as soon as an offer of ours is read. */
void stream_ice(struct stream *s, const struct ice_credentials *ours);

/* ---- sources: each call replaces the one before (a play that is replaced ends with PLAY_STOPPED) ---- */
/* Joins two streams, either way as their directions allow. Same codec: packets are relayed; else transcoded. Streams on two
 * workers: b is handed over to a's worker. */
void stream_bridge(struct stream *a, struct stream *b);
void stream_unbridge(struct stream *s);        /* both partners lose their source */
void stream_echo(struct stream *s);
void stream_silence(struct stream *s);         /* sends nothing */

/* Plays files (any libsndfile format and rate, mono or mixed down), gapless, in order. Decoding and encoding happen once per
 * file and codec and are shared. stop_digits: a digit in it ends the play at once with PLAY_DIGIT (the digit is reported by
 * on_digit too, before). Returns a play id, never 0; its on_play_end comes exactly once, never from inside this call. */
struct play_params {
	const char *const *files;      /* paths; copied */
	unsigned nfiles;
	const char *stop_digits;       /* NULL: none; "0123456789*#" */
	bool loop;
	uint32_t start_ms;             /* into all files together; beyond their end: PLAY_DONE at once */
};
uint32_t stream_play(struct stream *s, const struct play_params *p);
void stream_play_stop(struct stream *s);       /* on_play_end PLAY_STOPPED */
/* Of the play under way, also while its files are still being read; without one nothing happens. In a pause nothing is sent. */
void stream_play_pause(struct stream *s);
void stream_play_resume(struct stream *s);
/* On by so long, or back: at most to the beginning. Beyond the end: PLAY_DONE, or round a loop. */
void stream_play_seek(struct stream *s, int32_t by_ms);

/* Joins the listeners of a music class: one position in time for all, encoded once per codec. files as above, played in a loop.
 * class_key names the source ("demo/default"). */
void stream_music(struct stream *s, const char *class_key, const char *const *files, unsigned nfiles);

/* Country ringback and the like: cadence of tones, in a loop. hz2 0: none. */
struct tone {
	uint16_t hz1, hz2, on_ms, off_ms;
	bool modulates;                /* hz2 isn't heard by itself: it moves the loudness of hz1 */
};
void stream_tones(struct stream *s, const struct tone *cadence, unsigned n);

/* What it is listened to for besides digits, from silence on: bits; 0: nothing any more. Each packet is decoded then. CNG may come as a
 * telephone event as well (RFC 4734 §3.2), which is always told. */
enum stream_listen { STREAM_LISTEN_TALK = 1, STREAM_LISTEN_FAX = 2 };
void stream_listen(struct stream *s, unsigned what);

/* Sends a digit as RFC 4733 events (or in-band tones when none was agreed), beside the source, for DTMF_MIN_MS at least. */
void stream_send_digit(struct stream *s, char digit, uint32_t duration_ms);

/* Records what the stream receives into a WAV file (16-bit PCM, the received codec's rate; Opus at 16 kHz). The file exists with a valid header
 * before the function's command is done and grows as the sound comes. Returns a record id, never 0. */
struct record_params {
	const char *path;              /* created or truncated; copied */
	uint32_t max_ms;               /* 0: no limit */
	uint32_t silence_ms;           /* ends after so much trailing silence; 0: never */
	const char *stop_digits;       /* NULL: none */
};
uint32_t stream_record(struct stream *s, const struct record_params *p);
void stream_record_stop(struct stream *s);

/* ---- conferences ---- */

/* Those who are in a mix hear each other: each all but himself, at the rate of his own codec; of many who talk the loudest (mixer.h). They all
 * are on one worker, where they are brought when they join: what a worker can do is what one mix can have. On a core that does nothing else
 * that is some 2,000 members who all send with G.711 (9 us a packet in and out, of which the kernel takes half), 800 with G.722, 400 with Opus: what
 * the others cost to decode. To who only listens a packet costs hardly more than a relayed one. */
struct mix;

struct mix_handler {                   /* any may be NULL */
	void (*on_play_end)(struct mix *m, uint32_t play_id, enum play_end end, void *arg);
};

struct mix_params {
	unsigned nspeakers;            /* heard at once, 1..6; 0: 4 */
	const struct stream *near;     /* on its worker; may be NULL */
};

/* Belongs to its maker until mix_close(), after which h isn't called any more. Members stay in it until another source of theirs is chosen, or
 * they are closed. */
int mix_new(struct mix **out, struct media *m, const struct mix_params *p, const struct mix_handler *h, void *arg);
void mix_close(struct mix *m);         /* who is still in it hears nothing */

struct mix_member {
	bool is_muted;                 /* the others don't hear it */
	bool is_deaf;                  /* it hears silence */
	int gain_in_db, gain_out_db;   /* of what it says, of what it hears; -40..20 */
};
/* A source like the others above. For who is in it already: he is so from now on. */
void stream_mix(struct stream *s, struct mix *m, const struct mix_member *p);

/* Sound for all who are in it, beside what is said. A play replaces the one before. Of play_params, files alone. */
uint32_t mix_play(struct mix *m, const struct play_params *p);
void mix_play_stop(struct mix *m);
void mix_tones(struct mix *m, const struct tone *cadence, unsigned n); /* once, not in a loop */

/* ---- recordings of calls ----
 *
 * One file for what several streams receive, as long as its owner likes: streams come and go, their peers with them. When something
 * was said goes by when it came, so both sides of a talk lie within 20 ms of each other.
 */
enum capture_format { CAPTURE_WAV, CAPTURE_FLAC, CAPTURE_OPUS };
enum capture_side { CAPTURE_CALLER, CAPTURE_CALLEE }; /* in a file of two channels the left one, the right one */

struct capture_params {
	const char *path;              /* folders are made, a file that is there is left alone; copied */
	enum capture_format format;
	bool is_stereo;                /* else mixed */
	uint32_t rate_hz;              /* 8000, 16000, 24000 or 48000 */
	bool is_paused;                /* until capture_resume() */
};

struct capture_result {
	int err;                       /* 0; else negative errno: the file ends where it failed (-ENOSPC, -EDQUOT, -EFBIG), or there is none */
	uint64_t duration_ms, bytes;   /* of what is in the file */
	uint32_t lost_ms;              /* of a source, silence because the disk was too slow */
};

/* on_end: exactly once, from the loop, after capture_stop() or when the file has failed; the capture is gone when it returns. */
int capture_start(struct capture **out, struct media *m, const struct capture_params *p,
		  void (*on_end)(struct capture *c, const struct capture_result *r, void *arg), void *arg);
void capture_stop(struct capture *c);
void capture_pause(struct capture *c);         /* nothing that is said until capture_resume() gets into the file */
void capture_resume(struct capture *c);
/* What s receives is heard on that side from now on, until another capture takes it, the stream ends, or c is NULL. What its peer hears of
 * us, prompts, music, tones, a conference, is on the other side: there he is who talks with it. */
void stream_capture(struct stream *s, struct capture *c, enum capture_side side);
/* All that is said in the mix is heard, and its announcements and tones; until another capture takes it, the mix is closed, or c is NULL. */
void mix_capture(struct mix *m, struct capture *c);

/* The beep that tells who is recorded: a short tone beside the source, at once and then each every_s seconds; 0: at once only; negative: no
 * more. Where the codec allows it (G.711, L16, and where the sound is made by us anyway) it is added to what is heard, else it takes its place. */
void stream_beep(struct stream *s, int every_s);
#define BEEP_TONE ((struct tone){ .hz1 = 1400, .on_ms = 200 }) /* FCC 47 CFR 64.501: 1260..1540 Hz, 170..250 ms, each 12..15 s */

/* Forgets a cached sound (a prompt was changed). */
void media_sound_forget(struct media *m, const char *file);
