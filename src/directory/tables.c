/* tables.c - what is kept of each table: the SQL beside the code that makes an object of its row.
 *
 * Lists inside a row come as text with control characters between fields (\x1f) and elements (\x1e), which the schema's checks keep
 * out of names and numbers.
 */
#define LOG_MODULE "directory"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "directory/directory_int.h"

static const char *or_empty(const char *z) { return z ? z : ""; }
static uint32_t number_or(const char *z, uint32_t def) { return z ? (uint32_t)strtoul(z, NULL, 10) : def; }
static bool is_true(const char *z) { return z && z[0] == 't'; }

static unsigned algorithms(const char *list)
{
	unsigned set = 0;

	if (list && strstr(list, "MD5"))
		set |= 1;
	if (list && strstr(list, "SHA-256"))
		set |= 2;
	if (list && strstr(list, "SHA-512-256"))
		set |= 4;
	return set;
}

/* enum digest_qop */
static unsigned qop(const char *list)
{
	bool has_int = list && strstr(list, "auth-int"), has_auth = !list || strstr(list, "auth,") || strstr(list, "auth}");

	return (has_auth ? 8 : 0) | (has_int ? 16 : 0);
}

static enum dir_capture capture(const char *word)
{
	static const char *const words[] = { [DIR_CAPTURE_FAILED] = "failed", [DIR_CAPTURE_ALL] = "all", [DIR_CAPTURE_RTP] = "rtp" };

	for (unsigned i = DIR_CAPTURE_FAILED; word && i < ARRAY_LEN(words); i++)
		if (!strcmp(word, words[i]))
			return (enum dir_capture)i;
	return DIR_CAPTURE_NONE;
}

/* How many elements a list has. */
static unsigned count_elements(const char *list)
{
	unsigned n = list && list[0] ? 1 : 0;

	for (; list && *list; list++)
		n += *list == '\x1e';
	return n;
}

/* Cuts in place. */
static char *cut(char **rest, char at)
{
	char *head = *rest, *end = head ? strchr(head, at) : NULL;

	if (end)
		*end = '\0';
	*rest = end ? end + 1 : NULL;
	return head;
}

static int fill_domain(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->domain = (struct dir_domain){ .domain = r->v[0], .realm = r->v[1], .timezone = r->v[2], .language = r->v[3],
					 .music_class = r->v[4], .algorithms = algorithms(r->v[5]), .is_default = is_true(r->v[7]),
					 .session_expires_s = number_or(r->v[9], 0), .session_min_s = number_or(r->v[10], 0) };
	snprintf(r->domain.default_context, sizeof(r->domain.default_context), "%s", or_empty(r->v[6]));
	r->domain.caller_id = r->v[8];
	r->domain.qop = qop(r->v[11]);
	r->domain.transfer_answer_s = number_or(r->v[12], 0);
	r->domain.recall_ring_s = number_or(r->v[13], 0);
	r->domain.has_userhash = is_true(r->v[14]);
	r->domain.media_timeout_s = number_or(r->v[18], UINT32_MAX);
	r->domain.media_hold_timeout_s = number_or(r->v[19], UINT32_MAX);
	r->domain.is_mutual = is_true(r->v[15]);
	r->domain.has_digest_session = is_true(r->v[16]);
	r->domain.tones = or_empty(r->v[17]);
	r->domain.record_format = or_empty(r->v[20]);
	r->domain.record_is_stereo = is_true(r->v[21]);
	r->domain.record_path = or_empty(r->v[22]);
	r->domain.record_code = or_empty(r->v[23]);
	r->domain.call_limit = number_or(r->v[24], UINT32_MAX);
	r->domain.record_has_beep = r->v[25] != NULL;
	r->domain.record_beep_s = number_or(r->v[25], 0);
	r->domain.capture = capture(r->v[26]);
	return 0;
}

static enum dir_anonymous anonymous(const char *text)
{
	return !text || !strcmp(text, "never") ? DIR_NEVER : !strcmp(text, "outside") ? DIR_OUTSIDE : DIR_ALWAYS;
}

