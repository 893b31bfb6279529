/* directory.h - the cached read side of SQL: domains, extensions, credentials, trunks, groups, menus, music, prompts.
 *
 * The whole directory is loaded into memory at start and kept true by pbx.change (NOTIFY wakes, the sequence tells
 * what changed), so every look-up is a function call that never waits. While nothing was loaded yet a look-up
 * answers DIR_UNKNOWN, never DIR_ABSENT. When the database is away the copy stays.
 *
 * Rows are immutable and shared: a changed row is a new object. Pointers are valid until the loop callback in which they
 * were looked up returns (or the task parks); who needs a row longer copies what it needs.
 *
 * Thread: loop thread.
 */
#pragma once

#include <netinet/in.h>

#include "db/db.h"
#include "directory/cadence.h"
#include "media/codec.h"

enum dir_answer { DIR_FOUND, DIR_ABSENT, DIR_UNKNOWN };

struct directory;

/* In order of preference; n 0: nothing is said. */
#define DIR_CODECS_MAX 8
struct dir_codecs {
	uint8_t n, id[DIR_CODECS_MAX]; /* enum codec_id; those that aren't built in are left out */
};

/* When an extension hides who it is. */
enum dir_anonymous { DIR_NEVER, DIR_OUTSIDE /* from trunks */, DIR_ALWAYS };

/* Which calls to an extension or trunk go without an offer. */
enum dir_delayed { DIR_DELAYED_NEVER, DIR_DELAYED_FOLLOW /* whose caller had none */, DIR_DELAYED_ALWAYS };

/* Encrypted media, of an extension or a trunk. */
struct dir_srtp {
	enum { DIR_SRTP_NEVER, DIR_SRTP_OFFER, DIR_SRTP_REQUIRE } policy;
	enum { DIR_KEYS_ANY, DIR_KEYS_SDES, DIR_KEYS_DTLS } keys; /* how they are agreed on */
	bool keys_in_clear;              /* they may be told over UDP and TCP */
};

/* ICE of media: only where the other side offers it, or a browser is called; or offered to all that are. */
enum dir_ice { DIR_ICE_NEVER, DIR_ICE_AUTO, DIR_ICE_OFFER };

/* Which calls are recorded: bits. */
enum dir_record { DIR_RECORD_NONE, DIR_RECORD_INBOUND = 1, DIR_RECORD_OUTBOUND = 2, DIR_RECORD_ALL = 3 };

/* How digits travel to and from an extension's phones or a trunk. */
enum dir_dtmf { DIR_DTMF_AUTO, DIR_DTMF_RFC4733, DIR_DTMF_INFO, DIR_DTMF_INBAND };

/* What is chosen for the media of an extension's phones, or of a trunk. */
struct dir_media {
	struct dir_codecs codecs;
	struct dir_srtp srtp;
	enum dir_delayed delayed_offer;
	enum dir_dtmf dtmf;
	enum dir_ice ice;
	bool has_video;                  /* and what else calls carry besides sound */
	enum dir_record record;          /* an extension's: own or the domain's */
	uint32_t refusal_tone_s;         /* how long its callers hear why they aren't answered; 0: they only get a status */
};

/* Whose messages are kept (pbx.domain.capture). */
enum dir_capture { DIR_CAPTURE_NONE, DIR_CAPTURE_FAILED, DIR_CAPTURE_ALL, DIR_CAPTURE_RTP /* of all, and their RTP */ };

struct dir_domain {
	const char *domain, *realm, *timezone, *language;
	const char *music_class;         /* default music */
	unsigned algorithms;             /* enum digest_alg bits: 1 MD5, 2 SHA-256, 4 SHA-512-256 */
	unsigned qop;                    /* enum digest_qop bits: 8 auth, 16 auth-int */
	bool is_default;
	bool has_userhash;               /* a name may come as its hash (RFC 7616 §3.4.4) */
	bool has_digest_session;         /* algorithms are offered as -sess, too (RFC 7616 §3.4.2) */
	bool is_mutual;                  /* whoever shows a password is shown that we know it, too (RFC 7616 §3.5) */
	char default_context[64];
	const char *caller_id;           /* number shown outside; NULL: none */
	uint32_t call_limit;             /* calls at once; UINT32_MAX: no limit */
	uint32_t session_expires_s, session_min_s; /* session timer (RFC 4028); 0: none asked for */
	uint32_t transfer_answer_s;      /* a transferred call that nobody answers in it has failed; 0: no limit */
	const char *tones;               /* tone plan */
	const char *record_format, *record_path, *record_code; /* as in SQL */
	bool record_is_stereo, record_has_beep;
	enum dir_capture capture;
	uint32_t record_beep_s;          /* between two; 0: at the beginning alone */
	uint32_t recall_ring_s;          /* how long the transferor's phones then ring, if he has hung up; 0: they don't */
	uint32_t media_timeout_s, media_hold_timeout_s; /* UINT32_MAX: the server's; 0: never */
};

