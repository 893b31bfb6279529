/* Digits from any way to any way through a bridge: the same digit, once, as long as it was; and no digits in speech.
 *
 * SIP INFO is the loop's: what comes by it is given to the partner's stream, what shall go by it is reported by on_digit. Here the
 * test stands for it.
 */
#include "media_bed.h"

#include <glob.h>

#include "media/inband.h"
#include "media/tonegen.h"

#define SECONDS_MAX 20
#define SAMPLES_MAX (48000 * SECONDS_MAX)
#define EVENT_PT 101

enum way { BY_EVENT, BY_TONE, BY_INFO };

static const struct side { const char *name; enum way way; enum codec_id codec; uint32_t clock_hz; } sides[] = {
	{ "events/8000", BY_EVENT, CODEC_PCMU, 8000 },   { "events/16000", BY_EVENT, CODEC_L16, 16000 },
	{ "events/48000", BY_EVENT, CODEC_OPUS, 48000 }, { "INFO", BY_INFO, CODEC_PCMA, 8000 },
	{ "PCMU", BY_TONE, CODEC_PCMU, 8000 },           { "PCMA", BY_TONE, CODEC_PCMA, 8000 },
	{ "G722", BY_TONE, CODEC_G722, 8000 },           { "Opus", BY_TONE, CODEC_OPUS, 48000 },
};

static int16_t said[SAMPLES_MAX], heard[SAMPLES_MAX];
static size_t nsaid; /* by tones: gathered, so that one encoder says it all */

struct digits { unsigned n; struct dtmf_digit d[16]; };

static void side_configure(struct stream *s, const struct side *side, uint16_t port)
{
	struct stream_config c = config_of(port, side->codec);

	if (side->way != BY_EVENT)
		c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	c.dtmf_clock_hz = side->clock_hz;
	c.hears = side->way == BY_TONE ? STREAM_HEARS_ALWAYS : STREAM_HEARS_NEVER;
	c.digits_elsewhere = side->way == BY_INFO;
	stream_configure(s, &c);
}

/* ---- in ---- */

static void say_silence(struct bed *b, struct peer *p, uint16_t port, const struct side *side, uint32_t ms)
{
	size_t n = (size_t)codec_get(side->codec)->rate_hz / 1000 * ms;

	memset(said + nsaid, 0, n * sizeof(said[0]));
	if (side->way == BY_TONE)
		nsaid += n;
	else
		peer_talk(b, p, port, side->codec, said, n);
}

static void send_event(struct bed *b, struct peer *p, uint16_t port, uint32_t ts, const struct dtmf_event *e, bool first)
{
	uint64_t before = bed_counters(b).packets_received;
	uint8_t payload[DTMF_PAYLOAD_LEN];

	dtmf_print(payload, e);
	peer_send_raw(p, port, EVENT_PT, first, ts, payload, sizeof(payload));
	wait_received(b, before + 1);
	turn_for_ms(b, 20);
	peer_receive(p->listener);
}

/* RFC 4733 §2.5.1: an update each 20 ms, in segments where the field is full, three ends. */
static void press_event(struct bed *b, struct peer *p, uint16_t port, const struct side *side, char digit, uint32_t ms)
{
	uint32_t total = ms * (side->clock_hz / 1000), step = side->clock_hz / 50, base = 0;

	for (uint32_t at = step;; at += step) {
		struct dtmf_event e = { .event = (uint8_t)dtmf_event_of(digit), .volume = 10, .end = at >= total };

		if (e.end)
			at = total;
		if (at - base > 0xffff) {
			e.end = false;
			e.duration = 0xffff;
			send_event(b, p, port, p->ts + base, &e, false);
			base += 0xffff;
			e.end = at == total;
		}
		e.duration = (uint16_t)(at - base);
		for (int i = 0; i < (e.end ? 3 : 1); i++)
			send_event(b, p, port, p->ts + base, &e, at == step);
		if (e.end)
			break;
	}
	p->ts += total;
}

static void press_tone(const struct side *side, char digit, uint32_t ms)
{
	uint32_t hz = codec_get(side->codec)->rate_hz;
	size_t n = (size_t)hz / 1000 * ((ms + 60 + 19) / 20 * 20);
	struct tonegen g;

	tonegen_init_digit(&g, digit, ms, hz);
	memset(said + nsaid, 0, n * sizeof(said[0]));
	tonegen_run(&g, said + nsaid + hz / 1000 * 17, n - hz / 1000 * 17); /* not where a packet begins */
	nsaid += n;
}

static void say_gathered(struct bed *b, struct peer *p, uint16_t port, enum codec_id codec)
{
	peer_talk(b, p, port, codec, said, nsaid);
	nsaid = 0;
}

