/* test_config.c - every key of the configuration file, and what is refused, with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "config.h"
#include "sip/transport.h"

/* libconfig forgets a buffer when it meets a syntax error; the server ends then. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}

static char dir[] = "/tmp/configtest-XXXXXX";
static char said[4000];   /* what config_load() had to say, without the folder */

/* Loads a file and keeps what goes to stderr. */
static int load_path(struct config *c, const char *path)
{
	char log[100], *at;
	int err, old, fd;
	ssize_t n;

	snprintf(log, sizeof(log), "%s/stderr", dir);
	fflush(stderr);
	old = dup(STDERR_FILENO);
	assert_non_null(freopen(log, "w+", stderr));
	err = config_load(c, path);
	fflush(stderr);
	fd = fileno(stderr);
	n = pread(fd, said, sizeof(said) - 1, 0);
	assert_true(n >= 0);
	said[n] = '\0';
	dup2(old, STDERR_FILENO);
	close(old);
	while ((at = strstr(said, dir)) != NULL)
		memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
	return err;
}

static int load(struct config *c, const char *text)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/conf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return load_path(c, path);
}

#define LEAST "database = \"d\"; spool = \"s\"; prompts = \"p\"; sip = { listen = ( { addr = \"::1\"; port = 5060; } ); };"

static void test_config_least_takes_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, LEAST), 0);
	assert_string_equal(said, "");
	assert_string_equal(c.node, "pbx1");
	assert_string_equal(c.user, "");
	assert_int_equal(c.max_calls, 0);
	assert_int_equal(c.log_level, LOG_INFO);
	assert_string_equal(c.database, "d");
	assert_string_equal(c.spool, "s");
	assert_string_equal(c.prompts, "p");
	assert_int_equal(c.listen.n, 1);
	assert_string_equal(c.listen.at[0].addr, "::1");
	assert_int_equal(c.listen.at[0].port, 5060);
	assert_int_equal(c.min_expires_s, 60);
	assert_int_equal(c.max_expires_s, 3600);
	assert_int_equal(c.default_expires_s, 600);
	assert_int_equal(c.nonce_life_s, 300);
	assert_int_equal(c.media_workers, 0);
	assert_int_equal(c.port_min, 16384);
	assert_int_equal(c.port_max, 32767);
	assert_int_equal(c.media_timeout_s, 60);
	config_fini(&c);
	config_fini(&c); /* once more does nothing */
}