struct dir_extension {
	const char *domain, *number, *display_name, *context, *language, *music_class; /* language, music_class: never NULL */
	uint32_t ring_s;
	uint32_t call_limit;             /* calls at once; 0: none allowed ... UINT32_MAX: no limit */
	unsigned algorithms;             /* own or the domain's */
	bool has_mailbox;
	const char *caller_id;           /* number shown outside; NULL: the trunk's or the domain's */
	enum dir_anonymous anonymous;    /* own or the domain's */
	uint32_t qualify_s;              /* how often its phones are asked whether they are there; 0: never */
	unsigned nidentities;
	const char *const *identities;   /* further numbers it may call as */
	bool presence_hidden;            /* nobody else may watch it */
	bool sees_peers;                 /* lamps show it with whom others talk */
	bool may_bulk;                   /* an exchange: may register for the numbers whose bulk_account it is (RFC 6140) */
	const char *bulk_account;        /* the exchange that registers for it; NULL: none */
	bool mwi_unsolicited;            /* its phones are told of voicemail without having subscribed */
	struct dir_media media;
	bool may_record;                 /* by pressing record_code */
	const char *pickup_group;        /* whose ringing calls it may take; NULL: only its own */
};

struct dir_credential {
	const char *domain, *auth_name, *number;
	const char *ha1_md5, *ha1_sha256, *ha1_sha512_256; /* NULL: none */
};

/* Whose phone shows a certificate for it: "alice@example.org", or "phone7.example.org". */
struct dir_certificate { const char *identity, *domain, *number; };

struct dir_forward { const char *reason, *target; }; /* reason: always, busy, no_answer, unavailable */

struct dir_trunk {
	const char *domain, *name, *context, *uri; /* uri: where calls to it go, NULL: none */
	const char *auth_user, *auth_password;
	/* At which we register: as whom (user or user@host), with which user in the contact (NULL: the same), through which proxy
	 * (for calls, too). registrar, register_as: NULL only where we don't. */
	bool is_registering;
	const char *registrar, *register_as, *contact_user, *proxy;
	uint32_t register_expires_s;
	bool is_mutual;                  /* its registrar must show that it knows the password, too */
	bool is_bulk;                    /* for all numbers we have there (RFC 6140) */
	bool is_outbound;                /* registers a flow (RFC 5626), and through each of these another */
	unsigned nmore_proxies;
	const char *const *more_proxies;
	uint32_t keepalive_s;            /* how often its registrar is shown that we are there; 0: as that one says */
	bool is_number_in_to;            /* what was dialled is in To, not in the Request-URI */
	uint32_t qualify_s;              /* how often it is asked whether it is there; 0: never */
	uint32_t call_limit;
	bool is_trusted;                 /* inside the trust domain of RFC 3325 */
	/* How callers are named to it, besides From; asserted and rpid to a trusted one alone. */
	bool has_asserted, has_preferred, has_rpid;
	const char *caller_id;           /* number shown to it; NULL: the domain's */
	uint32_t session_expires_s;      /* UINT32_MAX: the domain's */
	uint32_t media_timeout_s, media_hold_timeout_s; /* likewise */
	struct dir_media media;
	const char *tones;               /* tone plan of who comes by it; NULL: the domain's */
	const char *tls_identity;        /* the domain of its certificate, by which it is known; NULL: none */
	bool has_overload_control;       /* it is offered (sip/overload.h), but for calls to these numbers */
	unsigned nurgent_numbers;
	const char *const *urgent_numbers;
};

/* Trunks that are tried one after the other, by position; failover: "408,5XX", after which statuses. */
struct dir_trunk_member { const char *trunk, *schedule /* NULL: always */; uint32_t position, weight; };
struct dir_trunk_group { const char *domain, *name, *failover; unsigned nmembers; const struct dir_trunk_member *members; };

