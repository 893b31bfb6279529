/* call_int.h - what only siblings in src/call share: the call, its legs, and how its task waits.
 *
 * The task waits as with a condition variable: it looks at the state of the call, and if what it wants isn't there,
 * call_wait() parks it until anything about the call has changed. Events only change state and call call_wake().
 *
 * Owner:  struct calls owns the calls, a call its legs. Thread: loop thread; tasks run on it, too.
 */
#pragma once

#include "base/table.h"

#include "call/app.h"
#include "call/calls.h"
#include "call/room.h"
#include "call/told.h"
#include "call/zone.h"
#include "sdp/oa.h"
#include "sip/refer.h"

#define RECORD_BEEP_NONE (-1)
#define RECORD_BEEP_DOMAIN (-2) /* as the domain's row says */
#define CALL_DIGITS_MAX 64    /* typed ahead; more than any menu reads */
#define CALL_GOTO_MAX 20      /* routes entered one from the other: more is a loop */
#define CALL_FORWARD_MAX 5    /* forwards followed for one dialled number */
#define CALL_ID_LEN 36
#define REASON_MAX 256        /* of Reason values that pass */

struct announcement;
struct command;
struct parked;
struct redirects;
struct transfer;
struct script_run;            /* app_script.c */
struct referral;              /* a REFER that waits, referral.c */
struct budget;                /* budget.c */
struct charge;
struct usage;                 /* calls at once of one extension or trunk, usage.c */
struct decisions;             /* decision.c */
struct trace;                 /* trace.c */
struct traces;

/* How many calls that were refused may yet be written down, decision.c. */
struct refusal_pace { int64_t at_ms; unsigned left; };

/* live.c: what is to be written of the calls in progress. */
struct live {
	struct call *marked;      /* list by live_next: something of it has changed */
	struct out gone_legs, gone_calls; /* those that had rows, as text */
	struct timer timer;
	bool is_forgetting, has_forgotten; /* the rows that a former process left are set aside */
	bool is_sent;             /* a statement is under way */
	bool is_unsure;           /* which rows there are: all are to be written anew */
};

/* share.c: what other servers have. */
struct share {
	struct share_entry *others;
	struct timer timer;
	uint64_t known_ms;        /* of the wheel: when they last said so */
	uint64_t query;           /* under way */
	bool is_unsure, has_changed, is_alone;
};

/* app_script.c: scripts that have run for long wait until it is their turn, one each millisecond. */
struct script_turns { struct script_run *first; struct timer timer; };

struct calls {
	struct calls_params p;
	struct calls_counters n;
	struct call *live;        /* list */
	struct room *rooms;       /* that somebody is in */
	struct usage *usages;
	struct budget *budgets;   /* that calls use */
	struct charge *charges;   /* list: of legs that use some */
	struct directory_watcher budget_watcher;
	struct share share;
	bool is_closing;
	bool is_draining;         /* no new calls */
	struct drain *drain;      /* control.c: the last command that said so; NULL: there was none */
	void (*on_closed)(void *arg);
	void *on_closed_arg;
	void (*on_line)(const struct call_line *line, void *arg); /* NULL: nobody watches */
	void *on_line_arg;
	uint64_t nlines;          /* legs that there have been */
	struct leg_pass *passes;  /* requests passed on and not answered yet */
	unsigned npasses;
	struct live live_view;
	struct recording *recordings; /* call_record.c */
	struct zones zones;       /* of domains and mailboxes */
	struct script_turns script_turns;
	struct directory_watcher script_watcher;
	struct traces *traces;    /* NULL at the end */
	int64_t started_ms;
	bool is_removing;         /* record_keep.c: files are being removed */
	struct directory_watcher keep_watcher; /* for how long they are kept */
	struct refusal_pace refused_known, refused_strangers;
	char beep[300];           /* path of the beep */
	char record[4096];        /* a call's, while it is written */
};

/* ---- legs ---- */

enum leg_state {
	LEG_NEW,
	LEG_RINGING,              /* 18x came or was sent */
	LEG_ANSWERED,
	LEG_ENDED                 /* its session is over; media may still be closing */
};

