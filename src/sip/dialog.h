/* dialog.h - a peer relationship named by Call-ID and two tags (RFC 3261 §12). Inside sip/ alone.
 *
 * Knows who and where the peer is, counts CSeq both ways, writes the headers of a request of ours and finds
 * the way it goes. No timers and no transactions of its own: those belong to the usage (RFC 5057), a session
 * or a subscription, that embeds it.
 *
 * Where requests go (the destination): to the first route, else to the remote target. But a target that can't be
 * reached from here (a private address that isn't the one the peer really sends from) is behind NAT, and then
 * requests go back where its own came from, on the same flow. A name is looked up; until it is found, and if it
 * isn't, they go to the source too, but the ACK of a 2xx waits. Where a name has several targets, the one in use stays as long
 * as it answers. A connection is used as long as it stands.
 *
 * Owner:  its usage. In the user agent's table from dialog_init_* to dialog_fini.
 * Thread: loop thread.
 */
#pragma once

#include "base/table.h"

#include "sip/ua_int.h"

#define DIALOG_TAG_LEN 16

struct ack;
struct dialog;

/* What a dialog is for. Requests come with tags, CSeq and Require already checked. */
struct dialog_usage {
	void (*on_request)(struct dialog *d, struct strans *st, const struct sip_msg *m); /* must answer */
	void (*on_ack)(struct dialog *d, const struct sip_msg *m, const struct sip_source *src);
	void (*on_stray_2xx)(struct dialog *d, const struct sip_msg *m, const struct sip_source *src);
	/* A request of another fork than the dialog's (may be NULL): 0, -ENOENT unknown, -EINVAL its CSeq is too low. */
	int (*take_fork)(struct dialog *d, const struct sip_msg *m);
	/* Into INVITEs and UPDATEs of ours, behind Supported; may be NULL. */
	void (*print_request)(const struct dialog *d, struct out *o);
	void (*drop)(struct dialog *d); /* the user agent closes: free the usage, tell nobody */
};

struct dialog_auth {
	char *user, *password;
	char *next;                       /* what the next request's credentials are made of (digest_keep_next()); NULL: nothing */
};

struct dialog {
	struct sip_ua *ua;
	const struct dialog_usage *usage; /* NULL: not in the table */
	UT_hash_handle hh;                /* by local tag: it is ours and random, so it is unique by itself */
	char local_tag[DIALOG_TAG_LEN + 1];
	bool is_uac;                      /* we made the Call-ID */
	bool is_established;              /* remote tag, target and routes are the peer's, not the INVITE's */
	bool has_remote_seq;
	bool is_secure;                   /* begun with a sips URI: so is our Contact (RFC 3261 §8.1.1.8, §12.1.1; RFC 5630 §5.1) */
	uint32_t local_seq, remote_seq;
	char *call_id;
	char *remote_tag;                 /* "" for none */
	char *local, *remote;             /* From and To of our requests, without tags */
	char *target;
	char *routes;                     /* in the order of our requests, each ends in '\n' */
	char *contact_user;               /* "" for none */
	char *hdrs;                       /* whole lines in all its requests and responses; NULL: none */
	struct dialog_auth *auth;         /* NULL: we have no credentials */
	struct sip_source source;         /* where the peer's last request came from; UAC: where ours went first */
	struct sip_dest dest;
	uint32_t peer_name;               /* UAC: sip_dest.name of whom we called; 0: none */
	struct sip_dest *targets;         /* of the name, where it has several: dest is that at_target */
	unsigned ntargets, at_target;
	bool has_rivals;                  /* UAC: whoever calls has others to try, so the last target isn't waited for longer than one before */
	enum sip_oc oc;                   /* of our requests; MAY_WAIT: of the first one */
	uint64_t resolving;               /* id of the look-up of a name under way */
	struct ack *ack;                  /* that waits for it; NULL: none */
};