/* The texts of a list, in r->list. */
static int fill_list(struct dir_row *r, char *rest, unsigned n)
{
	const char **list = calloc(n + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		list[i] = cut(&rest, '\x1e');
	r->list = list;
	return 0;
}

/* "opus,L16/16000": a clock is named where the name alone isn't clear. */
static struct dir_codecs codecs_of(const char *list)
{
	struct str rest = str_from(list);
	struct dir_codecs out = { 0 };

	while (rest.n && out.n < DIR_CODECS_MAX) {
		struct str clock = str_cut(&rest, ','), title = str_cut(&clock, '/');
		const struct codec *c;
		char name[24];
		uint32_t hz = 0;

		if (str_copy(title, name, sizeof(name)) < 0 || (clock.n && str_to_u32(clock, UINT32_MAX, &hz) < 0))
			continue;
		c = codec_find(name, hz);
		if (c)
			out.id[out.n++] = (uint8_t)c->id;
	}
	return out;
}

static struct dir_srtp srtp(const char *policy, const char *keys_in_clear, const char *keys)
{
	return (struct dir_srtp){
		.policy = !strcmp(policy, "never") ? DIR_SRTP_NEVER : !strcmp(policy, "require") ? DIR_SRTP_REQUIRE : DIR_SRTP_OFFER,
		.keys = !strcmp(keys, "sdes") ? DIR_KEYS_SDES : !strcmp(keys, "dtls") ? DIR_KEYS_DTLS : DIR_KEYS_ANY,
		.keys_in_clear = is_true(keys_in_clear),
	};
}

static enum dir_delayed delayed_offer(const char *which)
{
	return !strcmp(which, "always") ? DIR_DELAYED_ALWAYS : !strcmp(which, "follow") ? DIR_DELAYED_FOLLOW : DIR_DELAYED_NEVER;
}

static enum dir_record record(const char *text)
{
	if (!text || !strcmp(text, "none"))
		return DIR_RECORD_NONE;
	return !strcmp(text, "inbound") ? DIR_RECORD_INBOUND : !strcmp(text, "outbound") ? DIR_RECORD_OUTBOUND : DIR_RECORD_ALL;
}

static enum dir_dtmf dtmf(const char *text)
{
	return !strcmp(text, "rfc4733") ? DIR_DTMF_RFC4733 : !strcmp(text, "info") ? DIR_DTMF_INFO :
	       !strcmp(text, "inband") ? DIR_DTMF_INBAND : DIR_DTMF_AUTO;
}

static enum dir_ice ice(const char *text)
{
	return !strcmp(text, "never") ? DIR_ICE_NEVER : !strcmp(text, "offer") ? DIR_ICE_OFFER : DIR_ICE_AUTO;
}

static int fill_extension(struct directory *d, struct dir_row *r)
{
	unsigned n = count_elements(r->v[12]);

	(void)d;
	if (n && fill_list(r, r->v[12], n) != 0)
		return -ENOMEM;
	r->extension = (struct dir_extension){ .domain = r->v[0], .number = r->v[1], .display_name = or_empty(r->v[2]), .context = r->v[3],
					       .ring_s = number_or(r->v[4], 20), .call_limit = number_or(r->v[5], UINT32_MAX),
					       .algorithms = algorithms(r->v[6]), .language = or_empty(r->v[7]),
					       .music_class = or_empty(r->v[8]), .has_mailbox = is_true(r->v[9]),
					       .caller_id = r->v[10], .anonymous = anonymous(r->v[11]), .nidentities = n,
					       .identities = r->list, .presence_hidden = is_true(r->v[13]),
					       .sees_peers = is_true(r->v[14]),
					       .qualify_s = number_or(r->v[15], 0), .pickup_group = r->v[16],
					       .may_bulk = is_true(r->v[17]), .bulk_account = r->v[18], .mwi_unsolicited = is_true(r->v[19]),
					       .media = { .codecs = codecs_of(r->v[20]), .srtp = srtp(r->v[21], r->v[22], r->v[26]),
							  .delayed_offer = delayed_offer(r->v[23]), .dtmf = dtmf(r->v[24]), .ice = ice(r->v[25]),
							  .record = record(r->v[27]), .refusal_tone_s = number_or(r->v[29], 0),
							  .has_video = is_true(r->v[30]) }, .may_record = is_true(r->v[28]) };
	return 0;
}

static int fill_credential(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->credential = (struct dir_credential){ r->v[0], r->v[1], r->v[2], r->v[3], r->v[4], r->v[5] };
	return 0;
}

static int fill_certificate(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->certificate = (struct dir_certificate){ r->key, r->v[0], r->v[1] };
	return 0;
}

static int fill_forward(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->forward = (struct dir_forward){ r->v[0], r->v[1] };
	return 0;
}

static int parse_address(struct dir_address *a, char *text)
{
	char *bits = text, *host = cut(&bits, '/');

	a->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a->family, host, &a->addr) != 1)
		return -EINVAL;
	a->bits = number_or(bits, a->family == AF_INET6 ? 128 : 32);
	return 0;
}