struct leg {
	struct leg *next;         /* in call->legs, in order of creation */
	struct call *call;
	unsigned id;              /* 1 is the caller */
	uint64_t line_id;         /* for who watches; stays when the leg moves to another call */
	bool is_caller;           /* we are its UAS */
	bool is_outside;          /* a trunk or a URI: no extension of ours */
	bool is_swapped;          /* it took the place of a leg of the other side: a callee that is a call's caller now */
	bool has_left;            /* only the record of a leg that went on in another call */
	enum leg_state state;
	struct session *session;  /* NULL once closed */
	struct oa *oa;
	struct stream *stream;    /* NULL until media is needed, and once closed */
	struct leg_other *others; /* streams besides it (leg_other.c), a list */
	struct strans *held_offer; /* of its peer, that the partner has to be asked about first; NULL: none */
	struct leg *asked_by;     /* the partner whose offer waits for what this one says to ours */
	uint8_t nsyncs;           /* offers for the sake of others, since the peer has said something himself */
	struct leg *partner;      /* bridged with; both ways */
	struct usage *usage;
	struct charge *charge;    /* of budgets; NULL: none */
	struct referral *referral; /* its REFER, until there is somebody to send on; NULL: none */
	bool is_cancelled;        /* we gave it up before it answered */
	bool has_early_media;
	bool is_alerting;         /* 180 came or was sent */
	bool is_acked;
	uint16_t breadth;         /* of the call's, given to this one */
	bool awaits_answer;       /* in the ACK, to the offer of our 200 */
	bool awaits_offer;        /* our INVITE had none; the answer, or a reliable response, has it */
	bool is_late;             /* the caller's INVITE had no offer */
	uint8_t nearly_offers;    /* in reliable responses, of one fork each */
	bool remote_hold;
	bool is_put_on_hold;      /* by command, as if it held */
	struct rtp_trace *rtp_trace;  /* of its stream; NULL: none */
	struct announcement *announcement; /* that is played to it by command, as this play */
	uint32_t announce_id;
	enum dir_ice ice;
	bool is_browser;          /* its peer speaks SIP over WebSocket */
	bool has_ice;             /* its stream has it */
	bool tells_keys;          /* of SRTP, in its descriptions */
	bool has_dtls, offers_dtls; /* they may come by DTLS; an offer of ours begins with that */
	const char *media_security; /* how the keys of its media have come: "sdes", "dtls"; NULL: there are none. Static */
	enum oa_policy srtp;
	enum dir_dtmf dtmf;
	struct leg_image *image;  /* its offer of T.38 waits for the partner's answer (leg_t38.c); NULL: none */
	struct leg *image_for;    /* the partner whose offer it is asked to answer */
	bool is_image;            /* T.38 is agreed on */
	struct oa_image *first_image; /* its INVITE was one of a fax, and there has been no audio since; NULL: it wasn't */
	struct leg_infos *infos;  /* digits that wait to be told by INFO (leg_digits.c); NULL: there never were any */
	enum sdp_dir wish, described; /* the direction our next description wishes; the last one's */
	bool wants_reoffer;       /* to be offered anew as soon as that may be */
	int reoffer_status;       /* how the last offer of ours went: 200, or why it was refused; 0: none yet, or under way */
	char *decoded_sdp;        /* the peer's, where it came encoded; NULL: it never did */
	char *local_sdp;          /* our answer, repeated in every response until the ACK */
	struct told told;         /* who is there, and what he is told */
	struct call *recording_for; /* whose application records it */
	char keys[5];             /* pressed while joined, the last ones, and when: record_digit() */
	uint64_t key_ms;
	char peer[64];            /* the number or trunk at its far end */
	char number[64];          /* the number at its far end */
	char codec[16];
	char media_addr[64];      /* as signalled, to notice a change */
	uint16_t media_port;
	enum codec_id codec_id;   /* what we send */
	uint32_t offered_codecs;  /* bits of enum codec_id: of the peer's last offer, those he may have; 0: it never made one */
	int status;               /* SIP code it ended with, 0 for BYE */
	int cause;                /* Q.850 */
	bool by_peer;             /* the far end ended it */
	bool has_failed;          /* nobody answered: transport error or timeout */
	char *reason;             /* Reason values of the far end, passed on: of its refusal or BYE, before it has answered of its 1xx; NULL: none */
	struct redirects *redirects; /* where its 3xx sends us; NULL: it was none */
	int64_t started_ms, ringing_ms, answered_ms, ended_ms;
	int64_t joined_ms;        /* came from another call then */
	char moved_from[CALL_ID_LEN + 1], moved_to[CALL_ID_LEN + 1]; /* ids of calls, "" for none */
	struct stream_stats stats;
	struct trace *trace;      /* its messages; NULL: they aren't kept */
	bool is_live;             /* has a row in the live view */
	bool has_changed;         /* since that was written */
	const char *media_timeout; /* it was given up because nothing came from it: "talking" or "held"; else NULL */
};

