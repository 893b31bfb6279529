-- Several flows to one trunk (RFC 5626 section 4.2): one through each of its proxies.

CREATE FUNCTION pbx.are_sip_uris(uris text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(bool_and(coalesce(uri ~ '^sips?:[^[:space:]<>",]+$', false)), true) FROM unnest(uris) AS uri
$$;
COMMENT ON FUNCTION pbx.are_sip_uris(text[]) IS 'Each of them is a SIP or SIPS URI, without a name and brackets around it.';

ALTER TABLE pbx.trunk
    ADD COLUMN more_proxies text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT more_proxies_are_sip_uris CHECK (pbx.are_sip_uris(more_proxies)),
    ADD CONSTRAINT more_proxies_are_for_flows CHECK (cardinality(more_proxies) = 0
        OR (outbound AND proxy IS NOT NULL AND cardinality(more_proxies) <= 7));
COMMENT ON COLUMN pbx.trunk.more_proxies IS 'Further proxies of a provider that offers several, with outbound = true: a registration is kept through each of them, and proxy, side by side (RFC 5626, reg-id 1, 2, ...). Calls come in by any; those that go out take the first that stands.';

ALTER TABLE pbx.trunk_state ADD COLUMN flows integer;
COMMENT ON COLUMN pbx.trunk_state.flows IS 'How many of its registrations stand, where it is to have several; what else is said here is of one of them, that stands if there is one. NULL: it has one.';

CREATE OR REPLACE FUNCTION pbx.trunk_state_registration(docs jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.trunk_state AS s (domain, name, node, registration, registered_until, contact, registrar, status, reason,
                                      register_rtt_us, failures, next_try, flows)
    SELECT d.domain, d.name, d.node, d.registration, pbx.time_of_ms(d.registered_until_ms), d.contact, d.registrar, d.status, d.reason,
           d.register_rtt_us, d.failures, pbx.time_of_ms(d.next_try_ms), d.flows
    FROM jsonb_to_recordset(docs) AS d(domain text, name text, node text, registration text, registered_until_ms bigint, contact text,
             registrar text, status integer, reason text, register_rtt_us bigint, failures integer, next_try_ms bigint, flows integer)
    JOIN pbx.trunk AS t ON (t.domain, t.name) = (d.domain, d.name)
    ON CONFLICT (domain, name, node) DO UPDATE
    SET registration = excluded.registration, registered_until = excluded.registered_until, contact = excluded.contact,
        registrar = excluded.registrar, status = excluded.status, reason = excluded.reason, register_rtt_us = excluded.register_rtt_us,
        failures = excluded.failures, next_try = excluded.next_try, flows = excluded.flows
$$;
