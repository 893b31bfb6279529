/* jitter.c - the jitter buffer (see jitter.h).
 *
 * Packets are cut into slots of at most 20 ms, where their codec lets them be cut, and found by their timestamp. next_ts is what shall be heard next; it
 * moves by 10 ms with every jitter_get() while playing, so the distance from it to the newest packet is the
 * delay. The delay grows by letting next_ts stand still for a frame (the frame is concealed), or by going back to what
 * comes just after it was concealed, and shrinks by leaving out a frame: at first only quiet ones, which nobody misses; when
 * there are none of them, next_ts jumps.
 */
#include "media/jitter.h"

#include <errno.h>
#include <spandsp.h>
#include <stdlib.h>
#include <string.h>

#include "media/conceal.h"

#define SLOTS 32
#define SLOT_MS 20
#define CHUNKS_MAX 10          /* slots a packet may fill */
#define FEC_MAX_MS 60          /* no frame of Opus is longer, so none tells more of the one before */
#define CONCEAL_MAX_MS 60      /* nothing came for so long: a pause, not a loss */
#define DTX_MAX_MS 1000        /* an announced pause has a sign of life each 400 ms */
#define NOISE_MAX_MS 30000     /* comfort noise is renewed when it likes (RFC 3389 §4) */
#define GROW_MS 10
#define CALM_FRAMES 1000       /* 10 s without a late packet: try with less delay; */
#define CALM_SPREAD 100        /* 1 s is enough where the packets' spread is less than it */
#define SPREAD_FRAMES 400      /* for so long a spread is remembered, and as long again */
#define SLACK_MS 40            /* buffered beyond the target: catch up */
#define FAT_QUIET 20           /* frames for which so much is buffered before quiet ones are left out, */
#define FAT_ANY 300            /* and before any are: words have pauses between them */
#define QUIET_POWER 34000      /* mean square: -45 dB of full scale */
#define JUMP_MS 2000           /* timestamps this far away belong to a new timeline */

struct slot {
	bool used;
	uint32_t ts;
	uint16_t len, units;   /* bytes; length on the timestamp's clock */
	uint8_t *data;
};

struct jitter {
	const struct codec *codec;
	uint32_t rate_hz;
	size_t slot_bytes;
	struct decoder *decoder;
	struct conceal *conceal; /* NULL: the codec conceals by itself */
	enum { EMPTY, FILLING, PLAYING } state;
	uint32_t next_ts;      /* EMPTY: unset; FILLING: of the first packet */
	uint32_t newest_ts;    /* end of the newest slot */
	uint32_t waited_ms;    /* FILLING: since the first packet */
	uint32_t missing_ms;   /* PLAYING: concealed in a row */
	uint32_t skipped;      /* and how far next_ts has moved on meanwhile */
	uint32_t hold_ms;      /* to let the delay grow by */
	uint32_t target_ms;
	bool is_fixed;         /* at it: data, not speech */
	uint32_t clock;        /* of ours, in units of the timestamp's; stands still while EMPTY */
	struct {               /* arrivals against timestamps: how far apart the earliest and the latest are */
		uint32_t base; /* clock less timestamp of the first packet */
		int32_t min, max; /* of this run of packets, against it */
		uint32_t now, before; /* widest, in the window that goes on and the one before; in units */
		unsigned frames;
	} spread;
	uint32_t calm, fat;    /* frames since the last late packet; with too much buffered */
	bool has_left_out;     /* the frame before */
	bool has_noise;        /* from noise_ts on, until a later packet */
	uint32_t noise_ts;
	noise_state_t *noise;  /* made with the first of it */
	int16_t *fifo;
	size_t nfifo, fifo_size;
	struct jitter_stats stats;
	struct slot slots[SLOTS];
	/* behind it: the fifo, and the slots' bytes, which are touched only when so much is buffered */
};

static uint32_t units_of_ms(const struct jitter *j, uint32_t ms) { return (uint32_t)((uint64_t)j->codec->clock_hz * ms / 1000); }
static uint32_t ms_of_units(const struct jitter *j, uint32_t units) { return (uint32_t)((uint64_t)units * 1000 / j->codec->clock_hz); }
static size_t samples_of(const struct jitter *j, uint32_t units) { return (size_t)units * j->rate_hz / j->codec->clock_hz; }

/* Bytes that are kept together: what can't be cut, or 20 ms. */
static size_t chunk_bytes(const struct codec *c)
{
	return c->group_bytes ? codec_bytes(c, SLOT_MS) : CODEC_UNCUT_MAX;
}

