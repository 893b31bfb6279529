/* test_stun_msg.c - STUN messages read and written: the vectors of RFC 5769, what is broken, and back again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/stun_msg.h"

#define PASSWORD "VOkJxbRl1RmTxUk/WvJxBt"
#define ID "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
#define BYTES(lit) (lit), sizeof(lit) - 1

/* RFC 5769 §2.1 */
static const char request[] =
	"\x00\x01\x00\x58\x21\x12\xa4\x42" ID "\x80\x22\x00\x10STUN test client"
	"\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09" "evtj:h6vY   "
	"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
/* §2.2 */
static const char response[] =
	"\x01\x01\x00\x3c\x21\x12\xa4\x42" ID "\x80\x22\x00\x0btest vector \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
	"\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\x80\x28\x00\x04\xc0\x7d\x4c\x96";
/* §2.3 */
static const char response6[] =
	"\x01\x01\x00\x48\x21\x12\xa4\x42" ID "\x80\x22\x00\x0btest vector "
	"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
	"\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

static void test_stun_msg_request_is_read_and_its_maker_known(void **state)
{
	struct stun_msg m;

	(void)state;
	assert_int_equal(stun_msg_parse(&m, BYTES(request)), 0);
	assert_int_equal(m.type, STUN_BINDING_REQUEST);
	assert_memory_equal(m.id, ID, STUN_ID_LEN);
	assert_true(str_eqz(m.username, "evtj:h6vY"));
	assert_true(m.has_priority && m.priority == 0x6e0001ff);
	assert_true(m.is_controlled && !m.is_controlling && !m.use_candidate && m.has_fingerprint);
	assert_int_equal(m.nunknown, 0);
	assert_true(stun_msg_is_by(&m, STR(PASSWORD)));
	assert_false(stun_msg_is_by(&m, STR("VOkJxbRl1RmTxUk/WvJxBT")));
	assert_false(stun_msg_is_by(&m, STR("")));
}