static inline const char *leg_role(const struct leg *leg)
{
	return leg->is_caller != leg->is_swapped ? "caller" : "callee";
}
const char *leg_number(const struct leg *leg);       /* at its far end, as records have it */
struct leg *leg_new(struct call *call, bool is_caller);
/* Stands for a caller who isn't there: ended, has_left. */
struct leg *leg_new_absent(struct call *call);
void leg_release(struct leg *leg);                   /* frees one that is gone */
int leg_accept(struct leg *leg, struct strans *st, const struct sip_msg *m);
struct leg_dial {
	struct str target;
	struct sip_dest dest;
	struct str route;         /* value of Route; may be empty */
	const struct diversion *diverted; /* by whom it was sent on to it; NULL: nobody */
	const char *to_user;      /* To and, unless the caller hides himself, From carry our own address as host */
	const char *auth_user, *auth_password;
	const struct leg *referrer; /* whose REFER leads to it, while it rang there; NULL: nobody's */
	struct leg *near;         /* its future partner: codec order and worker */
	struct session_timing timing;
	uint16_t breadth;         /* Max-Breadth; 0: 1 */
	bool is_offerless;        /* the callee offers */
	bool has_rivals;          /* see session_params, both */
	enum sip_oc oc;
};
int leg_dial(struct leg *leg, const struct leg_dial *d);
int leg_ring(struct leg *leg);                       /* 180, once; also after a 183 */
/* 183 with our answer; to an INVITE without offer with ours, if the caller acknowledges it by PRACK, else -ENOTSUP. */
int leg_early_media(struct leg *leg);
int leg_answer(struct leg *leg);                     /* 200 */
/* Ends it whatever its state; status for an unanswered caller. reason: Reason header value passed on, or NULL. */
void leg_close(struct leg *leg, int status, const char *reason);
void leg_bridge(struct leg *a, struct leg *b);
void leg_unbridge(struct leg *leg);
/* Puts it on hold, as if its phone held: who it is joined with hears music; or takes it back. Ends when they are parted. */
void leg_put_on_hold(struct leg *leg, bool is_held);
/* leg_digits.c: its far end is told these, one after the other. */
void leg_send_digits(struct leg *leg, const char *digits);
/* Sets what both hear, from who is on hold. */
void leg_update_bridge(struct leg *leg);
/* Offers a leg anew what it is now: its partner's codecs first, our address, the direction of leg->wish. At once, or
 * as soon as what is under way has ended: an offer of the peer, one of ours (then once more, with what is true by then), the ACK
 * of our 200, the wait after a 491. So it may be called at any time and as often as wanted. How it went: reoffer_status
 * is set, the bridge is brought up to date (leg_update_bridge) and call_wake() called; a refusal leaves what
 * was agreed before, an answer that ends the dialog (481, 408) ends the leg. Never calls back before it returns.
 * Before the answer by UPDATE, if the first offer has its answer for good (RFC 3262) and the peer allows that.
 * -ENOTCONN: not answered yet and no UPDATE possible now, or ended; other errors: it couldn't be sent. */
int leg_reoffer(struct leg *leg);
/* leg_tones.c: plays a tone of its country, in a loop. -ENOENT, and silence: there is none. */
int leg_tones(struct leg *leg, enum dir_tone which);
const char *leg_music_class(const struct leg *leg);
/* Plays the music of a class of the call's domain to it. -ENOENT. */
int leg_music(struct leg *leg, const char *music_class);