struct jitter *jitter_new(enum codec_id codec, uint32_t rate_hz)
{
	const struct codec *c = codec_get(codec);
	/* The longest slot, and a frame that was begun. */
	size_t fifo = rate_hz / 1000 * ((c->group_bytes ? SLOT_MS : CODEC_FRAME_MAX_MS) + 20), chunk = chunk_bytes(c);
	struct jitter *j = calloc(1, sizeof(*j) + fifo * sizeof(*j->fifo) + SLOTS * chunk);
	uint8_t *bytes;

	if (!j)
		return NULL;
	j->codec = c;
	j->rate_hz = rate_hz;
	j->slot_bytes = chunk;
	j->fifo = (int16_t *)(j + 1);
	j->fifo_size = fifo;
	bytes = (uint8_t *)(j->fifo + fifo);
	for (unsigned i = 0; i < SLOTS; i++)
		j->slots[i].data = bytes + i * chunk;
	j->target_ms = JITTER_START_MS;
	j->decoder = decoder_new(codec, rate_hz);
	if (j->decoder && !codec_conceals(c))
		j->conceal = conceal_new(rate_hz);
	if (!j->decoder || (!j->conceal && !codec_conceals(c))) {
		jitter_free(j);
		return NULL;
	}
	return j;
}

void jitter_free(struct jitter *j)
{
	if (!j)
		return;
	decoder_free(j->decoder);
	if (j->noise)
		noise_free(j->noise);
	conceal_free(j->conceal);
	free(j);
}

void jitter_fix(struct jitter *j, uint32_t delay_ms)
{
	j->is_fixed = true;
	j->target_ms = delay_ms;
}

bool jitter_is_fixed(const struct jitter *j) { return j->is_fixed; }
enum codec_id jitter_codec(const struct jitter *j) { return j->codec->id; }
uint32_t jitter_rate(const struct jitter *j) { return j->rate_hz; }
bool jitter_is_idle(const struct jitter *j) { return j->state == EMPTY; }

void jitter_reset(struct jitter *j)
{
	for (unsigned i = 0; i < SLOTS; i++)
		j->slots[i].used = false;
	j->state = EMPTY;
	j->has_noise = false;
	j->nfifo = 0;
	j->hold_ms = j->missing_ms = j->skipped = j->waited_ms = j->fat = 0;
}

void jitter_get_stats(const struct jitter *j, struct jitter_stats *out)
{
	*out = j->stats;
	out->delay_ms = j->target_ms;
	out->next_ts = j->next_ts - (uint32_t)(j->nfifo * j->codec->clock_hz / j->rate_hz); /* the rest of a packet is decoded already */
}

/* ---- how late packets come ---- */

/* The clock moves in frames, so a packet may have come 10 ms before. */
static uint32_t spread_ms(const struct jitter *j)
{
	uint32_t most = j->spread.now > j->spread.before ? j->spread.now : j->spread.before;

	return ms_of_units(j, most) / 10 * 10 + GROW_MS;
}

/* The delay with which all packets of late would have been in time. */
static uint32_t wanted_ms(const struct jitter *j)
{
	uint32_t ms = spread_ms(j);

	return ms < JITTER_MIN_MS ? JITTER_MIN_MS : ms > JITTER_MAX_MS ? JITTER_MAX_MS : ms;
}

/* A new run of packets: its timestamps say nothing about those before. */
static void spread_begin(struct jitter *j, uint32_t ts)
{
	j->spread.base = j->clock - ts;
	j->spread.min = j->spread.max = 0;
}

static void spread_packet(struct jitter *j, uint32_t ts)
{
	int32_t d = (int32_t)(j->clock - ts - j->spread.base);

	if (d < j->spread.min)
		j->spread.min = d;
	if (d > j->spread.max)
		j->spread.max = d;
	if ((uint32_t)(j->spread.max - j->spread.min) > j->spread.now)
		j->spread.now = (uint32_t)(j->spread.max - j->spread.min);
}

/* After a window what is measured begins anew, so that drift doesn't add up. */
static void spread_pass(struct jitter *j)
{
	j->clock += units_of_ms(j, 10);
	if (++j->spread.frames < SPREAD_FRAMES)
		return;
	j->spread.frames = 0;
	j->spread.before = j->spread.now;
	j->spread.now = 0;
	j->spread.base += (uint32_t)j->spread.min;
	j->spread.max = j->spread.min = 0;
}

