-- Phones behind proxies, with several connections, and with an address of their own (RFC 3327, 5626, 5627).

ALTER TABLE pbx.binding
    ADD COLUMN reg_id  integer NOT NULL DEFAULT 0 CHECK (reg_id >= 0),
    ADD COLUMN path    text,
    ADD COLUMN gruu_id text CHECK (gruu_id ~ '^[0-9a-f]{16}$');
UPDATE pbx.binding SET instance = '' WHERE instance IS NULL;
-- Two phones behind different NATs may have one and the same contact; two connections of one phone often have.
ALTER TABLE pbx.binding
    ALTER COLUMN instance SET DEFAULT '',
    ALTER COLUMN instance SET NOT NULL,
    DROP CONSTRAINT binding_pkey,
    ADD PRIMARY KEY (domain, number, contact, instance, reg_id);
COMMENT ON COLUMN pbx.binding.instance IS 'The phone''s +sip.instance (RFC 5626); empty: it told none.';
COMMENT ON COLUMN pbx.binding.reg_id IS 'Which of the phone''s connections it is (RFC 5626); 0: it told none.';
COMMENT ON COLUMN pbx.binding.path IS 'The proxies between the phone and us (RFC 3327), as a Route header; NULL: none.';
COMMENT ON COLUMN pbx.binding.gruu_id IS 'What the phone''s temporary GRUUs are found by (RFC 5627); NULL: it has none.';

CREATE OR REPLACE FUNCTION pbx.outbox_binding(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF (doc ->> 'remove')::boolean THEN
        DELETE FROM pbx.binding
        WHERE domain = doc ->> 'domain' AND number = doc ->> 'number' AND contact = doc ->> 'contact'
          AND instance = coalesce(doc ->> 'instance', '') AND reg_id = coalesce((doc ->> 'reg_id')::integer, 0);
        RETURN;
    END IF;
    INSERT INTO pbx.binding AS b (domain, number, contact, instance, reg_id, path, gruu_id, call_id, cseq, q_milli, expires, proto,
                                  address, user_agent, node)
    SELECT d.domain, d.number, d.contact, coalesce(d.instance, ''), coalesce(d.reg_id, 0), d.path, d.gruu_id, d.call_id, d.cseq,
           coalesce(d.q_milli, 1000), pbx.time_of_ms(d.expires_ms), d.proto, d.address, coalesce(d.user_agent, ''), coalesce(d.node, '')
    FROM jsonb_to_record(doc) AS d(domain text, number text, contact text, instance text, reg_id integer, path text, gruu_id text,
             call_id text, cseq bigint, q_milli integer, expires_ms bigint, proto text, address text, user_agent text, node text)
    ON CONFLICT (domain, number, contact, instance, reg_id) DO UPDATE
    SET path = excluded.path, gruu_id = excluded.gruu_id, call_id = excluded.call_id, cseq = excluded.cseq,
        q_milli = excluded.q_milli, expires = excluded.expires, proto = excluded.proto, address = excluded.address,
        user_agent = excluded.user_agent, node = excluded.node;
END $$;
