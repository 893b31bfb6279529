/* A page from a fax machine that is heard to one that speaks T.38, and the other way, through two streams and the gateway between
 * them: it arrives as it was sent. */
#include "media_bed.h"

#include <spandsp.h>
#include <tiffio.h>

#include "media/udptl.h"

#define WIDTH 1728             /* of a line of T.4, 204 dots an inch */
#define LINES 200
#define BURST_TURNS 620        /* of 20 ms: in the middle of the page */

static char sent_path[64], got_path[64]; /* of this process */

/* A page with something on it: bars that lean, and a border. */
static void page_write(void)
{
	TIFF *t = TIFFOpen(sent_path, "w");
	uint8_t line[WIDTH / 8];

	assert_non_null(t);
	TIFFSetField(t, TIFFTAG_IMAGEWIDTH, WIDTH);
	TIFFSetField(t, TIFFTAG_IMAGELENGTH, LINES);
	TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 1);
	TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 1);
	TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_CCITT_T6);
	TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
	TIFFSetField(t, TIFFTAG_FILLORDER, FILLORDER_LSB2MSB);
	TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
	TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
	TIFFSetField(t, TIFFTAG_XRESOLUTION, 204.0);
	TIFFSetField(t, TIFFTAG_YRESOLUTION, 98.0);
	TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, LINES);
	for (unsigned y = 0; y < LINES; y++) {
		for (unsigned x = 0; x < sizeof(line); x++)
			line[x] = (uint8_t)(y % 20 == 0 ? 0xff : (x + y / 4) % 9 == 0 ? 0x3c : 0);
		assert_int_equal(TIFFWriteScanline(t, line, y, 0), 1);
	}
	TIFFClose(t);
}

static void page_read(const char *path, uint8_t bits[LINES][WIDTH / 8])
{
	TIFF *t = TIFFOpen(path, "r");
	uint32_t width = 0, lines = 0;

	assert_non_null(t);
	TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width);
	TIFFGetField(t, TIFFTAG_IMAGELENGTH, &lines);
	assert_int_equal(width, WIDTH);
	assert_int_equal(lines, LINES);
	for (unsigned y = 0; y < LINES; y++)
		assert_int_equal(TIFFReadScanline(t, bits[y], y, 0), 1);
	TIFFClose(t);
}

static void assert_page_arrived(void)
{
	static uint8_t sent[LINES][WIDTH / 8], got[LINES][WIDTH / 8];

	page_read(sent_path, sent);
	page_read(got_path, got);
	assert_memory_equal(sent, got, sizeof(sent));
}

/* ---- the machines ---- */

struct machines {
	struct bed *b;
	struct peer *sound;           /* the one that is heard */
	uint16_t sound_to;
	fax_state_t *fax;
	int fd;                       /* of the one that speaks T.38 */
	uint16_t t38_port, t38_to, seq;
	t38_terminal_state_t *t38;
	unsigned nlost;               /* packets of T.38 either way that got lost */
	bool loses, varies;           /* varies: once, in the page, 100 ms of sound come at once */
	struct { uint32_t ts; uint8_t payload[160]; } held[5];
	unsigned nheld, nturns;
	unsigned n, nsent;
	int results[2], ended;        /* T.30's */
};

static void on_end(t30_state_t *t, void *arg, int result)
{
	struct machines *m = arg;

	(void)t;
	m->results[m->ended++ % 2] = result;
}

static bool is_lost(struct machines *m)
{
	bool lost = m->loses && ++m->n % 7 == 0;

	m->nlost += lost;
	return lost;
}

static int on_ifp(t38_core_state_t *core, void *arg, const uint8_t *bytes, int n, int count)
{
	static uint8_t before[300];
	static size_t nbefore;
	struct machines *m = arg;
	struct udptl u = { .seq = m->seq, .primary = { bytes, (size_t)n }, .nsecondaries = m->seq ? 1 : 0, .secondaries = { { before, nbefore } } };
	uint8_t packet[1500];
	size_t len = udptl_print(packet, sizeof(packet), &u);

	(void)core;
	assert_true(len > 0 && (size_t)n <= sizeof(before));
	for (int i = 0; i < count; i++)
		if (!is_lost(m))
			send_to(m->fd, m->t38_to, packet, len);
	memcpy(before, bytes, (size_t)n);
	nbefore = (size_t)n;
	m->seq++;
	return 0;
}