/* ---- in ---- */

/* Too late to be heard: the next ones shall have more time. */
static void late(struct jitter *j, uint32_t behind_units)
{
	uint32_t behind_ms = ms_of_units(j, behind_units) + GROW_MS;

	j->stats.late++;
	j->calm = 0;
	if (j->hold_ms > 0 || j->is_fixed) /* already growing because of the one before */
		return;
	if (j->target_ms + behind_ms > JITTER_MAX_MS)
		behind_ms = j->target_ms < JITTER_MAX_MS ? JITTER_MAX_MS - j->target_ms : 0;
	behind_ms = behind_ms / 10 * 10;
	j->target_ms += behind_ms;
	j->hold_ms = behind_ms;
}

/* What should have been heard while we concealed comes now: so it is heard now, and all from here on so much later. Nothing
 * is lost then, where leaving it out would cost a gap and waiting for the rest another. */
static bool go_back(struct jitter *j, uint32_t ts)
{
	uint32_t behind = j->next_ts - ts;

	if (j->is_fixed || behind > j->skipped || j->target_ms + ms_of_units(j, behind) > JITTER_MAX_MS)
		return false;
	j->stats.late++;
	j->calm = 0;
	j->skipped -= behind;
	j->target_ms += (ms_of_units(j, behind) + 9) / 10 * 10;
	j->next_ts = ts;
	return true;
}

static struct slot *slot_for(struct jitter *j, uint32_t ts)
{
	struct slot *oldest = &j->slots[0], *free_slot = NULL;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &j->slots[i];

		if (!s->used) {
			if (!free_slot)
				free_slot = s;
			continue;
		}
		if (s->ts == ts)
			return NULL; /* a duplicate */
		if (!oldest->used || (int32_t)(s->ts - oldest->ts) < 0)
			oldest = s;
	}
	if (free_slot)
		return free_slot;
	/* Full: far too much is buffered; what is oldest goes, and we go on behind it. */
	j->stats.overrun++;
	if ((int32_t)(oldest->ts + oldest->units - j->next_ts) > 0)
		j->next_ts = oldest->ts + oldest->units;
	return oldest;
}

static void put_slot(struct jitter *j, uint32_t ts, const uint8_t *payload, size_t len, uint32_t units)
{
	struct slot *s;

	if (j->state == PLAYING && (int32_t)(ts - j->next_ts) < 0 && !go_back(j, ts) && (int32_t)(ts + units - j->next_ts) <= 0) {
		late(j, j->next_ts - (ts + units));
		return;
	}
	s = slot_for(j, ts);
	if (!s)
		return;
	s->used = true;
	s->ts = ts;
	s->len = (uint16_t)len;
	s->units = (uint16_t)units;
	memcpy(s->data, payload, len);
	if (j->state == FILLING && (int32_t)(ts - j->next_ts) < 0)
		j->next_ts = ts; /* the first to come was not the first to be sent */
	if ((int32_t)(ts + units - j->newest_ts) > 0)
		j->newest_ts = ts + units;
}

/* So far away, either way, that the sender has begun anew. Half of all numbers away has no sign: that isn't asked. */
static bool is_jump(const struct jitter *j, uint32_t ts)
{
	uint32_t most = units_of_ms(j, JUMP_MS);

	return j->state != EMPTY && ts - j->next_ts + most > 2 * most;
}

int jitter_put(struct jitter *j, uint32_t ts, const uint8_t *payload, size_t len)
{
	size_t chunk = j->slot_bytes;

	if (codec_units(j->codec, payload, len) == 0 || len > (j->codec->group_bytes ? CHUNKS_MAX * chunk : chunk))
		return -EINVAL;
	if (is_jump(j, ts))
		jitter_reset(j);
	if (j->state == EMPTY) {
		j->state = FILLING;
		j->next_ts = j->newest_ts = ts;
		j->waited_ms = 0;
		spread_begin(j, ts);
		/* The first one may itself be as late as packets get: to add all of that again would double it. */
		if (j->target_ms > JITTER_START_MS && !j->is_fixed)
			j->target_ms = JITTER_START_MS;
	}
	spread_packet(j, ts);
	while (len > 0) {
		size_t n = len < chunk ? len : chunk;
		uint32_t units = codec_units(j->codec, payload, n);

		put_slot(j, ts, payload, n, units);
		ts += units;
		payload += n;
		len -= n;
	}
	return 0;
}