struct dialog_params {                    /* for a UAC; what session_params say */
	struct str target, from_display, from_uri, to_display, to_uri, route, contact_user, call_id, hdrs;
	const char *auth_user, *auth_password;
	struct sip_dest dest;
	bool has_rivals;
	enum sip_oc oc;
};

int dialog_init_uac(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct dialog_params *p);
/* From a request that forms a dialog; it has a Contact. */
int dialog_init_uas(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct sip_msg *m,
		    const struct sip_source *src);
/* One of a former process. -EINVAL: not a tag of ours, or in use. */
int dialog_init_kept(struct dialog *d, struct sip_ua *ua, const struct dialog_usage *usage, const struct subscription_kept *k);
/* The same dialog seen with another fork's 2xx: not in the table, for its ACK and BYE. src: where it came from, NULL: the same way. */
int dialog_init_fork(struct dialog *d, const struct dialog *like, const struct sip_msg *m, const struct sip_source *src);
void dialog_fini(struct dialog *d);

struct dialog *dialog_find(struct sip_ua *ua, struct str call_id, struct str local_tag);
/* True when the peer's tag is that of the dialog (From of requests, To of responses). */
bool dialog_has_remote_tag(const struct dialog *d, struct str tag);
/* False: the request is older than one we had (RFC 3261 §12.2.2); else its CSeq is noted. */
bool dialog_take_seq(struct dialog *d, const struct sip_msg *m);
/* UAC: a provisional response names the peer for now. */
int dialog_early(struct dialog *d, const struct sip_msg *m);
/* UAC: a 2xx settles it: tag, target, and the route set anew (RFC 3261 §13.2.2.4). */
int dialog_establish(struct dialog *d, const struct sip_msg *m);
/* A target refresh, request or response. Without a usable Contact nothing changes. */
int dialog_refresh_target(struct dialog *d, const struct sip_msg *m);
/* RFC 4916, once both ends have said that they can do it. The peer's requests have another From than before: that is our To from now on. */
bool dialog_take_from(struct dialog *d, const struct sip_msg *m);
/* Ours have from now on: "Name" <uri>, copied. */
int dialog_set_local(struct dialog *d, struct str name_addr);
/* Other lines for all its requests and responses from now on; copied. */
int dialog_set_hdrs(struct dialog *d, struct str hdrs);
/* A request of the peer was accepted that came from src. */
void dialog_seen_from(struct dialog *d, const struct sip_source *src);
/* Does it come from the address the peer has used so far? */
bool dialog_is_own_flow(const struct dialog *d, const struct sip_source *src);

/* Writes Max-Forwards, From, To, Call-ID, CSeq and Route; *uri gets the Request-URI (text of the dialog). */
void dialog_print_request(const struct dialog *d, struct out *o, enum sip_method method, const char *method_name,
			  uint32_t cseq, uint8_t max_forwards, struct str *uri);
/* "Contact: <...>\r\n": how the peer reaches us. */
void dialog_print_contact(const struct dialog *d, struct out *o);
int dialog_local_addr(const struct dialog *d, union sockaddr_any *out);
/* The connection we used is gone: true when there is another way to try (dest is then changed). */
bool dialog_flow_lost(struct dialog *d);
/* UAC, before its first request: where that goes, and where else if need be. Without memory for more the first has to do. n > 0. */
void dialog_set_targets(struct dialog *d, const struct sip_dest *dests, unsigned n);
/* The next of the targets of the name that dest is one of, after the last the first again; false: it has no other. */
bool dialog_next_target(struct dialog *d);

/* What a final response to a request inside a dialog ends besides its transaction (RFC 5057 §5.1): the usage that the request belonged
 * to, or the dialog with all its usages. No response at all counts as 408. */
enum dialog_end { DIALOG_END_NOTHING, DIALOG_END_USAGE, DIALOG_END_ALL };
enum dialog_end dialog_end_of(int status);

/* The URI of the first Contact; -ENOENT when there is none we could send to. */
int dialog_contact_of(const struct sip_msg *m, struct sip_uri *out);