static void take_t38(struct machines *m)
{
	uint8_t packet[2048];
	ssize_t n;

	while ((n = recv(m->fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		struct udptl u;

		assert_int_equal(udptl_parse(&u, packet, (size_t)n), 0);
		if (is_lost(m))
			continue;
		for (unsigned i = u.nsecondaries; i-- > 0;)
			if (u.secondaries[i].n)
				t38_core_rx_ifp_packet(t38_terminal_get_t38_core_state(m->t38), u.secondaries[i].p, (int)u.secondaries[i].n,
						       (uint16_t)(u.seq - 1 - i));
		t38_core_rx_ifp_packet(t38_terminal_get_t38_core_state(m->t38), u.primary.p, (int)u.primary.n, u.seq);
	}
}

/* Sends what was held back, unless it is held back for longer. */
static void say(struct machines *m, const uint8_t *payload)
{
	m->held[m->nheld].ts = m->sound->ts;
	memcpy(m->held[m->nheld++].payload, payload, 160);
	m->sound->ts += 160;
	if (m->varies && m->nturns++ % BURST_TURNS >= BURST_TURNS - 4)
		return;
	for (unsigned i = 0; i < m->nheld; i++)
		peer_send_raw(m->sound, m->sound_to, 0, false, m->held[i].ts, m->held[i].payload, 160);
	m->nheld = 0;
}

/* 20 ms of both machines. */
static void turn(struct machines *m)
{
	int16_t pcm[160] = { 0 };
	uint8_t payload[160];
	unsigned before = m->sound->n;

	fax_tx(m->fax, pcm, 160);
	for (unsigned i = 0; i < 160; i++)
		payload[i] = linear_to_ulaw(pcm[i]);
	say(m, payload);
	t38_terminal_send_timeout(m->t38, 160);
	turn_for_ms(m->b, 20);
	take_t38(m);
	peer_receive(m->sound);
	for (unsigned i = before; i < m->sound->n; i++) {
		for (unsigned k = 0; k < 160; k++)
			pcm[k] = ulaw_to_linear(m->sound->payload[i][k]);
		fax_rx(m->fax, pcm, 160);
	}
	if (m->sound->n > PEER_MAX / 2)
		m->sound->n = 0;
}

static void machine_set(struct machines *m, t30_state_t *t, bool sends)
{
	t30_set_phase_e_handler(t, on_end, m);
	t30_set_ecm_capability(t, !m->varies); /* a page that is sent twice would hide what went wrong */
	t30_set_supported_compressions(t, T30_SUPPORT_T4_1D_COMPRESSION | T30_SUPPORT_T4_2D_COMPRESSION | T30_SUPPORT_T6_COMPRESSION);
	if (sends)
		t30_set_tx_file(t, sent_path, -1, -1);
	else
		t30_set_rx_file(t, got_path, -1);
}

static void fax_page(bool by_sound, bool loses, bool varies)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct machines m = { .b = b, .sound = peer_new(100, 7000, 11), .sound_to = stream_port(x->s), .t38_to = stream_port(y->s), .loses = loses, .varies = varies };
	struct stream_config c;

	unlink(got_path);
	page_write();
	m.fd = loopback_socket(&m.t38_port);
	m.fax = fax_init(NULL, by_sound);
	m.t38 = t38_terminal_init(NULL, !by_sound, on_ifp, &m);
	assert_non_null(m.fax);
	assert_non_null(m.t38);
	fax_set_transmit_on_idle(m.fax, 1);
	machine_set(&m, fax_get_t30_state(m.fax), by_sound);
	machine_set(&m, t38_terminal_get_t30_state(m.t38), !by_sound);
	stream_setup(x->s, m.sound->port, CODEC_PCMU);
	c = config_of(m.t38_port, CODEC_PCMU);
	c.is_udptl = true;
	stream_configure(y->s, &c);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; m.ended < 2 && i < 90 * 50; i++)
		turn(&m);
	assert_int_equal(m.ended, 2);
	assert_int_equal(m.results[0], T30_ERR_OK);
	assert_int_equal(m.results[1], T30_ERR_OK);
	assert_true(!loses || m.nlost > 20);
	assert_page_arrived();
	fax_free(m.fax);
	t38_terminal_free(m.t38);
	close(m.fd);
	peer_free(m.sound);
	stream_end(b, x);
	stream_end(b, y);
	bed_free(b);
	unlink(sent_path);
	unlink(got_path);
}

static void test_t38_page_from_sound_to_t38(void **state)
{
	(void)state;
	fax_page(true, false, false);
}

static void test_t38_page_from_t38_to_sound(void **state)
{
	(void)state;
	fax_page(false, false, false);
}

/* Every seventh packet: the others have it, too. */
static void test_t38_page_survives_lost_packets(void **state)
{
	(void)state;
	fax_page(true, true, false);
}

/* A modem bears neither stretched nor made-up sound: what a jitter buffer does for speech would end the page. */
static void test_t38_page_survives_sound_in_bursts(void **state)
{
	(void)state;
	fax_page(true, false, true);
	fax_page(false, false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_t38_page_from_sound_to_t38),
		cmocka_unit_test(test_t38_page_from_t38_to_sound),
		cmocka_unit_test(test_t38_page_survives_lost_packets),
		cmocka_unit_test(test_t38_page_survives_sound_in_bursts),
	};

	snprintf(sent_path, sizeof(sent_path), "/tmp/test_t38-%d-sent.tif", (int)getpid());
	snprintf(got_path, sizeof(got_path), "/tmp/test_t38-%d-got.tif", (int)getpid());
	return cmocka_run_group_tests_name("t38", tests, warm_up, NULL);
}