void jitter_put_noise(struct jitter *j, uint32_t ts, unsigned level)
{
	if (is_jump(j, ts))
		jitter_reset(j);
	if (j->state == EMPTY) {
		j->state = PLAYING;
		j->next_ts = j->newest_ts = ts;
		j->missing_ms = j->hold_ms = j->skipped = 0;
	}
	j->noise = noise_init_dbov(j->noise, (int)ts, -(float)level, NOISE_CLASS_AWGN, 4);
	j->has_noise = j->noise != NULL;
	j->noise_ts = ts;
	j->missing_ms = 0;
}

/* ---- out ---- */

static uint32_t buffered_ms(const struct jitter *j)
{
	int32_t units = (int32_t)(j->newest_ts - j->next_ts);

	return units > 0 ? ms_of_units(j, (uint32_t)units) : 0;
}

/* The slot that covers next_ts, or NULL. What lies wholly behind is dropped on the way. */
static struct slot *slot_due(struct jitter *j)
{
	struct slot *due = NULL;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &j->slots[i];

		if (!s->used)
			continue;
		if ((int32_t)(s->ts + s->units - j->next_ts) <= 0)
			s->used = false;
		else if ((int32_t)(s->ts - j->next_ts) <= 0)
			due = s;
	}
	return due;
}

/* Decodes the slot into the fifo, from next_ts on. */
static void slot_play(struct jitter *j, struct slot *s)
{
	size_t skip = samples_of(j, j->next_ts - s->ts);
	int16_t *pcm = j->fifo + j->nfifo;
	ptrdiff_t n = decoder_run(j->decoder, s->data, s->len, pcm, j->fifo_size - j->nfifo);

	s->used = false;
	j->has_noise = j->has_noise && (int32_t)(s->ts - j->noise_ts) < 0;
	j->next_ts = s->ts + s->units;
	if (n <= (ptrdiff_t)skip)
		return;
	n -= (ptrdiff_t)skip;
	memmove(pcm, pcm + skip, (size_t)n * sizeof(*pcm));
	if (j->conceal)
		conceal_heard(j->conceal, pcm, (size_t)n); /* also blends what was concealed into what follows */
	j->nfifo += (size_t)n;
}

/* Fills the fifo up to a frame; a codec's own concealment adds a whole one. Returns the samples made. */
static size_t conceal(struct jitter *j, size_t need)
{
	size_t n = need;

	if (j->is_fixed) {
		n = need - j->nfifo;
		memset(j->fifo + j->nfifo, 0, n * sizeof(*j->fifo));
	} else if (j->has_noise) {
		n = need - j->nfifo;
		for (size_t i = 0; i < n; i++)
			j->fifo[j->nfifo + i] = noise(j->noise);
	} else if (j->conceal) {
		n = need - j->nfifo;
		conceal_fill(j->conceal, j->fifo + j->nfifo, n);
	} else if (!decoder_conceal(j->decoder, NULL, 0, j->fifo + j->nfifo, n)) {
		memset(j->fifo + j->nfifo, 0, n * sizeof(*j->fifo));
	}
	j->nfifo += n;
	j->missing_ms += 10;
	if (!decoder_is_dtx(j->decoder) && !j->has_noise)
		j->stats.concealed_ms += 10;
	return n;
}

/* What is missing, up to a packet that is there: that one may tell it. */
static bool recover(struct jitter *j)
{
	const struct slot *next = NULL;
	uint32_t missing;
	size_t n;

	for (unsigned i = 0; i < SLOTS && !j->conceal; i++) {
		const struct slot *s = &j->slots[i];

		if (s->used && (int32_t)(s->ts - j->next_ts) > 0 && (!next || (int32_t)(s->ts - next->ts) < 0))
			next = s;
	}
	if (!next || j->is_fixed)
		return false;
	missing = next->ts - j->next_ts;
	if (missing > next->units || missing > units_of_ms(j, FEC_MAX_MS) || missing % units_of_ms(j, 10) != 0)
		return false;
	n = samples_of(j, missing);
	if (j->nfifo + n > j->fifo_size || !decoder_conceal(j->decoder, next->data, next->len, j->fifo + j->nfifo, n))
		return false;
	j->nfifo += n;
	j->next_ts = next->ts;
	j->stats.recovered_ms += ms_of_units(j, missing);
	return true;
}