static void test_config_every_key_is_read(void **state)
{
	static const char text[] =
		"node = \"n\"; user = \"u\"; log_level = \"debug\"; database = \"host=x dbname=\\\"y\\\"\"; spool = \"/s\"; prompts = \"/p\";\n"
		"sip = { listen = ( { addr = \"0.0.0.0\"; port = 1; }, { port = 65535; addr = \"::\"; } );\n"
		"  min_expires = 1; max_expires = 604800; default_expires = 2; nonce_life = 86400; connections = 9; connections_per_address = 3; connection_idle = 77; };\n"
		"tls = { listen = ( { addr = \"::1\"; port = 5061; } ); cert = \"/c\"; key = \"/k\"; ca = \"/a\"; crl = \"/r\"; client = \"need\";"
		" certs = ( { cert = \"/d\"; }, { key = \"/f\"; cert = \"/e\"; } );\n"
		"verify_server = \"no\"; ocsp = \"/o\"; ocsp_require = \"yes\"; };\n"
		"dns = { servers = \"127.0.0.1:5353\"; timeout_ms = 500; };\n"
		"ws = { listen = ( { addr = \"127.0.0.1\"; port = 5066; } ); origins = \"https://a\"; };\n"
		"wss = { listen = ( { addr = \"127.0.0.1\"; port = 5067; } ); origins = \"https://b\"; };\n"
		"listen = ( { address = \"192.0.2.1\"; port = 5080; }, { address = \"::1\"; port = 1; transports = \"wss\"; external = \"2001:db8::1\";"
		" external_port = 443; local_networks = \"fd00::/8\"; origins = \"https://c\"; } );\n"
		"media = { workers = 256; port_min = 1024; port_max = 0xffff; timeout_s = 0; };\n";
	struct config c;

	(void)state;
	assert_int_equal(load(&c, text), 0);
	assert_string_equal(said, "");
	assert_string_equal(c.node, "n");
	assert_string_equal(c.user, "u");
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_string_equal(c.database, "host=x dbname=\"y\"");
	assert_string_equal(c.spool, "/s");
	assert_string_equal(c.prompts, "/p");
	assert_int_equal(c.listen.n, 2);
	assert_string_equal(c.listen.at[0].addr, "0.0.0.0");
	assert_int_equal(c.listen.at[0].port, 1);
	assert_string_equal(c.listen.at[1].addr, "::");
	assert_int_equal(c.listen.at[1].port, 65535);
	assert_int_equal(c.min_expires_s, 1);
	assert_int_equal(c.max_expires_s, 604800);
	assert_int_equal(c.default_expires_s, 2);
	assert_int_equal(c.nonce_life_s, 86400);
	assert_int_equal(c.tls_listen.n, 1);
	assert_string_equal(c.tls_listen.at[0].addr, "::1");
	assert_int_equal(c.tls_listen.at[0].port, 5061);
	assert_string_equal(c.tls_cert, "/c");
	assert_string_equal(c.tls_key, "/k");
	assert_string_equal(c.tls_ca, "/a");
	assert_string_equal(c.tls_crl, "/r");
	assert_int_equal(c.tls_certs.n, 2);
	assert_string_equal(c.tls_certs.at[0].cert, "/d");
	assert_null(c.tls_certs.at[0].key);
	assert_string_equal(c.tls_certs.at[1].cert, "/e");
	assert_string_equal(c.tls_certs.at[1].key, "/f");
	assert_int_equal(c.tls_client, CLIENT_NEEDED);
	assert_false(c.tls_verify_server);
	assert_string_equal(c.tls_ocsp, "/o");
	assert_true(c.tls_ocsp_require);
	assert_string_equal(c.dns_servers, "127.0.0.1:5353");
	assert_int_equal(c.dns_timeout_ms, 500);
	assert_int_equal(c.next_target_ms, 4000);
	assert_int_equal(c.avoid_s, 30);
	assert_int_equal(c.connections, 9);
	assert_int_equal(c.connections_per_address, 3);
	assert_int_equal(c.connection_idle_s, 77);
	assert_int_equal(c.listen.at[0].protos, SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP));
	assert_int_equal(c.ws_listen.at[0].port, 5066);
	assert_int_equal(c.ws_listen.at[0].protos, SIP_PROTO_BIT(SIP_WS));
	assert_string_equal(c.ws_origins, "https://a");
	assert_int_equal(c.wss_listen.at[0].protos, SIP_PROTO_BIT(SIP_WSS));
	assert_string_equal(c.wss_origins, "https://b");
	assert_int_equal(c.listeners.n, 2);
	assert_string_equal(c.listeners.at[0].addr, "192.0.2.1");
	assert_int_equal(c.listeners.at[0].protos, SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP));
	assert_null(c.listeners.at[0].external);
	assert_int_equal(c.listeners.at[1].protos, SIP_PROTO_BIT(SIP_WSS));
	assert_string_equal(c.listeners.at[1].external, "2001:db8::1");
	assert_int_equal(c.listeners.at[1].external_port, 443);
	assert_string_equal(c.listeners.at[1].local_networks, "fd00::/8");
	assert_string_equal(c.listeners.at[1].origins, "https://c");
	assert_int_equal(c.media_workers, 256);
	assert_int_equal(c.port_min, 1024);
	assert_int_equal(c.port_max, 65535);
	assert_int_equal(c.media_timeout_s, 0);
	config_fini(&c);
}

