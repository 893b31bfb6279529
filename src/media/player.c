/* player.c - sends prepared sound: files for one listener, or music that many hear at one position.
 *
 * The frames are encoded already and shared (sound.h); a packet is a few copied bytes and a header. A file player counts its own
 * frames; music computes the position from the clock, so all listeners of a class agree without sharing anything
 * that changes. A list in another codec than the stream's (the call was renegotiated) is silent until the loop has
 * sent the right one; time goes on meanwhile.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

struct player {
	uint32_t id;             /* 0: music */
	struct playlist *list;
	bool loop, is_paused;
	uint32_t at;             /* next frame */
	uint64_t epoch_us;
	uint32_t waiting_ms;     /* since the last packet */
	char stop_digits[STOP_DIGITS_MAX + 1];
};

static uint32_t frame_ms(const struct playlist *list) { return codec_get(playlist_codec(list))->frame_ms; }

static void player_free(struct rtp_session *s)
{
	playlist_unref(s->player->list);
	free(s->player);
	s->player = NULL;
}

static void play_end(struct rtp_session *s, uint32_t id, enum play_end end)
{
	struct event e = { .play = { .id = id, .end = end } };

	rtp_session_event(s, EV_PLAY_END, &e);
}

static struct player *player_new(struct rtp_session *s, struct command *c)
{
	source_none(s);
	s->player = calloc(1, sizeof(*s->player));
	if (!s->player) {
		playlist_unref(c->play->list);
		return NULL;
	}
	s->player->id = c->play->id;
	s->player->list = c->play->list;
	s->player->loop = c->play->loop;
	s->player->is_paused = c->play->is_paused;
	s->player->waiting_ms = 60; /* the first packet leaves with the next tick */
	memcpy(s->player->stop_digits, c->play->stop_digits, sizeof(s->player->stop_digits));
	rtp_session_update_tick(s);
	return s->player;
}

/* To a frame of the list; round a loop, or to the end. */
static void player_go_to(struct rtp_session *s, int64_t frame)
{
	struct player *p = s->player;
	int64_t nframes = playlist_nframes(p->list);

	if (frame < 0)
		frame = 0;
	if (p->loop && nframes > 0)
		frame %= nframes;
	if (frame >= nframes)
		player_stop(s, PLAY_DONE);
	else
		p->at = (uint32_t)frame;
}

void player_start(struct rtp_session *s, struct command *c)
{
	uint32_t id = c->play->id;

	if (!player_new(s, c)) {
		play_end(s, id, PLAY_FAILED);
		return;
	}
	player_go_to(s, c->play->start_ms / frame_ms(s->player->list));
}

void player_music(struct rtp_session *s, struct command *c)
{
	struct player *p = player_new(s, c);

	if (p)
		p->epoch_us = c->play->epoch_us;
}

void player_change_list(struct rtp_session *s, struct command *c)
{
	if (!s->player || s->player->id != c->play->id) {
		playlist_unref(c->play->list);
		return;
	}
	/* The same moment, if frames are of another length. */
	s->player->at = s->player->at * frame_ms(s->player->list) / frame_ms(c->play->list);
	playlist_unref(s->player->list);
	s->player->list = c->play->list;
}

void player_stop(struct rtp_session *s, enum play_end end)
{
	uint32_t id;

	if (!s->player)
		return;
	id = s->player->id;
	player_free(s);
	rtp_tx_resync(&s->tx);
	if (id)
		play_end(s, id, end);
	rtp_session_update_tick(s);
}

void player_pause(struct rtp_session *s, bool is_paused)
{
	struct player *p = s->player;

	if (!p || !p->id || p->is_paused == is_paused)
		return;
	p->is_paused = is_paused;
	p->waiting_ms = 60;
	rtp_tx_resync(&s->tx);
}

void player_seek(struct rtp_session *s, int32_t by_ms)
{
	struct player *p = s->player;

	if (p && p->id)
		player_go_to(s, (int64_t)p->at + by_ms / (int32_t)frame_ms(p->list));
}

void player_digit(struct rtp_session *s, char digit)
{
	if (s->player && digit && strchr(s->player->stop_digits, digit))
		player_stop(s, PLAY_DIGIT);
}

/* Copies the next frames, at most n; returns how many there were, and their bytes. */
static unsigned player_read(struct player *p, unsigned n, uint8_t *out, size_t *len)
{
	uint32_t nframes = playlist_nframes(p->list);

	*len = 0;
	for (unsigned i = 0; i < n; i++, p->at++) {
		const uint8_t *frame;
		size_t bytes;

		if (p->at >= nframes) {
			if (!p->loop && p->id)
				return i;
			p->at = 0;
		}
		frame = playlist_frame(p->list, p->at, &bytes);
		if (bytes > CODEC_PAYLOAD_MAX - *len)
			return n;
		memcpy(out + *len, frame, bytes);
		*len += bytes;
	}
	return n;
}

/* Frames in a packet: as agreed, but for codecs whose frames can't be joined. A list that is still in another codec than was
 * agreed meanwhile may have frames that are longer than a packet shall be. */
static unsigned packet_frames(const struct rtp_session *s, const struct codec *codec)
{
	unsigned n = codec->group_bytes ? s->config.ptime_ms / codec->frame_ms : 1;

	return n ? n : 1;
}

void player_tick(struct rtp_session *s)
{
	struct player *p = s->player;
	const struct codec *codec = codec_get(playlist_codec(p->list));
	uint8_t packet[RTP_HEADER_LEN + CODEC_PAYLOAD_MAX];
	uint32_t nframes = playlist_nframes(p->list);
	unsigned want = packet_frames(s, codec), n;
	size_t len;

	if (p->is_paused)
		return;
	p->waiting_ms += 10;
	if (p->waiting_ms < want * codec->frame_ms)
		return;
	p->waiting_ms = 0;
	if (nframes == 0)
		return;
	if (p->id == 0)
		p->at = (uint32_t)((s->worker->tick_us - p->epoch_us) / (1000u * codec->frame_ms) % nframes);
	n = player_read(p, want, packet + RTP_HEADER_LEN, &len);
	if (len > 0 && codec->id == s->config.codec && !digits_hold(s, codec->id, packet + RTP_HEADER_LEN, len))
		mouth_send(s, packet, len, n * codec->frame_ms * codec->clock_hz / 1000);
	if (n < want || (!p->loop && p->id && p->at >= nframes))
		player_stop(s, PLAY_DONE);
}
