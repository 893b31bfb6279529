/* stream_int.h - the loop's side of media: what media.c, stream.c and their like share.
 *
 * Thread: the loop's, all of it, except the events queue.
 */
#pragma once

#include "media/media_int.h"

struct media {
	uv_loop_t *loop;
	const struct log *log;
	struct ports *ports;
	struct worker *workers;
	unsigned nworkers;
	struct mqueue events;             /* from all workers */
	uv_async_t wake;
	struct stream *streams;
	unsigned nstreams;
	struct msg *deferred, **deferred_tail; /* commands that wait for a handover */
	bool is_closing, is_ending;
	void (*done)(void *arg);
	void *arg;
};

struct stream {
	struct stream *prev, *next;
	struct media *media;
	struct worker *worker;            /* where the session is, or leaves from */
	struct worker *move_to;
	struct session *session;          /* the worker's; not looked into here until it is closed */
	struct port_pair *pair;
	struct stream_handler handler;
	void *arg;
	bool is_moving, is_closing;
	unsigned ndeferred;               /* commands of ours in media.deferred */
	struct command open, release, adopt, close; /* in here, because they must not fail for want of memory */
};

/* A command for s with extra bytes of zeroed room behind it; NULL (logged) without memory, or when s is closing.
 * stream_post() takes it over. */
struct command *stream_command(struct stream *s, enum command_type type, size_t extra);
void stream_post(struct command *c);
void stream_moved(struct stream *s);
void stream_closed(struct stream *s);