static int fill_trunk(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[7];
	unsigned n = count_elements(rest), nlist = count_elements(r->v[25]), nmore = number_or(r->v[26], 0);

	(void)d;
	if (nlist && fill_list(r, r->v[25], nlist) != 0)
		return -ENOMEM;
	r->trunk = (struct dir_trunk){ .domain = r->v[0], .name = r->v[1], .context = r->v[2], .uri = r->v[3], .auth_user = r->v[4],
				       .auth_password = r->v[5], .call_limit = number_or(r->v[6], UINT32_MAX), .caller_id = r->v[10] };
	r->trunk.session_expires_s = number_or(r->v[11], UINT32_MAX);
	r->trunk.is_registering = is_true(r->v[12]);
	r->trunk.registrar = r->v[13] ? r->v[13] : r->v[3];
	r->trunk.register_as = r->v[14] ? r->v[14] : r->v[4];
	r->trunk.register_expires_s = number_or(r->v[15], 600);
	r->trunk.contact_user = r->v[16];
	r->trunk.proxy = r->v[17];
	r->trunk.is_number_in_to = r->v[18] && !strcmp(r->v[18], "to");
	r->trunk.qualify_s = number_or(r->v[19], 0);
	r->trunk.is_outbound = is_true(r->v[20]);
	r->trunk.keepalive_s = number_or(r->v[21], 0);
	r->trunk.is_bulk = is_true(r->v[22]);
	r->trunk.nmore_proxies = nmore;
	r->trunk.more_proxies = r->list;
	r->trunk.has_overload_control = is_true(r->v[27]);
	r->trunk.nurgent_numbers = nlist - nmore;
	r->trunk.urgent_numbers = nlist ? r->trunk.more_proxies + nmore : NULL;
	r->trunk.media = (struct dir_media){ .codecs = codecs_of(r->v[28]), .srtp = srtp(r->v[29], r->v[30], r->v[37]),
					     .delayed_offer = delayed_offer(r->v[31]), .dtmf = dtmf(r->v[32]), .ice = ice(r->v[36]),
					     .record = record(r->v[38]), .refusal_tone_s = number_or(r->v[39], 0),
					     .has_video = is_true(r->v[40]) };
	r->trunk.tls_identity = r->v[23];
	r->trunk.is_mutual = is_true(r->v[24]);
	r->trunk.tones = r->v[33];
	r->trunk.media_timeout_s = number_or(r->v[34], UINT32_MAX);
	r->trunk.media_hold_timeout_s = number_or(r->v[35], UINT32_MAX);
	r->trunk.is_trusted = is_true(r->v[8]);
	r->trunk.has_asserted = r->trunk.is_trusted && (!strcmp(r->v[9], "pai") || !strcmp(r->v[9], "both"));
	r->trunk.has_rpid = r->trunk.is_trusted && (!strcmp(r->v[9], "rpid") || !strcmp(r->v[9], "both"));
	r->trunk.has_preferred = !strcmp(r->v[9], "ppi");
	r->addresses = calloc(n + 1, sizeof(*r->addresses));
	if (!r->addresses)
		return -ENOMEM;
	while (rest && n--)
		if (parse_address(&r->addresses[r->naddresses], cut(&rest, '\x1e')) == 0)
			r->naddresses++;
	return 0;
}

static int fill_conference(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->conference = (struct dir_conference){ .domain = r->v[0], .number = r->v[1], .name = or_empty(r->v[2]), .pin_hash = r->v[3],
						 .moderator_pin_hash = r->v[4], .music_class = r->v[5], .max_members = number_or(r->v[6], 0),
						 .nspeakers = number_or(r->v[7], 0), .has_tones = is_true(r->v[8]),
						 .is_muted_on_entry = is_true(r->v[9]), .waits_for_moderator = is_true(r->v[10]), .is_recorded = is_true(r->v[11]) };
	return 0;
}