/* leg_codecs.c: those of the next description, best first; those that `partner` (NULL: none) shares come before the others. */
struct leg_codecs {
	unsigned n;
	struct oa_codec list[OA_CODECS_MAX];
	char fmtp[OA_FMTP_MAX + 64]; /* of one in the list */
};
void leg_codecs(const struct leg *leg, const struct leg *partner, struct leg_codecs *out);
/* Is there something in the offer it has taken that we can do, and may? */
bool leg_can_answer(const struct leg *leg);
/* There isn't, and the call fails by it: kept for pbx.why(). */
void leg_tell_misfit(const struct leg *leg);

void leg_passes_free(struct calls *cs);              /* leg_pass.c: when the sessions are gone */

/* watch.c: tells who watches, and the live view. Whoever moves a leg to another call, or joins it anew, tells of it. */
void leg_tell(struct leg *leg);

/* connected.c: what its peer has been told of whom it talks to, by an INVITE or a response. */
void connected_told(struct leg *leg, const struct identity *who);
/* Does that still hold? Who it is joined with has changed, or is another. Wakes the call if not. */
void connected_check(struct leg *leg);
/* Tells the peer, if there is something to tell and it may be now. For the call's task, each time it wakes. */
void connected_tell(struct leg *leg);
/* What is to be told as lines of a message with an offer or answer: they count as told. NULL: nothing; the caller's to free. */
char *connected_hdrs(struct leg *leg, bool is_request);

/* ---- calls ---- */

struct call_arg { const char *name; char *value; struct call_arg *next; };
struct call_var { char *name, *value; struct call_var *next; };
struct call_block { struct call_block *next; };      /* memory that lives until the application returns */

/* app_listen.c: who has answered the caller. */
struct callee_watch;

/* What the caller's stream was heard to be (app_listen.c). */
struct call_heard {
	bool is_fax, is_watched;  /* watched: for fax tones, all the time */
	bool talks;
	uint64_t since_ms;        /* of the wheel: when talk or silence began */
	struct amd *amd;          /* NULL: no guess is under way */
	enum amd_verdict verdict;
};

struct call {
	struct call *prev, *next;
	struct calls *calls;
	struct task *task;
	struct timer timer;           /* the task's deadline */
	bool timed_out;
	char id[CALL_ID_LEN + 1];
	struct auth_identity caller;
	const struct dir_domain *domain_row; /* valid inside one callback only */
	char domain[64], context[64], number[128], language[16], music_class[64], timezone[64];
	struct leg *legs, *caller_leg;
	struct leg *callee_leg;       /* whom the caller talks to; NULL before */
	struct leg *picked_up;        /* an answered leg that takes the place of those that ring */
	unsigned nlegs_made;
	struct registrar_gruu *gruu;  /* the caller dialled one phone of number; NULL: all of it */
	char *phone;                  /* the contact of the caller's that is called alone; NULL: see gruu */
	bool is_captured;             /* by command: its messages and RTP are kept, whatever the domain says, */
	bool has_no_rtp_kept;         /* or its RTP isn't */
	struct room_member *room;     /* its place in a conference; NULL: none */
	unsigned nswaps;              /* how often another leg has taken the caller's place */
	struct transfer *transfer_out; /* whom we talked to is being transferred by the one who stays */
	struct transfer *transfer_in; /* we are where a transferred leg went */
	uint64_t answer_by_ms;        /* of the wheel: no step begins, nobody rings after it; 0: no limit */

	/* Set by events of the caller's leg, read by operations. */
	bool is_hungup;
	bool is_moved;                /* not hung up but gone to another call */
	char digits[CALL_DIGITS_MAX];
	unsigned ndigits;
	uint32_t play_id, record_id;
	bool is_playing, is_recording;
	enum play_end play_end;
	struct record_result record_result;
	struct call_heard heard;
	struct callee_watch *callee_watch; /* in a block of the step's; NULL: who answers isn't listened to */

