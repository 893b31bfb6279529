/* hearing.c - talk, silence and fax tones in what a stream hears (see hearing.h).
 *
 * Each fax tone is told once: who answers to it knows then.
 */
#include "media/hearing.h"

#include <spandsp.h>
#include <stdlib.h>

#include "media/resample.h"
#include "media/talk.h"

#define DETECT_HZ 8000
#define FRAME_MAX (DETECT_HZ * 40 / 1000)
#define WORD_PAUSE_MS HEARING_SILENCE_MS /* between words: shorter than in a conference, where talk is what has pauses */

_Static_assert(HEARING_TALK_MS == TALK_BEGIN_MS, "as the header says");

struct hearing {
	unsigned what;
	struct talk talk;
	uint32_t lasts_ms;         /* talk or silence, by now */
	modem_connect_tones_rx_state_t *cng, *ced; /* NULL: not listened for, or told already */
	struct resampler *down;
	uint32_t from_hz;          /* of down */
	bool heard_cng, heard_ced;
};

static void on_cng(void *arg, int code, int level, int delay)
{
	struct hearing *l = arg;

	(void)level;
	(void)delay;
	l->heard_cng |= code == MODEM_CONNECT_TONES_FAX_CNG;
}

static void on_ced(void *arg, int code, int level, int delay)
{
	struct hearing *l = arg;

	(void)level;
	(void)delay;
	l->heard_ced |= code == MODEM_CONNECT_TONES_FAX_CED || code == MODEM_CONNECT_TONES_FAX_PREAMBLE;
}

struct hearing *hearing_new(unsigned what)
{
	struct hearing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->what = what;
	l->talk.pause = WORD_PAUSE_MS / TALK_FRAME_MS;
	if (!(what & STREAM_LISTEN_FAX))
		return l;
	l->cng = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CNG, on_cng, l);
	l->ced = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CED_OR_PREAMBLE, on_ced, l);
	if (l->cng && l->ced)
		return l;
	hearing_free(l);
	return NULL;
}

static void tone_free(modem_connect_tones_rx_state_t **tone)
{
	if (*tone)
		modem_connect_tones_rx_free(*tone);
	*tone = NULL;
}

void hearing_free(struct hearing *l)
{
	if (!l)
		return;
	tone_free(&l->cng);
	tone_free(&l->ced);
	resampler_free(l->down);
	free(l);
}

unsigned hearing_what(const struct hearing *l)
{
	return l ? l->what : 0;
}

static void run_fax(struct hearing *l, const int16_t *pcm, size_t n, hearing_fn *fn, void *arg)
{
	if (l->cng)
		modem_connect_tones_rx(l->cng, pcm, (int)n);
	if (l->ced)
		modem_connect_tones_rx(l->ced, pcm, (int)n);
	if (l->heard_cng && l->cng) {
		tone_free(&l->cng);
		fn(STREAM_HEARD_CNG, 0, arg);
	}
	if (l->heard_ced && l->ced) {
		tone_free(&l->ced);
		fn(STREAM_HEARD_CED, 0, arg);
	}
}

/* A change is known late, by as long as it takes to be sure: that belongs to the state that begins. */
static void run_talk(struct hearing *l, const int16_t *pcm, size_t n, hearing_fn *fn, void *arg)
{
	enum talk_change change = talk_frame(&l->talk, pcm ? talk_level(pcm, n) : 0, pcm != NULL);
	uint32_t known_ms = change == TALK_BEGINS ? TALK_BEGIN_MS : WORD_PAUSE_MS, lasted_ms;

	l->lasts_ms += TALK_FRAME_MS;
	if (change == TALK_SAME)
		return;
	lasted_ms = l->lasts_ms - known_ms;
	l->lasts_ms = known_ms;
	fn(change == TALK_BEGINS ? STREAM_HEARD_TALK : STREAM_HEARD_SILENCE, lasted_ms, arg);
}

void hearing_run(struct hearing *l, const int16_t *pcm, size_t n, uint32_t rate_hz, hearing_fn *fn, void *arg)
{
	int16_t low[FRAME_MAX];

	if (l->what & STREAM_LISTEN_TALK)
		run_talk(l, pcm, n, fn, arg);
	if (!pcm)
		return; /* a tone that is cut off is none */
	if (!l->cng && !l->ced)
		return;
	if (rate_hz != DETECT_HZ) {
		if (l->from_hz != rate_hz) {
			resampler_free(l->down);
			l->down = resampler_new(rate_hz, DETECT_HZ);
			l->from_hz = rate_hz;
		}
		if (!l->down)
			return;
		n = resampler_run(l->down, pcm, n, low, FRAME_MAX);
		pcm = low;
	}
	run_fax(l, pcm, n, fn, arg);
}
