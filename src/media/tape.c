/* tape.c - the deep buffer of a recording (see tape.h).
 *
 * Packets are kept encoded, in slots of at most 20 ms where their codec lets them be cut, sorted by position. What lies at the front is taken as soon as nothing
 * is missing before it; decoding is the taker's, in order.
 */
#include "media/tape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 192              /* TAPE_DEPTH_MS in packets of 10 ms, and as much again */
#define SLOT_BYTES CODEC_UNCUT_MAX
#define CHUNKS_MAX 10          /* slots a packet may fill */
#define UNITS_PER_MS (TAPE_HZ / 1000)
#define JUMP (2000 * UNITS_PER_MS)         /* timestamps this far away belong to a new timeline */
#define REORDER (60 * UNITS_PER_MS)        /* the first to come may not be the first that was sent */
#define DEPTH ((int64_t)TAPE_DEPTH_MS * UNITS_PER_MS)
#define PIECE (TAPE_PIECE_MS * UNITS_PER_MS)

struct slot {
	int64_t pos, end;
	enum codec_id codec;
	uint16_t len;
	uint8_t data[SLOT_BYTES];
};

struct tape {
	int64_t taken;         /* all before has been taken */
	int64_t present;
	int64_t settled;       /* before this nothing more will come */
	bool is_anchored;
	unsigned anchors;
	uint32_t newest_ts;    /* end of the newest packet, on its clock ... */
	int64_t newest;        /* ... and on ours */
	uint32_t clock_hz;
	unsigned n;
	uint8_t order[SLOTS];  /* indexes of slots: the first n are used, by position; the others are free */
	struct slot slots[SLOTS];
};

struct tape *tape_new(void)
{
	struct tape *t = malloc(sizeof(*t)); /* slots are touched only when something is missing */

	if (!t)
		return NULL;
	memset(t, 0, offsetof(struct tape, slots));
	for (unsigned i = 0; i < SLOTS; i++)
		t->order[i] = (uint8_t)i;
	return t;
}

void tape_free(struct tape *t)
{
	free(t);
}

void tape_reset(struct tape *t)
{
	t->is_anchored = false;
}

void tape_pass(struct tape *t, uint32_t ms)
{
	t->present += (int64_t)ms * UNITS_PER_MS;
}

int64_t tape_present(const struct tape *t)
{
	return t->present;
}

int64_t tape_newest(const struct tape *t)
{
	return t->newest;
}

unsigned tape_anchors(const struct tape *t)
{
	return t->anchors;
}

/* ---- in ---- */

/* Where a packet with this timestamp, so long, belongs. */
static int64_t place(struct tape *t, const struct codec *c, uint32_t ts, int64_t length)
{
	int64_t pos = t->newest + (int64_t)(int32_t)(ts - t->newest_ts) * TAPE_HZ / c->clock_hz;
	bool is_newest = pos >= t->newest;

	if (t->is_anchored && t->clock_hz == c->clock_hz && pos <= t->present + JUMP && pos >= t->newest - JUMP &&
	    (!is_newest || pos >= t->taken))
		return pos;
	t->is_anchored = true;
	t->anchors++;
	t->clock_hz = c->clock_hz;
	pos = t->present - length > t->newest ? t->present - length : t->newest;
	if (pos < t->taken)
		pos = t->taken;
	t->settled = pos - REORDER;
	t->newest = pos;
	t->newest_ts = ts;
	return pos;
}

static void put_slot(struct tape *t, const struct codec *c, int64_t pos, int64_t end, const uint8_t *payload, size_t len)
{
	unsigned at = t->n;
	uint8_t index;
	struct slot *s;

	while (at > 0 && t->slots[t->order[at - 1]].pos > pos)
		at--;
	if (end <= t->taken || t->n == SLOTS || (at > 0 && t->slots[t->order[at - 1]].pos == pos))
		return; /* too late, or a duplicate */
	index = t->order[t->n];
	memmove(t->order + at + 1, t->order + at, t->n - at);
	t->order[at] = index;
	t->n++;
	s = &t->slots[index];
	s->pos = pos;
	s->end = end;
	s->codec = c->id;
	s->len = (uint16_t)len;
	memcpy(s->data, payload, len);
}

/* Bytes that are kept together. */
static size_t chunk_bytes(const struct codec *c)
{
	if (!c->group_bytes)
		return SLOT_BYTES;
	return codec_bytes(c, codec_bytes(c, TAPE_PIECE_MS) > SLOT_BYTES ? TAPE_PIECE_MS / 2 : TAPE_PIECE_MS);
}

int tape_put(struct tape *t, enum codec_id codec, uint32_t ts, const uint8_t *payload, size_t len)
{
	const struct codec *c = codec_get(codec);
	size_t chunk = chunk_bytes(c);
	int64_t pos, length = (int64_t)codec_units(c, payload, len) * TAPE_HZ / c->clock_hz;

	if (length == 0 || len > (c->group_bytes ? CHUNKS_MAX * chunk : chunk))
		return -EINVAL;
	pos = place(t, c, ts, length);
	while (len > 0) {
		size_t n = len < chunk ? len : chunk;
		uint32_t units = codec_units(c, payload, n);
		int64_t end = pos + (int64_t)units * TAPE_HZ / c->clock_hz;

		put_slot(t, c, pos, end, payload, n);
		pos = end;
		ts += units;
		payload += n;
		len -= n;
	}
	if (pos > t->newest) {
		t->newest = pos;
		t->newest_ts = ts;
	}
	if (t->present < pos)
		t->present = pos;
	return 0;
}

/* ---- out ---- */

static struct slot *take_first(struct tape *t)
{
	uint8_t index = t->order[0];

	memmove(t->order, t->order + 1, --t->n);
	t->order[t->n] = index;
	return &t->slots[index];
}

/* Up to where what is missing is silence. */
static int64_t silent_until(const struct tape *t, bool is_end)
{
	int64_t until = t->present - DEPTH > t->settled ? t->present - DEPTH : t->settled;

	if (is_end || t->n > SLOTS - CHUNKS_MAX)
		until = t->present;
	if (t->n > 0 && t->slots[t->order[0]].pos < until)
		until = t->slots[t->order[0]].pos;
	return until < t->present ? until : t->present;
}

bool tape_take(struct tape *t, bool is_end, struct tape_piece *out)
{
	while (t->n > 0 && t->slots[t->order[0]].pos <= t->taken) {
		const struct slot *s = take_first(t);

		if (s->end <= t->taken)
			continue;
		*out = (struct tape_piece){ .pos = t->taken, .end = s->end, .codec = s->codec, .payload = s->data, .len = s->len,
					    .skip = t->taken - s->pos };
		t->taken = s->end;
		return true;
	}
	if (silent_until(t, is_end) <= t->taken)
		return false;
	*out = (struct tape_piece){ .pos = t->taken, .end = silent_until(t, is_end) };
	if (out->end - out->pos > PIECE)
		out->end = out->pos + PIECE;
	t->taken = out->end;
	return true;
}