	struct recording *recording;  /* call_record.c; NULL: it isn't recorded */
	enum { RECORD_BY_POLICY, RECORD_WANTED, RECORD_UNWANTED } record_wish;
	bool record_is_early;         /* not only while it talks to somebody */
	const char *record_by;        /* who wanted it: "step", "command"; NULL: nobody. Static */
	int record_beep_s;            /* as in stream_beep(), or one of RECORD_BEEP_... */

	/* The running step. */
	struct call_arg *args;
	const struct app *app;
	struct call_var *vars;
	struct call_block *blocks;
	char **temp_files;
	unsigned ntemp_files, depth;
	bool is_looping;              /* routes lead into each other: none is entered, no step run any more */
	enum app_result result;
	struct script_run *script;    /* the innermost that runs; NULL: none */

	/* By whom it was sent on: all of them, and the newest before this step. */
	struct diversion *diversions;
	const struct diversion *diverted;
	struct usage *forward_usage;  /* of who sent it outside */
	struct usage *domain_usage;   /* NULL: its domain has no limit */
	char *target;                 /* where the public number that was called leads; NULL: number is dialled */
	bool is_emergency;            /* no limit holds it back */

	/* Made by command (originate.h, regroup.h). */
	struct command *command;      /* that hasn't come to its end; NULL: none */
	enum app_result (*run)(struct call *call); /* in place of a route; NULL: it runs one */
	const char *run_name;         /* as an application's */
	uint32_t originate_ring_s;
	struct parked *parked;        /* NULL: it isn't */

	/* For the final answer and the record. */
	uint8_t max_forwards;         /* of the caller's INVITE */
	uint16_t max_breadth;         /* legs that may ring at once, with all that they lead to (RFC 5393) */
	bool is_breadth_given;        /* the caller's INVITE said it */
	bool is_secure;               /* he called a sips URI: no hop of ours may be an insecure one (RFC 5630) */
	bool is_sips_refused;         /* somebody could only have been reached by such a hop */
	struct session_timing timing; /* the domain's */
	int reject_status;
	char *reject_reason;          /* NULL: none */
	char *route, *route_context;  /* NULL: none, or no memory for them */
	int64_t version;              /* directory_seq() when that was chosen */
	struct decisions *decisions;  /* NULL: none yet */
	char *transferred_by;         /* number or trunk of who sent the caller here; NULL: he called himself */
	int64_t started_ms, answered_ms, ended_ms;
	int64_t parted_ms;            /* one of those who talked went to another call then; 0: no */
	int64_t away_ms;              /* how long in all, when he came back */
	bool task_ended;
	bool is_live, has_changed;    /* as a leg's */
	bool is_marked;               /* it is in the list of live_view */
	struct call *live_prev, *live_next;
};

struct call *call_new(struct calls *cs, const struct auth_identity *who);
/* No new ones: it ends, or is drained, or there are as many as there may be. */
bool calls_is_full(const struct calls *cs);
/* invite.c: for sip_ua_handle(): an INVITE outside of a dialog. */
void invite_request(struct strans *st, const struct sip_msg *m, void *arg);
/* How far it may go on, by the request that makes it; NULL: there was none. */
void call_take_hops(struct call *call, const struct sip_msg *m);
/* The one phone that a GRUU of the domain means; nothing if uri is none. A status to refuse with, or 0. */
int call_take_gruu(struct call *call, const struct sip_uri *uri);
/* admission.c: counts a call of who's against his limit, unless it is urgent; false: it is reached. *out NULL: there is none to keep. */
bool admission_take_limit(struct calls *cs, const struct auth_identity *who, bool is_urgent, struct usage **out);
/* Begins its task, which runs the route of call->number. It first runs from the loop. */
int call_start(struct call *call);
/* Gives up one that has neither leg nor task. */
void call_drop(struct call *call);
/* Somebody talks to the caller, or an application does. Counts once. */
void call_answered(struct call *call);
/* What the caller is told when no step answered him. */
int call_final_status(const struct call *call);
bool call_is_overdue(const struct call *call);       /* past answer_by_ms and still unanswered */
int64_t call_now_ms(const struct call *call);        /* wall clock */
/* Parks the task until something about the call changes or the wheel's time is until_ms (UINT64_MAX: never).
 * 0: look again; -ETIMEDOUT. */