static void fifo_take(struct jitter *j, int16_t *pcm, size_t need)
{
	memcpy(pcm, j->fifo, need * sizeof(*pcm));
	j->nfifo -= need;
	memmove(j->fifo, j->fifo + need, j->nfifo * sizeof(*pcm));
}

/* Keeps the delay near its target: less after a long calm, and never much more for long. */
static void adapt(struct jitter *j)
{
	if (++j->calm >= CALM_FRAMES || (j->calm % CALM_SPREAD == 0 && j->target_ms > wanted_ms(j) + GROW_MS)) {
		j->calm = j->calm < CALM_FRAMES ? j->calm : 0;
		if (j->target_ms > JITTER_MIN_MS)
			j->target_ms -= GROW_MS;
	}
	j->fat = buffered_ms(j) > j->target_ms + SLACK_MS ? j->fat + 1 : 0;
	if (j->fat < FAT_ANY)
		return;
	j->fat = FAT_ANY - 10; /* a frame each 100 ms until it is down */
	j->next_ts += units_of_ms(j, 10);
	j->stats.overrun++;
}

/* Too much is buffered, and this frame says nothing: every second one of these is left out. */
static bool leaves_out(struct jitter *j, const int16_t *pcm, size_t n)
{
	int64_t power = 0;

	if (j->fat < FAT_QUIET || j->has_left_out) {
		j->has_left_out = false;
		return false;
	}
	for (size_t i = 0; i < n; i++)
		power += pcm[i] * pcm[i];
	if (power > (int64_t)n * QUIET_POWER)
		return false;
	j->has_left_out = true;
	j->stats.overrun++;
	return true;
}

/* Decodes until there is a frame; false: something is missing. */
static bool fifo_fill(struct jitter *j, size_t need)
{
	while (j->nfifo < need && j->hold_ms == 0) {
		struct slot *s = slot_due(j);

		if (!s && recover(j))
			continue;
		if (!s)
			return false;
		slot_play(j, s);
		j->missing_ms = j->skipped = 0;
	}
	return j->nfifo >= need;
}

/* For so long nothing comes before it is taken for gone. */
static uint32_t pause_max_ms(const struct jitter *j)
{
	return j->has_noise ? NOISE_MAX_MS : decoder_is_dtx(j->decoder) ? DTX_MAX_MS : CONCEAL_MAX_MS;
}

/* What was made up in the end was no loss: nothing was said any more. */
static void end_in_pause(struct jitter *j)
{
	uint32_t ms = decoder_is_dtx(j->decoder) || j->has_noise ? 0 : j->missing_ms;

	j->stats.concealed_ms -= ms < j->stats.concealed_ms ? ms : j->stats.concealed_ms;
	j->stats.heard_ms -= ms + 10; /* this frame isn't heard, either */
}

enum jitter_frame jitter_get(struct jitter *j, int16_t *pcm)
{
	size_t need = j->rate_hz / 100;
	uint32_t missing;

	if (j->state != EMPTY)
		spread_pass(j);
	if (j->state == FILLING) {
		if (j->waited_ms >= j->target_ms || buffered_ms(j) > j->target_ms + SLOT_MS) {
			j->state = PLAYING;
			j->missing_ms = j->hold_ms = j->skipped = 0;
		}
		j->waited_ms += 10;
	}
	if (j->state != PLAYING) {
		memset(pcm, 0, need * sizeof(*pcm));
		return JITTER_IDLE;
	}
	j->stats.heard_ms += 10;
	if (!j->is_fixed)
		adapt(j);
	while (fifo_fill(j, need)) {
		fifo_take(j, pcm, need);
		if (!leaves_out(j, pcm, need))
			return JITTER_SOUND;
	}
	if (j->hold_ms > 0) {
		j->hold_ms -= 10;
		conceal(j, need);
		fifo_take(j, pcm, need);
		return JITTER_CONCEALED;
	}
	/* Nothing for this moment. */
	if (j->missing_ms >= pause_max_ms(j) && buffered_ms(j) == 0) {
		end_in_pause(j);
		jitter_reset(j);
		memset(pcm, 0, need * sizeof(*pcm));
		return JITTER_IDLE;
	}
	missing = (uint32_t)(conceal(j, need) * j->codec->clock_hz / j->rate_hz);
	j->next_ts += missing;
	j->skipped += missing;
	fifo_take(j, pcm, need);
	return JITTER_CONCEALED;
}
