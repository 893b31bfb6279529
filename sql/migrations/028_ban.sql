-- Who is kept out: sources that guessed passwords, and networks that an administrator names.

CREATE TABLE pbx.ban (
    source   cidr PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now(),
    until    timestamptz NOT NULL DEFAULT 'infinity',
    failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    times    integer NOT NULL DEFAULT 1 CHECK (times > 0),
    account  text,
    reason   text NOT NULL DEFAULT 'by hand',
    node     text NOT NULL DEFAULT '',
    CONSTRAINT source_is_one_address CHECK (masklen(source) = CASE family(source) WHEN 4 THEN 32 ELSE 64 END),
    CONSTRAINT until_is_behind_since CHECK (until >= since)
);
COMMENT ON TABLE pbx.ban IS 'Sources that are not heard, on all servers: written by them when passwords are guessed, or by an administrator. Deleting a row lifts the ban at once, an inserted one is in force at once. A row whose time is over stays for a day, so that who comes again is banned for twice as long; then he begins anew.';
COMMENT ON COLUMN pbx.ban.source IS 'The IPv4 address, or of IPv6 the /64 network, which is what one host has. For larger networks there is pbx.network.';
COMMENT ON COLUMN pbx.ban.since IS 'When it was banned, the last time.';
COMMENT ON COLUMN pbx.ban.until IS 'When that ends. Each time doubles it, up to ban_longest of the configuration file.';
COMMENT ON COLUMN pbx.ban.failures IS 'Wrong passwords that it has shown, since it was banned first. A challenge that was not answered, or an answer to one that was too old, is none.';
COMMENT ON COLUMN pbx.ban.times IS 'How often it has been banned.';
COMMENT ON COLUMN pbx.ban.account IS 'What it tried last: user@realm, as it said; NULL: nothing.';
COMMENT ON COLUMN pbx.ban.reason IS 'Why.';
COMMENT ON COLUMN pbx.ban.node IS 'The server that banned it; empty: an administrator.';
CREATE INDEX ban_until ON pbx.ban (until);
COMMENT ON INDEX pbx.ban_until IS 'Which bans are over.';

CREATE TABLE pbx.network (
    network cidr PRIMARY KEY,
    rule    text NOT NULL CHECK (rule IN ('allow', 'deny')),
    note    text NOT NULL DEFAULT ''
);
COMMENT ON TABLE pbx.network IS 'Networks that are treated otherwise than others. The longest prefix that contains an address decides. Addresses of trunks (trunk_address) are as if allowed, in whatever network they lie; only a row for the address itself says otherwise.';
COMMENT ON COLUMN pbx.network.network IS 'An address or network. Of IPv6, what is less than a /64 stands for all of it.';
COMMENT ON COLUMN pbx.network.rule IS 'allow: never banned, and no limit on what it may send. It still needs its passwords. deny: never heard; 0.0.0.0/0 and ::/0 with deny, and a few with allow, make a closed system.';
COMMENT ON COLUMN pbx.network.note IS 'For the reader.';

CALL pbx.change_watch('pbx.ban', 'ban', 'source');
CALL pbx.change_watch('pbx.network', 'network', 'network');

CREATE FUNCTION pbx.ban_set(docs jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM pbx.ban WHERE until < now() - interval '1 day';
    INSERT INTO pbx.ban AS b (source, since, until, failures, times, account, reason, node)
    SELECT DISTINCT ON (d.source) d.source, least(pbx.time_of_ms(d.since_ms), pbx.time_of_ms(d.until_ms)), pbx.time_of_ms(d.until_ms),
           d.failures, d.times, d.account, d.reason, d.node
    FROM jsonb_to_recordset(docs) AS d(source cidr, since_ms bigint, until_ms bigint, failures bigint, times integer, account text, reason text,
             node text)
    ORDER BY d.source, d.until_ms DESC
    ON CONFLICT (source) DO UPDATE
    SET since = excluded.since, until = excluded.until, failures = excluded.failures, times = excluded.times, account = excluded.account,
        reason = excluded.reason, node = excluded.node
    -- What an administrator or another server has made longer stays so.
    WHERE b.until <= excluded.until;
END $$;
COMMENT ON FUNCTION pbx.ban_set(jsonb) IS 'For servers: takes over the bans that they have pronounced, and forgets those that ended a day ago.';
