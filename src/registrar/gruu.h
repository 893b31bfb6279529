/* gruu.h - addresses that mean one phone of an extension (RFC 5627): made and read, nothing kept.
 *
 * Public:    sip:1001@office.example;gr=urn:uuid:f81d4fae-...       says who and which
 * Temporary: sip:tgruu.k3j5...@office.example;gr                    says nothing: what it means is sealed in the user part
 *
 * The seal is one block of AES-256: an id that the bindings of the instance keep as long as it registers with one Call-ID, and
 * something random. So a phone is given a new one with every REGISTER, all of them work, none can be told to belong
 * to another, and no table of them is needed.
 *
 * Thread: loop thread.
 */
#pragma once

#include "base/out.h"
#include "base/rng.h"
#include "sip/uri.h"

struct gruu_maker;

/* key: the node's secret, the same on all nodes. -ENOMEM. */
int gruu_maker_new(struct gruu_maker **out, const unsigned char key[32], struct rng *rng);
void gruu_maker_free(struct gruu_maker *g);

/* Can it stand in a URI as it is? Instances that can't get no GRUU. instance: "<urn:uuid:...>". */
bool gruu_is_possible(struct str instance);
/* The URIs, without <> or quotes; scheme: that of the Contact it is of, for both versions of a GRUU lead there (RFC 5630). */
void gruu_print_public(struct out *o, enum sip_scheme scheme, const char *number, const char *domain, struct str instance);
/* Of an exchange (RFC 6140 §7.1.1): it makes those of its numbers of it, by putting the number in and taking "bnc" out. */
void gruu_print_bulk(struct out *o, enum sip_scheme scheme, const char *domain, struct str instance);
void gruu_print_temporary(struct gruu_maker *g, struct out *o, enum sip_scheme scheme, const char *domain, uint64_t id);

enum gruu_kind { GRUU_NONE, GRUU_PUBLIC, GRUU_TEMPORARY, GRUU_FORGED };
/* PUBLIC: *instance is set, a slice of uri's without <>. TEMPORARY: *id; also without the parameter, for our Contact in a dialog with a
 * temporary one has its user part at our address. FORGED: looks like one of ours and isn't. */
enum gruu_kind gruu_read(struct gruu_maker *g, const struct sip_uri *uri, struct str *instance, uint64_t *id);