int call_wait(struct call *call, uint64_t until_ms);
/* The same without an end, while they talk: its stack may be put aside, so nothing else may point to what lies on that (task_rest()). */
void call_rest(struct call *call);
void call_wake(struct call *call);
uint64_t call_deadline(const struct call *call, uint32_t after_ms); /* 0: never */
/* The session timer of a leg over this trunk, NULL: of an extension's. */
struct session_timing call_timing(const struct call *call, const struct dir_trunk *trunk);
/* A leg has gone for good. */
void call_leg_gone(struct call *call, struct leg *leg);
void call_digit(struct call *call, struct leg *leg, char digit);
/* Takes the first digit typed that is in set. '\0': none. */
char call_take_digit(struct call *call, const char *set);
bool call_pin_matches(const char *stored, const char *pin); /* pbx.pin_hash() */
void call_heard(struct call *call, struct leg *leg, enum stream_heard what, uint32_t lasted_ms);
/* Who has answered the caller is listened to from now on, until it is known what he is, or the watch is over. */
void callee_watch_begin(struct call *call, struct leg *callee, bool leaves_machines);
uint64_t callee_watch_due(const struct call *call);  /* of the wheel: when the time says something; UINT64_MAX: never */
void callee_watch_step(struct call *call);           /* it is */
/* True once, when it is known that he isn't to be talked to. */
bool callee_watch_leaves(const struct call *call);
void callee_watch_end(struct call *call);
void *call_alloc(struct call *call, size_t n);       /* zeroed, until the application returns; NULL without memory */
void call_free_block(struct call *call, void *p);    /* of call_alloc(), before that */
char *call_strdup(struct call *call, const char *z);
void call_free_blocks(struct call *call);

/* ---- legs that change their call (move.c) ----
 *
 * Every leg belongs to one call, and that call's task drives it. A transfer, a pick-up, a queue gives it to another:
 *
 *   leg_move()     takes it out of its call and puts it in another. What stays behind is a record in its place: an ended leg without
 *                  session and stream, has_left, with what the leg was until now. So caller_leg and callee_leg of the call that it
 *                  left are never NULL and never another call's leg: they point to the record.
 *                  If it was the caller, the call is_hungup and is_moved: each operation of app.h returns -ECANCELED as after
 *                  a hang-up, the application ends in its ordinary way, and its result becomes APP_MOVED.
 *   leg_replace()  lets a leg take the place of another in the same call, as its caller or as whom the caller talks to. Operations
 *                  go on with the new one: what was being played is played to it from the beginning (nswaps tells them);
 *                  a recording of the old one ends.
 *
 * Answered legs move, and a caller whom nobody has answered yet. A task must not keep a pointer to an answered leg across a wait: it asks call->caller_leg and
 * call->callee_leg anew. What belongs to the leg goes with it: session, stream (the bridge brings streams of two workers
 * together), its share of its extension's or trunk's limit, its statistics, which the record of the last call has. What belongs
 * to the call stays: digits typed, variables, its record.
 */

/* The record that will stay behind. NULL without memory. */
struct leg *leg_record_new(const struct leg *leg);
/* Unbridges and moves; record takes its place. The new call's caller_leg or callee_leg is the caller's to set. May end the old call. */
void leg_move(struct leg *leg, struct call *to, struct leg *record);
/* by is in the same call already. The old one is left without a place, to be closed. -ENOENT: it had none. */
int leg_replace(struct leg *old, struct leg *by);

/* ---- transfer.c ---- */

#define TRANSFER_LINGER_MS 3000 /* a transferor who doesn't hang up by himself when all is done */