static int fill_trunk_group(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[3];
	unsigned n = count_elements(rest);
	struct dir_trunk_member *list = calloc(n + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e');

		list[i].trunk = cut(&one, '\x1f');
		list[i].position = number_or(cut(&one, '\x1f'), 1);
		list[i].weight = number_or(cut(&one, '\x1f'), 1);
		list[i].schedule = one;
	}
	r->list = list;
	r->trunk_group = (struct dir_trunk_group){ .domain = r->v[0], .name = r->v[1], .failover = or_empty(r->v[2]), .nmembers = n, .members = list };
	return 0;
}

static int fill_budgets(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[0];
	unsigned n = count_elements(rest);
	struct dir_budget *list = calloc(n + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e'), *period;

		list[i].name = cut(&one, '\x1f');
		period = cut(&one, '\x1f');
		list[i].period = period[0] == 'd' ? DIR_BUDGET_DAY : period[0] == 'm' ? DIR_BUDGET_MONTH : DIR_BUDGET_TOTAL;
		list[i].is_in = !strcmp(cut(&one, '\x1f'), "in");
		list[i].amount_ms = strtoll(cut(&one, '\x1f'), NULL, 10);
		list[i].warn_ms = strtoll(cut(&one, '\x1f'), NULL, 10);
		list[i].since_s = strtoll(cut(&one, '\x1f'), NULL, 10);
		list[i].used_since_s = strtoll(cut(&one, '\x1f'), NULL, 10);
		list[i].used_ms = strtoll(cut(&one, '\x1f'), NULL, 10);
		list[i].prompt = or_empty(one);
	}
	r->list = list;
	r->budgets = (struct dir_budgets){ .n = n, .list = list };
	return 0;
}

/* "20261224\x1f540\x1f600" */
static void fill_periods(struct dir_period *list, unsigned n, char *rest)
{
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e');

		list[i].day = number_or(cut(&one, '\x1f'), 0);
		list[i].from_min = (uint16_t)number_or(cut(&one, '\x1f'), 0);
		list[i].to_min = (uint16_t)number_or(one, 0);
	}
}

static int fill_schedule(struct directory *d, struct dir_row *r)
{
	unsigned nperiods = count_elements(r->v[5]), nholidays = count_elements(r->v[6]);
	struct dir_period *list = calloc(nperiods + nholidays + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	fill_periods(list, nperiods, r->v[5]);
	fill_periods(list + nperiods, nholidays, r->v[6]);
	r->list = list;
	r->schedule = (struct dir_schedule){ .domain = r->v[0], .name = r->v[1], .timezone = r->v[2],
					     .override = !strcmp(r->v[3], "open") ? DIR_OPEN : !strcmp(r->v[3], "closed") ? DIR_CLOSED : DIR_AUTO,
					     .override_until_s = r->v[4] ? strtoll(r->v[4], NULL, 10) : INT64_MAX,
					     .nperiods = nperiods, .periods = list, .nholidays = nholidays, .holidays = list + nperiods };
	return 0;
}

static int fill_group(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[5];
	unsigned n = count_elements(rest);
	struct dir_group_member *list = calloc(n + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e');

		list[i].number = cut(&one, '\x1f');
		list[i].delay_s = number_or(cut(&one, '\x1f'), 0);
		list[i].ring_s = number_or(one && one[0] ? one : NULL, 0);
	}
	r->list = list;
	r->group = (struct dir_group){ .domain = r->v[0], .number = r->v[1], .name = r->v[2], .strategy = r->v[3],
				       .ring_s = number_or(r->v[4], 20), .nmembers = n, .members = list };
	return 0;
}

static int fill_menu(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[10];
	unsigned n = count_elements(rest);
	struct dir_menu_choice *list = calloc(n + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e');

		list[i].digits = cut(&one, '\x1f');
		list[i].target = or_empty(one);
	}
	r->list = list;
	r->menu = (struct dir_menu){ .domain = r->v[0], .number = r->v[1], .context = r->v[2], .prompt = r->v[3], .invalid_prompt = r->v[4],
				     .fallback = r->v[5], .first_timeout_ms = number_or(r->v[6], 5000),
				     .digit_timeout_ms = number_or(r->v[7], 3000), .retries = number_or(r->v[8], 2),
				     .dial_extensions = is_true(r->v[9]), .nchoices = n, .choices = list };
	return 0;
}

static int fill_mailbox(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->mailbox = (struct dir_mailbox){ .domain = r->v[0], .number = r->v[1], .language = r->v[2], .pin_hash = r->v[3],
					   .max_messages = number_or(r->v[4], 100), .max_message_s = number_or(r->v[5], 300),
					   .timezone = r->v[6] };
	return 0;
}

static int fill_music(struct directory *d, struct dir_row *r)
{
	unsigned n = count_elements(r->v[2]);

	(void)d;
	if (fill_list(r, r->v[2], n) != 0)
		return -ENOMEM;
	r->music = (struct dir_music){ .domain = r->v[0], .class_name = r->v[1], .nfiles = n, .files = r->list };
	return 0;
}

/* The schema has checked them. */
static int fill_tones(struct directory *d, struct dir_row *r)
{
	struct dir_cadence *list = calloc(DIR_TONE_COUNT, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < DIR_TONE_COUNT; i++)
		if (cadence_parse(&list[i], r->v[i]) < 0)
			log_error(d->log, "tone plan %s: bad cadence %s", r->key, r->v[i]);
	r->list = list;
	r->tones = (struct dir_tones){ .plan = r->key, .of = list };
	return 0;
}

static int fill_pass(struct directory *d, struct dir_row *r)
{
	char *rest = r->v[0];
	unsigned n = count_elements(rest);
	struct dir_pass_header *list = calloc(n + 1, sizeof(*list));

	(void)d;
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		char *one = cut(&rest, '\x1e');

		list[i].is_out = !strcmp(cut(&one, '\x1f'), "out");
		list[i].header = or_empty(cut(&one, '\x1f'));
		list[i].value = one;
	}
	r->list = list;
	r->pass = (struct dir_pass){ .n = n, .headers = list };
	return 0;
}

