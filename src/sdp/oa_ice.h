/* oa_ice.h - ICE in offers and answers (RFC 8839), of a lite agent (RFC 8445 §2.5): our credentials, our one candidate, and whether they do it.
 *
 * Our candidate is the address of the description itself, of the stream's port and, without rtcp-mux, of the next one. Of theirs only this
 * matters: is the address of their description among them? If not, somebody on the way has put himself there, and the answer
 * says so (a=ice-mismatch): then there is no ICE, and media go by the addresses. Names among them (mDNS) are passed over: it is they who
 * check.
 *
 * Ours are made when ICE is first offered or taken, and stay the same until they restart it with new ones of theirs (RFC 8839 §4.4.1.1).
 *
 * Owner: struct oa. Thread: any, one at a time.
 */
#pragma once

#include <stdbool.h>

#define OA_ICE_UFRAG_LEN 8   /* RFC 8839 §5.4: at least 4 and 22 characters, of 24 and 128 bits of chance; each of ours has five */
#define OA_ICE_PWD_LEN 26

struct oa_ice {
	char ufrag[OA_ICE_UFRAG_LEN + 1], pwd[OA_ICE_PWD_LEN + 1]; /* ours */
	bool is_peer_lite;   /* so is the peer: nobody checks, and media go by the addresses */
};
