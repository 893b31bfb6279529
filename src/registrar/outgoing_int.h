/* outgoing_int.h - between outgoing.c (all of them: rows come and go, who asks for one), outgoing_reg.c (the machine of one) and
 * outgoing_row.c (what a row of pbx.trunk says of it).
 *
 * Owner:  struct outgoing has each registration in one of two lists: those that are wanted, and those that end.
 * Thread: loop thread.
 */
#pragma once

#include "registrar/keepalive.h"
#include "registrar/live.h"
#include "registrar/outgoing.h"

#define REG_LINE_LEN 16
#define REG_URI_MAX 400
#define REG_ROUTE_MAX 2048

/* What of a row makes a registration: texts in one block. */
struct reg_settings {
	char aor[REG_URI_MAX], registrar[REG_URI_MAX], route[REG_URI_MAX]; /* route: "" or a value of Route */
	char contact_user[64], auth_user[128], auth_password[256];
	bool has_auth, is_secure, is_outbound, is_bulk, is_mutual, has_oc;
	uint32_t keepalive_s;
	uint32_t expires_s;
};

/* Names of ours that stay the same over restarts and tell nobody anything. */
struct reg_names { char line[REG_LINE_LEN + 1], instance[48]; };

/* Of the flow reg_id, from 1. All of *s is set, so that two can be compared as memory. -EINVAL, -ENAMETOOLONG: the row makes no address. */
int reg_settings_read(const struct dir_trunk *t, unsigned reg_id, struct reg_settings *s);
void reg_names_make(struct reg_names *n, const unsigned char key[32], const char *node, const char *domain, const char *trunk);

enum reg_state { REG_TRYING, REG_REGISTERED, REG_FAILED, REG_ENDING };

struct reg {
	struct reg *prev, *next;
	struct outgoing *of;
	char domain[64], name[64];
	unsigned reg_id;           /* 1; of further flows of the trunk 2, 3 ... */
	struct reg_names names;    /* the same for all flows of a trunk: they are ways to one contact */
	struct reg_settings s;
	enum reg_state state;
	struct client client;
	struct timer timer;        /* renewal, or the next try */
	struct timer expiry;       /* of what is registered */
	struct keepalive keep;
	bool is_flow;              /* asked for as a flow: what is set, and what the registrar makes of it */
	bool has_asked_otherwise;
	unsigned losses;           /* of flows, in a row */
	int64_t up_since_ms;       /* wall clock: since when the flow holds; 0: it doesn't */
	char contact[REG_URI_MAX];     /* as sent last */
	char service_route[REG_ROUTE_MAX]; /* "" for none */
	uint32_t asked_s;          /* Expires of the next request: what is set, or more if the registrar wants so */
	unsigned failures;
	bool is_removing;          /* what was sent last takes it back */
	bool is_seen;              /* by the walk through the rows */
	bool is_changed;           /* since it was written */
	int status;
	char reason[64];
	uint32_t rtt_us;
	int64_t until_ms, next_ms; /* wall clock; 0: none */
};

struct outgoing {
	struct outgoing_params p;
	char *node;
	struct reg *regs, *ending;
	struct directory_watcher watcher;
	struct live live;
	struct timer stop_timer;
	uint64_t forget_query;     /* 0: none under way */
	void (*done)(void *arg);
	void *done_arg;
};

/* outgoing_reg.c. s: outgoing_row.c's, copied. */
void reg_begin(struct outgoing *o, const struct dir_trunk *t, unsigned reg_id, const struct reg_settings *s);
/* The same registration with other details: sent anew, at once. */
void reg_renew(struct reg *r, const struct reg_settings *s);
/* Takes it back, if there is something, and forgets it: it is in o->ending until that is done, perhaps before this returns. */
void reg_end(struct reg *r);
/* The connection or UDP path of one that stands is gone. */
void reg_flow_lost(struct reg *r);
void reg_free(struct reg *r);                /* out of its list already, or with all of them */
json_t *reg_describe(const struct reg *r);   /* a row for pbx.trunk_state_registration(); NULL without memory */

/* outgoing.c: does another flow of its trunk stand? */
bool outgoing_has_other(const struct reg *r);
/* one has ended; was it the last that outgoing_stop() waits for? */
void outgoing_check_stopped(struct outgoing *o);