static void test_stun_msg_answers_are_read(void **state)
{
	static const struct { const char *p; size_t n; int family; const char *host; } rows[] = {
		{ BYTES(response), AF_INET, "192.0.2.1" },
		{ BYTES(response6), AF_INET6, "2001:db8:1234:5678:11:2233:4455:6677" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_storage found;
		unsigned char want[16];
		struct stun_msg m;

		assert_int_equal(stun_msg_parse(&m, rows[i].p, rows[i].n), 0);
		assert_true(m.type == STUN_BINDING_SUCCESS && stun_msg_is_by(&m, STR(PASSWORD)) && stun_msg_mapped(&m, &found));
		assert_int_equal(found.ss_family, rows[i].family);
		assert_int_equal(inet_pton(rows[i].family, rows[i].host, want), 1);
		if (rows[i].family == AF_INET) {
			assert_memory_equal(&((struct sockaddr_in *)&found)->sin_addr, want, 4);
			assert_int_equal(ntohs(((struct sockaddr_in *)&found)->sin_port), 32853);
		} else {
			assert_memory_equal(&((struct sockaddr_in6 *)&found)->sin6_addr, want, 16);
			assert_int_equal(ntohs(((struct sockaddr_in6 *)&found)->sin6_port), 32853);
		}
	}
}

static void test_stun_msg_changed_by_a_bit_is_broken_or_anothers(void **state)
{
	char copy[sizeof(request)];
	struct stun_msg m;

	(void)state;
	for (size_t i = 0; i < 8 * (sizeof(request) - 1); i++) {
		memcpy(copy, request, sizeof(request));
		copy[i / 8] ^= (char)(1 << i % 8);
		if (stun_msg_parse(&m, copy, sizeof(request) - 1) == 0 && stun_msg_is_by(&m, STR(PASSWORD)) && m.has_fingerprint)
			fail_msg("bit %zu", i);
	}
	for (size_t n = 0; n < sizeof(request) - 1; n++)
		assert_int_equal(stun_msg_parse(&m, request, n), -EINVAL);
}

#define HEAD(len) "\x00\x01\x00" len "\x21\x12\xa4\x42" ID

static void test_stun_msg_broken_ones_are_refused(void **state)
{
	static const struct { const char *p; size_t n; } rows[] = {
		{ BYTES("") },
		{ BYTES("\x00\x01\x00\x00\x21\x12\xa4\x43" ID) },        /* another cookie: RFC 3489 */
		{ BYTES("\x80\x01\x00\x00\x21\x12\xa4\x42" ID) },        /* RTP */
		{ BYTES(HEAD("\x04")) },                                  /* shorter than it says */
		{ BYTES(HEAD("\x03") "\x00\x06\x00") },
		{ BYTES(HEAD("\x04") "\x00\x06\x00\x01") },              /* its value is missing */
		{ BYTES(HEAD("\x04") "\x00\x06\xff\xff") },
		{ BYTES(HEAD("\x08") "\x00\x24\x00\x03\x01\x02\x03\x04") }, /* a priority of three bytes */
		{ BYTES(HEAD("\x08") "\x80\x2a\x00\x04\x01\x02\x03\x04") },
		{ BYTES(HEAD("\x08") "\x00\x08\x00\x04\x01\x02\x03\x04") }, /* no SHA-1 */
		{ BYTES(HEAD("\x08") "\x80\x28\x00\x04\x01\x02\x03\x04") }, /* the wrong sum */
	};
	struct stun_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (stun_msg_parse(&m, rows[i].p, rows[i].n) != -EINVAL)
			fail_msg("row %zu", i);
}

static void test_stun_msg_what_stands_behind_the_integrity_is_nobodys(void **state)
{
	uint8_t bytes[256];
	struct stun_out o;
	struct stun_msg m;

	(void)state;
	stun_begin(&o, bytes, sizeof(bytes), STUN_BINDING_REQUEST, ID);
	stun_add(&o, STUN_USERNAME, "a:b", 3);
	stun_add_integrity(&o, STR("secret"));
	stun_add(&o, STUN_USE_CANDIDATE, NULL, 0);
	stun_add_u32(&o, STUN_PRIORITY, 7);
	stun_add_u32(&o, 0x0777, 7);
	stun_add_fingerprint(&o);
	assert_int_equal(stun_msg_parse(&m, bytes, o.len), 0);
	assert_true(stun_msg_is_by(&m, STR("secret")) && m.has_fingerprint);
	assert_true(!m.use_candidate && !m.has_priority && !m.nunknown);
}

static void test_stun_msg_what_was_written_is_read(void **state)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(4711), .sin_addr.s_addr = htonl(0xc0000207) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(4712), .sin6_addr = { .s6_addr = { 0x20, 1, [15] = 9 } } };
	struct sockaddr_storage found;
	uint8_t bytes[256];
	struct stun_out o;
	struct stun_msg m;

	(void)state;
	stun_begin(&o, bytes, sizeof(bytes), STUN_BINDING_REQUEST, ID);
	stun_add(&o, STUN_USERNAME, "user", 4);
	stun_add_u32(&o, STUN_PRIORITY, 0xfedcba98);
	stun_add(&o, STUN_USE_CANDIDATE, NULL, 0);
	stun_add(&o, STUN_ICE_CONTROLLING, "12345678", 8);
	stun_add_u32(&o, 0x7001, 1);
	stun_add_u32(&o, 0x7002, 1);
	stun_add_u32(&o, 0x8fff, 1); /* need not be understood */
	stun_add_integrity(&o, STR(PASSWORD));
	stun_add_fingerprint(&o);
	assert_int_equal(stun_msg_parse(&m, bytes, o.len), 0);
	assert_true(m.use_candidate && m.is_controlling && !m.is_controlled && m.priority == 0xfedcba98 && str_eqz(m.username, "user"));
	assert_true(m.nunknown == 2 && m.unknown[0] == 0x7001 && m.unknown[1] == 0x7002);
	assert_true(stun_msg_is_by(&m, STR(PASSWORD)));

	for (int i = 0; i < 2; i++) {
		const struct sockaddr *sa = i ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;

		stun_begin(&o, bytes, sizeof(bytes), STUN_BINDING_SUCCESS, ID);
		stun_add_address(&o, sa);
		assert_int_equal(stun_msg_parse(&m, bytes, o.len), 0);
		assert_true(stun_msg_mapped(&m, &found) && found.ss_family == sa->sa_family);
		assert_memory_equal(&found, sa, i ? sizeof(v6) : sizeof(v4));
	}
}

static void test_stun_msg_without_room_is_none(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (size_t size = 0; size < sizeof(bytes); size++) {
		struct stun_out o;

		memset(bytes, 0xee, sizeof(bytes));
		stun_begin(&o, bytes, size, STUN_BINDING_ERROR, ID);
		stun_add_error(&o, 401, "");
		stun_add_integrity(&o, STR(PASSWORD));
		stun_add_fingerprint(&o);
		assert_int_equal(o.len, size < 60 ? 0 : 60);
		for (size_t i = size; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0xee);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stun_msg_request_is_read_and_its_maker_known),
		cmocka_unit_test(test_stun_msg_answers_are_read),
		cmocka_unit_test(test_stun_msg_changed_by_a_bit_is_broken_or_anothers),
		cmocka_unit_test(test_stun_msg_broken_ones_are_refused),
		cmocka_unit_test(test_stun_msg_what_stands_behind_the_integrity_is_nobodys),
		cmocka_unit_test(test_stun_msg_what_was_written_is_read),
		cmocka_unit_test(test_stun_msg_without_room_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