/* Behind what is needed, on line 3. */
static void test_config_bad_value_is_refused_with_its_line(void **state)
{
	static const struct { const char *text, *said; } rows[] = {
		{ "nod = \"x\";", "conf:3: nod: unknown key\n" },
		{ "tls = { client = \"maybe\"; };", "conf:3: tls.client: must be no, ask or need\n" },
		{ "tls = { verify_server = \"perhaps\"; };", "conf:3: tls.verify_server: must be yes or no\n" },
		{ "tls = { verify_server = true; };", "conf:3: tls.verify_server: must be a text in quotes\n" },
		{ "dns = { timeout_ms = 50; };", "conf:3: dns.timeout_ms: must be between 100 and 30000\n" },
		{ "tls = { cert = 1; };", "conf:3: tls.cert: must be a text in quotes\n" },
		{ "tls = { listen = ( ); cert = \"c\"; };",
		  "conf:3: tls.listen: must be a list like ( { addr = \"0.0.0.0\"; port = 5060; } )\n" },
		{ "tls = { listen = ( { addr = \"::\"; port = 5061; } ); };", "conf:3: tls.cert: is needed to listen\n" },
		{ "wss = { listen = ( { addr = \"::\"; port = 5067; } ); };", "conf:3: tls.cert: is needed to listen\n" },
		{ "listen = 5060;", "conf:3: listen: must be a list like ( { address = \"0.0.0.0\"; port = 5060; transports = \"udp tcp\"; } )\n" },
		{ "listen = ( 5060 );", "conf:3: listen: each must be a group { ... }\n" },
		{ "listen = ( { addr = \"::\"; port = 1; } );",
		  "conf:3: listen: each may have address, port, transports, external, external_port, local_networks and origins\n" },
		{ "listen = ( { port = 1; } );", "conf:3: listen: address must be an IPv4 or IPv6 address\n" },
		{ "listen = ( { address = \"::\"; port = 65536; } );", "conf:3: listen: port must be 1..65535\n" },
		{ "listen = ( { address = \"::\"; port = 1; external = \"2001:db8::1\"; external_port = 65536; } );",
		  "conf:3: listen: external_port must be 1..65535\n" },
		{ "listen = ( { address = \"::\"; port = 1; transports = 5; } );",
		  "conf:3: listen: all but port and external_port must be texts in quotes\n" },
		{ "listen = ( { address = \"::\"; port = 1; transports = \"udp tls\"; } );",
		  "conf:3: listen: transports must be \"udp tcp\", \"udp\", \"tcp\", \"tls\", \"ws\" or \"wss\"\n" },
		{ "listen = ( { address = \"::\"; port = 1; external = \"192.0.2.1\"; } );",
		  "conf:3: listen: external must be an address of the same family as address\n" },
		{ "listen = ( { address = \"::\"; port = 1; local_networks = \"10.0.0.0/33\"; } );",
		  "conf:3: listen: local_networks must be like \"10.0.0.0/8 fd00::/8\"\n" },
		{ "listen = ( { address = \"::\"; port = 1; transports = \"tls\"; } );", "conf:3: tls.cert: is needed to listen\n" },
		{ "port = 5060;", "conf:3: port: unknown key\n" },
		{ "sips = { };", "conf:3: sips: unknown key\n" },
		{ "media = { threads = 2; };", "conf:3: threads: unknown key\n" },
		{ "media = {\n  workers = 1;\n  spool = \"x\";\n};", "conf:5: spool: unknown key\n" },
		{ "media = 5;", "conf:3: media: must be a group { ... }\n" },
		{ "node = 5;", "conf:3: node: must be a text in quotes\n" },
		{ "node = \"\";", "conf:3: node: must not be empty\n" },
		{ "user = true;", "conf:3: user: must be a text in quotes\n" },
		{ "log_level = \"loud\";", "conf:3: log_level: must be error, warn, info or debug\n" },
		{ "log_level = 3;", "conf:3: log_level: must be a text in quotes\n" },
		{ "media = { workers = \"2\"; };", "conf:3: media.workers: must be a number\n" },
		{ "media = { workers = 1.5; };", "conf:3: media.workers: must be a number\n" },
		{ "media = { workers = true; };", "conf:3: media.workers: must be a number\n" },
		{ "media = { workers = -1; };", "conf:3: media.workers: must be between 0 and 256\n" },
		{ "media = { workers = 257; };", "conf:3: media.workers: must be between 0 and 256\n" },
		{ "media = { workers = 4294967297L; };", "conf:3: media.workers: must be between 0 and 256\n" },
		{ "media = { port_min = 1023; };", "conf:3: media.port_min: must be between 1024 and 65534\n" },
		{ "media = { port_max = 65536; };", "conf:3: media.port_max: must be between 1025 and 65535\n" },
		{ "media = { port_min = 4000; port_max = 4000; };", "conf:3: media.port_max: must be above port_min\n" },
		{ "media = { timeout_s = 86401; };", "conf:3: media.timeout_s: must be between 0 and 86400\n" },
		/* all of it at once */
		{ "media = { workers = 300;\n port_min = 1;\n\n x = 1; };",
		  "conf:6: x: unknown key\nconf:3: media.workers: must be between 0 and 256\nconf:4: media.port_min: must be between 1024 and 65534\n" },
		{ "node = \"x\"", "" }, /* the semicolon may be left out */
		{ "node \"x\";", "conf:3: syntax error\n" },
		{ "node = \"x\"; node = \"y\";", "conf:3: duplicate setting name\n" },
		{ "media = { workers = 1;", "conf:4: syntax error\n" },
	};
	char text[600];
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(text, sizeof(text), "# a comment\n%s\n%s\n", LEAST, rows[i].text);
		assert_int_equal(load(&c, text), rows[i].said[0] ? -EINVAL : 0);
		assert_string_equal(said, rows[i].said);
		if (!rows[i].said[0])
			config_fini(&c);
	}
}

