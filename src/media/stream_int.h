/* stream_int.h - the loop's side of media: what media.c, stream.c and their like share.
 *
 * Thread: the loop's, all of it, except the events queue.
 */
#pragma once

#include "media/media_int.h"

struct music {                            /* a class: one position in time for all its listeners */
	struct music *next;
	uint64_t epoch_us;
	char key[];
};

struct mix {                              /* mix.c */
	struct mix *prev, *next;
	struct media *media;
	struct worker *worker;            /* where all its members are brought */
	struct mixing *mixing;            /* the worker's; not looked into here until it is closed */
	struct mix_handler handler;
	void *arg;
	bool is_closing;
	unsigned ndeferred;               /* commands in media.deferred that name it: it is closed when there are none */
	uint32_t play_id;                 /* of the announcement that is being loaded; 0: none */
	struct sound_request *request;
	struct capture *capture;          /* hears it; NULL: none */
	struct command close;
};

struct media {
	uv_loop_t *loop;
	const struct log *log;
	const struct clock *clock;        /* as in media_params */
	struct ports *ports;
	struct worker *workers;
	unsigned nworkers, streams_together;
	struct sounds *sounds;
	struct dtls_identity *identity;
	struct recorders *recorders;      /* made with the first recording */
	struct reels *reels;              /* made with the first of a call */
	struct capture *captures;         /* that have not ended */
	struct dump *dumps;               /* the same */
	struct music *music;
	uint32_t next_id;                 /* of plays and recordings */
	struct mqueue events;             /* from all workers */
	uv_async_t wake;
	uv_prepare_t flush;               /* active when workers shall be given their commands with this turn of the loop, */
	uv_timer_t flush_later;           /* or with a later one */
	uint64_t flushed_ms;
	unsigned handles;                 /* of these three, open */
	struct stream *streams;
	unsigned nstreams;
	struct mix *mixes;
	struct msg *deferred, **deferred_tail; /* commands that wait for a handover */
	bool is_closing, is_ending;
	void (*done)(void *arg);
	void *arg;
};

/* What shall be played, kept to load it again should the codec change under way. */
struct wish {
	enum { WISH_NONE, WISH_PLAY, WISH_MUSIC } kind;
	uint32_t id;                      /* of the play; of music: 0 */
	bool is_sent;                     /* the worker has it */
	bool loop;
	bool is_paused;                   /* and where it begins: what was asked for before it was sent */
	uint32_t start_ms;
	enum codec_id codec;              /* it was asked for in */
	uint64_t epoch_us;
	struct sound_request *request;    /* under way */
	char **files;
	unsigned nfiles;
	char stop_digits[STOP_DIGITS_MAX + 1];
};

struct stream {
	struct stream *prev, *next;
	struct media *media;
	struct worker *worker;            /* where the session is, or leaves from */
	struct worker *move_to;
	struct rtp_session *session;          /* the worker's; not looked into here until it is closed */
	struct port_pair *pair;           /* NULL: it rides on its carrier, which comes after all riders of its list, closed or not */
	struct stream *carrier, *riders, *rider_next;
	struct stream_handler handler;
	void *arg;
	bool is_moving, is_closing, is_closed;
	bool is_dumped;                   /* one of media.dumps is its own */
	enum codec_id codec;              /* as configured */
	struct secure_params *security;   /* as configured; NULL: plain RTP, or DTLS: */
	uint32_t dtls;                    /* the number of its association, 0: none */
	struct wish wish;
	struct capture *capture;          /* hears it; NULL: none */
	struct stream *capture_prev, *capture_next;
	enum capture_side capture_side;   /* of it, */
	bool is_said_captured;            /* and what we say ourselves is heard, too, on the other one */
	unsigned nrecordings;             /* that have not reported their end: the stream stays until they have */
	unsigned ndeferred;               /* commands of ours, and of our riders, in media.deferred */
	struct command enter, release, close; /* open or adopt, ...: in here, because they must not fail for want of memory */
};

_Static_assert(sizeof(struct stream) <= 512, "a call has two");

/* A command for s with extra bytes of zeroed room behind it; NULL (logged) without memory, or when s is closing.
 * stream_post() takes it over. */
struct command *stream_command(struct stream *s, enum command_type type, size_t extra);
void stream_post(struct command *c);
void stream_moved(struct stream *s);
void stream_closed(struct stream *s);     /* EV_CLOSED */
void stream_record_ended(struct stream *s);
/* The worker that has time, or that of near, if that isn't NULL. */
struct worker *worker_choose(struct media *m, const struct stream *near);
uint32_t media_new_id(struct media *m);   /* of a play or a recording; never 0 */
void media_check_end(struct media *m);    /* a stream or mix has gone: was it the last one? */

/* mix.c */
void mix_event(const struct event *e);
void mix_tap(struct mix *m, struct tap *tap, uint32_t rate_hz); /* NULL: none */
void mix_check_closing(struct mix *m);    /* no command waits any more that names it */

/* capture.c */
void capture_stream_closing(struct stream *s);
void capture_mix_closing(struct mix *m);
/* The stream is going to say something of its own. */
void capture_said(struct stream *s);
void capture_ended(struct capture *c);    /* EV_CAPTURE_END */
void captures_stop(struct media *m);      /* their owners hear nothing any more */

/* dump.c */
void dump_stream_closing(struct stream *s);
void dump_chunk_come(struct chunk *k);    /* EV_DUMP */
void dump_ended(struct dump *d);          /* EV_DUMP_END */
void dumps_stop(struct media *m);         /* their owners hear nothing any more */

/* play.c */
/* Another source takes over, or the end: what was not sent yet is reported as stopped. */
void wish_clear(struct stream *s, enum play_end end);
void wish_codec_changed(struct stream *s);
/* The worker reports an end, or a digit while the sound was still being loaded. */
void wish_ended(struct stream *s, uint32_t id);
void wish_digit(struct stream *s, char digit);
