-- Registrations at trunks as flows (RFC 5626), and the state of servers that have vanished.

ALTER TABLE pbx.trunk
    ADD COLUMN outbound    boolean NOT NULL DEFAULT false,
    ADD COLUMN keepalive_s integer CHECK (keepalive_s BETWEEN 15 AND 600);
COMMENT ON COLUMN pbx.trunk.outbound IS 'true: it is registered with reg-id and option tag outbound (RFC 5626); a registrar whose first proxy can''t do that is registered at without.';
COMMENT ON COLUMN pbx.trunk.keepalive_s IS 'How often the registrar is shown that Cordboard is there, in seconds: line ends on TCP and TLS, STUN over UDP. NULL: as the registrar asks (Flow-Timer), else every two minutes on connections where it speaks outbound. One that has once answered must go on answering, or Cordboard registers anew.';

CREATE FUNCTION pbx.node_seen(node text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pbx.node AS n SET seen = now() WHERE n.node = $1;
    PERFORM pbx.state_forget(s.node)
    FROM (SELECT DISTINCT t.node FROM pbx.trunk_state AS t
          WHERE NOT EXISTS (SELECT FROM pbx.node AS n WHERE n.node = t.node AND n.seen > now() - interval '10 minutes')
          ORDER BY t.node) AS s;
END $$;
COMMENT ON FUNCTION pbx.node_seen(text) IS 'For servers: this one lives, said every minute. What those saw that have said nothing for ten minutes is forgotten.';