/* A default that isn't given follows the bounds that are. */
static void test_config_default_expires_keeps_to_the_bounds(void **state)
{
	static const struct { const char *text; uint32_t expires_s; } rows[] = {
		{ "max_expires = 120;", 120 }, { "min_expires = 1200;", 1200 }, { "min_expires = 1; max_expires = 86400;", 600 },
	};
	char text[300];
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(text, sizeof(text), "database = \"d\"; spool = \"s\"; prompts = \"p\";"
			 " sip = { listen = ( { addr = \"::\"; port = 5060; } ); %s };", rows[i].text);
		assert_int_equal(load(&c, text), 0);
		assert_int_equal(c.default_expires_s, rows[i].expires_s);
		config_fini(&c);
	}
}

/* Instead of the group sip, on line 2. */
static void test_config_bad_sip_is_refused_with_its_line(void **state)
{
	static const char shape[] = "sip.listen: must be a list like ( { addr = \"0.0.0.0\"; port = 5060; } )";
	static const char each[] = "sip.listen: each needs addr = \"...\" and port = 1..65535 and nothing else";
	static const char address[] = "sip.listen: addr must be an IPv4 or IPv6 address";
	static const char expires[] = "sip.default_expires: must be between min_expires and max_expires";
#define ONE "{ addr = \"::\"; port = 5060; }"
	static const struct { const char *text; int line; const char *said; } rows[] = {
		{ "", 0, "sip.listen: is missing" }, { "sip = { };", 0, "sip.listen: is missing" },
		{ "sip = { listen = 5060; };", 2, shape }, { "sip = { listen = ( ); };", 2, shape },
		{ "sip = { listen = [ 5060 ]; };", 2, shape }, { "sip = { listen = " ONE "; };", 2, shape },
		{ "sip = { listen = ( \"::\" ); };", 2, each }, { "sip = { listen = ( { addr = \"::\"; } ); };", 2, each },
		{ "sip = { listen = (\n " ONE ",\n { addr = \"::\"; port = 0; } ); };", 4, each },
		{ "sip = { listen = ( { addr = \"::\"; port = 65536; } ); };", 2, each },
		{ "sip = { listen = ( { addr = 5; port = 5060; } ); };", 2, each },
		{ "sip = { listen = ( { addr = \"::\"; port = \"5060\"; } ); };", 2, each },
		{ "sip = { listen = ( { addr = \"::\"; port = 5060; tls = true; } ); };", 2, each },
		{ "sip = { listen = ( { addr = \"localhost\"; port = 5060; } ); };", 2, address },
		{ "sip = { listen = ( { addr = \"1.2.3\"; port = 5060; } ); };", 2, address },
		{ "sip = { listen = ( { addr = \"[::]\"; port = 5060; } ); };", 2, address },
		{ "sip = { listen = ( " ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE ","
		  ONE "," ONE ",\n" ONE " ); };", 3, "sip.listen: too many" },
		{ "sip = { listen = ( " ONE " ); min_expires = 0; };", 2, "sip.min_expires: must be between 1 and 86400" },
		{ "sip = { listen = ( " ONE " ); max_expires = 604801; };", 2, "sip.max_expires: must be between 1 and 604800" },
		{ "sip = { listen = ( " ONE " ); nonce_life = 0; };", 2, "sip.nonce_life: must be between 1 and 86400" },
		{ "sip = { listen = ( " ONE " ); default_expires = 59; };", 2, expires },
		{ "sip = { listen = ( " ONE " ); default_expires = 3601; };", 2, expires },
		{ "sip = { listen = ( " ONE " ); min_expires = 7200; };", 2, "sip.max_expires: must not be below min_expires" },
	};
	char text[1200], expected[200];
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(text, sizeof(text), "database = \"d\"; spool = \"s\"; prompts = \"p\";\n%s\n", rows[i].text);
		if (rows[i].line)
			snprintf(expected, sizeof(expected), "conf:%d: %s\n", rows[i].line, rows[i].said);
		else
			snprintf(expected, sizeof(expected), "conf: %s\n", rows[i].said);
		assert_int_equal(load(&c, text), -EINVAL);
		assert_string_equal(said, expected);
	}
}