static void press(struct bed *b, struct peer *p, uint16_t port, const struct side *side, struct stream *partner, enum way out, char digit,
		  uint32_t ms)
{
	switch (side->way) {
	case BY_EVENT: press_event(b, p, port, side, digit, ms); break;
	case BY_TONE: press_tone(side, digit, ms); break;
	case BY_INFO:
		if (out != BY_INFO)
			stream_send_digit(partner, digit, ms);
		break;
	}
	/* It may be sent on when it is over, and takes as long again. */
	say_silence(b, p, port, side, (ms + 219) / 20 * 20);
}

/* ---- out ---- */

static void take_events(const struct peer *q, uint32_t clock_hz, struct digits *out)
{
	struct dtmf_in in = { 0 };

	for (unsigned i = 0; i < q->n; i++) {
		struct dtmf_event e;

		if (q->got[i].pt != EVENT_PT)
			continue;
		assert_int_equal(dtmf_parse(&e, q->payload[i], q->got[i].len), 0);
		out->n += (unsigned)dtmf_in_packet(&in, &e, q->got[i].ts, clock_hz, 0, &out->d[out->n]);
		assert_true(out->n < ARRAY_LEN(out->d) - 1);
	}
	assert_false(in.open);
}

static void take_tones(const struct peer *q, enum codec_id codec, struct digits *out)
{
	uint32_t hz = codec_get(codec)->rate_hz;
	size_t n = peer_listen(q, 0, codec, heard, SAMPLES_MAX - hz / 5);
	struct inband *in = inband_new(hz);

	memset(heard + n, 0, hz / 5 * sizeof(heard[0]));
	n += hz / 5;
	for (size_t i = 0; i + hz / 50 <= n; i += hz / 50) {
		assert_true(out->n < ARRAY_LEN(out->d) - 4);
		out->n += inband_run(in, heard + i, hz / 50, &out->d[out->n], 4);
	}
	inband_free(in);
}

/* One more than a digit has is as wrong as one less, whatever way it takes. */
static void check(const struct side *from, const struct side *to, const struct peer *q, const struct seen *reported,
		  const struct digits *pressed)
{
	struct digits events = { 0 }, tones = { 0 }, told = { 0 };
	const struct digits *got;

	take_events(q, to->clock_hz, &events);
	take_tones(q, to->codec, &tones);
	for (unsigned i = 0; i < reported->ndigits; i++)
		told.d[told.n++] = (struct dtmf_digit){ reported->digits[i], reported->digit_ms[i] };
	if (from->way != BY_INFO && told.n != pressed->n)
		fail_msg("%s to %s: %u digits are reported", from->name, to->name, told.n);
	if ((to->way != BY_EVENT && events.n) || (to->way != BY_TONE && tones.n))
		fail_msg("%s to %s: %u events and %u tones", from->name, to->name, events.n, tones.n);
	if (from->way == BY_INFO && to->way == BY_INFO)
		return;
	got = to->way == BY_EVENT ? &events : to->way == BY_TONE ? &tones : &told;
	if (got->n != pressed->n)
		fail_msg("%s to %s: %u digits of %u", from->name, to->name, got->n, pressed->n);
	for (unsigned i = 0; i < got->n; i++)
		if (got->d[i].digit != pressed->d[i].digit || abs((int)got->d[i].duration_ms - (int)pressed->d[i].duration_ms) > 20)
			fail_msg("%s to %s: %c for %u ms instead of %c for %u", from->name, to->name, got->d[i].digit, got->d[i].duration_ms,
				 pressed->d[i].digit, pressed->d[i].duration_ms);
}

static void cross(const struct side *from, const struct side *to, const struct digits *pressed)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(65530, 0xfffff000, 11), *q = peer_new(5, 5, 22);

	p->listener = q;
	side_configure(x->s, from, p->port);
	side_configure(y->s, to, q->port);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	say_silence(b, p, stream_port(x->s), from, 60);
	for (unsigned i = 0; i < pressed->n; i++)
		press(b, p, stream_port(x->s), from, y->s, to->way, pressed->d[i].digit, pressed->d[i].duration_ms);
	say_gathered(b, p, stream_port(x->s), from->codec);
	turn_for_ms(b, 200);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_continuous(q, 0);
	check(from, to, q, x, pressed);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_digits_cross_any_way_once_and_as_long(void **state)
{
	static const char all[] = "0123456789*#ABCD";
	static const uint32_t lengths[] = { 50, 70, 95, 130, 240 };
	unsigned k = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(sides); i++)
		for (unsigned j = 0; j < ARRAY_LEN(sides); j++, k++) {
			struct digits pressed = { .n = 2 };

			for (unsigned m = 0; m < pressed.n; m++)
				pressed.d[m] = (struct dtmf_digit){ all[(2 * k + m) % 16], lengths[(3 * k + m) % ARRAY_LEN(lengths)] };
			if (i == j) /* the same digit again is another one */
				pressed.d[1].digit = pressed.d[0].digit;
			cross(&sides[i], &sides[j], &pressed);
		}
}

