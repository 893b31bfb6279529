/* config.h - the configuration file (libconfig): what the server must know before it can ask the database.
 *
 * Unknown keys and bad values are refused with file and line. config/cordboard.conf is the commented sample.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

#define CONFIG_LISTEN_MAX 16
#define CONFIG_CERTS_MAX 64

struct config_listen {
	unsigned n;
	struct config_listener {
		char *addr;
		uint16_t port, external_port;  /* external_port 0: as port */
		unsigned protos;               /* SIP_PROTO_BIT()s */
		char *external, *local_networks, *origins; /* NULL: none */
	} at[CONFIG_LISTEN_MAX];
};

/* Certificates besides the first, each with its key (NULL: in the same file) and OCSP answer (NULL: none). */
struct config_certs { unsigned n; struct config_cert { char *cert, *key, *ocsp; } at[CONFIG_CERTS_MAX]; };

enum config_client { CLIENT_IGNORED, CLIENT_ASKED, CLIENT_NEEDED }; /* client certificates: "no", "ask", "need" */

struct config {
	char *node, *user, *database, *spool, *prompts;
	char *recordings;                   /* "": "recordings" in the spool */
	enum log_level log_level;
	struct config_listen listen;
	struct config_listen tls_listen, ws_listen, wss_listen; /* n 0: none */
	struct config_listen listeners;     /* of all transports, with all there is to say of each */
	char *ws_origins, *wss_origins;     /* "": any */
	uint32_t connections, connections_per_address, connection_idle_s; /* 0: the default */
	uint32_t max_calls;                 /* 0: no limit */
	uint32_t source_rate, ban_failures, ban_first_s, ban_longest_s;
	char *tls_cert, *tls_key, *tls_ca, *tls_crl; /* "": the key is in cert; the system's authorities; nothing is revoked */
	char *tls_ocsp;                     /* "": none */
	struct config_certs tls_certs;
	enum config_client tls_client;
	bool tls_verify_server, tls_ocsp_require;
	uint32_t min_expires_s, max_expires_s, default_expires_s, nonce_life_s;
	char *dns_servers;                  /* "": those of the system */
	uint32_t dns_timeout_ms;
	uint32_t next_target_ms, avoid_s;
	unsigned media_workers;
	uint16_t port_min, port_max;
	uint32_t media_timeout_s, media_hold_timeout_s;
};

/* Reads a file; complaints go to stderr, all there are. -EINVAL; -ENOENT it can't be read. On success release with config_fini(). */
int config_load(struct config *c, const char *path);
void config_fini(struct config *c);