static void test_config_missing_keys_are_all_told(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, ""), -EINVAL);
	assert_string_equal(said, "conf: database: is missing\nconf: spool: is missing\nconf: prompts: is missing\n"
				  "conf: sip.listen: is missing\n");
}

static void test_config_included_file_has_its_own_lines(void **state)
{
	char path[100], text[600];
	struct config c;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/more", dir);
	f = fopen(path, "w");
	fputs("\n\nnod = \"x\";\n", f);
	fclose(f);
	snprintf(text, sizeof(text), "%s\n@include \"%s\"\n", LEAST, path);
	assert_int_equal(load(&c, text), -EINVAL);
	assert_string_equal(said, "more:3: nod: unknown key\n");
}

static void test_config_file_that_is_not_there(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load_path(&c, "/nonexistent/conf"), -ENOENT);
	assert_string_equal(said, "/nonexistent/conf: can't be read\n");
}

/* The sample is what a new administrator starts from. */
static void test_config_sample_loads(void **state)
{
	char path[500], *at;
	struct config c;
	ssize_t n = readlink("/proc/self/exe", path, 400);

	(void)state;
	assert_true(n > 0);
	path[n] = '\0';
	for (int up = 0; up < 4; up++) { /* <root>/<build>/tests/unit/<test> */
		at = strrchr(path, '/');
		assert_non_null(at);
		*at = '\0';
	}
	strcat(path, "/config/cordboard.conf");
	assert_int_equal(load_path(&c, path), 0);
	assert_string_equal(said, "");
	assert_int_equal(c.listen.n, 2);
	config_fini(&c);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = { "conf", "more", "stderr" };
	char path[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_least_takes_defaults), cmocka_unit_test(test_config_every_key_is_read),
		cmocka_unit_test(test_config_bad_value_is_refused_with_its_line), cmocka_unit_test(test_config_bad_sip_is_refused_with_its_line),
		cmocka_unit_test(test_config_default_expires_keeps_to_the_bounds),
		cmocka_unit_test(test_config_missing_keys_are_all_told), cmocka_unit_test(test_config_included_file_has_its_own_lines),
		cmocka_unit_test(test_config_file_that_is_not_there), cmocka_unit_test(test_config_sample_loads),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