static int fill_note(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->note = (struct dir_note){ r->v[0], r->v[1], r->v[2], r->v[3], r->v[4], r->v[5] };
	return 0;
}

static int fill_script(struct directory *d, struct dir_row *r)
{
	(void)d;
	r->script = (struct dir_script){ r->v[0], r->v[1], r->v[2], strtoull(r->v[3], NULL, 10), number_or(r->v[4], 0) };
	return 0;
}

#define WANTED(key) " WHERE ($1::text[] IS NULL OR " key " = ANY($1))"

/* The first column is the key in pbx.change. */
const struct dir_table_def dir_tables[DIR_TABLE_COUNT] = {
	[DIR_DOMAIN] = { "domain",
		"SELECT domain, domain, realm, timezone, language, music_class, algorithms, default_context, is_default, caller_id,"
		" session_expires_s, session_min_s, qop, transfer_answer_s, recall_ring_s, userhash, mutual_auth,"
		" digest_session, tones, media_timeout_s, media_hold_timeout_s,"
		" record_format, record_stereo, record_path, record_code, call_limit, record_beep_s, capture FROM pbx.domain"
		WANTED("domain"), fill_domain },
	[DIR_EXTENSION] = { "extension",
		"SELECT e.domain || '/' || e.number, e.domain, e.number, e.display_name, e.context, e.ring_s, e.call_limit,"
		" coalesce(e.algorithms, d.algorithms), coalesce(e.language, d.language), coalesce(e.music_class, d.music_class),"
		" EXISTS (SELECT FROM pbx.mailbox AS m WHERE (m.domain, m.number) = (e.domain, e.number)),"
		" e.caller_id, coalesce(e.anonymous, d.anonymous), array_to_string(e.identities, E'\\x1e'), e.presence_hidden, e.sees_peers,"
		" coalesce(e.qualify_s, d.qualify_s, 0), e.pickup_group, e.bulk_registers, e.bulk_account, e.mwi_unsolicited,"
		" array_to_string(e.codecs, ','), e.srtp, e.srtp_keys_in_clear, e.delayed_offer, e.dtmf, e.ice, e.srtp_keys,"
		" coalesce(e.record, d.record), e.record_on_demand, e.refusal_tone_s, e.video"
		" FROM pbx.extension AS e JOIN pbx.domain AS d USING (domain)"
		" WHERE ($1::text[] IS NULL OR e.domain || '/' || e.number = ANY($1) OR e.domain = ANY($1)) AND e.enabled", fill_extension },
	[DIR_CREDENTIAL] = { "credential",
		"SELECT domain || '/' || auth_name, domain, auth_name, number, ha1_md5, ha1_sha256, ha1_sha512_256 FROM pbx.credential"
		WANTED("domain || '/' || auth_name"), fill_credential },
	[DIR_CERTIFICATE] = { "certificate", "SELECT identity, domain, number FROM pbx.certificate" WANTED("identity"), fill_certificate },
	[DIR_FORWARD] = { "forward",
		"SELECT domain || '/' || number || '/' || reason, reason, target FROM pbx.forward"
		WANTED("domain || '/' || number || '/' || reason") " AND enabled", fill_forward },
	[DIR_TRUNK] = { "trunk",
		"SELECT t.domain || '/' || t.name, t.domain, t.name, t.context, t.uri, t.auth_user, t.auth_password, t.call_limit,"
		" (SELECT string_agg(a.address::text, E'\\x1e') FROM pbx.trunk_address AS a WHERE (a.domain, a.name) = (t.domain, t.name)),"
		" t.trusted, t.identity, t.caller_id, t.session_expires_s, t.register, t.registrar, t.register_as, t.register_expires_s, t.contact_user, t.proxy,"
		" t.number_from, t.qualify_s, t.outbound, t.keepalive_s, t.register_bulk, t.tls_identity, t.mutual_auth,"
		" array_to_string(t.more_proxies || t.urgent_numbers, E'\\x1e'), cardinality(t.more_proxies), t.overload_control,"
		" array_to_string(t.codecs, ','), t.srtp, t.srtp_keys_in_clear, t.delayed_offer, t.dtmf, t.tones,"
		" t.media_timeout_s, t.media_hold_timeout_s, t.ice, t.srtp_keys, t.record, t.refusal_tone_s, t.video FROM pbx.trunk AS t"
		WANTED("t.domain || '/' || t.name") " AND t.enabled", fill_trunk },
	[DIR_GROUP] = { "ring_group",
		"SELECT g.domain || '/' || g.number, g.domain, g.number, g.name, g.strategy, g.ring_s,"
		" (SELECT string_agg(m.member || E'\\x1f' || m.delay_s || E'\\x1f' || coalesce(m.ring_s::text, ''), E'\\x1e' ORDER BY m.position, m.member)"
		"  FROM pbx.ring_group_member AS m WHERE (m.domain, m.number) = (g.domain, g.number))"
		" FROM pbx.ring_group AS g" WANTED("g.domain || '/' || g.number"), fill_group },
	[DIR_MENU] = { "menu",
		"SELECT m.domain || '/' || m.number, m.domain, m.number, m.context, m.prompt, m.invalid_prompt, m.fallback, m.first_timeout_ms,"
		" m.digit_timeout_ms, m.retries, m.dial_extensions,"
		" (SELECT string_agg(c.digits || E'\\x1f' || c.target, E'\\x1e' ORDER BY c.digits) FROM pbx.menu_choice AS c"
		"  WHERE (c.domain, c.number) = (m.domain, m.number))"
		" FROM pbx.menu AS m" WANTED("m.domain || '/' || m.number"), fill_menu },
	[DIR_MAILBOX] = { "mailbox",
		"SELECT domain || '/' || number, domain, number, language, pin_hash, max_messages, max_message_s, timezone FROM pbx.mailbox"
		WANTED("domain || '/' || number"), fill_mailbox },
	[DIR_CONFERENCE] = { "conference",
		"SELECT domain || '/' || number, domain, number, name, pin_hash, moderator_pin_hash, music_class, max_members, speakers, tones,"
		" muted_on_entry, wait_for_moderator, record FROM pbx.conference" WANTED("domain || '/' || number"), fill_conference },
	[DIR_MUSIC] = { "music_class",
		"SELECT m.domain || '/' || m.class, m.domain, m.class,"
		" (SELECT string_agg(f.path, E'\\x1e' ORDER BY f.position) FROM pbx.music_file AS f WHERE (f.domain, f.class) = (m.domain, m.class))"
		" FROM pbx.music_class AS m" WANTED("m.domain || '/' || m.class"), fill_music },
	[DIR_PASS] = { "pass_header",
		"SELECT concat_ws('/', domain, trunk), string_agg(concat_ws(E'\\x1f', direction, header, value), E'\\x1e' ORDER BY direction, lower(header))"
		" FROM pbx.pass_header" WANTED("concat_ws('/', domain, trunk)") " GROUP BY domain, trunk", fill_pass },
	[DIR_TONES] = { "tone_plan",
		"SELECT plan, dial, ringback, busy, congestion, call_waiting, special_information FROM pbx.tone_plan" WANTED("plan"), fill_tones },
	[DIR_TRUNK_GROUP] = { "trunk_group",
		"SELECT g.domain || '/' || g.name, g.domain, g.name, array_to_string(g.failover, ','),"
		" (SELECT string_agg(concat_ws(E'\\x1f', m.trunk, m.position, m.weight, m.schedule), E'\\x1e' ORDER BY m.position, m.trunk)"
		"  FROM pbx.trunk_group_member AS m WHERE (m.domain, m.name) = (g.domain, g.name))"
		" FROM pbx.trunk_group AS g" WANTED("g.domain || '/' || g.name"), fill_trunk_group },
	/* Of what was used, the last: it is today's or it isn't. */
	[DIR_BUDGET] = { "budget",
		"SELECT b.domain || '/' || b.owner, string_agg(concat_ws(E'\\x1f', b.name, b.period, b.direction, (extract(epoch FROM b.amount) * 1000)::bigint,"
		"  (extract(epoch FROM b.warn) * 1000)::bigint, floor(extract(epoch FROM b.since))::bigint, coalesce(floor(extract(epoch FROM u.since))::bigint, 0),"
		"  coalesce((extract(epoch FROM u.used) * 1000)::bigint, 0), b.prompt), E'\\x1e' ORDER BY b.name)"
		" FROM pbx.budget AS b LEFT JOIN LATERAL (SELECT x.since, x.used FROM pbx.budget_use AS x WHERE (x.domain, x.name) = (b.domain, b.name)"
		"  AND (b.period <> 'total' OR x.since = b.since) ORDER BY x.since DESC LIMIT 1) AS u ON true"
		WANTED("b.domain || '/' || b.owner") " GROUP BY b.domain, b.owner", fill_budgets },
	[DIR_SCHEDULE] = { "schedule",
		"SELECT s.domain || '/' || s.schedule, s.domain, s.schedule, coalesce(s.timezone, d.timezone), s.override,"
		" ceil(extract(epoch FROM s.override_until))::bigint,"
		" (SELECT string_agg(concat_ws(E'\\x1f', p.weekday, extract(epoch FROM p.from_time)::integer / 60, extract(epoch FROM p.to_time)::integer / 60), E'\\x1e')"
		"  FROM pbx.schedule_period AS p WHERE (p.domain, p.schedule) = (s.domain, s.schedule)),"
		" (SELECT string_agg(concat_ws(E'\\x1f', to_char(h.day, CASE WHEN h.yearly THEN 'MMDD' ELSE 'YYYYMMDD' END),"
		"   coalesce(extract(epoch FROM h.from_time)::integer / 60, 0), coalesce(extract(epoch FROM h.to_time)::integer / 60, 0)), E'\\x1e')"
		"  FROM pbx.schedule_holiday AS h WHERE (h.domain, h.schedule) = (s.domain, s.schedule))"
		" FROM pbx.schedule AS s JOIN pbx.domain AS d USING (domain)"
		" WHERE ($1::text[] IS NULL OR s.domain || '/' || s.schedule = ANY($1) OR s.domain = ANY($1))", fill_schedule },
	[DIR_SCRIPT] = { "script",
		"SELECT s.domain || '/' || s.name, s.domain, s.name, s.source, d.script_instructions, d.script_memory_kb"
		" FROM pbx.script AS s JOIN pbx.domain AS d USING (domain)"
		" WHERE ($1::text[] IS NULL OR s.domain || '/' || s.name = ANY($1) OR s.domain = ANY($1))", fill_script },
	[DIR_NOTE] = { "presence_note",
		"SELECT domain || '/' || number, domain, number, lamp, status, activity, note FROM pbx.presence_note"
		WANTED("domain || '/' || number"), fill_note },
};