/* Longer than the field of a fast clock can say. */
static void test_digits_of_two_seconds_are_one_digit(void **state)
{
	static const unsigned ways[][2] = { { 0, 2 }, { 2, 0 }, { 1, 2 }, { 2, 2 }, { 2, 7 }, { 7, 2 }, { 0, 3 }, { 3, 1 }, { 5, 0 }, { 3, 4 } };
	const struct digits pressed = { .n = 2, .d = { { '5', 2000 }, { '#', 80 } } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++)
		cross(&sides[ways[i][0]], &sides[ways[i][1]], &pressed);
}

/* An event that lasts longer than the field of either clock: nothing of it is told twice or left out. */
static void test_digits_of_nine_seconds_keep_their_length(void **state)
{
	const struct digits pressed = { .n = 1, .d = { { '7', 9000 } } };

	(void)state;
	cross(&sides[0], &sides[2], &pressed);
	cross(&sides[2], &sides[0], &pressed);
}

/* Who doesn't convert hears what was said, at once; and without a partner tones are digits as before. */
static void test_digits_as_sound_pass_a_bridge_that_is_not_told_to_listen(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_config c = config_of(p->port, CODEC_PCMU);
	struct digits tones = { 0 };

	(void)state;
	p->listener = q;
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	stream_configure(x->s, &c);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	press_tone(&sides[4], '9', 100);
	say_gathered(b, p, stream_port(x->s), CODEC_PCMU);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_received)); /* packet by packet: none is held back */
	take_tones(q, CODEC_PCMU, &tones);
	assert_int_equal(tones.n, 1);
	assert_int_equal(x->ndigits, 0);
	stream_unbridge(x->s);
	settle(b, x->s);
	press_tone(&sides[4], '9', 100);
	say_silence(b, p, stream_port(x->s), &sides[4], 100);
	say_gathered(b, p, stream_port(x->s), CODEC_PCMU);
	assert_int_equal(x->ndigits, 1);
	c.hears = STREAM_HEARS_NEVER;
	stream_configure(x->s, &c);
	settle(b, x->s);
	press_tone(&sides[4], '8', 100);
	say_silence(b, p, stream_port(x->s), &sides[4], 100);
	say_gathered(b, p, stream_port(x->s), CODEC_PCMU);
	assert_int_equal(x->ndigits, 1);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* A digit whose sender falls silent in the midst of it ends, too. */
static void test_digits_cut_off_are_told(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_PCMU);
	struct tonegen g;

	(void)state;
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	stream_configure(x->s, &c);
	settle(b, x->s);
	tonegen_init_digit(&g, '3', 1000, 8000);
	tonegen_run(&g, said, 1600);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said, 1600);
	WAIT_FOR(b, x->ndigits == 1);
	assert_int_equal(x->digits[0], '3');
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* ---- speech ---- */

/* All that Debian's prompt packages say here: hours, where more languages than English are installed. */
#define CORPUS "/usr/share/asterisk/sounds/*_*_*/"
#ifdef __SANITIZE_ADDRESS__
#define EVERY 8
#else
#define EVERY 1
#endif

static uint32_t listen_to(const char *path, unsigned *ndigits)
{
	static uint8_t bytes[8000 * 120];
	FILE *f = fopen(path, "r");
	struct inband *in = inband_new(16000);
	struct decoder *d = decoder_new(CODEC_G722, 16000);
	size_t n;

	assert_non_null(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (size_t i = 0; i + 160 <= n; i += 160) {
		struct dtmf_digit digits[4];

		assert_int_equal(decoder_run(d, bytes + i, 160, said, SAMPLES_MAX), 320);
		for (unsigned k = inband_run(in, said, 320, digits, 4); k > 0; k--, ++*ndigits)
			print_message("%s at %zu ms: %c for %u ms\n", path, i / 8, digits[k - 1].digit, digits[k - 1].duration_ms);
	}
	decoder_free(d);
	inband_free(in);
	return (uint32_t)(n / 8);
}

static void test_digits_are_never_heard_in_speech(void **state)
{
	static const char *const where[] = { CORPUS "*.g722", CORPUS "*/*.g722" };
	unsigned ndigits = 0;
	uint64_t ms = 0;
	glob_t found;

	(void)state;
	for (unsigned w = 0; w < ARRAY_LEN(where); w++)
		assert_int_equal(glob(where[w], w ? GLOB_APPEND : 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i += EVERY)
		ms += listen_to(found.gl_pathv[i], &ndigits);
	globfree(&found);
	assert_true(ms > 1200 * 1000 / EVERY);
	assert_int_equal(ndigits, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digits_cross_any_way_once_and_as_long),
		cmocka_unit_test(test_digits_of_two_seconds_are_one_digit),
		cmocka_unit_test(test_digits_of_nine_seconds_keep_their_length),
		cmocka_unit_test(test_digits_as_sound_pass_a_bridge_that_is_not_told_to_listen),
		cmocka_unit_test(test_digits_cut_off_are_told),
		cmocka_unit_test(test_digits_are_never_heard_in_speech),
	};

	return cmocka_run_group_tests_name("digits", tests, warm_up, NULL);
}
