-- Transfers: how long they may take, who is called back; and who may pick up whose calls. Their records: 021.

ALTER TABLE pbx.domain
    ADD COLUMN transfer_answer_s integer NOT NULL DEFAULT 45
        CONSTRAINT transfer_answer_is_0_to_600_seconds CHECK (transfer_answer_s BETWEEN 0 AND 600),
    ADD COLUMN recall_ring_s integer NOT NULL DEFAULT 30
        CONSTRAINT recall_rings_0_to_300_seconds CHECK (recall_ring_s BETWEEN 0 AND 300);
COMMENT ON COLUMN pbx.domain.transfer_answer_s IS 'A transferred call that nobody answers in so many seconds has failed: the party goes back to who transferred it. 0: no limit but the route''s own.';
COMMENT ON COLUMN pbx.domain.recall_ring_s IS 'When a transfer fails and who made it has hung up already, his phones ring so many seconds. 0: they don''t, the party is hung up on.';

ALTER TABLE pbx.extension
    ADD COLUMN pickup_group text
        CONSTRAINT pickup_group_is_a_name CHECK (pickup_group ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,61}$');
COMMENT ON COLUMN pbx.extension.pickup_group IS 'Extensions with the same group may pick up each other''s ringing calls. NULL: nobody else may.';