struct call_transfer {
	struct leg *leg;          /* answered: who is sent on */
	const char *context, *number; /* where to, and by whose class of service */
	struct leg *by;           /* the transferor, who talks with leg; NULL: a command. He may hang up or stay; see transfer.c */
	struct refer *refer;      /* taken over on success; NULL: nobody is told */
	const char *referrer;     /* number that a trusted trunk names in Referred-By; NULL: who is at the far end of by */
	struct str replaces;      /* Replaces header for whom it rings; empty: none */
	bool is_late;             /* by asked before the two were joined: he may be unanswered or gone */
	struct command *command;  /* that wants it, not by, though he waits for what comes of it; taken over on success. NULL: none */
};
/* The leg becomes the caller of a new call, which runs the route of number; if it still rings at `by`, who alone is called, that is its
 * caller, unanswered. -EACCES: there is none in that context, or it isn't
 * by's class of service; -EAGAIN: the plan isn't known, or there are as many calls as there may be; -EINVAL: not answered, or not talking with
 * `by`, or others ring as well; -ENOMEM. */
int call_transfer(const struct call_transfer *t);
/* May it go to another call? */
bool transfer_may_go(const struct leg *leg);
/* A call of who is at the leg's far end, not begun, in which the leg is to go on. */
struct call *transfer_call_for(const struct leg *leg, const char *context, const char *number);
/* Lets p->leg take the place of `old` in old's call, and old go; an unanswered caller is answered first. context and number don't count. Errors as above. */
int call_join(const struct call_transfer *p, struct leg *old);
/* Tasks: of the transferor's call, while the other is away: true when he is back (as caller_leg or callee_leg), false
 * when the transferor has gone too. */
bool transfer_await(struct call *call);
/* Of the call it went to, when its route is through with result r: returns what it came to in the end. */
enum app_result transfer_conclude(struct call *call, enum app_result r);
void transfer_release(struct call *call);            /* the call's task ends */
void transfer_progress(struct call *call, int status); /* 180: it rings */
void transfer_answered(struct call *call);
/* Is it still open what becomes of who was transferred here? */
bool transfer_is_awaited(const struct call *call);
/* Referred-By and Replaces of the INVITE to leg, if a transfer leads to it, or the REFER of a phone that rang (NULL: none). host: ours, as in
 * its From. */
void transfer_print_headers(const struct leg *leg, const struct leg *referrer, struct out *o, const char *host);
/* It still rings there, at no other extension, and the caller can be sent on. */
bool transfer_may_deflect(const struct leg *leg);
/* Who is at a leg's far end: number, name, trunk, and the context of his class of service ("" when he has none). */
void leg_identity(const struct leg *leg, struct auth_identity *who);

/* ---- referral.c ---- */

/* A REFER in the leg's dialog: answers it, now, and acts on it, or keeps it in leg->referral until there is somebody to send on. */
void referral_take(struct leg *leg, struct strans *st, const struct sip_msg *m);
/* There is: caller_leg and callee_leg are set. False: it was refused, and the referrer told. */
bool referral_act(struct leg *leg);
/* There won't be, and why; nothing if there is no referral. */
void referral_fail(struct leg *leg, int status);
/* What comes of it where the dial that rang the leg acts on it: 180, or 200, which is its end. Nothing if there is no referral. */
void referral_tell(struct leg *leg, int status);
/* One outside of a dialog, for sip_ua_handle(): about the call that Target-Dialog names (RFC 5589 §6.1), or to be called and connected. */
void referral_outside(struct strans *st, const struct sip_msg *m, void *arg);
/* Task: is this call there to connect its caller's own phone to where he has referred? Then does so. */
bool referral_is_call_back(const struct call *call);
enum app_result referral_call_back(struct call *call);

/* options.c: an OPTIONS with credentials, for sip_ua_handle(). */
void options_request(struct strans *st, const struct sip_msg *m, void *arg);

/* replaces.c: an INVITE with Replaces (RFC 3891): answers it, or takes it as a leg of the call that it names. */
void replaces_invite(struct calls *cs, struct strans *st, const struct sip_msg *m, const struct auth_identity *who);
/* Has somebody answered already in the place of those who ring? */
bool replaces_is_picked_up(const struct call *call);
/* May he put himself in the place of this leg? */
bool replaces_allowed(const struct auth_identity *who, const struct leg *leg);

