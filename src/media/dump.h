/* dump.h - the RTP and RTCP of a stream, packet by packet, either way, for a capture that Wireshark reads.
 *
 * Packets are kept as they are inside SRTP: decrypted as they came in, before anything of them is changed, and as they go out before they are
 * encrypted. The worker copies each, with the heads of UDP and IP that it had or could have had, into a chunk; when that is full, or a
 * minute old, it passes to the loop, which has it written. A stream that isn't dumped has a flag that says so, and nothing else.
 *
 * Owner:  a dump belongs to its maker until on_end has returned, exactly once, last.
 * Thread: loop thread; dump_packet() and dump_take(): the stream's worker.
 * Sources: draft-ietf-opsawg-pcap (a record of it).
 */
#pragma once

#include "media/media.h"

#define DUMP_CHUNK 65536u        /* bytes of records */
#define DUMP_CHUNK_PACKETS 512u
#define DUMP_CHUNK_MS 60000      /* no chunk is older when it is passed on, if packets come */

struct dump;

struct dump_chunk {
	int64_t began_us;        /* Unix time of its first packet */
	unsigned npackets;
	uint32_t ndropped;       /* that were too many, since the chunk before */
	uint32_t at_us[DUMP_CHUNK_PACKETS];  /* since began_us */
	uint16_t len[DUMP_CHUNK_PACKETS];    /* of its record: */
	size_t nbytes;
	uint8_t bytes[DUMP_CHUNK];   /* records of pcap in network order, link type 101 (packets of IP), one behind the other */
};

struct dump_handler {
	void (*on_chunk)(struct dump *d, const struct dump_chunk *c, void *arg); /* c: until it returns */
	void (*on_end)(struct dump *d, void *arg);
};

struct dump_params {
	const struct sockaddr *local;  /* where the peer sends to, as described; the port is the stream's */
	size_t bytes_max;              /* of records; packets behind that are counted */
};

/* All of s that comes and goes from now on, until dump_stop() or the end of s. One at a time: another one ends the one before. -ENOMEM, -ECANCELED:
 * s is closing; on_end isn't called then. */
int dump_start(struct dump **out, struct stream *s, const struct dump_params *p, const struct dump_handler *h, void *arg);
void dump_stop(struct dump *d);      /* what was kept so far is still told; then on_end */
