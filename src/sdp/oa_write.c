/* oa_write.c - descriptions of ours as text: the sections in their order, all refused but the audio's and those that pass (RFC 3264 §6, §8; RFC 8866 §5). */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "sdp/oa_int.h"

#define TEXT_MAX 16384       /* of a description of ours; refused sections repeat up to what came in one */
#define TEXT_MOST 512        /* most are shorter */

static void write_audio(struct out *o, const struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir)
{
	out_z(o, "m=audio ");
	out_u64(o, l->port);
	out_chr(o, ' ');
	out_z(o, oa->proto);
	for (unsigned i = 0; i < ps->n; i++) {
		out_chr(o, ' ');
		out_i64(o, ps->list[i].pt);
	}
	out_z(o, "\r\n");
	for (unsigned i = 0; i < ps->n; i++) {
		const struct oa_codec *c = &ps->list[i];

		/* For static ones too: RFC 3264 §5.1 recommends it. */
		out_z(o, "a=rtpmap:");
		out_i64(o, c->pt);
		out_chr(o, ' ');
		out_z(o, c->name);
		out_chr(o, '/');
		out_u64(o, c->clock_hz);
		if (c->channels > 1) {
			out_chr(o, '/');
			out_u64(o, c->channels);
		}
		out_z(o, "\r\n");
		if (c->fmtp) {
			out_z(o, "a=fmtp:");
			out_i64(o, c->pt);
			out_chr(o, ' ');
			out_z(o, c->fmtp);
			out_z(o, "\r\n");
		}
	}
	oa_group_write(o, str_from(oa->mid));
	if (l->ptime_ms) {
		out_z(o, "a=ptime:");
		out_u64(o, l->ptime_ms);
		out_z(o, "\r\n");
	}
	if (l->rtcp_port && l->rtcp_port != l->port + 1)
		out_fmt(o, "a=rtcp:%u\r\n", l->rtcp_port);
	if (oa->agreed.rtcp_mux || (oa->state == OA_IDLE && oa_dtls_is_offered(oa)))
		out_z(o, "a=rtcp-mux\r\n");
	if (oa->agreed.rtcp_rsize)
		out_z(o, "a=rtcp-rsize\r\n");
	oa_secure_write(o, oa, l);
	oa_ice_write(o, oa, l);
	out_z(o, "a=");
	out_z(o, sdp_dir_name(dir));
	out_z(o, "\r\n");
}

static void write_address(struct out *o, const struct oa_local *l)
{
	out_z(o, l->addr_is_ip6 ? "IN IP6 " : "IN IP4 ");
	out_z(o, l->addr);
	out_z(o, "\r\n");
}

/* All sections in their order; ps NULL refuses the audio too, unless something is in its place. */
static void write_body(struct out *o, const struct oa *oa, const struct oa_local *l, const struct payloads *ps,
		       enum sdp_dir dir, struct str timing, struct str section)
{
	out_z(o, "s=-\r\nc=");
	write_address(o, l);
	out_z(o, "t=");
	out_str(o, str_empty(timing) ? STR("0 0") : timing);
	out_z(o, "\r\n");
	if (ps) {
		oa_group_write_session(o, oa);
		oa_ice_write_session(o, oa);
	}
	if (!oa->nsections && ps)
		write_audio(o, oa, l, ps, dir);
	for (unsigned i = oa->nsections ? 0 : 1; i < oa->nsections || i < oa->exchange->noffered; i++) {
		if (oa_others_write(o, oa, l, i))
			continue;
		if (i == oa->audio && ps)
			write_audio(o, oa, l, ps, dir);
		else if (i == oa->audio && section.n)
			out_str(o, section);
		else
			out_z(o, oa->sections[i]);
	}
}

/* Of all but o= (RFC 3264 §8): its hash is enough to see whether it's another than the last. */
static void note_version(struct oa *oa, struct str body)
{
	static const unsigned char key[HASH_KEY] = "o= is as it was";
	uint64_t hash = hash_keyed(key, body.p, body.n);

	if (oa->version && oa->last_hash == hash)
		return;
	oa->last_hash = hash;
	oa->version++;
}

static int write_all(struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir, struct str timing,
		 struct str section, struct out *o)
{
	struct out body;
	char text[TEXT_MOST];
	int err = -ENOSPC;

	out_init_on(&body, text, sizeof(text), TEXT_MAX);
	write_body(&body, oa, l, ps, dir, timing, section);
	if (!out_ok(&body))
		goto out;
	note_version(oa, out_view(&body));
	out_z(o, "v=0\r\no=- ");
	out_u64(o, oa->sess_id);
	out_chr(o, ' ');
	out_u64(o, oa->version);
	out_chr(o, ' ');
	write_address(o, l);
	out_str(o, out_view(&body));
	err = out_ok(o) ? 0 : -ENOSPC;
out:
	out_fini(&body);
	return err;
}

int oa_write(struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir, struct str timing, struct out *o)
{
	return write_all(oa, l, ps, dir, timing, STR_NULL, o);
}

int oa_write_section(struct oa *oa, const struct oa_local *l, struct str section, struct str timing, struct out *o)
{
	return write_all(oa, l, NULL, SDP_INACTIVE, timing, section, o);
}

char *oa_write_refusal(const struct sdp_media *m)
{
	struct out o;
	char text[TEXT_MOST];

	out_init_on(&o, text, sizeof(text), TEXT_MAX);
	out_z(&o, "m=");
	out_str(&o, m->type);
	out_z(&o, " 0 ");
	out_str(&o, m->proto);
	for (unsigned i = 0; i < m->nformats; i++) {
		out_chr(&o, ' ');
		out_str(&o, m->formats[i].text);
	}
	out_z(&o, "\r\n");
	oa_group_write(&o, oa_group_mid(m));
	return out_take(&o);
}

char *oa_write_own_refusal(const struct oa *oa)
{
	struct out o;
	char text[TEXT_MOST];

	out_init_on(&o, text, sizeof(text), TEXT_MAX);
	out_z(&o, "m=audio 0 ");
	out_z(&o, oa->proto);
	for (unsigned i = 0; i < oa->exchange->ours.n; i++) {
		out_chr(&o, ' ');
		out_i64(&o, oa->exchange->ours.list[i].pt);
	}
	out_z(&o, "\r\n");
	oa_group_write(&o, str_from(oa->mid));
	return out_take(&o);
}