/* steps.c: runs the route for a number on the call's task. */
enum app_result steps_run(struct call *call, const char *context, const char *number);
/* Applications nest, by goto and in scripts: what belongs to the outer one is put aside, and comes back. */
struct outer_step { const struct app *app; struct call_arg *args; struct call_block *blocks; };
void step_enter(struct call *call, const struct app *app, struct outer_step *outer);
/* r is how the inner one ended; returns what that is. */
enum app_result step_leave(struct call *call, enum app_result r, const struct outer_step *outer);
#define STEP_ARGS_TEXT 121    /* as much of arguments as a decision has */
void step_print_args(const struct call *call, char text[STEP_ARGS_TEXT]);
const struct app_param *param_find(const struct app *app, const char *name);
struct str call_var_find(struct str name, void *call);
void call_set_result(struct call *call, enum app_result r);

/* app_script.c, scripts.c */
void script_turns_init(struct calls *cs);
void scripts_start(struct calls *cs);
void scripts_stop(struct calls *cs);

/* trunk_list.c: is this status among those, "408,5XX"? */
bool trunk_list_goes_on(const char *failover, int status);

/* dial.c: task: the caller and this leg of the call, both answered, are joined, until one of them ends. */
enum app_result dial_connect(struct call *call, struct leg *callee);

/* usage.c: false when the limit is reached. */
bool usage_take(struct calls *cs, struct usage **out, const char *domain, const char *name, uint32_t limit);
void usage_give(struct calls *cs, struct usage *u);
/* The end: those that others knew of, and budgets that were pending. */
void usages_free(struct calls *cs);
void budgets_free(struct calls *cs);

/* cause.c: RFC 3326, Q.850 and SIP codes. */
int cause_of_status(int status);
int status_of_result(enum app_result r);
int status_of_error(int err);                       /* of a caller that can't be answered */
enum app_result result_of_status(int status);
int status_to_pass(int status, bool is_outside);     /* what the caller is told when a leg of his call ended with it */
int cause_of_reason(struct str reason_value);        /* Q.850 cause in a list of Reason values, 0: none */
/* All Reason values of a message (RFC 3326, RFC 9366: several headers, several values each) as one list; those that don't fit are left out. */
void reason_take(const struct sip_msg *m, char buf[REASON_MAX]);
/* Sets a text that most legs and calls never have: to a copy, or NULL for "" and NULL. */
void text_keep(char **kept, const char *reason);
/* The same of a message. */
void reason_keep_of(char **kept, const struct sip_msg *m);
/* The line for them, NULL: none. In a refusal, status >= 300, there is always a Q.850 cause (RFC 6432), else RFC 3398's. */
void reason_print(struct out *o, const char *reason, int status);
/* Refuses a call with status, these lines (NULL: none) and the cause for it. */
void refuse(struct strans *st, int status, const char *hdrs);

/* spool.c: recordings under way live in the spool with a side file that says what they are. */
void spool_recover(struct calls *cs);
/* Names a new recording and writes its side file; kind NULL: has none. */
int spool_new(struct call *call, char *path, size_t size, const char *kind, const char *doc);
int spool_write_file(const char *path, const void *bytes, size_t n); /* blocking, with fdatasync */
/* Runs fn on the libuv pool while the task waits; returns what it returned. */
int call_blocking(struct call *call, int (*fn)(void *arg), void *arg);

/* call_record.c (room_record.c has those of rooms): recordings of calls. Told of what happens to legs, it does the rest. */
void record_joined(struct call *call);               /* two legs are, perhaps the caller and who he talks to */
void record_answered(struct call *call);             /* its caller is */
void record_parted(struct leg *leg);                 /* it isn't joined any more */
void record_moved(struct call *from, struct call *to); /* somebody goes on there */
void record_ended(struct call *call);
void record_digit(struct leg *leg, char digit);
void record_keep_start(struct calls *cs);
void record_keep_stop(struct calls *cs);
void calls_check_closed(struct calls *cs);           /* call.c: something has ended that closing waits for */

/* cdr.c */
void cdr_write(struct call *call);

/* live.c: the live view. Something of a call or leg has changed; it has ended. */
void live_call(struct call *call);
void live_call_gone(struct call *call);
void live_leg(struct leg *leg);
void live_leg_gone(struct leg *leg);
void live_start(struct calls *cs);
void live_stop(struct calls *cs);
/* What is the same in both, as members of an object. */
void live_write_media(struct out *o, const struct stream_stats *s);