/* Budgets of minutes, those of one owner: "extension/1001", "trunk/gateway" or "domain". */
enum dir_budget_period { DIR_BUDGET_DAY, DIR_BUDGET_MONTH, DIR_BUDGET_TOTAL };
struct dir_budget {
	const char *name, *prompt;       /* prompt: what is heard warn_ms before the end; 0: nothing */
	enum dir_budget_period period;
	bool is_in;
	int64_t amount_ms, warn_ms;
	int64_t since_s;                 /* of a total */
	int64_t used_since_s, used_ms;   /* what calls that have ended used, in the last day or month in which one did, that began then */
};
struct dir_budgets { unsigned n; const struct dir_budget *list; };

/* Headers passed from one leg to the other besides those that always are, set, or held back. */
struct dir_pass_header {
	const char *header;
	bool is_out;                     /* to the trunk, else from it */
	const char *value;               /* NULL: as it comes; "": never; else what calls have instead */
};
struct dir_pass { unsigned n; const struct dir_pass_header *headers; };

struct dir_group_member { const char *number; uint32_t delay_s, ring_s; };
struct dir_group {
	const char *domain, *number, *name, *strategy; /* "all", "sequence" */
	uint32_t ring_s;
	unsigned nmembers;
	const struct dir_group_member *members;
};

struct dir_menu_choice { const char *digits, *target; };
struct dir_menu {
	const char *domain, *number, *context, *prompt, *invalid_prompt, *fallback; /* fallback: number to go to in the end, NULL: hang up */
	uint32_t first_timeout_ms, digit_timeout_ms, retries;
	bool dial_extensions;
	unsigned nchoices;
	const struct dir_menu_choice *choices;
};

struct dir_mailbox {
	const char *domain, *number, *language, *timezone, *pin_hash; /* pin_hash: pbx.pin_hash() form; NULL: none */
	uint32_t max_messages, max_message_s;
};

struct dir_conference {
	const char *domain, *number, *name;
	const char *pin_hash, *moderator_pin_hash; /* pbx.pin_hash() form; NULL: none */
	const char *music_class;         /* for who is alone; NULL: none */
	uint32_t max_members, nspeakers;
	bool has_tones, is_muted_on_entry, waits_for_moderator, is_recorded;
};

/* What is said of a number besides its calls; NULL: nothing. lamp: idle, ringing, busy; status: open, closed. */
struct dir_note { const char *domain, *number, *lamp, *status, *activity, *note; };

/* Times at which something is open, in minutes of the day. day: of a period the weekday, 1 Monday to 7; of a holiday year, month and day as
 * 20261224, or 1224 for each year. Open from from_min to before to_min. */
struct dir_period { uint32_t day; uint16_t from_min, to_min; };
struct dir_schedule {
	const char *domain, *name, *timezone;
	enum { DIR_AUTO, DIR_OPEN, DIR_CLOSED } override; /* the night switch, until that time */
	int64_t override_until_s;
	unsigned nperiods, nholidays;
	const struct dir_period *periods, *holidays;
};

/* A script, and what one of its domain may have. */
struct dir_script { const char *domain, *name, *source; uint64_t instructions; uint32_t memory_kb; };

/* A tone plan. */
struct dir_tones { const char *plan; const struct dir_cadence *of; /* [DIR_TONE_COUNT] */ };

struct dir_music { const char *domain, *class_name; unsigned nfiles; const char *const *files; };

int directory_new(struct directory **out, uv_loop_t *loop, struct db *db, const struct log *log);
void directory_close(struct directory *d, void (*done)(void *arg), void *arg);
/* The change (pbx.change) up to which it has all that there is. */
int64_t directory_seq(const struct directory *d);
/* Does any domain want messages kept? A walk over all of them. */
bool directory_captures(const struct directory *d);
bool directory_is_loaded(const struct directory *d);

/* Told of changes, after the copy is true: table name and key ("office/1001"). First with table "*" when a (re)load is done.
 * Also told of rows the directory doesn't keep (voicemail: key = domain/number). */
struct directory_watcher {
	void (*on_change)(const char *table, const char *key, void *arg);
	void *arg;
	struct directory_watcher *next;
};
void directory_watch(struct directory *d, struct directory_watcher *w); /* w must outlive d, or be unwatched */
void directory_unwatch(struct directory *d, struct directory_watcher *w);

/* The domain a host name means: its own name, else the default domain (for IP addresses and unknown names). */
enum dir_answer directory_domain_of_host(struct directory *d, struct str host, const struct dir_domain **out);
enum dir_answer directory_domain(struct directory *d, const char *domain, const struct dir_domain **out);
enum dir_answer directory_extension(struct directory *d, const char *domain, struct str number, const struct dir_extension **out);
/* Calls fn with each extension that the exchange registers for (RFC 6140): a walk over all of them. */
void directory_bulk_numbers(struct directory *d, const char *domain, const char *account,
			    void (*fn)(const struct dir_extension *ext, void *arg), void *arg);
/* Is there an extension whose number is longer than digits and begins with them? */
bool directory_extension_begins(struct directory *d, const char *domain, struct str digits);
enum dir_answer directory_credential(struct directory *d, const char *domain, struct str auth_name, const struct dir_credential **out);
/* The same by H(auth_name:realm) in lower-case hex, with any of the algorithms; in domains with has_userhash alone. */
enum dir_answer directory_credential_by_hash(struct directory *d, const char *domain, struct str hash, const struct dir_credential **out);
/* The algorithms to challenge a name with that may not exist: chosen by a keyed hash among those in use in the domain, in
 * their proportion, so that what is offered tells nothing (issue: known users can't be told from unknown ones). */
unsigned directory_algorithms_for(struct directory *d, const char *domain, struct str name);
enum dir_answer directory_forward(struct directory *d, const char *domain, struct str number, const char *reason, struct dir_forward *out);
enum dir_answer directory_trunk(struct directory *d, const char *domain, struct str name, const struct dir_trunk **out);
/* Calls fn with each of them. */
void directory_trunks(struct directory *d, void (*fn)(const struct dir_trunk *trunk, void *arg), void *arg);
enum dir_answer directory_trunk_by_address(struct directory *d, const struct sockaddr *addr, const struct dir_trunk **out); /* longest prefix */
/* Of IPv6: is there a trunk in the /64 of addr, but not all of that network is it? */
bool directory_is_network_shared(struct directory *d, const struct sockaddr *addr);
/* The extension whose phone stands behind such a certificate. */
enum dir_answer directory_certificate(struct directory *d, const char *identity, const struct dir_certificate **out);
/* Whose certificate stands for this domain, in lower case. */
enum dir_answer directory_trunk_by_identity(struct directory *d, const char *identity, const struct dir_trunk **out);
/* Those of a trunk; trunk NULL: of all trunks and between phones. */
enum dir_answer directory_pass(struct directory *d, const char *domain, const char *trunk, const struct dir_pass **out);
enum dir_answer directory_group(struct directory *d, const char *domain, struct str number, const struct dir_group **out);
enum dir_answer directory_menu(struct directory *d, const char *domain, struct str number, const struct dir_menu **out);
enum dir_answer directory_mailbox(struct directory *d, const char *domain, struct str number, const struct dir_mailbox **out);
enum dir_answer directory_conference(struct directory *d, const char *domain, struct str number, const struct dir_conference **out);
enum dir_answer directory_budgets(struct directory *d, const char *domain, struct str owner, const struct dir_budgets **out);
enum dir_answer directory_trunk_group(struct directory *d, const char *domain, struct str name, const struct dir_trunk_group **out);
enum dir_answer directory_schedule(struct directory *d, const char *domain, struct str name, const struct dir_schedule **out);
enum dir_answer directory_script(struct directory *d, const char *domain, struct str name, const struct dir_script **out);
/* Calls fn with each of them. */
void directory_scripts(struct directory *d, void (*fn)(const struct dir_script *script, void *arg), void *arg);
enum dir_answer directory_note(struct directory *d, const char *domain, struct str number, const struct dir_note **out);
enum dir_answer directory_music(struct directory *d, const char *domain, const char *class_name, const struct dir_music **out);
enum dir_answer directory_tones(struct directory *d, const char *plan, const struct dir_tones **out);
/* A key of 32 secret bytes kept in the database (pbx.secret), the same on all nodes: nonces, algorithm choice. false until loaded. */
bool directory_secret(struct directory *d, unsigned char out[32]);
